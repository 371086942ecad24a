"""What comes late accuses nobody of what a cure answered, in whatever order the two arrive. Each was once wrong."""

from datetime import timedelta

import pytest

from shared.domain.build import Build
from shared.domain.floors import FloorWave
from shared.domain.records import DisputeCase, ResolveCase
from tests.support.acts import aged
from tests.support.scenario import E2016, FLOOR_2016, NAME, SERVER, START, World, policy_for, reading
from tests.unit.test_law_late_and_moved import VERIFIED, audited

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
PATCHED = reading(build=FLOOR_2016)
T1, T2, CURED, T4 = START, START + HOUR, START + 2 * HOUR, START + 3 * HOUR


def after(world: World, *seen: tuple[object, object]) -> World:
    """These are seen, in this order of arrival: what, when."""
    world.pass_time(5 * HOUR)
    for what, at in seen:
        world.see(what, seen_at=at)  # type: ignore[arg-type]
    return world


@pytest.mark.parametrize(
    "order",
    [
        (T1, T2, CURED, T4),
        (CURED, T4, T1, T2),
        (T4, CURED, T1, T2),
        (T1, CURED, T4, T2),
    ],
    ids=str,
)
def test_two_readings_before_a_cure_and_one_after_it_open_no_case(order: tuple[object, ...]) -> None:
    """In order they count one hour; so they do in any other."""
    world = after(World(), *((PATCHED if at == CURED else reading(), at) for at in order))
    assert world.fold.servers[SERVER].cases == ()
    assert len(world.fold.servers[SERVER].hours) <= 1
    assert audited(world) == ""


def test_what_was_seen_between_a_cure_and_the_next_reading_below_counts_only_if_it_came_in_order() -> None:
    """A patched reading that says nothing new is on no record; so what came late was perhaps seen before one."""
    world = World()
    world.see(PATCHED)
    world.pass_time(4 * HOUR)
    world.see(PATCHED)  # no news
    world.pass_time(HOUR)
    world.see()
    for hours in (1, 2, 3):
        world.see(seen_at=START + hours * HOUR)
    assert len(world.fold.servers[SERVER].hours) == 1
    world.pass_time(2 * HOUR)
    world.see()
    world.see(seen_at=world.now - HOUR)  # late, too, but after the first: in order it would count
    assert len(world.fold.servers[SERVER].cases) == 1


def test_an_imported_reading_does_not_let_older_ones_accuse() -> None:
    """It accuses of nothing itself, and the cure before it stays what it was."""
    world = after(World(), (PATCHED, CURED))
    world.see(seen_at=T4, imported=True)
    for at in (T1, T2, CURED - MINUTE):
        world.see(seen_at=at)
    assert world.fold.servers[SERVER].hours == ()


def test_a_cure_of_a_better_id_is_one_of_the_weaker_ids_too() -> None:
    """Also where nothing counted against it then."""
    world = World()
    world.see(reading("Exim", None))
    world.pass_time(5 * HOUR)
    world.see(PATCHED, seen_at=CURED, **VERIFIED)
    for at in (T1, T2, CURED - MINUTE):
        world.see(seen_at=at)
    assert world.fold.servers[SERVER].hours == ()
    assert world.fold.servers[SERVER].cured_at(E2016) == CURED
    assert audited(world) == ""


def test_a_cure_by_an_older_floor_is_one_after_a_raise() -> None:
    """What lifted the case lifts what was seen before it, though the build is below today's floor."""
    world = aged(2)
    higher = FloorWave(product=E2016, effective=START.date(), builds=(Build(15, 1, 2507, 90),), source="test")
    world.adopt(policy_for(version=2, floors=(higher,)))
    world.see(PATCHED)
    world.pass_time(2 * DAY)
    for hours in (1, 2, 3):
        world.see(seen_at=START + hours * HOUR)
    assert world.fold.servers[SERVER].hours == ()


def test_what_comes_late_says_nothing_of_the_connector_a_server_is_seen_in_now() -> None:
    """An exempt, or observed, message of yesterday stops no clock today."""
    world = aged(2, policy=policy_for(open_ties=("connector", "verified", "helo", "domain")))
    world.adopt(policy_for(version=2, open_ties=("connector", "verified", "helo")))
    began = world.case().rows[0].since
    world.see(seen_at=world.now - HOUR, helo=f"other.{NAME.partition('.')[2]}")
    assert (world.case().enforced, world.case().rows[0].since) == (True, began)


@pytest.mark.parametrize(("late", "releases"), [(2 * DAY, True), (timedelta(), False)])
def test_a_late_reading_keeps_no_mixed_case_from_its_cure(late: timedelta, releases: bool) -> None:
    """The other machine must have been seen lately, and not only heard of."""
    world = aged(45)
    world.see(PATCHED)
    world.pass_time(HOUR)
    world.see()
    world.pass_time(3 * DAY)
    world.see(seen_at=world.now - late)
    world.pass_time(HOUR)
    assert ("CaseReleased" in world.kinds(world.see(PATCHED))) is releases
    assert audited(world) == ""


def test_what_was_struck_where_a_case_went_accuses_the_id_it_left_of_nothing() -> None:
    """An operator said so of that server, and a name that DNS no longer confirms is still his."""
    world = aged(2)
    world.see(**VERIFIED)
    world.ask_of_case(DisputeCase, NAME)
    world.ask_of_case(ResolveCase, NAME, outcome="upheld")
    world.pass_time(DAY)
    world.open_case()
    assert world.fold.servers[SERVER].cases == ()
    assert audited(world) == ""
