"""
What if another policy had been in force: the inputs of a recorded log decided again, beside what was recorded. Pure.

Two folds go side by side: one applies the records as they are, the other takes the inputs that stand in them, at the same H
and the same instants, under the other policy. What each brings is matched; only what differs is kept.

What the log cannot tell: sightings that were no news under the policy of their day are not in it, so a server that only the
other policy accuses may be seen in too few hours to get a case; it then shows up as counting. A notice that was never sent
has no outcome; with `assume_delivered` every notice arrives at once.
Policies that were adopted and modes that were set on the way are left out: the other policy stays. An act on a case is taken
as one on the case about the same product.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from shared.domain import events as e
from shared.domain.errors import EventSchemaError
from shared.domain.evidence import UtcDatetime
from shared.domain.explain import server_state
from shared.domain.explanation import ServerState
from shared.domain.fold import Fold, Input, Written
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.records import AdoptPolicy, CaseAct, Origin, ReportNotice, ServerSeen, SetMode
from shared.domain.reprieves import Reprieves
from shared.domain.servers import Servers
from shared.domain.state import Server

DIFFERENCES_MAX = 100_000
"""Differences kept, some 300 bytes each. At the bound the rest is counted, and the report says so."""

_NOBODY = Origin(topic="what-if", partition=0, offset=0)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a case that happened in one world only, or at another time; None: it did not happen there."""

    server: str
    product: str
    what: str
    recorded: UtcDatetime | None
    other: UtcDatetime | None


