"""`patchgate policy diff`: what another policy would change, asked of the live state, and how it is told."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta

import msgspec

from services.cli import common
from services.cli.bus import each, reading
from services.cli.live_state import Live, newest
from services.cli.progress import counting
from shared.domain.policy import Policy
from shared.domain.policy_diff import HARSHER, Change, KeyChange, PolicyDiff, ServerChange, key_changes
from shared.domain.records import VerdictGiven
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.runtime.settings import CommonSettings

_LISTED = 20  # of each change; --json has all
_MEANS: dict[Change, str] = {
    "falls-below": "fall below the floor with what they showed last",
    "may-open": "get a case when that is seen in enough hours",
    "starts": "begin at day 0, for their case is enforced from now on",
    "steps": "are granted blocking at once",
    "waits": "have all that blocking needs, and wait for the cap of the day",
    "ends": "lose their case, which expires at once",
    "stands": "go back to day 0, and are neither slowed nor refused",
    "passes": "pass with what they show, though their case goes on",
    "accepted": "are not below the floor any more",
}


class Diffed(msgspec.Struct, frozen=True, kw_only=True):
    """
    What NEW changes. servers: how many were compared; counts, changes: of those for whom something changes.

    refusals_a_day: of those servers, as far as edges told of refusals or would-be ones; empty where nobody asked for it.
    """

    old_version: int
    new_version: int
    keys: tuple[KeyChange, ...]
    servers: int
    counts: dict[Change, int]
    changes: tuple[ServerChange, ...]
    refusals_a_day: dict[str, float] = {}


async def diff(
    settings: CommonSettings, now: Live, old: Policy, new: Policy, *, on: date | None = None, refusals: bool = False
) -> Diffed:
    """
    Ask of every server in the live state.

    Raises:
        TransientError: the broker is not there.
    """
    asked = PolicyDiff(old, new, now.law, on=on, reprieves=now.reprieves)
    found, servers = await newest(settings, lambda server: asked.of(server) or None)
    changes = asked.in_turn(change for of_server in found for change in of_server)
    rates = await _refusals(settings, {change.server for change in changes}) if refusals and changes else {}
    return diffed(old, new, changes, servers=servers, refusals_a_day=rates)


def diffed(
    old: Policy, new: Policy, changes: tuple[ServerChange, ...], *, servers: int, refusals_a_day: dict[str, float]
) -> Diffed:
    """The whole answer."""
    counts = Counter(one for change in changes for one in change.changes)
    return Diffed(
        old_version=old.version,
        new_version=new.version,
        keys=key_changes(old, new),
        servers=servers,
        counts={kind: counts[kind] for kind in _MEANS if counts[kind]},
        changes=changes,
        refusals_a_day=refusals_a_day,
    )


async def _refusals(settings: CommonSettings, names: set[str]) -> dict[str, float]:
    """How many mails of *names* were refused a day, or would have been, as far back as `verdicts` goes."""
    with counting("verdicts read") as tell:
        async with reading(settings) as consumer:
            tally = Refusals(names)
            async for record in each(settings, consumer, t.VERDICTS):
                tally.take(decode(t.VERDICTS, record.value))
                tell(tally.read)
    return tally.a_day()


class Refusals:
    """Counts verdicts of some servers."""

    def __init__(self, names: set[str]) -> None:
        self.read = 0
        self._counts = dict.fromkeys(names, 0)
        self._first: datetime | None = None
        self._last: datetime | None = None

    def take(self, verdict: VerdictGiven) -> None:
        """One verdict."""
        self.read += 1
        self._first = min(self._first or verdict.at, verdict.at)
        self._last = max(self._last or verdict.at, verdict.at)
        if verdict.server in self._counts:
            self._counts[verdict.server] += 1

    def a_day(self) -> dict[str, float]:
        """Over the time that the verdicts span, one day at least."""
        if self._first is None or self._last is None:
            return {}
        days = max(1.0, (self._last - self._first) / timedelta(days=1))
        return {name: round(count / days, 1) for name, count in sorted(self._counts.items()) if count}


def diff_text(found: Diffed) -> Iterator[str]:
    """In words and as tables."""
    yield f"Version {found.old_version} to {found.new_version}: {len(found.keys)} keys differ."
    for key in found.keys:
        yield f"  {key.key}: {_short(key.old)} -> {_short(key.new)}"
    touched = len({change.server for change in found.changes})
    yield f"{common.counted(found.servers, 'server')} compared; something changes for {touched} of them."
    for kind, count in found.counts.items():
        yield f"{count} {_MEANS[kind]} ({'harsher' if kind in HARSHER else 'milder'}):"
        members = [change for change in found.changes if kind in change.changes]
        yield from _rows(members[:_LISTED], found.refusals_a_day)
        if count > _LISTED:
            yield f"  and {count - _LISTED} more; --json lists all"


def _rows(changes: Iterable[ServerChange], rates: dict[str, float]) -> Iterator[str]:
    for change in changes:
        rate = f", {rates[change.server]:g} refusals a day" if change.server in rates else ""
        yield f"  {change.server}  {change.product} {change.shown}  ({change.connector or 'no connector'}, {change.state}{rate})"


def _short(value: object) -> str:
    text = "none" if value is None else msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - columns
