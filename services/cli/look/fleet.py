"""
The tally as servers, each judged by catalogue and policy: what the report shows. Pure: the day is an argument.

Mails of one server id are one row; what is tied to nobody stands by its name and peer. The newest reading counts, as in the law.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import msgspec

from services.cli.look.ages import Span, spans_of
from services.cli.look.tally import Count, Tally
from services.cli.look.ways import Sender
from shared.domain.catalogue import Assessment, BuildCatalogue
from shared.domain.evidence import Facts, Reading
from shared.domain.floors import Standing
from shared.domain.identity import Naming
from shared.domain.policy import Policy, Tie

PEERS_SHOWN = 8

RECENT_DAYS = 28
"""Days up to the newest mail over which mails a day are counted: four whole weeks."""

_DAY_S = 86_400
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_A_MONTH = 30.44

WhyNot = Literal["", "no-floor", "not-below", "not-sure", "untied", "not-seen-lately", "too-few-hours"]
Contradiction = Literal["two-readings-at-once", "build-went-back", "same-name-elsewhere"]


class Server(msgspec.Struct, kw_only=True):
    """
    One row of the report.

    server: id as the policy would have it, or `name (peer)` where it is tied to nobody. peers: PEERS_SHOWN at most.
    standing: to the floor in force on the day of the report, None where the product has none. months_behind: since the
    first security update that it lacks for sure, or since support ended. opens: whether the policy would open a case,
    why_not: and if not, why. hours_below: distinct hours with a reading below the floor, HOURS_KEPT a sender at most.
    mails_a_day: over RECENT_DAYS up to the newest mail of all. hides: products of servers behind it, as hints.
    days: day -> mails.
    """

    server: str
    name: str
    tie: Tie
    peers: tuple[str, ...]
    peers_all: int
    reading: Reading
    line: str
    assessment: Assessment
    standing: Literal["below", "unknown", "at or above"] | None
    opens: bool
    why_not: WhyNot
    hours_below: int
    months_behind: float
    mails: int
    mails_a_day: float
    first_seen: date | None
    last_seen: date | None
    contradictions: tuple[Contradiction, ...] = ()
    hides: dict[str, int] = msgspec.field(default_factory=dict)
    days: dict[date, int] = msgspec.field(default_factory=dict)


class Fleet(msgspec.Struct, kw_only=True):
    """
    All that the report says of the senders.

    servers: those whose product is judged, worst first. tied, not_tied: mails of them. unknown: mails of senders whose
    lines name no product that is judged. gateways: names that hide servers of judged products -> mails.
    ages: how old the servers were when their mails came.
    """

    on: date
    newest: date | None
    oldest: date | None
    servers: tuple[Server, ...]
    mails_from_outside: int
    mails_judged: int
    mails_tied: int
    mails_not_tied: int
    mails_unknown: int
    gateways: dict[str, dict[str, int]]
    ages: tuple[Span, ...] = ()


def fleet_of(tally: Tally, policy: Policy, catalogue: BuildCatalogue, *, on: date) -> Fleet:
    """What *tally* says, as seen on the UTC day *on*."""
    naming = Naming(policy)
    newest = max((count.last for count in tally.senders.values()), default=0)
    oldest = min((count.first for count in tally.senders.values() if count.first), default=0)
    groups: dict[str, list[_Part]] = {}
    unknown = 0
    gateways: dict[str, dict[str, int]] = {}
    for sender, count in tally.senders.items():
        if sender.run.reading is None:
            unknown += count.mails
            _note_gateway(gateways, sender, count)
            continue
        part = _part_of(sender, count, naming)
        groups.setdefault(part.server, []).append(part)
    judge = _Judge(policy, catalogue, on, newest // _DAY_S)
    rows = [judge.server(parts) for parts in groups.values()]
    _mark_names(rows)
    judged = sum(row.mails for row in rows)
    tied = sum(row.mails for row in rows if row.tie in policy.open_ties)
    return Fleet(
        on=on,
        newest=_day(newest),
        oldest=_day(oldest),
        servers=tuple(sorted(rows, key=worst_first)),
        mails_from_outside=judged + unknown + tally.beyond,
        mails_judged=judged,
        mails_tied=tied,
        mails_not_tied=judged - tied,
        mails_unknown=unknown + tally.beyond,
        gateways=dict(sorted(gateways.items(), key=lambda one: (-sum(one[1].values()), one[0]))),
        ages=spans_of(((part.reading, part.count.days) for parts in groups.values() for part in parts), catalogue),
    )


def worst_first(row: Server) -> tuple[int, int, float, float, str]:
    """Below the floor before all others, then by exploited holes, months behind, mails."""
    order = {"below": 0, "unknown": 1, None: 2, "at or above": 3}
    return (
        order[row.standing],
        -row.assessment.cves_exploited,
        -row.months_behind,
        -row.mails_a_day,
        row.server,
    )


class _Part(msgspec.Struct, kw_only=True):
    server: str
    tie: Tie
    sender: Sender
    reading: Reading
    count: Count


def _part_of(sender: Sender, count: Count, naming: Naming) -> _Part:
    run = sender.run
    assert run.reading is not None  # noqa: S101  (the caller has looked)
    facts = Facts(
        peer=sender.peer,
        helo=sender.helo,
        client_name=sender.client_name,
        client_resolve=sender.resolve,  # type: ignore[arg-type]  # only its own values were put in
        tls_name="",
        name=run.name,
        own_lines=(),
        seen_at=_NEVER,
        edge="",
    )
    identity = naming.identify(facts)
    server = identity.server or f"{run.name} ({sender.peer or 'peer not known'})"
    return _Part(server=server, tie=identity.tie, sender=sender, reading=run.reading, count=count)


class _Judge:
    def __init__(self, policy: Policy, catalogue: BuildCatalogue, on: date, newest_day: int) -> None:
        self._policy = policy
        self._catalogue = catalogue
        self._on = on
        self._newest_day = newest_day

    def server(self, parts: list[_Part]) -> Server:
        """One row of all that was seen under one id."""
        newest = max(parts, key=lambda part: (part.count.last, part.count.mails))
        reading = newest.reading
        days = _days_of(parts)
        recent = sum(mails for day, mails in days.items() if day > self._newest_day - RECENT_DAYS)
        assessment = self._catalogue.assess(reading.product, reading.low, reading.high, on=self._on)
        floor = self._policy.floor_for(reading.product, self._on)
        standing = floor.standing(reading) if floor else None
        hours = {hour for part in parts if self._is_below(part) for hour in part.count.hours}
        why_not = self._why_not(newest, standing, len(hours))
        peers = sorted({part.sender.peer for part in parts} - {""})
        last = max(part.count.last for part in parts)
        return Server(
            server=newest.server,
            name=newest.sender.run.name,
            tie=newest.tie,
            peers=tuple(peers[:PEERS_SHOWN]),
            peers_all=len(peers),
            reading=reading,
            line=next(iter(newest.sender.run.lines), ""),
            assessment=assessment,
            standing=standing.value if standing else None,
            opens=not why_not,
            why_not=why_not,
            hours_below=len(hours),
            months_behind=self._months_behind(assessment),
            mails=sum(part.count.mails for part in parts),
            mails_a_day=round(recent / RECENT_DAYS, 2),
            first_seen=_day(min((part.count.first for part in parts if part.count.first), default=0)),
            last_seen=_day(last),
            contradictions=_contradictions(parts),
            hides=_hides(parts),
            days={_date_of(day): mails for day, mails in sorted(days.items())},
        )

    def _months_behind(self, assessment: Assessment) -> float:
        since = min(
            (day for day in (assessment.missing_since, assessment.support_ended) if day is not None), default=self._on
        )
        return round(max(0, (self._on - since).days) / _DAYS_A_MONTH, 1)

    def _why_not(self, newest: _Part, standing: Standing | None, hours: int) -> WhyNot:
        """Why the policy would open no case; "" if it would."""
        if standing is None:
            return "no-floor"
        if standing is not Standing.BELOW:
            return "not-below" if standing is Standing.AT_OR_ABOVE else "not-sure"
        if newest.tie not in self._policy.open_ties:
            return "untied"
        if self._newest_day - newest.count.last // _DAY_S > self._policy.expire_days:
            return "not-seen-lately"
        return "" if hours >= self._policy.opening_hours else "too-few-hours"

    def _is_below(self, part: _Part) -> bool:
        floor = self._policy.floor_for(part.reading.product, self._on)
        return floor is not None and floor.standing(part.reading) is Standing.BELOW


def _days_of(parts: Iterable[_Part]) -> dict[int, int]:
    days: dict[int, int] = {}
    for part in parts:
        for day, mails in part.count.days.items():
            days[day] = days.get(day, 0) + mails
    return days


def _contradictions(parts: list[_Part]) -> tuple[Contradiction, ...]:
    """What one installed server could not show. Ranges that overlap are no contradiction."""
    found: set[Contradiction] = set()
    dated = sorted((part for part in parts if part.count.first), key=lambda part: part.count.first)
    for index, one in enumerate(dated[:_PARTS_COMPARED]):
        for other in dated[index + 1 : _PARTS_COMPARED]:
            if _agree(one.reading, other.reading):
                continue
            if other.count.first < one.count.last - _DAY_S and min(one.count.mails, other.count.mails) > 1:
                found.add("two-readings-at-once")
            elif _is_lower(other.reading, one.reading):
                found.add("build-went-back")
    return tuple(sorted(found))


_PARTS_COMPARED = 60  # readings of one id; more would only repeat the finding, at a square's cost


def _agree(one: Reading, other: Reading) -> bool:
    if one.product != other.product:
        return False
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _is_lower(later: Reading, before: Reading) -> bool:
    return later.high is not None and before.low is not None and later.high < before.low


def _hides(parts: Iterable[_Part]) -> dict[str, int]:
    hidden: dict[str, int] = {}
    for part in parts:
        for product, mails in part.count.hidden.items():
            hidden[product] = hidden.get(product, 0) + mails
    return hidden


def _note_gateway(gateways: dict[str, dict[str, int]], sender: Sender, count: Count) -> None:
    name = sender.run.name or sender.helo or sender.peer
    if not count.hidden or (name not in gateways and len(gateways) >= _GATEWAYS_MAX):
        return
    into = gateways.setdefault(name, {})
    for product, mails in count.hidden.items():
        into[product] = into.get(product, 0) + mails


_GATEWAYS_MAX = 1_000


def _mark_names(rows: list[Server]) -> None:
    """Names that are also claimed by somebody who is tied to nothing."""
    tied: Mapping[str, int] = {row.name: 1 for row in rows if row.tie != "untied"}
    for row in rows:
        if row.tie == "untied" and row.name in tied:
            row.contradictions = (*row.contradictions, "same-name-elsewhere")


def _day(seconds: int) -> date | None:
    return _date_of(seconds // _DAY_S) if seconds else None


def _date_of(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)