class ServerDiffers(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server stands at the end of both worlds; "" where it is not known there."""

    server: str
    recorded: ServerState | None
    other: ServerState | None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """
    What differs.

    records: of the log, up to the end that was asked for; inputs: those of them that were decided again. since: from when on
    the other policy held. same, differing: how many happenings of each kind were equal, and were not. servers: those that
    stand elsewhere at the end. differences: by server and instant; left_out: how many more there are.
    policies_left_out: adoptions in the log. notices_without_outcome: of the other world, never reported.
    """

    records: int
    inputs: int
    since: UtcDatetime | None
    until: UtcDatetime | None
    same: dict[str, int]
    differing: dict[str, int]
    servers_recorded: int
    servers_other: int
    servers: tuple[ServerDiffers, ...]
    differences: tuple[Difference, ...]
    left_out: int
    policies_left_out: int
    notices_without_outcome: int


class _Recorded(Fold):
    """A fold that only applies: nothing falls due in it, so nobody works out when."""

    def _put(self, name: str, server: Server) -> None:
        self.servers.put(name, server)


class _Branch(Fold):
    """A fold that writes nothing that anybody stores: without bytes, its records need no hash."""

    def _stored(self, record: e.LogRecord) -> bytes:
        del record
        return b""

    def _checkpoint(self, at: datetime) -> list[Written]:
        _ = at
        return []  # nobody audits it, and a digest of all servers is dear


class Replay:
    """Take each stored record of a log, then `report`. since: when the other policy came into force; None: from the beginning."""

    def __init__(self, policy: Policy, *, since: datetime | None = None, assume_delivered: bool = False) -> None:
        self._policy, self._since, self._delivered = policy, since, assume_delivered
        self._recorded = _Recorded(parse_policy(shipped_policy_text()))
        self._other: _Branch | None = None
        self._ledger = _Ledger()
        self._inputs = self._adoptions = self._unsettled = 0
        self._began: datetime | None = None
        self._now: tuple[datetime, datetime, bool] | None = None

    @property
    def seq(self) -> int:
        """Of the last record."""
        return 0 if self._recorded.is_empty else self._recorded.law.seq

    def take(self, record: e.LogRecord, stored: bytes) -> None:
        """
        The next record of the log, and its bytes.

        Raises:
            InvariantError: it does not follow the one before it.
        """
        recorded = self._recorded
        if self._other is None and (self._since is None or record.at >= self._since):
            self._begin(record)
        if self._other is None:
            recorded.apply(record, stored)
            return
        message = self._input_in(record) if record.cause is not None else None
        recorded.apply(record, stored)
        self._ledger.add(record, other=False)
        self._advance(self._other, record)
        if message is not None:
            self._inputs += 1
            self._now = None  # what follows from it may be due at once
            self._keep(self._other.take(message, record.cause or _NOBODY, at=record.at))

    # -- beginning ----------------------------------------------------------------------------------------------------

    def _begin(self, record: e.LogRecord) -> None:
        self._began = record.at
        if self._recorded.is_empty:
            self._other = _Branch(self._policy)
            self._keep(self._other.begin(at=record.at, version="what-if"))
            return
        before = self._recorded
        other = self._other = _Branch(before.policy, before.law)
        kept = before.reprieves
        other.restore(_copied(before.servers), before.requests, Reprieves(kept.accounts, kept.in_force()))
        version = max(self._policy.version, before.policy.version + 1)  # the question is what it brings
        adopted = AdoptPolicy(
            id="what-if-adopted",
            who="what-if",
            why="",
            made_at=record.at,
            policy=msgspec.structs.replace(self._policy, version=version),
        )
        self._keep(other.take(adopted, _NOBODY, at=record.at))

    # -- going on -----------------------------------------------------------------------------------------------------

    def _advance(self, other: _Branch, record: e.LogRecord) -> None:
        """Bring the other world up to the record; where it is there already, it has done what was due."""
        now = (record.h, record.at, self._recorded.law.blind)
        if now == self._now:
            return
        self._now = now
        other.advance(record.h, at=record.at)
        if other.is_due() or other.law.blind != now[2]:
            self._keep(other.tick(at=record.at, blind=now[2]))

    def _keep(self, written: list[Written]) -> None:
        """Note what the other policy brought, and settle its notices where that is assumed."""
        for record, _ in written:
            self._ledger.add(record, other=True)
            if isinstance(record.event, e.NoticeDue):
                self._unsettled += 1
                if self._delivered and self._other is not None:
                    self._unsettled -= 1
                    told = _delivered(record.event, record.at)
                    self._keep(self._other.take(told, record.cause or _NOBODY, at=record.at))

    def _input_in(self, record: e.LogRecord) -> Input | None:
        """The input that stands in *record*, as the other world takes it; None where it does not, as in consequences."""
        event = record.event
        if isinstance(event, e.ServerSighted):
            return ServerSeen(facts=event.facts, reading=event.reading, origin=event.evidence)
        request = event.request if isinstance(event, e.RequestDecided | e.PolicyAdopted) else None
        if isinstance(request, AdoptPolicy | SetMode):
            self._adoptions += isinstance(event, e.PolicyAdopted)
            return None
        if isinstance(request, ReportNotice):
            return None if self._delivered else self._renamed(request)
        return self._of_its_case(request) if isinstance(request, CaseAct) else request

    def _of_its_case(self, act: CaseAct) -> CaseAct:
        """The act, on the case about the same product in the other world; as it is where there is none: it has no effect then."""
        here, there = self._recorded.servers.get(act.server), self._other and self._other.servers.get(act.server)
        product = next((case.product for case in here.cases if case.opened_seq == act.case), "") if here else ""
        case = there.case_of(product) if there else None
        return act if case is None else msgspec.structs.replace(act, case=case.opened_seq)

    def _renamed(self, report: ReportNotice) -> ReportNotice | None:
        """The report, about the notice of the same kind in the other world; None where that has none pending."""
        there = self._recorded.servers.get(report.server)
        told = [
            (case.product, one.kind)
            for case in (there.cases if there else ())
            for one in case.pending
            if one.notice == report.notice
        ]
        other = self._other.servers.get(report.server) if self._other and told else None
        case = other.case_of(told[0][0]) if other else None
        found = next((one.notice for one in (case.pending if case else ()) if one.kind == told[0][1]), None)
        if found is None:
            return None
        self._unsettled -= 1
        return msgspec.structs.replace(report, notice=found)

    # -- the end ------------------------------------------------------------------------------------------------------

    def report(self) -> WhatIf:
        """
        What differs up to the last record.

        Raises:
            EventSchemaError: there was no record.
        """
        if self._recorded.is_empty:
            raise EventSchemaError("there is no record in this log; nothing can be decided again")
        recorded, other = self._recorded, self._other
        servers = tuple(_standing_elsewhere(recorded, other)) if other else ()
        return WhatIf(
            records=self.seq,
            inputs=self._inputs,
            since=self._began,
            until=recorded.law.at,
            same=dict(sorted(self._ledger.same.items())),
            differing=self._ledger.differing(),
            servers_recorded=len(recorded.servers),
            servers_other=len(other.servers) if other else 0,
            servers=servers,
            differences=self._ledger.differences(),
            left_out=self._ledger.left_out,
            policies_left_out=self._adoptions,
            notices_without_outcome=max(0, self._unsettled),
        )


def _copied(servers: Servers) -> Servers:
    copy = Servers()
    for name in servers:
        copy.put_stored(name, servers.stored(name))
    return copy


def _delivered(notice: e.NoticeDue, at: datetime) -> ReportNotice:
    return ReportNotice(
        id=f"what-if-{notice.notice}",
        who="what-if",
        why="",
        made_at=at,
        notice=notice.notice,
        server=notice.server,
        outcome="delivered",
    )


def _standing_elsewhere(recorded: Fold, other: Fold) -> Iterator[ServerDiffers]:
    for name in sorted({*recorded.servers, *other.servers}):
        here, there = recorded.servers.get(name), other.servers.get(name)
        states = (
            server_state(here, recorded.law) if here else None,
            server_state(there, other.law) if there else None,
        )
        if states[0] != states[1]:
            yield ServerDiffers(server=name, recorded=states[0], other=states[1])


class _Ledger:
    """What happened to cases in both worlds: what is in both at the same instant cancels out."""

    def __init__(self) -> None:
        self.same: Counter[str] = Counter()
        self.left_out = 0
        self._open: dict[tuple[str, str, str], tuple[list[datetime], list[datetime]]] = {}
        self._count = 0

    def add(self, record: e.LogRecord, *, other: bool) -> None:
        """One record of one of the worlds."""
        told = _HAPPENINGS.get(type(record.event))
        if told is None:
            return
        what = told if isinstance(told, str) else told(record.event)
        key = (str(getattr(record.event, "server", "")), str(getattr(record.event, "product", "")), what)
        instant = record.due or record.at
        sides = self._open.get(key)
        if sides is None:
            if self._count >= DIFFERENCES_MAX:
                self.left_out += 1
                return
            sides = self._open[key] = ([], [])
        mine, theirs = (sides[1], sides[0]) if other else sides
        if instant not in theirs:
            mine.append(instant)
            self._count += 1
            return
        theirs.remove(instant)
        self._count -= 1
        self.same[_kind(what)] += 1
        if not mine and not theirs:
            del self._open[key]

    def differences(self) -> tuple[Difference, ...]:
        """What did not cancel out; of one kind the first here belongs to the first there."""
        found = []
        for (server, product, what), (recorded, other) in self._open.items():
            for place in range(max(len(recorded), len(other))):
                here = recorded[place] if place < len(recorded) else None
                there = other[place] if place < len(other) else None
                found.append(Difference(server=server, product=product, what=what, recorded=here, other=there))
        return tuple(sorted(found, key=lambda one: (one.server, one.product, one.recorded or one.other, one.what)))

    def differing(self) -> dict[str, int]:
        """How many there are of each kind."""
        return dict(sorted(Counter(_kind(one.what) for one in self.differences()).items()))


def _ended(event: e.CaseEnded) -> str:
    return "case: expired" if event.expired else f"case: {event.why or 'ended'}"


def _held(event: e.CaseHeld) -> str:
    return f"case: held ({event.reason})"


def _went_on(event: e.CaseWentOn) -> str:
    return f"case: no longer held ({event.reason})"


def _entered(event: e.StageEntered) -> str:
    return f"stage: {event.throttle_minutes_per_hour} minutes an hour deferred, {event.block_minutes_per_hour} refused"


def _due(event: e.NoticeDue) -> str:
    return f"notice: {event.kind}"


_HAPPENINGS: dict[type, str | Callable[..., str]] = {
    e.CaseOpened: "case: opened",
    e.CaseReleased: "case: released",
    e.CaseMixed: "case: mixed",
    e.CaseMoved: "case: moved",
    e.ClockStarted: "case: clock started",
    e.ClockStopped: "case: clock stopped",
    e.CaseEnded: _ended,
    e.CaseHeld: _held,
    e.CaseWentOn: _went_on,
    e.StageEntered: _entered,
    e.NoticeDue: _due,
}
"""What an event means for a case; all others are no matter of one."""


def _kind(what: str) -> str:
    return what.partition(":")[0]
