"""
`evolve`: the state after one record of the log. No rule in it, only what the event says.

It works in two halves, the law's globals and the one server that an event names, so that a fold of a million servers
touches one of them per record.
"""

from typing import assert_never

import msgspec

from shared.domain import events as e
from shared.domain.errors import InvariantError, VersionGap
from shared.domain.evolve_case import (
    Change,
    acknowledged,
    cured,
    held,
    left_behind,
    mixed,
    released,
    struck,
    to_be_granted,
    went_on,
)
from shared.domain.state import Below, Case, Law, Moved, PendingNotice, Server

MOVED_MAX = 16
"""Of so many cases that went to another id a server knows where; older ones can only be named by the new id."""


def evolve_law(law: Law | None, record: e.LogRecord, *, head: str) -> Law:
    """
    The globals after *record*; *head* is the hash of its stored bytes.

    Raises:
        VersionGap: the record does not follow.
    """
    before = law or Law(seq=0, head="", at=record.at, h=record.h)
    if record.seq != before.seq + 1 or record.prev != before.head:
        raise VersionGap(f"log record {record.seq} does not follow record {before.seq}: its seq or its hash is off")
    after = msgspec.structs.replace(
        before, seq=record.seq, head=head, at=record.at, h=record.h, since_checkpoint=before.since_checkpoint + 1
    )
    return _globals_changed(after, before, record)


def _globals_changed(law: Law, before: Law, record: e.LogRecord) -> Law:
    event = record.event
    match event:
        case e.RulesAdopted():
            change: dict[str, object] = {"rules": event.rules}
        case e.PolicyAdopted():
            change = {"policy_version": event.policy.version}
        case e.HoldBegan():
            change = {
                "hold_since": before.hold_since or event.since,
                "blind" if event.reason == "blind" else "frozen": True,
            }
        case e.HoldEnded():
            return _hold_ended(law, event)
        case e.Checkpoint():
            change = {"since_checkpoint": 0}
        case e.ServerSighted() if "new name" in event.news:
            day = e.day_of(record.at)
            change = {"new_names_on": day, "new_names": before.new_names + 1 if before.new_names_on == day else 1}
        case e.BlockingGranted(newly=True):
            day = e.day_of(record.at)
            count = before.newly_blocked + 1 if before.newly_blocked_on == day else 1
            change = {"newly_blocked_on": day, "newly_blocked": count}
        case _:
            return law
    return msgspec.structs.replace(law, **change)


def _hold_ended(law: Law, event: e.HoldEnded) -> Law:
    flags = {"blind": law.blind and event.reason != "blind", "frozen": law.frozen and event.reason != "freeze"}
    since = law.h if any(flags.values()) else None  # the time until now is in `held`; another reason goes on from here
    return msgspec.structs.replace(law, held=event.held, hold_since=since, stood_at=event.at_law, **flags)


def server_of(event: e.Event) -> str | None:
    """Which server's record *event* changes, if one."""
    match event:
        case (
            e.ServerSighted()
            | e.AccusationDropped()
            | e.CaseOpened()
            | e.ClockStarted()
            | e.ClockStopped()
            | e.CaseHeld()
            | e.CaseWentOn()
            | e.StageEntered()
            | e.BlockingGranted()
            | e.BlockingWaits()
            | e.BlockingSigned()
            | e.NoticeDue()
            | e.NoticeSettled()
            | e.NoticeAcknowledged()
            | e.ReadingsLifted()
            | e.CaseReleased()
            | e.CaseMixed()
            | e.CaseMoved()
            | e.CaseEnded()
        ):
            return event.server
        case e.RulesAdopted() | e.PolicyAdopted() | e.RequestDecided() | e.HoldBegan() | e.HoldEnded() | e.Checkpoint():
            return None
        case e.PauseBegan() | e.PauseEnded() | e.Exempted() | e.ExemptionEnded():
            return None
        case _:
            assert_never(event)


