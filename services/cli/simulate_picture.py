"""
What a policy costs whom, drawn: one SVG that needs nothing else, and a page around it with the same in tables.

Each bar is a week and says in its title what it shows; the description says the same in words. Light and dark, and it prints.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.cli.simulate_text import ROWS, a_day, days_shown, mean_delay, of_group, standing, total
from shared.domain.simulate import DayTold, GroupTold, RetryTold, Simulated, Tally
from shared.runtime.markup import Html, join, tag, void

WIDTH = 960
_LEFT, _RIGHT = 64, 16
_HEAD, _SERVERS, _MAILS, _GAP, _FOOT = 64, 190, 84, 36, 34
_SECOND_HEAD = 30
_WEEK = 7
_SERVER_KINDS = (("refused", "refused"), ("slowed", "slowed"), ("warned", "warned"))
_MAIL_KINDS = (("bounced", "refused"), ("delayed", "slowed"))
_WORDS = {
    "warned": "warned: no mail is touched yet",
    "slowed": "slowed: mail deferred in some minutes of each hour",
    "refused": "refused: mail bounces in some minutes, or in all",
}

_STYLE = """
:root { color-scheme: light dark; }
.simulated { --ink: #1b1f24; --soft: #55606c; --line: #cfd6de; --card: #f6f7f9; --warned: #5f7fa8; --slowed: #d9902b; --refused: #b3261e; background: var(--card); }
@media (prefers-color-scheme: dark) { .simulated { --ink: #e7eaee; --soft: #a9b2bd; --line: #3a424d; --card: #1d232a; --warned: #8fb0da; --slowed: #f0b45c; --refused: #f2776d; } }
.simulated text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.simulated .title { fill: var(--ink); font-size: 18px; font-weight: 600; } .simulated .name { fill: var(--ink); font-weight: 600; font-size: 13px; }
.simulated .end { text-anchor: end; } .simulated .middle { text-anchor: middle; }
.simulated line { stroke: var(--line); }
.simulated .warned { fill: var(--warned); } .simulated .slowed { fill: var(--slowed); } .simulated .refused { fill: var(--refused); }
"""

_PAGE_STYLE = """
:root { --page: #fff; --text: #1b1f24; --muted: #55606c; --rule: #cfd6de; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --text: #e7eaee; --muted: #a9b2bd; --rule: #3a424d; } }
body { margin: 0 auto; max-width: 1040px; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; } p, li { max-width: 75ch; }
figure { margin: 1rem 0; overflow-x: auto; } svg { display: block; box-sizing: border-box; width: 100%; min-width: 640px; height: auto; border: 1px solid var(--rule); border-radius: 8px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; } td { white-space: nowrap; } td.text { white-space: normal; min-width: 14rem; } th:first-child, td:first-child, td.text, th.text { text-align: left; }
caption { text-align: left; color: var(--muted); padding: .3rem 0; } .muted { color: var(--muted); }
@media print { body { max-width: none; font-size: 10pt; } figure, tr { break-inside: avoid; } svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


# --- the picture -----------------------------------------------------------------------------------------------------


def picture_of(found: Simulated) -> str:
    """The SVG alone."""
    return f"{_svg(found)}\n"


def _svg(found: Simulated) -> Html:
    weeks = [found.days[first : first + _WEEK] for first in range(0, len(found.days), _WEEK)]
    groups = [group for group in found.groups if group.outdated]
    height = _HEAD + _SERVERS + _SECOND_HEAD + (_MAILS + _GAP) * len(groups) + _GAP + _FOOT
    title = f"What policy version {found.policy_version} costs whom: {found.servers} made-up servers, {len(found.days)} days"
    return tag(
        "svg",
        tag("title", title),
        tag("desc", _described(found, groups)),
        tag("style", Html(_STYLE)),
        tag("text", title, x=16, y=28, class_="title"),
        *_legend(),
        *_panel(_HEAD + 20, _SERVERS - 20, "Servers, at the end of each week", _of_servers(weeks), _SERVER_KINDS),
        *_groups(groups, weeks),
        *_axis(height - _FOOT + 16, found),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        class_="simulated",
        aria_label=title,
    )


def _described(found: Simulated, groups: Sequence[GroupTold]) -> str:
    days = [
        f"day {day.day}: {one.warned} servers warned, {one.slowed} slowed, {one.refused} refused"
        for day in days_shown(found)
        for one in (total(day.groups.values()),)
    ]
    mails = [
        f"{group.name}: {a_day(one.delayed, len(found.days))} mails a day delayed, {a_day(one.bounced, len(found.days))} bounced"
        for group in groups
        for one in (of_group(found, group),)
    ]
    return f"{'; '.join(days)}. Over all days, {'; '.join(mails) or 'no group is below the floor'}."


def _legend() -> Iterator[Html]:
    x = 16
    for kind, words in _WORDS.items():
        yield tag("rect", x=x, y=42, width=12, height=12, class_=kind)
        yield tag("text", words, x=x + 18, y=52)
        x += 38 + 6 * len(words)


_Bar = tuple[str, Mapping[str, float]]
"""A title, and the amount of each kind."""


def _of_servers(weeks: Sequence[Sequence[DayTold]]) -> list[_Bar]:
    bars: list[_Bar] = []
    for week in weeks:
        one = total(week[-1].groups.values())
        words = f"day {week[-1].day}: {one.warned} warned, {one.slowed} slowed, {one.refused} refused"
        bars.append((words, {"warned": one.warned, "slowed": one.slowed, "refused": one.refused}))
    return bars


def _groups(groups: Sequence[GroupTold], weeks: Sequence[Sequence[DayTold]]) -> Iterator[Html]:
    """A panel a group, all to one scale: what it costs whom."""
    bars = {group.name: _of_mails(group, weeks) for group in groups}
    most = max((sum(amounts.values()) for of in bars.values() for _, amounts in of), default=0.0)
    y = _HEAD + _SERVERS + _SECOND_HEAD
    yield tag(
        "text",
        "Mails a day that come late (slowed) or bounce (refused), week by week, by how a group patches; one scale",
        x=_LEFT,
        y=y,
        class_="name",
    )
    y += _GAP
    for group in groups:
        name = f"{group.name} ({group.outdated} servers, {group.cured} cured): {group.means}"
        yield from _panel(y, _MAILS, name, bars[group.name], _MAIL_KINDS, most=most)
        y += _MAILS + _GAP


def _of_mails(group: GroupTold, weeks: Sequence[Sequence[DayTold]]) -> list[_Bar]:
    bars: list[_Bar] = []
    for week in weeks:
        one = total(day.groups[group.name] for day in week)
        delayed, bounced = one.delayed / len(week), one.bounced / len(week)
        words = f"{group.name}, days {week[0].day} to {week[-1].day}: {delayed:,.0f} mails a day delayed, {bounced:,.0f} bounced, of {one.sent / len(week):,.0f}"
        bars.append((words, {"delayed": delayed, "bounced": bounced}))
    return bars


def _panel(
    top: int,
    height: int,
    name: str,
    bars: Sequence[_Bar],
    kinds: Iterable[tuple[str, str]],
    *,
    most: float | None = None,
) -> Iterator[Html]:
    """Stacked bars under a name; both axes begin at 0."""
    end = _round_up(max((sum(amounts.values()) for _, amounts in bars), default=0.0) if most is None else most)
    bottom = top + height
    yield tag("text", name, x=_LEFT, y=top - 8, class_="name")
    for share in (0, 1, 2):
        y = round(bottom - height * share / 2, 1)
        yield tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y)
        yield tag("text", f"{end * share / 2:,.0f}", x=_LEFT - 8, y=y + 4, class_="end")
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(bars))
    for place, (words, amounts) in enumerate(bars):
        yield tag("g", tag("title", words), *_stack(_LEFT + place * width, width, bottom, height / end, amounts, kinds))


def _stack(
    x: float, width: float, bottom: float, per: float, amounts: Mapping[str, float], kinds: Iterable[tuple[str, str]]
) -> Iterator[Html]:
    for name, kind in kinds:
        high = amounts[name] * per
        if high:
            bottom -= high
            yield tag(
                "rect",
                x=round(x, 1),
                y=round(bottom, 1),
                width=round(max(0.5, width - 1), 1),
                height=round(high, 1),
                class_=kind,
            )


def _axis(y: int, found: Simulated) -> Iterator[Html]:
    days = len(found.days)
    step = next(step for step in (1, 5, 10, 30, 60, 180, 365) if days / step <= 13)  # noqa: PLR2004 - labels that fit
    for day in range(0, days + 1, step):
        x = round(_LEFT + (WIDTH - _LEFT - _RIGHT) * day / days, 1)
        yield tag("text", day, x=x, y=y, class_="middle")
    yield tag("text", "day", x=8, y=y)


def _round_up(most: float) -> float:
    """What an axis ends at: little above *most*; 1 where there is nothing."""
    step = 1.0
    while True:
        for times in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8):
            if most <= step * times:
                return step * times
        step *= 10


# --- the page --------------------------------------------------------------------------------------------------------


def page_of(found: Simulated) -> str:
    """The whole page."""
    title = f"patchgate simulate: policy version {found.policy_version}, seed {found.seed}"
    csp = "default-src 'none'; style-src 'unsafe-inline'"  # its own style alone; nothing is fetched
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=csp),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(_PAGE_STYLE)),
    )
    lead = (
        f'"{found.policy_title}" (version {found.policy_version}), {found.servers} made-up servers, {len(found.days)} days '
        f"from {found.begin} on, seed {found.seed}. Rules and gate are the real ones; the servers are not: their habits are assumptions."
    )
    body = tag(
        "body",
        tag("h1", "What a policy costs whom"),
        tag("p", lead),
        tag("figure", _svg(found)),
        tag("h2", "Servers: warned / slowed / refused"),
        _standings(found),
        tag("h2", "Mails of servers with a case, a day, over all days"),
        _costs(found),
        _retries(found),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _standings(found: Simulated) -> Html:
    shown = days_shown(found)
    rows = [
        (group.name, group.servers, group.outdated, *(standing(day.groups[group.name]) for day in shown))
        for group in found.groups
    ]
    sums = [total(day.groups.values()) for day in shown]
    rows.append(("all", found.servers, sum(group.outdated for group in found.groups), *map(standing, sums)))
    rows += [(words, "", "", *(getattr(one, what) for one in sums)) for what, words in ROWS.items()]
    return _table(("group", "servers", "below the floor at first", *(f"day {day.day}" for day in shown)), rows)


def _costs(found: Simulated) -> Html:
    rows = [
        (
            group.name,
            *_mails(of_group(found, group), len(found.days)),
            f"{group.cured} of {group.outdated}",
            group.means,
        )
        for group in found.groups
        if group.outdated
    ]
    return _table(("group", "sent", "delayed", "bounced", "mean delay, min", "cured", "habit"), rows)


def _retries(found: Simulated) -> Html:
    rows = [
        (f"{one.retry_minutes} min, {one.gives_up_hours} h", *_mails(one, len(found.days))) for one in found.retries
    ]
    return _table(("tries again every, gives up after", "sent", "delayed", "bounced", "mean delay, min"), rows)


def _mails(told: Tally | RetryTold, days: int) -> tuple[str, ...]:
    return (a_day(told.sent, days), a_day(told.delayed, days), a_day(told.bounced, days), mean_delay(told))


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    head = tag("tr", *(tag("th", text, scope="col", class_="text" if text == "habit" else None) for text in heads))
    body = [
        tag(
            "tr",
            *(tag("td", cell, class_="text" if heads[place] == "habit" else None) for place, cell in enumerate(row)),
        )
        for row in rows
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", join(body))), class_="wide", tabindex="0")
