"""
Below the floor again: what a released case leaves behind, and what comes of it. Pure.

Once it has ended, a new case about the product inherits its clock for some days (relapse). Before it has ended two machines
speak under one name (mixed): it is open again, with that clock, and held once. Either begins with the row of that day, but with
the last row without blocking at most; blocking waits for a notice of its own and keeps its distances.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

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
from shared.domain.state import Case, Law, Past, Server
from shared.domain.view import View

MIXED_CURE_AFTER = timedelta(hours=24)
"""Law time without a reading below the floor before a cure releases a mixed case."""


def clock_left(case: Case, law: Law) -> timedelta | None:
    """The clock that a case leaves behind when it is released now; None: it was only observed."""
    if not case.enforced:
        return None
    return (case.inherited or timedelta()) + max(timedelta(), clock_of(case, law))


def throttled(case: Case, law: Law) -> timedelta:
    """Law time in which rows of *case* were in force that slow mail and block none, that of the case before it included."""
    rows, until = (case.kept.rows, case.kept.since) if case.kept else (case.rows, law.now)
    ends = [*(row.since for row in rows[1:]), until]
    return (case.throttled or timedelta()) + sum(
        (
            max(timedelta(), min(end, until) - row.since)
            for row, end in zip(rows, ends, strict=True)
            if row.throttle_minutes_per_hour and not row.block_minutes_per_hour
        ),
        timedelta(),
    )


class Inherited(NamedTuple):
    """What a case begins with: the clock, and of that the time in rows that slow mail and block none."""

    clock: timedelta = timedelta()
    throttled: timedelta = timedelta()


def inherited(view: View, sighted: e.ServerSighted) -> Inherited:
    """What a case that opens by this sighting inherits: of one released not long ago, whose floor is not met again."""
    server = view.servers.get(sighted.server)
    past = server.past_of(sighted.reading.product) if server else None
    if past is None or view.law.now - past.released_law > timedelta(days=view.policy.relapses.days):
        return Inherited()
    # A build that the last case accepted is accused by a higher floor alone: that case is of its own, at day 0.
    return _by_stages(past, view.policy) if past.floor.standing(sighted.reading) is Standing.BELOW else Inherited()


def _by_stages(past: Past, policy: Policy) -> Inherited:
    """
    The clock by the stages in force, which may be others than it ran by.

    It stands no further behind the first stage that slows mail than mail was slowed: nobody is blocked after fewer such days.
    """
    slows = next(
        (s.from_day for s in policy.stages if s.throttle_minutes_per_hour and not s.block_minutes_per_hour), None
    )
    clock = past.clock if slows is None else min(past.clock, timedelta(days=slows) + past.throttled)
    return Inherited(clock, past.throttled if clock else timedelta())


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
    return case if refuses(view.policy, who.tie, case.product, who.connector, day, reading) else None


def mixed(view: View, server: str, case: Case, connector: str) -> Iterator[e.Event]:
    """The case is open again; held, unless it was so before."""
    now, policy = view.law.now, view.policy
    left = _by_stages(case.past, policy) if case.past and policy.relapses.days else Inherited()
    plan = plan_again(policy, now, left.clock)
    yield e.CaseMixed(server=server, product=case.product, plan=plan, inherited=left.clock, throttled=left.throttled)
    if not case.mixed:
        until = now + timedelta(days=policy.relapses.mixed_days)
        yield hold(server, case.product, "mixed", plan.rows[0], now, until=until)
    yield from held_from_day0(view, server, case.product, connector, plan)


def is_still_seen(server: Server, case: Case, law: Law) -> bool:
    """Whether a mixed case was accused too lately for a cure to release it: the other machine is still there."""
    below = server.below_of(case.product)
    if not case.mixed or below is None:
        return False
    # Seen lately, and not only heard of: what comes late counts by law time as if it was seen now.
    return law.now - below.at_law < MIXED_CURE_AFTER and law.h - below.seen_at < MIXED_CURE_AFTER