def evolve_server(server: Server | None, record: e.LogRecord, policy_version: int) -> Server:
    """
    The server that the record names, after it.

    Raises:
        InvariantError: the event speaks of a server or a case that is not there.
    """
    event = record.event
    if isinstance(event, e.ServerSighted):
        return _sighted(server, event, record)
    if server is None:
        raise InvariantError(
            f"log record {record.seq} speaks of server {server_of(event)}, which nothing before it named"
        )
    if isinstance(event, e.CaseOpened):
        case = Case(
            product=event.product,
            floor=event.floor,
            opened_at=record.at,
            opened_seq=record.seq,
            evidence=event.evidence,
            enforced=event.enforced,
            rows=event.plan.rows,
            blocking=event.plan.blocking,
            planned=event.plan.notices,
            exempt_peer=event.peer,
            inherited=event.inherited or None,
            throttled=event.throttled or None,
        )
        return msgspec.structs.replace(
            server,
            cases=(*server.cases, case),
            hours=_without(server, event.product),
            past=tuple(past for past in server.past if past.floor.product != event.product),
            changed_seq=record.seq,
            policy_version=policy_version,
        )
    if isinstance(event, e.AccusationDropped):
        server = msgspec.structs.replace(server, hours=_without(server, event.product))
        return cured(server, event.product, event.seen_at)
    if isinstance(event, e.ReadingsLifted):
        return msgspec.structs.replace(server, struck=(), changed_seq=record.seq, policy_version=policy_version)
    return _case_changed(server, record, policy_version)


def evolve_move(
    source: Server | None, target: Server | None, event: e.CaseMoved, seq: int, policy_version: int
) -> tuple[Server, Server]:
    """
    Both servers after a case moved; the edges are told of both.

    Raises:
        InvariantError: one of them is not there, or has no such case.
    """
    case = source.case_of(event.product) if source else None
    if source is None or target is None or case is None or case.opened_seq != event.case:
        raise InvariantError(f"log record {seq} moves a case of {event.source} that is not there, or to nobody")
    left = tuple(one for one in source.cases if one is not case)
    moved = (*source.moved, Moved(case=event.case, server=event.server))[-MOVED_MAX:]
    source = msgspec.structs.replace(source, cases=left, moved=moved, changed_seq=seq, policy_version=policy_version)
    target = msgspec.structs.replace(
        target,
        cases=(*target.cases, case),
        hours=_without(target, event.product),
        past=tuple(past for past in target.past if past.floor.product != event.product),
        moved=tuple(one for one in target.moved if one.case != event.case),  # it may come back
        changed_seq=seq,
        policy_version=policy_version,
    )
    return source, target


def _without(server: Server, product: str) -> tuple[e.Hour, ...]:
    return tuple(hour for hour in server.hours if hour.product != product)


def _sighted(server: Server | None, event: e.ServerSighted, record: e.LogRecord) -> Server:
    seen, hour = event.facts.seen_at, e.hour_of(record.at)
    below = () if server is None else server.below
    if event.below:
        below = _accused(server, event, record.seq)
    if server is None:
        server = Server(
            server=event.server,
            connector=event.connector,
            tie=event.tie,
            first_seen=seen,
            last_seen=seen,
            reading=event.reading,
            matches=event.matches,
            hours=event.hours,
            below=below,
            news_hour=hour,
            news=1,
        )
        return cured(server, event.reading.product, event.cured_at)
    server = cured(server, event.reading.product, event.cured_at)
    news = server.news + 1 if server.news_hour == hour else 1
    if seen < server.last_seen:  # what comes late says nothing of the server as it is now
        return msgspec.structs.replace(server, hours=event.hours, below=below, news_hour=hour, news=news)
    return msgspec.structs.replace(
        server,
        hours=event.hours,
        below=below,
        news_hour=hour,
        news=news,
        connector=event.connector,
        tie=event.tie,
        reading=event.reading,
        matches=event.matches,
        last_seen=seen,
    )


def _accused(server: Server | None, event: e.ServerSighted, seq: int) -> tuple[Below, ...]:
    """The newest evidence of each product below the floor, by when it was seen."""
    seen, product = event.facts.seen_at, event.reading.product
    known = server.below_of(product) if server else None
    newest = Below(
        product=product,
        line=event.facts.own_lines[0] if event.facts.own_lines else "",
        seen_at=seen,
        edge=event.facts.edge,
        seq=seq,
        at_law=event.at_law,
        reading=event.reading if event.kept else None,
    )
    if known is not None and seen < known.seen_at:
        newest = msgspec.structs.replace(known, at_law=max(known.at_law, event.at_law))
    others = [below for below in server.below if below.product != product] if server else []
    return tuple(sorted((*others, newest), key=lambda below: below.product)) if others else (newest,)


