"""
The way of a case in law time: its rows, the notices before them, and what falls due when. Pure.

Blocking rows wait for their grant; what is late keeps its distances. `decide.py` says what an input changes of it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from shared.domain import events as e
from shared.domain.blocking import grant_at, grant_blocking, not_before
from shared.domain.holds import go_on
from shared.domain.policy import Policy
from shared.domain.records import Row
from shared.domain.state import Case, Law, Server

# --- the plan --------------------------------------------------------------------------------------------------------


def plan_for(policy: Policy, day0: datetime, *, enforced: bool) -> e.Plan:
    """The way of a case from *day0* (law time): in observe it stands at day 0; blocking rows wait for their grant."""
    rows = tuple(
        Row(
            since=day0 + timedelta(days=stage.from_day),
            stage=number,
            throttle_minutes_per_hour=stage.throttle_minutes_per_hour,
            block_minutes_per_hour=stage.block_minutes_per_hour,
        )
        for number, stage in enumerate(policy.stages, start=1)
    )
    if not enforced:
        return e.Plan(rows=rows[:1])
    granted = tuple(row for row in rows if not row.block_minutes_per_hour)
    blocking = rows[len(granted) :]
    return e.Plan(rows=granted, blocking=blocking, notices=ladder(policy, granted, blocking))


def ladder(policy: Policy, granted: tuple[Row, ...], blocking: tuple[Row, ...]) -> tuple[e.PlannedNotice, ...]:
    """The notices of a way that begins with the first row of *granted*."""
    day0 = granted[0].since
    planned = [e.PlannedNotice(kind="opening", since=day0, stage=granted[0].stage)]
    for row in () if granted[0].throttle_minutes_per_hour else granted[1:2]:
        before = max(day0, row.since - timedelta(days=policy.notices.before_throttling_days))
        planned.append(e.PlannedNotice(kind="before-throttling", since=before, stage=row.stage))
    planned += [e.PlannedNotice(kind="stage", since=row.since, stage=row.stage) for row in granted[1:]]
    for row in blocking[:1]:
        before = max(day0, row.since - timedelta(days=policy.notices.before_blocking_days))
        planned.append(e.PlannedNotice(kind="before-blocking", since=before, stage=row.stage))
    return tuple(sorted(planned, key=lambda notice: notice.since))


# --- what falls due ------------------------------------------------------------------------------------------------


def next_due(server: Server, policy: Policy) -> datetime | None:
    """The law time at which something next falls due for *server*; None: nothing ever will by itself."""
    first = None
    for case in server.cases:
        for instant in _dues(server, case, policy):
            if first is None or instant < first:
                first = instant
    return first


def next_step(server: Server, law: Law, policy: Policy) -> tuple[datetime, e.Event] | None:
    """
    What happens next by itself, and the law time of that, the end of its account's pause included; None: nothing ever will.

    For those who look ahead: the pause of an account ends for all of its servers at once, by `acts.fall_due`.
    """
    instant = next_due(server, policy)
    pauses = [(hold.ends - law.held_so_far, case) for case in server.cases for hold in case.holds if hold.ends]
    for ends, case in pauses[:1]:
        if instant is None or ends <= instant:
            return ends, go_on(server, case, "pause", ends)
    return None if instant is None else (instant, fall_due(server, law, policy, instant)[0])


def fall_due(server: Server, law: Law, policy: Policy, instant: datetime) -> list[e.Event]:
    """The first thing that is due for *server* at *instant*, which `next_due` told: one case, one step."""
    case = next(case for case in server.cases if instant in _dues(server, case, policy))
    return _fall_due(server, case, law, policy, instant)


def _dues(server: Server, case: Case, policy: Policy) -> list[datetime]:
    if case.ends_law is not None:
        return [case.ends_law]
    dues = [hold.until for hold in case.holds if hold.until is not None]
    if case.entered < len(case.rows):
        dues.append(case.rows[case.entered].since)
    if case.planned:
        dues.append(case.planned[0].since)
    ends = (grant_at(server, case, policy), expires_at(server, case, policy))
    return dues + [instant for instant in ends if instant is not None]


def expires_at(server: Server, case: Case, policy: Policy) -> datetime | None:
    """The law time at which *case* expires if its product is not seen below the floor before."""
    below = server.below_of(case.product)
    return None if below is None else below.at_law + policy.expire_after


def _fall_due(server: Server, case: Case, law: Law, policy: Policy, instant: datetime) -> list[e.Event]:
    name, product = server.server, case.product
    if case.ends_law == instant:
        return [e.CaseEnded(server=name, product=product, expired=False)]
    if expires_at(server, case, policy) == instant:
        return [e.CaseEnded(server=name, product=product, expired=True)]
    for hold in case.holds:
        if hold.until == instant:
            return [go_on(server, case, hold.reason, instant)]
    if case.entered < len(case.rows) and case.rows[case.entered].since == instant:
        row = case.rows[case.entered]
        return [
            e.StageEntered(
                server=name,
                product=product,
                stage=row.stage,
                throttle_minutes_per_hour=row.throttle_minutes_per_hour,
                block_minutes_per_hour=row.block_minutes_per_hour,
            )
        ]
    if grant_at(server, case, policy) == instant:
        return [grant_blocking(server, case, policy, instant)]
    return [_planned_notice(server, case, law, policy)]


def _planned_notice(server: Server, case: Case, law: Law, policy: Policy) -> e.NoticeDue:
    planned = case.planned[0]
    again = None
    if planned.kind == "before-blocking" and case.delivered_law is None and policy.notices.needed_for_blocking:
        again = planned.since + timedelta(days=policy.notices.repeat_days)
    return notice_due(server, case, law, policy, planned, again)


def notice_due(
    server: Server, case: Case, law: Law, policy: Policy, what: e.PlannedNotice, again: datetime | None = None
) -> e.NoticeDue:
    """A notice with all that it needs; its id is the same however often it is decided."""
    below = server.below_of(case.product)
    return e.NoticeDue(
        notice=f"{case.opened_seq}-{case.ordinal + 1}",
        kind=what.kind,
        stage=what.stage,
        server=server.server,
        connector=server.connector,
        product=case.product,
        floor=case.floor,
        opened_at=case.opened_at,
        rows=_dated(law, case.rows),
        blocking=_dated(law, not_before(case, law, policy)),
        line=below.line if below else "",
        line_seen_at=below.seen_at if below else server.last_seen,
        line_edge=below.edge if below else "",
        again=again,
    )


def _dated(law: Law, rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(msgspec.structs.replace(row, since=law.utc_of(row.since)) for row in rows)
