"""Imported evidence lifts only what it was seen after: a table of cases."""

from datetime import timedelta
from typing import TypeVar

import pytest

from shared.domain import events as e
from tests.support.scenario import E2007, FLOOR_2016, NAME, SERVER, World, reading

E = TypeVar("E")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PATCHED = reading(build=FLOOR_2016)


def of_kind(events: list[e.Event], kind: type[E]) -> list[E]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(
    ("seen_before_newest", "imported", "released"),
    [
        (timedelta(seconds=-1), True, True),
        (timedelta(), True, False),
        (HOUR, True, False),
        (400 * DAY, True, False),
        (HOUR, False, True),  # what an edge saw counts, however late it comes
    ],
)
def test_an_imported_cure_releases_only_if_seen_after_the_newest_accusation(
    seen_before_newest: timedelta, imported: bool, released: bool
) -> None:
    """An old mailbox shows how a server was before: that is no cure of what was seen since."""
    world = World()
    world.open_case()
    world.pass_time(3 * DAY)
    world.see()
    newest = world.fold.servers[SERVER].below[0].seen_at
    world.pass_time(HOUR)
    events = world.see(PATCHED, seen_at=newest - seen_before_newest, imported=imported)
    assert bool(of_kind(events, e.CaseReleased)) == released
    assert (world.fold.servers[SERVER].cases[0].released_at is not None) == released


@pytest.mark.parametrize(("seen_before_newest", "dropped"), [(timedelta(seconds=-1), True), (timedelta(), False)])
def test_an_imported_cure_clears_counted_hours_only_if_seen_after_them(
    seen_before_newest: timedelta, dropped: bool
) -> None:
    """What counts for opening is an accusation, too."""
    world = World()
    world.see()
    world.pass_time(HOUR)
    events = world.see(PATCHED, seen_at=world.now - HOUR - seen_before_newest, imported=True)
    assert bool(of_kind(events, e.AccusationDropped)) == dropped
    assert (world.fold.servers[SERVER].hours == ()) == dropped


def test_the_accusation_of_another_product_is_no_bar() -> None:
    """Each product has its own newest reading."""
    world = World()
    world.open_case()
    world.pass_time(DAY)
    world.see(reading(E2007, None))
    assert of_kind(world.see(PATCHED, seen_at=world.now - HOUR, imported=True), e.CaseReleased)


def test_each_id_is_asked_for_its_own_newest_accusation() -> None:
    """Of two servers that a message matches it releases the one that was accused before it was seen."""
    world = World()
    world.open_case(client_name=NAME, client_resolve="ok")
    world.pass_time(DAY)
    cure = world.now
    world.pass_time(DAY)
    world.open_case()
    released = of_kind(
        world.see(PATCHED, seen_at=cure, imported=True, client_name=NAME, client_resolve="ok"), e.CaseReleased
    )
    assert [event.server for event in released] == [NAME]
