"""
Holds of cases: while a case is held its clock stands and its mail passes; then it goes on where it stood. Pure.

A held case has one row, without minutes; its way of before is kept beside it. Going on, all of that comes later by as long as
it was held: the row of before is in force again, and each distance is what it was. So the clock of a case is always law time
less the beginning of its first row.
"""

from datetime import datetime, timedelta

import msgspec

from shared.domain import events as e
from shared.domain.records import Row
from shared.domain.state import Case, Kept, Law, Server


def hold(
    server: str,
    product: str,
    reason: e.CaseHoldReason,
    row: Row,
    at: datetime,
    *,
    until: datetime | None = None,
    ends: datetime | None = None,
) -> e.CaseHeld:
    """Hold a case from *at* (law time). row: the one in force, whose stage people are shown meanwhile."""
    mild = msgspec.structs.replace(row, since=at, throttle_minutes_per_hour=0, block_minutes_per_hour=0)
    return e.CaseHeld(server=server, product=product, reason=reason, until=until, row=mild, ends=ends)


def hold_now(
    server: Server,
    case: Case,
    law: Law,
    reason: e.CaseHoldReason,
    *,
    until: datetime | None = None,
    ends: datetime | None = None,
) -> e.CaseHeld:
    """Hold an enforced case from now on."""
    begun = [row for row in case.rows if row.since <= law.now]
    row = (begun or case.rows[:1])[-1]
    return hold(server.server, case.product, reason, row, law.now, until=until, ends=ends)


def go_on(server: Server, case: Case, reason: e.CaseHoldReason, at: datetime) -> e.CaseWentOn:
    """A reason is gone at *at* (law time); where it was the last, the way of before is taken up again."""
    last = case.kept is not None and all(one.reason == reason for one in case.holds)
    plan = _later_plan(case.kept, at) if last and case.kept is not None else None
    return e.CaseWentOn(server=server.server, product=case.product, reason=reason, plan=plan)


def clock_of(case: Case, law: Law) -> timedelta:
    """Law time since day 0 of *case*, less all in which it was held."""
    if case.kept is not None:
        return case.kept.since - case.kept.rows[0].since
    return law.now - case.rows[0].since


def later(rows: tuple[Row, ...], by: timedelta) -> tuple[Row, ...]:
    """*rows*, each so much later."""
    return tuple(msgspec.structs.replace(row, since=row.since + by) for row in rows)


def _later_plan(kept: Kept, at: datetime) -> e.Plan:
    held = max(timedelta(), at - kept.since)
    # What waits for its grant waits on from now: nothing may be granted backwards that became free meanwhile.
    waits = max(held, at - kept.blocking[0].since) if kept.blocking else held
    return e.Plan(
        rows=later(kept.rows, held),
        blocking=later(kept.blocking, waits),
        notices=tuple(msgspec.structs.replace(notice, since=notice.since + held) for notice in kept.planned),
    )
