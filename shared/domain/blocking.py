"""
When blocking may begin: the day, the notice, the signatures, and the turn in the queue of the cap. Pure.

A case's blocking rows wait until they are granted; what is late keeps its distances. Of a protected server each row is
granted by itself. `caps.py` says whether the UTC day has room.
"""

from datetime import datetime, timedelta

import msgspec

from shared.domain import events as e
from shared.domain.holds import later
from shared.domain.policy import Policy, Protected, protected_by
from shared.domain.records import Row
from shared.domain.state import Case, Law, Server, Signed


def grant_at(server: Server, case: Case, policy: Policy) -> datetime | None:
    """The law time from which the next blocking row may come; None: something that it needs is not there yet."""
    if not case.blocking or not case.enforced:
        return None
    first = case.blocking[0]
    told = told_at(case, policy)
    if is_protected(policy, server):
        signed = case.signed_at(first.stage)
        if told is None or signed is None:
            return None
        needed = [max(told, signed)]
    else:
        needed = [instant for instant in (told, case.signed_instead(first.stage)) if instant is not None]
    if not needed:
        return None
    waits = [case.waits.until] if case.waits else []
    return max(first.since, min(needed), *waits)


def told_at(case: Case, policy: Policy) -> datetime | None:
    """The law time from which blocking has what it asks of notices; None: no notice of this case was delivered yet."""
    if not policy.notices.needed_for_blocking:
        return case.rows[0].since
    if case.delivered_law is None:
        return None
    return case.delivered_law + timedelta(hours=policy.notices.hours_before_blocking)


def is_protected(policy: Policy, server: Server) -> bool:
    """Whether each blocking step of *server* needs a signature."""
    return bool(policy.protected) and protection(policy, server) is not None


def protection(policy: Policy, server: Server) -> Protected | None:
    """The entry of the policy that protects *server*; None where none does."""
    return protected_by(policy, server.server, policy.present_name(server.connector))


def as_if_given(server: Server, case: Case, policy: Policy, now: datetime) -> Case:
    """*case* as if a notice that is missing was delivered now, and a signature that its next blocking stage needs was given."""
    stage, signed = case.blocking[0].stage, case.signed
    if is_protected(policy, server) and case.signed_at(stage) is None:
        signed = (*signed, Signed(stage=stage, at_law=now, beside=True))
    return msgspec.structs.replace(case, delivered_law=case.delivered_law or now, signed=signed)


def waits_for(server: Server, case: Case, law: Law, policy: Policy) -> str:
    """What keeps the next blocking row back, for people."""
    stage, hours = case.blocking[0].stage, policy.notices.hours_before_blocking
    missing = []
    if told_at(case, policy) is None and (is_protected(policy, server) or case.signed_instead(stage) is None):
        missing.append(
            f"a delivered notice: none was delivered so far, and blocking begins {hours} hours after one at the earliest"
        )
    protected = protection(policy, server)
    if protected is not None and case.signed_at(stage) is None:
        missing.append(
            f"the signature of an operator for stage {stage}, for the server is protected ({protected.title})"
        )
    if not missing and case.waits is not None:
        day = law.utc_of(case.waits.until).date().isoformat()
        return f"its turn: the policy caps how many are newly blocked a day; place {case.waits.place} in the queue, not before {day}"
    return "; and for ".join(missing) or "its day"


def is_blocking(case: Case) -> bool:
    """Whether it has a blocking row already, begun or to come."""
    return bool(case.rows[-1].block_minutes_per_hour)


def grant_blocking(server: Server, case: Case, policy: Policy, instant: datetime) -> e.BlockingGranted:
    """The blocking rows that are granted, the first at *instant*, each with its notice; and those that go on waiting."""
    rows = shifted(case.blocking, instant)
    granted = 1 if is_protected(policy, server) else len(rows)
    untold = [
        notice for notice in case.planned if notice.kind == "opening"
    ]  # blocked at day 0: it is told all the same
    stages = [e.PlannedNotice(kind="stage", since=row.since, stage=row.stage) for row in rows[:granted]]
    return e.BlockingGranted(
        server=server.server,
        product=case.product,
        rows=rows[:granted],
        notices=(*untold, *stages),
        rest=rows[granted:],
        newly=not is_blocking(case),
    )


def not_before(case: Case, law: Law, policy: Policy) -> tuple[Row, ...]:
    """The rows that wait, as early as they can still come: a notice that is repeated promises no day that is gone."""
    if not case.blocking:
        return ()
    told = case.delivered_law or law.now
    needed = (
        timedelta(hours=policy.notices.hours_before_blocking) if policy.notices.needed_for_blocking else timedelta()
    )
    signed = case.signed_instead(case.blocking[0].stage)
    waits = [case.waits.until] if case.waits else []
    return shifted(case.blocking, max(case.blocking[0].since, min(told + needed, signed or told + needed), *waits))


def shifted(rows: tuple[Row, ...], first: datetime) -> tuple[Row, ...]:
    """*rows* with the same distances, beginning at *first*."""
    return later(rows, first - rows[0].since)
