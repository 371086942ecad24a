"""`evolve` of what acts do to a case: held, gone on, acknowledged, struck. As `evolve.py`, it has no rule in it."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from shared.domain import events as e
from shared.domain.state import Case, CaseHold, Cured, Kept, Past, Server, Signed, Waiting

Change = Callable[[Case], Case | None]


def held(event: e.CaseHeld) -> Change:
    """It is held, for one reason more, or for the same one anew."""

    def change(case: Case) -> Case:
        since = event.row.since
        mine = CaseHold(reason=event.reason, since=since, until=event.until, ends=event.ends)
        holds = (*(hold for hold in case.holds if hold.reason != event.reason), mine)
        case = msgspec.structs.replace(case, holds=holds, disputed=case.disputed or event.reason == "dispute")
        if case.kept is not None:
            return case
        kept = Kept(since=since, rows=case.rows, entered=case.entered, blocking=case.blocking, planned=case.planned)
        return msgspec.structs.replace(
            case, kept=kept, rows=(event.row,), entered=1, blocking=(), planned=(), waits=None
        )

    return change


def went_on(event: e.CaseWentOn) -> Change:
    """A reason less; where it was the last, the plan of the event takes the place of the row without minutes."""

    def change(case: Case) -> Case:
        case = msgspec.structs.replace(case, holds=tuple(hold for hold in case.holds if hold.reason != event.reason))
        if event.plan is None or case.kept is None:
            return case
        return msgspec.structs.replace(
            case,
            kept=None,
            rows=event.plan.rows,
            entered=case.kept.entered,
            blocking=event.plan.blocking,
            planned=event.plan.notices,
        )

    return change


def acknowledged(event: e.NoticeAcknowledged) -> Change:
    """Its admin has its notice."""
    return lambda case: msgspec.structs.replace(case, pending=(), delivered_law=event.at_law)


def unheld(case: Case) -> Case:
    """Nothing holds it any more, and its rows are those of before."""
    if case.kept is None:
        return msgspec.structs.replace(case, holds=()) if case.holds else case
    return msgspec.structs.replace(case, holds=(), kept=None, rows=case.kept.rows, entered=case.kept.entered)


def to_be_granted(event: e.BlockingWaits | e.BlockingSigned) -> Change:
    """Its blocking is signed, or waits for its turn."""
    if isinstance(event, e.BlockingWaits):
        waits = Waiting(since=event.since, until=event.until, place=event.place)
        return lambda case: msgspec.structs.replace(case, waits=waits)
    signed = Signed(stage=event.stage, at_law=event.at_law, beside=event.beside)
    return lambda case: msgspec.structs.replace(case, signed=(*case.signed, signed))


def released(event: e.CaseReleased, record: e.LogRecord) -> Change:
    """All is lifted; what a relapse may inherit is kept."""

    def change(case: Case) -> Case:
        past = None
        if event.clock is not None and event.at_law is not None:
            past = Past(
                floor=case.floor,
                clock=event.clock,
                released_law=event.at_law,
                cured_at=event.seen_at,
                throttled=event.throttled,
            )
        return msgspec.structs.replace(
            unheld(case), released_at=record.at, ends_law=event.ends_at, blocking=(), planned=(), waits=None, past=past
        )

    return change


def mixed(event: e.CaseMixed) -> Change:
    """It is open again, with a way of its own; notices of before are of no use to it."""
    return lambda case: msgspec.structs.replace(
        case,
        rows=event.plan.rows,
        entered=1,
        blocking=event.plan.blocking,
        planned=event.plan.notices,
        pending=(),
        delivered_law=None,
        released_at=None,
        ends_law=None,
        signed=(),
        inherited=event.inherited or None,
        throttled=event.throttled or None,
        past=None,
        mixed=True,
    )


def left_behind(server: Server, case: Case, event: e.CaseEnded) -> Server:
    """With what *case* leaves to a relapse, now that it has ended; nothing if it expired, and nothing at all if it was wrong."""
    others = [past for past in server.past if past.floor.product != case.product]
    if event.why:
        return msgspec.structs.replace(server, past=tuple(others))
    if case.past is None or event.expired:
        return server
    return msgspec.structs.replace(
        server, past=tuple(sorted((*others, case.past), key=lambda past: past.floor.product))
    )


def cured(server: Server, product: str, at: datetime | None) -> Server:
    """From now on what was seen of *product* up to *at* accuses it of nothing; None: as before."""
    before = server.cured_at(product)
    if at is None or (before is not None and before >= at):
        return server
    others = [one for one in server.cured if one.product != product]
    kept = sorted((*others, Cured(product=product, seen_at=at)), key=lambda one: one.product)
    return msgspec.structs.replace(server, cured=tuple(kept))


def struck(server: Server, event: e.CaseEnded) -> Server:
    """With the reading that the end of a case struck, if it struck one."""
    if event.struck is None or event.struck in server.struck:
        return server
    return msgspec.structs.replace(server, struck=(*server.struck, event.struck))
