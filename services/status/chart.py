"""The schedule of a case, drawn: steps of minutes an hour over its days, what happened as dots, and where we are."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from services.status.html import Html, esc, join, tag
from services.status.timeline import TimelineEvent
from shared.domain.explanation import CaseShown, RowShown

WIDTH, HEIGHT = 960, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 16, 18, 52
_AFTER_LAST = timedelta(days=10)
_LABEL_ROOM = 78  # pixels that a date needs
_DOTS_Y = HEIGHT - 12
_KINDS = {
    "server-sighted.v1": "seen",
    "notice-due.v1": "notice",
    "notice-settled.v1": "notice",
    "case-opened.v1": "opened",
    "case-released.v1": "released",
}
_ON_TOP = (
    "seen",
    "all",
    "notice",
    "step",
    "opened",
    "released",
)  # later ones hide those that stand at the same instant


class _Scale:
    """Days to pixels, minutes to pixels."""

    def __init__(self, first: datetime, last: datetime) -> None:
        self.first, self.last = first, last
        self._span = max((last - first).total_seconds(), 1.0)

    def x(self, instant: datetime) -> float:
        share = (instant - self.first).total_seconds() / self._span
        return round(_LEFT + min(max(share, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, minutes: float) -> float:
        return round(_TOP + (60 - minutes) / 60 * (HEIGHT - _TOP - _BOTTOM), 1)


def chart_of(case: CaseShown, events: Iterable[TimelineEvent], now: datetime) -> Html:
    """An inline SVG of *case*: needs no script, and says in its description what it shows."""
    last = max(case.rows[-1].since + _AFTER_LAST, now)
    scale = _Scale(min(case.rows[0].since, case.opened_at), last)
    drawn = [event for event in events if event.happened >= scale.first]
    return tag(
        "svg",
        tag("title", f"Schedule of the case about {case.product}"),
        tag("desc", _description(case, now)),
        *_grid(scale),
        *_steps(case, scale),
        *_dates(case.rows, scale),
        *_dots(drawn, scale),
        *_today(scale, now),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="chart",
    )


def _description(case: CaseShown, now: datetime) -> str:
    steps = (
        f"stage {row.stage} {'from' if row.granted else 'not before'} {row.since:%Y-%m-%d}: "
        f"{row.throttle_minutes_per_hour} minutes deferred, {row.block_minutes_per_hour} refused"
        for row in case.rows
    )
    return f"Minutes of each hour. {'; '.join(steps)}. Now: {now:%Y-%m-%d %H:%M} UTC, {case.state}."


def _grid(scale: _Scale) -> Iterator[Html]:
    for minutes in (0, 15, 30, 45, 60):
        y = scale.y(minutes)
        yield tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
        yield tag("text", minutes, x=_LEFT - 8, y=y + 4, class_="axis end")
    yield tag("text", "min/h", x=4, y=12, class_="axis")


def _steps(case: CaseShown, scale: _Scale) -> Iterator[Html]:
    """Refused minutes at the bottom, deferred ones on top of them: the order in which the window runs."""
    ends = [row.since for row in case.rows[1:]] + [scale.last]
    for row, end in zip(case.rows, ends, strict=True):
        kind = "" if row.granted and case.released_at is None else " waiting"
        yield _bar(scale, row, end, 0, row.block_minutes_per_hour, f"block{kind}")
        both = row.block_minutes_per_hour + row.throttle_minutes_per_hour
        yield _bar(scale, row, end, row.block_minutes_per_hour, both, f"throttle{kind}")


def _bar(scale: _Scale, row: RowShown, end: datetime, low: int, high: int, kind: str) -> Html:
    if low == high:
        return Html()
    x, width = scale.x(row.since), max(0.0, scale.x(end) - scale.x(row.since))
    words = f"stage {row.stage}: {high - low} minutes an hour {'refused' if 'block' in kind else 'deferred'}"
    height = round(scale.y(low) - scale.y(high), 1)
    return tag(
        "rect", tag("title", words), x=x, y=scale.y(high), width=round(width, 1), height=height, class_=f"bar {kind}"
    )


def _dates(rows: Iterable[RowShown], scale: _Scale) -> Iterator[Html]:
    free = 0.0
    for row in rows:
        x = scale.x(row.since)
        yield tag("line", x1=x, x2=x, y1=scale.y(0), y2=scale.y(0) + 5, class_="tick")
        if x >= free and x + _LABEL_ROOM <= WIDTH:
            yield tag(
                "text", f"{'' if row.granted else '≥ '}{row.since:%Y-%m-%d}", x=x, y=scale.y(0) + 18, class_="axis"
            )
            free = x + _LABEL_ROOM


def _dots(events: Iterable[TimelineEvent], scale: _Scale) -> Iterator[Html]:
    for event in sorted(events, key=lambda event: _ON_TOP.index(_kind(event))):
        title = tag("title", f"{event.happened:%Y-%m-%d %H:%M} UTC, seq {event.seq}: {event.what}")
        yield tag("circle", title, cx=scale.x(event.happened), cy=_DOTS_Y, r=5, class_=f"dot {_kind(event)}")


def _kind(event: TimelineEvent) -> str:
    return "all" if event.scope == "all" else _KINDS.get(event.kind, "step")


def _today(scale: _Scale, now: datetime) -> Iterator[Html]:
    x = scale.x(now)
    yield tag("line", x1=x, x2=x, y1=_TOP, y2=HEIGHT - 4, class_="now")
    yield tag("text", "now", x=x, y=_TOP - 5, class_="axis middle now-label")


def legend() -> Html:
    """What the colours mean."""
    keys = (
        ("throttle", "deferred"),
        ("block", "refused"),
        ("waiting", "not before"),
        ("opened", "opened"),
        ("step", "stage"),
    )
    more = (("notice", "notice"), ("seen", "seen"), ("released", "released"), ("all", "all servers"))
    items = (tag("li", tag("span", class_=f"key {kind}"), esc(words)) for kind, words in (*keys, *more))
    return tag("ul", join(items), class_="legend")
