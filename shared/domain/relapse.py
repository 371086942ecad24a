"""
Below the floor again: what a released case leaves behind, and what comes of it. Pure.

Once it has ended, a new case about the product inherits its clock for some days (relapse). Before it has ended two machines
speak under one name (mixed): it is open again, with that clock, and held once. Either begins with the row of that day, but with
the last row without blocking at most; blocking waits for a notice of its own and keeps its distances.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import msgspec

from shared.domain import events as e
from shared.domain.blocking import shifted
from shared.domain.clocks import held_from_day0, refuses
from shared.domain.evidence import Facts, Reading
from shared.domain.floors import Standing
from shared.domain.holds import clock_of, hold
from shared.domain.identity import Identity
from shared.domain.policy import Policy
from shared.domain.schedule import ladder, plan_for
from shared.domain.state import Case, Law, Server
from shared.domain.view import View

MIXED_CURE_AFTER = timedelta(hours=24)
"""Law time without a reading below the floor before a cure releases a mixed case."""


def clock_left(case: Case, law: Law) -> timedelta | None:
    """The clock that a case leaves behind when it is released now; None: it was only observed."""
    if not case.enforced:
        return None
    return (case.inherited or timedelta()) + max(timedelta(), clock_of(case, law))


def clock_inherited(view: View, sighted: e.ServerSighted) -> timedelta:
    """What a case that opens by this sighting inherits: of one released not long ago, whose floor is not met again."""
    server = view.servers.get(sighted.server)
    past = server.past_of(sighted.reading.product) if server else None
    if past is None or view.law.now - past.released_law > timedelta(days=view.policy.relapses.days):
        return timedelta()
    # A build that the last case accepted is accused by a higher floor alone: that case is of its own, at day 0.
    return past.clock if past.floor.standing(sighted.reading) is Standing.BELOW else timedelta()


def plan_again(policy: Policy, now: datetime, clock: timedelta, *, enforced: bool = True) -> e.Plan:
    """The way of a case that has stood so long on its clock, from *now* on."""
    if not clock:
        return plan_for(policy, now, enforced=enforced)
    whole = plan_for(policy, now - clock, enforced=True)
    begun = sum(row.since <= now for row in whole.rows)
    rows = (msgspec.structs.replace(whole.rows[begun - 1], since=now), *whole.rows[begun:])
    blocking = whole.blocking
    if blocking:
        # However old the clock: a notice can be a day old first, also where the policy needs none.
        told = now + timedelta(hours=policy.notices.hours_before_blocking)
        blocking = shifted(blocking, max(blocking[0].since, told))
    return e.Plan(rows=rows, blocking=blocking, notices=ladder(policy, rows, blocking))


# --- mixed -----------------------------------------------------------------------------------------------------------


def mixes(view: View, server: Server, who: Identity, facts: Facts, reading: Reading, day: date) -> Case | None:
    """The released case of *server* that a reading below the floor opens again; None where there is none."""
    case = server.case_of(reading.product)
    if case is None or case.past is None or facts.seen_at <= case.past.cured_at:
        return None
    spared = view.reprieves.spare(view.policy, who.matches, who.connector, facts.peer)
    if spared or case.floor.standing(reading) is not Standing.BELOW:
        return None
    return case if refuses(view.policy, who.tie, case, who.connector, day) else None


def mixed(view: View, server: str, case: Case, connector: str) -> Iterator[e.Event]:
    """The case is open again; held, unless it was so before."""
    now, policy = view.law.now, view.policy
    clock = case.past.clock if case.past and policy.relapses.days else timedelta()
    plan = plan_again(policy, now, clock)
    yield e.CaseMixed(server=server, product=case.product, plan=plan, inherited=clock)
    if not case.mixed:
        until = now + timedelta(days=policy.relapses.mixed_days)
        yield hold(server, case.product, "mixed", plan.rows[0], now, until=until)
    yield from held_from_day0(view, server, case.product, connector, plan)


def is_still_seen(server: Server, case: Case, law: Law) -> bool:
    """Whether a mixed case was accused too lately for a cure to release it: the other machine is still there."""
    below = server.below_of(case.product)
    return case.mixed and below is not None and law.now - below.at_law < MIXED_CURE_AFTER