def _case_changed(server: Server, record: e.LogRecord, policy_version: int) -> Server:
    event = record.event
    change, changes_decision = _change_of(event, record)
    product = getattr(event, "product", "")
    before = server.case_of(product)
    if before is None:
        raise InvariantError(f"log record {record.seq} speaks of a case of {server.server} that is not open")
    cases = (change(case) if case.product == product else case for case in server.cases)
    server = msgspec.structs.replace(server, cases=tuple(case for case in cases if case is not None))
    if isinstance(event, e.CaseEnded):
        server = struck(left_behind(server, before, event), event)
    if not changes_decision:
        return server
    return msgspec.structs.replace(server, changed_seq=record.seq, policy_version=policy_version)


def _change_of(event: e.Event, record: e.LogRecord) -> tuple[Change, bool]:
    """What *event* does to its case, and whether the edges must be told."""
    told = True
    match event:
        case e.ClockStarted() | e.ClockStopped():
            change = _clock(event)
        case e.CaseHeld():
            change = held(event)
        case e.CaseWentOn():
            change, told = went_on(event), event.plan is not None
        case e.StageEntered():
            change, told = _entered, False
        case e.BlockingGranted():
            change = _granted(event)
        case e.BlockingWaits() | e.BlockingSigned():
            change, told = to_be_granted(event), False
        case e.NoticeDue() | e.NoticeSettled() | e.NoticeAcknowledged():
            change, told = _notice(event, record), False
        case e.CaseReleased() | e.CaseMixed():
            change = released(event, record) if isinstance(event, e.CaseReleased) else mixed(event)
        case e.CaseEnded():
            change, told = _ended, event.expired or bool(event.why)
        case _:  # cannot happen: `server_of` names no server for the rest, and sightings and openings were taken above
            raise InvariantError(f"log record {record.seq}: {type(event).__name__} changes no case")
    return change, told


def _clock(event: e.ClockStarted | e.ClockStopped) -> Change:
    return lambda case: msgspec.structs.replace(
        case,
        enforced=isinstance(event, e.ClockStarted),
        rows=event.plan.rows,
        entered=1,
        blocking=event.plan.blocking,
        planned=event.plan.notices,
        pending=(),
        delivered_law=None,
        waits=None,
        signed=(),
        inherited=None,
        throttled=None,
        holds=tuple(hold for hold in case.holds if hold.reason != "pause"),  # what else holds it is not over
        kept=None,
        exempt_peer=event.peer if isinstance(event, e.ClockStopped) else "",
    )


def _entered(case: Case) -> Case:
    return msgspec.structs.replace(case, entered=case.entered + 1)


def _granted(event: e.BlockingGranted) -> Change:
    return lambda case: msgspec.structs.replace(
        case, rows=(*case.rows, *event.rows), blocking=event.rest, planned=event.notices, waits=None
    )


def _notice(event: e.NoticeDue | e.NoticeSettled | e.NoticeAcknowledged, record: e.LogRecord) -> Change:
    if isinstance(event, e.NoticeAcknowledged):
        return acknowledged(event)
    return _notice_due(event, record) if isinstance(event, e.NoticeDue) else _notice_settled(event)


def _notice_due(event: e.NoticeDue, record: e.LogRecord) -> Change:
    def change(case: Case) -> Case:
        rest = case.planned[1:]  # a release, written before its notice, left none
        if event.again is not None:
            once_more = e.PlannedNotice(kind=event.kind, since=event.again, stage=event.stage)
            rest = tuple(sorted((once_more, *rest), key=lambda notice: notice.since))
        pending = PendingNotice(notice=event.notice, kind=event.kind, due_at=record.due or record.at)
        return msgspec.structs.replace(case, planned=rest, pending=(*case.pending, pending), ordinal=case.ordinal + 1)

    return change


def _notice_settled(event: e.NoticeSettled) -> Change:
    def change(case: Case) -> Case:
        kept = tuple(notice for notice in case.pending if notice.notice != event.notice)
        delivered = event.at_law if event.outcome == "delivered" else case.delivered_law
        return msgspec.structs.replace(case, pending=kept, delivered_law=delivered)

    return change


def _ended(case: Case) -> None:
    """A case that ended is in the log only."""
    _ = case
