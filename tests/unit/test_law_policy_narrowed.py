"""A policy that no longer says what a case rests on: its tie, its product, its floor. The case then refuses nothing."""

from datetime import date, timedelta
from typing import Any

import pytest

from shared.domain.build import Build
from shared.domain.floors import FloorWave
from shared.domain.policy import Policy
from shared.domain.records import Decision
from shared.domain.state import decision_of
from shared.domain.verdict import judge
from tests.support.scenario import E2016, SERVER, World, policy_for, reading

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def old_case() -> World:
    """A case by the name of HELO about an Exchange 2016, so old that it is throttled."""
    world = World()
    world.open_case()
    for _ in range(35):
        world.pass_time(DAY)
        world.see()
    return world


def decision(world: World) -> Decision:
    """What the edges are told."""
    found = decision_of(world.fold.servers[SERVER])
    assert found is not None
    return found


def refused_minutes(world: World, policy: Policy) -> int:
    """Minutes of this hour in which the old build is refused."""
    start = world.now.replace(minute=0)
    verdicts = [
        judge(reading(), [decision(world)], policy, law_now=world.fold.law.now, now=start + timedelta(minutes=minute))
        for minute in range(60)
    ]
    return sum(verdict.reply is not None for verdict in verdicts)


def without_2016(policy: Policy) -> tuple[FloorWave, ...]:
    """The floors of all other products."""
    return tuple(wave for wave in policy.floors if wave.product != E2016)


def low_floor(revision: int, effective: date = date(2026, 9, 8)) -> FloorWave:
    """A floor of Exchange 2016 that asks for less than the shipped one."""
    return FloorWave(product=E2016, effective=effective, builds=(Build(15, 1, 2507, revision),), source="test")


@pytest.mark.parametrize(
    "narrowed",
    [{"open_ties": ("connector", "verified")}, {"floors": without_2016(policy_for())}],
    ids=["tie", "product"],
)
def test_a_case_whose_tie_or_product_the_policy_drops_stands_at_day_0_and_starts_anew_when_it_comes_back(
    narrowed: dict[str, Any],
) -> None:
    """Dropped: its clock is stopped, and it is only observed. Named again: day 0."""
    world = old_case()
    assert refused_minutes(world, world.fold.policy) == 5
    assert world.kinds(world.adopt(policy_for(version=2, **narrowed))) == ["PolicyAdopted", "ClockStopped"]
    world.see()
    world.pass_time(40 * DAY)
    assert refused_minutes(world, world.fold.policy) == 0
    assert world.kinds(world.adopt(policy_for(version=3), "request-2")) == ["PolicyAdopted", "ClockStarted"]
    assert decision(world).cases[0].rows[0].since == world.fold.law.now


def test_a_sighting_does_not_start_what_the_policy_no_longer_accuses() -> None:
    """The connector enforces, but the product has no floor any more."""
    world = old_case()
    world.adopt(policy_for(version=2, floors=without_2016(policy_for())))
    assert "ClockStarted" not in world.kinds(world.see(reading(build=Build(15, 1, 2507, 6))))


def test_a_floor_that_comes_back_on_a_later_day_starts_the_clock_at_the_first_sighting_of_that_day() -> None:
    """The wave takes effect on its day, not when the policy is adopted."""
    world = old_case()
    later = low_floor(61, world.now.date() + 2 * DAY)
    adopted = world.adopt(policy_for(version=2, floors=(*without_2016(policy_for()), later)))
    assert world.kinds(adopted) == ["PolicyAdopted", "ClockStopped"]
    assert "ClockStarted" not in world.kinds(world.see(reading(build=Build(15, 1, 2507, 6))))
    world.pass_time(2 * DAY)
    assert "ClockStarted" in world.kinds(world.see())


def test_a_build_that_the_policy_in_force_accepts_passes_though_its_case_asks_for_more() -> None:
    """A lowered floor holds at once, for cases that were opened under a higher one; what is below both is refused."""
    world = old_case()
    for revision, refused in ((39, 0), (40, 5)):
        policy = policy_for(version=2, floors=(*without_2016(policy_for()), low_floor(revision)))
        assert refused_minutes(world, policy) == refused


def test_a_raised_floor_does_not_reach_an_old_case() -> None:
    """A build that meets the floor of its case passes, whatever the policy asks by now."""
    world = old_case()
    policy = policy_for(version=2, floors=(*without_2016(policy_for()), low_floor(75)))
    patched = reading(build=Build(15, 1, 2507, 61))
    verdict = judge(patched, [decision(world)], policy, law_now=world.fold.law.now, now=world.now)
    assert verdict.reply is None


