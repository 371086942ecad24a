"""Of any policy: the made-up year is never harsher than it, and observing costs nobody a mail."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cli.simulate import simulated
from services.cli.simulate_text import total
from shared.domain.policy import Policy, Stage
from shared.domain.simulate import Simulated, Tally, everybody_enforced
from tests.support.scenario import policy_for

SLOW = settings(max_examples=12, deadline=None)


@st.composite
def policies(draw: Any) -> Policy:
    """Stages that rise, first slowing, then refusing; short, so that they are reached."""
    throttle = draw(st.lists(st.integers(0, 30), max_size=2))
    block = draw(st.lists(st.integers(1, 30), max_size=2))
    rows = [(0, 0), *((minutes, 0) for minutes in throttle), *((0, minutes) for minutes in sorted(block))]
    stages = tuple(
        Stage(from_day=4 * number, throttle_minutes_per_hour=slowed, block_minutes_per_hour=refused)
        for number, (slowed, refused) in enumerate(rows)
    )
    notices = policy_for().notices
    needed = draw(st.booleans())
    return policy_for(stages=stages, notices=msgspec.structs.replace(notices, needed_for_blocking=needed))


def year(policy: Policy, seed: int) -> Simulated:
    """A small one."""
    return simulated(policy, seed=seed, servers=60, days=25)


def cost(found: Simulated) -> Tally:
    """All days and groups together."""
    return total(tally for day in found.days for tally in day.groups.values())


@SLOW
@given(policies(), st.integers(0, 1000))
def test_observing_costs_nobody_a_mail(policy: Policy, seed: int) -> None:
    """Whatever the stages say: nothing comes late, nothing bounces, nobody is warned."""
    observing = msgspec.structs.replace(policy, mode="observe")
    told = cost(year(observing, seed))
    assert (told.delayed, told.bounced, told.warned, told.slowed, told.refused) == (0, 0, 0, 0, 0)
    assert told.observed > 0


@SLOW
@given(policies(), st.integers(0, 1000))
def test_mail_bounces_only_where_a_stage_refuses_and_comes_late_only_where_one_defers(
    policy: Policy, seed: int
) -> None:
    """But for senders that give up after four hours; whoever tries for five days gets through 30 minutes that are closed."""
    found = year(everybody_enforced(policy), seed)
    told = cost(found)
    if not any(stage.block_minutes_per_hour for stage in policy.stages):
        assert told.refused == 0
        assert {one.bounced for one in found.retries if one.gives_up_hours > 4} == {0}
    if not any(stage.throttle_minutes_per_hour for stage in policy.stages):
        assert (told.delayed, told.slowed) == (0, 0)
    assert told.delayed + told.bounced <= told.sent
