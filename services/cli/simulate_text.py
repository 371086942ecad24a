"""What a simulated year came to, as tables on the screen; the sums are the page's, too."""

from collections.abc import Iterable, Iterator, Sequence

from shared.domain.simulate import DayTold, GroupTold, RetryTold, Simulated, Tally

SHOWN_DAYS = (30, 60, 90, 180, 365)
_WHOLE_FROM = 10


def simulated_text(found: Simulated) -> Iterator[str]:
    """What it came to, as tables."""
    yield (
        f'Policy version {found.policy_version}, "{found.policy_title}"; {found.servers} made-up servers, '
        f"{len(found.days)} days from {found.begin} on, seed {found.seed}."
    )
    yield ""
    yield "Servers that evening: warned / slowed / refused"
    shown = days_shown(found)
    yield f"{'':<10}{'servers':>8}{'outdated':>9}" + "".join(f"{f'day {day.day}':>18}" for day in shown)
    for group in found.groups:
        cells = "".join(f"{standing(day.groups[group.name]):>18}" for day in shown)
        yield f"{group.name:<10}{group.servers:>8}{group.outdated:>9}{cells}"
    yield from _sums(shown)
    yield ""
    yield from _costs(found)
    yield ""
    yield from _by_retry(found)
    yield ""
    told = ", ".join(f"{count} {outcome}" for outcome, count in found.notices.items()) or "none"
    yield f"Notices: {told}. The log would have {found.records} records."


def days_shown(found: Simulated) -> Sequence[DayTold]:
    """The days that tables show: those of SHOWN_DAYS that there were, and the last."""
    last = len(found.days)
    return [day for day in found.days if day.day in SHOWN_DAYS or day.day == last]


def standing(tally: Tally) -> str:
    """Warned / slowed / refused."""
    return f"{tally.warned} / {tally.slowed} / {tally.refused}"


def _sums(shown: Sequence[DayTold]) -> Iterator[str]:
    sums = [total(day.groups.values()) for day in shown]
    yield f"{'all':<27}" + "".join(f"{standing(one):>18}" for one in sums)
    for what, words in ROWS.items():
        if any(getattr(one, what) for one in sums):
            yield f"{words:<27}" + "".join(f"{getattr(one, what):>18}" for one in sums)


ROWS = {
    "waiting": "lack notice or signature",
    "queued": "wait for room (cap)",
    "observed": "only observed",
}
"""What else is told of all servers together: fields of a tally."""


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    whole = Tally()
    for tally in tallies:
        for name in Tally.__struct_fields__:
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
    return whole


def of_group(found: Simulated, group: GroupTold) -> Tally:
    """What a group's mail came to over all days; its servers are counted once a day."""
    return total(day.groups[group.name] for day in found.days)


def _costs(found: Simulated) -> Iterator[str]:
    yield "Mails of servers with a case, a day, over all days"
    yield f"{'':<10}{'sent':>10}{'delayed':>10}{'bounced':>10}{'delay, min':>12}{'cured':>8}  "
    for group in found.groups:
        if group.outdated:
            tally = of_group(found, group)
            cells = _mails(tally, len(found.days))
            yield f"{group.name:<10}{cells}{f'{group.cured} of {group.outdated}':>14}  {group.means}"


def _by_retry(found: Simulated) -> Iterator[str]:
    yield "The same by how the sender tries again"
    for retry in found.retries:
        name = f"every {retry.retry_minutes} min, gives up after {retry.gives_up_hours} h"
        yield f"{name:<36}{_mails(retry, len(found.days))}"


def _mails(told: Tally | RetryTold, days: int) -> str:
    mean = mean_delay(told)
    return f"{a_day(told.sent, days):>10}{a_day(told.delayed, days):>10}{a_day(told.bounced, days):>10}{mean:>12}"


def a_day(mails: int, days: int) -> str:
    """Mails a day; of few, one place behind the point."""
    rate = mails / days
    return f"{rate:,.0f}" if rate >= _WHOLE_FROM or not mails else f"{rate:,.1f}"


def mean_delay(told: Tally | RetryTold) -> str:
    """Of the delayed mails, in minutes."""
    return f"{told.delay_minutes / told.delayed:,.0f}" if told.delayed else "-"