def test_a_lowered_floor_leaves_the_floor_of_the_case_as_it_is() -> None:
    """The case keeps the floor that it was opened under."""
    world = old_case()
    before = decision(world).cases[0].floor
    world.adopt(policy_for(version=2, floors=(*without_2016(policy_for()), low_floor(39))))
    assert decision(world).cases[0].floor == before


def lowered_and_restored(shown: Build, *, days: int) -> World:
    """The floor is lowered to the build that accused, and restored after so many days; *shown* is seen daily meanwhile."""
    world = old_case()
    world.adopt(policy_for(version=2, floors=(low_floor(39),)))
    for _ in range(days):
        world.pass_time(DAY)
        world.see(reading(build=shown))
    world.adopt(policy_for(version=3), "restored")
    return world


@pytest.mark.parametrize("days", [0, 10])
def test_a_case_whose_builds_are_accepted_for_a_while_begins_at_day_0(days: int) -> None:
    """A policy that was wrong, or right for a month: what was accepted then is not refused for it later."""
    world = lowered_and_restored(Build(15, 1, 2507, 39), days=days)
    assert world.case().enforced
    assert world.case().rows[0].since == world.fold.law.now
    assert refused_minutes(world, world.fold.policy) == 0


def test_a_case_ages_on_where_the_lower_floor_is_above_what_accused_it() -> None:
    """It accepts others, not this one."""
    world = old_case()
    began = world.case().rows[0].since
    world.adopt(policy_for(version=2, floors=(low_floor(45),)))
    assert world.case().rows[0].since == began
    world.pass_time(DAY)
    world.see(reading(build=Build(15, 1, 2507, 45)))
    assert world.case().rows[0].since == began
    assert refused_minutes(world, world.fold.policy) > 0


def test_an_older_build_begins_the_clock_again_that_a_lower_floor_stopped() -> None:
    """At day 0, with the first message that the lower floor does not accept."""
    world = lowered_and_restored(Build(15, 1, 2507, 39), days=0)
    world.adopt(policy_for(version=4, floors=(low_floor(39),)), "low")
    assert not world.case().enforced
    world.pass_time(DAY)
    world.see(reading(build=Build(15, 1, 2507, 6)))
    assert world.case().enforced
    assert world.case().rows[0].since == world.fold.law.now


def test_a_range_that_the_lower_floor_leaves_open_stands_too() -> None:
    """Whether it is below nobody knows then; so it opens, ages and refuses nothing, and no notice goes out."""
    shown = reading(build=Build(15, 1, 2507, 39), high=Build(15, 1, 2507, 43))
    world = World()
    world.open_case(shown)
    for _ in range(35):
        world.pass_time(DAY)
        world.see(shown)
    world.adopt(policy_for(version=2, floors=(low_floor(41),)))
    told = world.case().ordinal
    for _ in range(50):
        world.pass_time(DAY)
        world.see(shown)
    assert (world.case().enforced, world.case().ordinal) == (False, told)
    world.adopt(policy_for(version=3), "restored")
    assert refused_minutes(world, world.fold.policy) == 0


@pytest.mark.parametrize("cured_before", [False, True])
def test_a_floor_that_sinks_by_its_date_stops_the_clock_with_the_next_message(cured_before: bool) -> None:
    """Whether or not the server was ever seen patched; and what policy diff promises for that day comes true."""
    world = World()
    if cured_before:
        world.see(reading(build=Build(15, 1, 2507, 61)))
        world.pass_time(DAY)
    world.open_case()
    for _ in range(35):
        world.pass_time(DAY)
        world.see()
    sinks = (world.now + 2 * DAY).date()
    world.adopt(policy_for(version=2, floors=(low_floor(61), low_floor(39, sinks))))
    assert world.case().enforced
    for _ in range(3):
        world.pass_time(DAY)
        world.see()
    assert not world.case().enforced
    seen = len(world.log)
    world.pass_time(DAY)
    world.see()
    assert len(world.log) == seen  # it says nothing more


def test_what_was_seen_before_a_wave_that_accepts_it_opens_a_case_that_stands() -> None:
    """It came after the wave, and every message of today is accepted."""
    world = World()
    world.see()
    world.pass_time(HOUR)
    world.see()
    evening = world.now.replace(hour=23, minute=0)
    sinks = (evening + DAY).date()
    world.adopt(policy_for(version=2, floors=(low_floor(61), low_floor(39, sinks))))
    world.pass_time(evening + 2 * HOUR - world.now)
    world.see(seen_at=evening)
    assert [case.enforced for case in world.fold.servers[SERVER].cases] == [False]
