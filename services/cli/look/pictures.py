"""The three pictures of the page, as inline SVG without script: each says in its description what it shows."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from services.cli.look.ages import AGES, Span
from services.cli.look.fleet import Server
from services.cli.look.outlook import DayAhead
from services.cli.look.page_words import Words
from shared.domain.catalogue import BuildCatalogue
from shared.runtime.markup import Html, tag

WIDTH = 960
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 16, 16, 30
_HEIGHT = 260
_ROW = 56
_NAME_ROOM = 200
_LABEL_ROOM = 104
_RISKS = ("pass", "defer", "refuse")

CIRCLES = {"below": "older", "unknown": "two-years", None: "unsure", "at or above": "current"}
"""Colour of a circle by the standing of its servers, worst first."""


class _Frame:
    """Shares of the plot to pixels; both run from 0 to 1."""

    def __init__(self, height: int, left: int = _LEFT) -> None:
        self.height, self.left = height, left
        self.bottom = height - _BOTTOM

    def x(self, share: float) -> float:
        return round(self.left + min(max(share, 0.0), 1.0) * (WIDTH - self.left - _RIGHT), 1)

    def y(self, share: float) -> float:
        return round(self.bottom - min(max(share, 0.0), 1.0) * (self.bottom - _TOP), 1)


def ages(spans: Sequence[Span], words: Words) -> Html:
    """Stacked bars: mails of each span by the age of their servers."""
    frame = _Frame(_HEIGHT)
    most = max(sum(span.mails.values()) for span in spans)
    ticks = axis_end(most)
    width = max(1.0, round((frame.x(1) - frame.left) / len(spans) - 1, 1))
    bars = []
    for index, span in enumerate(spans):
        x = frame.x(index / len(spans))
        title = tag(
            "title", f"{span.start}: " + _told(((words.ages[age], span.mails.get(age, 0)) for age in AGES), words)
        )
        bars.append(tag("g", title, *_stack(frame, x, width, [(age, span.mails.get(age, 0)) for age in AGES], ticks)))
    dates = _date_labels([(span.start, index / len(spans)) for index, span in enumerate(spans)], frame)
    total = {age: sum(span.mails.get(age, 0) for span in spans) for age in AGES}
    described = _told(((words.ages[age], total[age]) for age in AGES), words)
    return _svg(_HEIGHT, words.ages_title, described, *_grid(frame, ticks, words), *bars, *dates)


def risk(days: Sequence[DayAhead], words: Words) -> Html:
    """Stacked bars: a usual day's mails by what would happen to them, for each day ahead."""
    frame = _Frame(_HEIGHT)
    ticks = axis_end(max((day.mails for day in days), default=0))
    width = max(1.0, round((frame.x(1) - frame.left) / len(days) - 1, 1))
    bars = []
    for index, day in enumerate(days):
        parts = _parts_of(day)
        title = tag(
            "title", f"{words.day} {day.day}: " + _told(((words.risk[kind], amount) for kind, amount in parts), words)
        )
        bars.append(tag("g", title, *_stack(frame, frame.x(index / len(days)), width, parts, ticks)))
    marks = [
        tag("text", f"{words.day} {day.day}", x=frame.x(index / len(days)), y=frame.height - 10)
        for index, day in enumerate(days)
        if day.day % 30 == 0
    ]
    described = "; ".join(
        f"{words.day} {day.day}: " + _told(((words.risk[kind], amount) for kind, amount in _parts_of(day)), words)
        for day in days
        if day.day % 30 == 0
    )
    return _svg(_HEIGHT, words.risk_title, described, *_grid(frame, ticks, words), *bars, *marks)


def _parts_of(day: DayAhead) -> list[tuple[str, float]]:
    passing = max(0.0, round(day.mails - day.deferred - day.refused, 1))
    return list(zip(_RISKS, (passing, day.deferred, day.refused), strict=True))


