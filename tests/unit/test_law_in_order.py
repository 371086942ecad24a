"""What comes late accuses nobody of what a cure answered, in whatever order the two arrive. Each was once wrong."""

from datetime import timedelta

import msgspec
import pytest

from shared.domain.build import Build
from shared.domain.floors import FloorWave
from shared.domain.policy import Connector
from shared.domain.records import DisputeCase, ResolveCase, SetExemption
from tests.support.acts import IN_BRANCH, aged
from tests.support.scenario import E2007, E2016, FLOOR_2016, NAME, SERVER, START, World, policy_for, reading
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
    assert (world.fold.servers[SERVER].hours, world.fold.servers[SERVER].cases) == ((), ())


def test_a_cure_of_a_better_id_is_one_of_the_weaker_ids_too() -> None:
    """Also where nothing counted against it then."""
    world = World()
    world.see(reading("Exim", None))
    world.pass_time(5 * HOUR)
    world.see(PATCHED, seen_at=CURED, **VERIFIED)
    for at in (T1, T2, CURED - MINUTE):
        world.see(seen_at=at)
    assert (world.fold.servers[SERVER].hours, world.fold.servers[SERVER].cases) == ((), ())
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
    assert (world.fold.servers[SERVER].hours, world.fold.servers[SERVER].cases) == ((), ())


def test_what_comes_late_says_nothing_of_where_a_server_is_seen_now() -> None:
    """A message of an hour ago from an exempt peer stops no clock of a server that is seen from elsewhere since."""
    world = aged(2, **VERIFIED)
    world.ask(SetExemption, kind="peer", target="192.0.2.99", owner="ops", until=world.now + 30 * DAY)
    began = world.case(NAME).rows[0].since
    late = world.see(reading(E2007, None), seen_at=world.now - HOUR, peer="192.0.2.99", **VERIFIED)
    assert world.kinds(late) == ["ServerSighted"]
    assert (world.case(NAME).enforced, world.case(NAME).rows[0].since) == (True, began)


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


@pytest.mark.parametrize(
    "order", [(T1, T2, CURED, T4), (CURED, T1, T2, T4), (CURED, T4, T1, T2), (CURED, T2, T4, T1)], ids=str
)
def test_an_id_that_is_new_knows_the_cures_of_the_better_one_that_it_was_seen_with(order: tuple[object, ...]) -> None:
    """An edge whose names do not resolve kept its mail for hours, while another saw the server confirmed and patched."""
    world = World()
    world.pass_time(5 * HOUR)
    for at in order:
        world.see(PATCHED if at == CURED else reading(), seen_at=at, **(VERIFIED if at == CURED else {}))  # type: ignore[arg-type]
    assert sum(len(server.hours) for server in world.fold.servers.values()) == 1
    assert all(server.cases == () for server in world.fold.servers.values())
    assert audited(world) == ""


def test_what_was_stored_before_cures_were_kept_tells_them_by_the_newest_reading() -> None:
    """A state of older rules is taken up: a patched server is accused of nothing that was seen before."""
    world = World()
    world.see(PATCHED)
    kept = world.fold.servers[SERVER]
    world.pass_time(5 * HOUR)
    world.see(PATCHED, seen_at=START)
    world.fold.servers.put(SERVER, msgspec.structs.replace(kept, cured=(), last_seen=world.now))
    for hours in (1, 2, 3):
        world.see(seen_at=START + hours * HOUR)
    assert (world.fold.servers[SERVER].hours, world.fold.servers[SERVER].cases) == ((), ())


def test_what_comes_late_moves_no_case_and_counts_no_hour_beside_it() -> None:
    """The connector in which a server was yesterday is not that in which it is now."""
    connectors = (
        Connector(name="internet", kind="internet", owner="postmaster", mode="observe"),
        Connector(name="branch", kind="on-premises", owner="it", ranges=("198.51.100.0/24",), mode="enforce"),
    )
    world = World(policy_for(connectors=connectors))
    then = world.now
    world.pass_time(DAY)
    world.open_case(**VERIFIED)
    for number in range(4):
        world.see(seen_at=then + number * HOUR, **IN_BRANCH, **VERIFIED)
    assert [case.enforced for case in world.fold.servers[NAME].cases] == [False]
    assert world.fold.servers[f"{NAME}@branch"].cases == ()
    world.pass_time(HOUR)
    assert "CaseMoved" in world.kinds(world.see(**IN_BRANCH, **VERIFIED))
    assert audited(world) == ""


def test_struck_is_struck_however_often_a_case_went_on() -> None:
    """From the name of HELO to the one that DNS confirms, and on to a connector."""
    world = aged(2)
    world.see(**VERIFIED)
    world.pass_time(DAY)
    world.see(**IN_BRANCH, **VERIFIED)
    world.ask_of_case(DisputeCase, f"{NAME}@branch")
    world.ask_of_case(ResolveCase, f"{NAME}@branch", outcome="upheld")
    world.pass_time(DAY)
    world.open_case()
    assert world.fold.servers[SERVER].cases == ()
