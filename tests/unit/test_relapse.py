"""Relapse: a new case soon after a release goes on where the last one stood. A table of cases, and the whole way."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.floors import FloorWave
from shared.domain.policy import Policy, Relapses
from shared.domain.records import CorrectCase, DisputeCase, PauseAccount
from shared.domain.relapse import plan_again
from shared.domain.verify import Audit
from tests.support.acts import aged
from tests.support.scenario import E2007, FLOOR_2016, SERVER, START, World, policy_for, reading

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PATCHED = reading(build=FLOOR_2016)


def relapsed(days: float, *, after: timedelta = 5 * DAY, policy: Policy | None = None) -> World:
    """A case that was so many days old is cured; so long after that the old build is seen again, in three hours."""
    world = aged(int(days), policy=policy)
    world.pass_time(DAY * (days - int(days)))
    world.see(PATCHED)
    world.pass_time(after)
    world.open_case()
    return world


def audited(world: World) -> str:
    """What an audit finds wrong."""
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    return audit.report().what


def opened(world: World) -> e.CaseOpened:
    """The newest opening."""
    return [event for event in world.events() if isinstance(event, e.CaseOpened)][-1]


# --- the plan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "stages", "begins", "blocking"),
    [
        (0, [1, 2, 3, 4], [0, 30, 40, 50], 60),
        (29, [1, 2, 3, 4], [0, 1, 11, 21], 31),
        (30, [2, 3, 4], [0, 10, 20], 30),
        (45, [3, 4], [0, 5], 15),
        (50, [4], [0], 10),
        (59, [4], [0], 1),
        (60, [4], [0], 1),  # not before a notice can be a day old
        (75, [4], [0], 1),
        (500, [4], [0], 1),
    ],
)
def test_the_way_begins_with_the_row_of_that_day_and_without_blocking(
    clock: int, stages: list[int], begins: list[int], blocking: int
) -> None:
    """At the last row without blocking at most; all that is ahead keeps its distances."""
    plan = plan_again(policy_for(), START, clock * DAY)
    assert [row.stage for row in plan.rows] == stages
    assert [(row.since - START) / DAY for row in plan.rows] == begins
    assert [row.stage for row in plan.blocking] == [5, 6, 7, 8]
    assert [(row.since - START) / DAY for row in plan.blocking] == [blocking + days for days in (0, 10, 20, 30)]


@pytest.mark.parametrize(
    ("clock", "kinds"),
    [
        (10, ["opening", "before-throttling", "stage", "stage", "stage", "before-blocking"]),
        (35, ["opening", "stage", "stage", "before-blocking"]),
        (55, ["opening", "before-blocking"]),
        (90, ["opening", "before-blocking"]),
    ],
)
def test_its_notices_tell_of_what_is_ahead(clock: int, kinds: list[str]) -> None:
    """An opening notice always; none of a stage that has begun."""
    plan = plan_again(policy_for(), START, clock * DAY)
    assert [notice.kind for notice in plan.notices] == kinds
    assert plan.notices[0].stage == plan.rows[0].stage
    assert all(notice.since >= START for notice in plan.notices)


def test_a_policy_without_blocking_rows_has_none() -> None:
    """Throttle rows alone."""
    plan = plan_again(policy_for(stages=policy_for().stages[:3]), START, 90 * DAY)
    assert ([row.stage for row in plan.rows], plan.blocking) == ([3], ())


# --- the whole way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "stage"), [(10, 1), (35, 2), (45, 3), (55, 4), (65, 4), (85, 4)])
def test_a_relapse_begins_with_the_stage_of_the_release(days: int, stage: int) -> None:
    """Whoever was blocked is throttled first; days on which mail was refused are no days on which it was only slowed."""
    world = relapsed(days)
    assert world.case().rows[0].stage == stage
    assert opened(world).inherited >= min(days, 60) * DAY
    assert opened(world).evidence[-1] > 0
    assert audited(world) == ""


@pytest.mark.parametrize(
    ("after", "days", "inherits"),
    [
        (2 * DAY, 30, True),
        (29 * DAY + 21 * HOUR, 30, True),
        (30 * DAY, 30, False),
        (5 * DAY, 0, False),
        (6 * DAY, 6, False),
        (5 * DAY, 6, True),
    ],
)
def test_only_so_many_days_after_the_release(after: timedelta, days: int, inherits: bool) -> None:
    """Law time from the release to the opening, which is two hours after the first of its readings."""
    world = relapsed(45, after=after, policy=policy_for(relapses=Relapses(days=days)))
    assert (world.case().rows[0].stage == 3) == inherits
    assert bool(world.case().inherited) == inherits


def test_time_in_which_the_law_stood_still_does_not_count() -> None:
    """A blind month is no month."""
    world = aged(45)
    world.see(PATCHED)
    world.pass_time(2 * DAY)
    world.pass_time(40 * DAY, watched=False)
    world.pass_time(HOUR)
    world.open_case()
    assert world.case().rows[0].stage == 3


@pytest.mark.parametrize("how", ["expired", "corrected", "corrected after release", "observed"])
def test_who_was_not_released_by_a_cure_leaves_nothing_behind(how: str) -> None:
    """A new case of his begins at day 0."""
    world = aged(45, policy=policy_for("observe") if how == "observed" else None)
    if how == "expired":
        world.pass_time(61 * DAY)
    if how in {"corrected after release", "observed"}:
        world.see(PATCHED)
    if how.startswith("corrected"):
        world.ask_of_case(CorrectCase)
    world.pass_time(2 * DAY)
    assert world.fold.servers[SERVER].cases == ()
    assert world.fold.servers[SERVER].past == ()


def test_a_case_only_observed_inherits_nothing_and_begins_at_day_0_when_enforced() -> None:
    """From observe to enforce is day 0, whatever was before."""
    world = aged(45)
    world.see(PATCHED)
    world.pass_time(2 * DAY)
    world.adopt(policy_for("observe", version=2), "to-observe")
    world.open_case()
    assert world.case().inherited is None
    world.adopt(policy_for(version=3), "to-enforce")
    assert [row.stage for row in world.case().rows] == [1, 2, 3, 4]


@pytest.mark.parametrize(("build", "inherits"), [(FLOOR_2016, False), (Build(15, 1, 2507, 60), True)])
def test_a_higher_floor_alone_opens_a_case_at_day_0(build: Build, inherits: bool) -> None:
    """Who met the floor of before owes nothing of that clock; who is below that one again, does."""
    world = aged(45)
    world.see(PATCHED)
    world.pass_time(2 * DAY)
    raised = FloorWave(
        product="Microsoft Exchange 2016",
        effective=world.now.date(),
        builds=(Build(15, 1, 2507, 70),),
        source="a later update",
    )
    world.adopt(policy_for(version=2, floors=(*policy_for().floors, raised)), "raised")
    world.open_case(reading(build=build))
    assert world.case().floor.builds == raised.builds
    assert bool(world.case().inherited) == inherits
    assert (world.case().rows[0].stage == 1) == (not inherits)


def test_who_is_blocked_again_at_once_is_told_all_the_same() -> None:
    """Where no hours are asked before blocking, the grant takes the opening notice not away."""
    policy = policy_for()
    at_once = msgspec.structs.replace(policy.notices, needed_for_blocking=False, hours_before_blocking=0)
    world = relapsed(75, policy=policy_for(notices=at_once))
    world.pass_time(HOUR)
    told = [event.kind for event in world.events() if isinstance(event, e.NoticeDue)]
    assert world.case().rows[-1].block_minutes_per_hour
    assert told.count("opening") == 2


def test_another_product_inherits_nothing_and_what_was_inherited_is_used_up() -> None:
    """Each product has its own past; the next relapse has the clock of this case."""
    world = aged(45)
    world.see(PATCHED)
    world.pass_time(2 * DAY)
    world.open_case(reading(E2007, None))
    assert world.fold.servers[SERVER].cases[0].inherited is None
    world.open_case()
    assert world.fold.servers[SERVER].past == ()
    case = world.fold.servers[SERVER].case_of("Microsoft Exchange 2016")
    assert case is not None
    assert case.inherited is not None
    assert abs(case.inherited - 45 * DAY) < DAY


def test_the_clock_of_a_relapse_goes_on_from_what_it_inherited() -> None:
    """45 days, and 6 more, are 51."""
    world = relapsed(45)
    for _ in range(6):
        world.see()
        world.pass_time(DAY)
    world.see(PATCHED)
    world.pass_time(2 * DAY)
    assert world.fold.servers[SERVER].past[0].clock // DAY == 51
    world.open_case()
    assert world.case().rows[0].stage == 4


def test_time_that_a_case_was_held_is_not_inherited() -> None:
    """Released in the midst of a dispute: the clock is that of its beginning."""
    world = aged(35)
    world.ask_of_case(DisputeCase)
    world.pass_time(10 * DAY)
    world.see(PATCHED)
    world.pass_time(2 * DAY)
    assert world.fold.servers[SERVER].past[0].clock // DAY == 35


def test_blocking_waits_for_a_notice_of_the_new_case() -> None:
    """What the old one was told does not count; delivered, blocking comes a day later and keeps its distances."""
    world = relapsed(85)
    for _ in range(5):
        world.see()
        world.pass_time(DAY)
    assert [row.stage for row in world.case().rows] == [4]
    world.settle()
    told = world.fold.law.now
    world.see()
    world.pass_time(2 * DAY)
    rows = world.case().rows
    assert [row.stage for row in rows] == [4, 5, 6, 7, 8]
    assert [row.since - told for row in rows[1:]] == [days * DAY for days in (1, 11, 21, 31)]
    assert audited(world) == ""


def test_where_no_notice_is_needed_blocking_waits_a_day_all_the_same() -> None:
    """The row that was promised as the last without blocking is in force for a day."""
    notices = msgspec.structs.replace(policy_for().notices, needed_for_blocking=False)
    world = relapsed(85, policy=policy_for(notices=notices))
    begins: Any = world.case().rows[0].since
    world.pass_time(2 * DAY)
    assert world.case().rows[1].since - begins == DAY


# --- other stages than before ----------------------------------------------------------------------------------------

QUICK: tuple[dict[str, int], ...] = (
    {"from_day": 0, "throttle_minutes_per_hour": 0, "block_minutes_per_hour": 0},
    {"from_day": 5, "throttle_minutes_per_hour": 10, "block_minutes_per_hour": 0},
    {"from_day": 20, "throttle_minutes_per_hour": 0, "block_minutes_per_hour": 30},
)


@pytest.mark.parametrize(("days", "clock"), [(3, 3), (25, 5), (33, 8), (70, 35)])
def test_by_other_stages_a_clock_stands_as_far_behind_the_first_that_slows_as_mail_was_slowed(
    days: int, clock: int
) -> None:
    """25 days in which nothing was slowed are no 25 days of a table that slows from the fifth on."""
    world = aged(days)
    world.see(PATCHED)
    world.adopt(policy_for(version=2, stages=QUICK))
    world.pass_time(3 * DAY)
    world.open_case()
    inherited = world.case().inherited
    assert inherited is not None
    assert abs(inherited - clock * DAY) < DAY
    assert audited(world) == ""


def test_mixed_by_other_stages_too() -> None:
    """It is open again with no more of its clock than the stages in force allow."""
    world = aged(25)
    world.see(PATCHED)
    world.adopt(policy_for(version=2, stages=QUICK))
    world.pass_time(HOUR)
    world.see()
    assert world.case().mixed
    assert world.case().inherited == 5 * DAY


def test_time_on_hold_slows_nobody() -> None:
    """What it was slowed is counted as its clock is, over two relapses."""
    world = aged(35)
    world.ask(PauseAccount, account=SERVER, days=20)
    world.pass_time(21 * DAY)
    world.see(PATCHED)
    world.pass_time(3 * DAY)
    world.open_case()
    for _ in range(3):
        world.pass_time(DAY)
        world.see()
    world.see(PATCHED)
    world.pass_time(3 * DAY)
    world.open_case()
    throttled = world.case().throttled
    assert throttled is not None
    assert 9 * DAY < throttled < 10 * DAY  # 5 before the pause, 1 after it, 3 of the second case