def updates(servers: Sequence[Server], catalogue: BuildCatalogue, on: date, words: Words) -> Html | None:
    """A row a product: its security updates as ticks, servers as circles at the day of the update that they have."""
    placed: dict[str, dict[date, list[Server]]] = {}
    for server in servers:
        update = server.assessment.update
        if update is not None:
            placed.setdefault(server.reading.product, {}).setdefault(update.released, []).append(server)
    if not placed:
        return None
    first = min(day for days in placed.values() for day in days).replace(month=1, day=1)
    frame = _Frame(_TOP + _ROW * len(placed) + _BOTTOM, left=_NAME_ROOM)
    span = max(1, (on - first).days)
    content: list[Html] = []
    for row, (product, days) in enumerate(sorted(placed.items())):
        y = _TOP + _ROW * row + _ROW // 2
        content.append(tag("line", x1=frame.left, x2=frame.x(1), y1=y, y2=y))
        content.append(tag("text", product.removeprefix("Microsoft "), x=8, y=y + 4, class_="name"))
        content += [
            tag("line", x1=frame.x((released - first).days / span), x2=frame.x((released - first).days / span), y1=y - 5, y2=y + 5, class_="tick")
            for released in _security_days(catalogue, product, on)
            if released >= first
        ]  # fmt: skip
        content += [
            _circle(frame.x((day - first).days / span), y, day, found, words) for day, found in sorted(days.items())
        ]
    years = [(date(year, 1, 1), (date(year, 1, 1) - first).days / span) for year in range(first.year, on.year + 1)]
    described = "; ".join(
        f"{product}: "
        + ", ".join(f"{day}: {counted(len(found), words.servers, words)}" for day, found in sorted(days.items()))
        for product, days in sorted(placed.items())
    )
    return _svg(frame.height, words.updates_title, described, *content, *_date_labels(years, frame, years_only=True))


def _security_days(catalogue: BuildCatalogue, product: str, on: date) -> list[date]:
    return sorted(
        {row.released for row in catalogue.builds_of_product(product) if row.is_security and row.released <= on}
    )


def _circle(x: float, y: float, day: date, found: Sequence[Server], words: Words) -> Html:
    worst = min((server.standing for server in found), key=list(CIRCLES).index)
    update = found[0].assessment.update
    title = f"{update.name if update else ''} ({day}): {counted(len(found), words.servers, words)}"
    radius = round(min(22.0, 9 + 2 * len(found) ** 0.5), 1)
    return tag(
        "g",
        tag("title", title),
        tag("circle", cx=x, cy=y, r=radius, class_=CIRCLES[worst]),
        tag("text", number(len(found), words), x=x, y=y + 4, class_="count"),
    )


def _svg(height: int, title: str, described: str, *content: Html) -> Html:
    return tag(
        "svg",
        tag("title", title),
        tag("desc", described),
        *content,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label=f"{title}. {described}",
    )


def _stack(frame: _Frame, x: float, width: float, parts: Iterable[tuple[str, float]], ticks: float) -> Iterator[Html]:
    low = 0.0
    for kind, amount in parts:
        if amount:
            top = frame.y((low + amount) / ticks)
            yield tag("rect", x=x, y=top, width=width, height=round(frame.y(low / ticks) - top, 1), class_=kind)
            low += amount


def _grid(frame: _Frame, most: float, words: Words) -> Iterator[Html]:
    for share in (0.0, 0.5, 1.0):
        y = frame.y(share)
        yield tag("line", x1=frame.left, x2=frame.x(1), y1=y, y2=y)
        yield tag("text", number(most * share, words), x=frame.left - 6, y=y + 4, class_="end")


def _date_labels(days: Iterable[tuple[date, float]], frame: _Frame, *, years_only: bool = False) -> Iterator[Html]:
    free = 0.0
    for day, share in days:
        x = frame.x(share)
        if share >= 0 and x >= free and x + _LABEL_ROOM * 0.6 <= WIDTH:
            yield tag("text", day.year if years_only else day, x=x, y=frame.height - 10)
            free = x + _LABEL_ROOM


def _told(parts: Iterable[tuple[str, float]], words: Words) -> str:
    return ", ".join(f"{name} {number(amount, words)}" for name, amount in parts)


def number(amount: float, words: Words) -> str:
    """A number as the language writes it; whole ones without decimals, those below one with two at most."""
    text = f"{amount:,.0f}" if amount == int(amount) else f"{round(amount, 2):g}" if amount < 1 else f"{amount:,.1f}"
    return text.translate(str.maketrans(",.", words.number_marks))


def counted(amount: int, forms: tuple[str, str], words: Words) -> str:
    """The form for one or that for more, with the number in it."""
    return forms[amount != 1].format(count=number(amount, words))


def axis_end(most: float) -> float:
    """What an axis ends at: little above *most*, and half of it is a short number too."""
    step = 0.1
    while True:
        for times in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8):
            if most <= step * times:
                return step * times
        step *= 10
