"""What the fold says before it writes: whether anything is due, and which sightings are surely no news."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from shared.domain.fold import CHECKPOINT_EVERY
from shared.domain.records import SetExemption
from shared.domain.repeats import Glimpse, Repeats, glimpse
from shared.domain.schedule import next_due
from shared.messaging.codec import encode
from tests.support import law
from tests.support.scenario import E2016, NAME, SERVER, World, policy_for, reading

DAY, HOUR, MOMENT = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
VERIFIED: dict[str, Any] = {"client_name": NAME, "client_resolve": "ok"}


def at(world: World, h: datetime, **changes: Any) -> World:
    """With H there, whatever is due."""
    world.fold._law = msgspec.structs.replace(world.fold.law, h=h, **changes)
    return world


@pytest.mark.parametrize(("before", "due"), [(MOMENT, False), (timedelta(), True), (-MOMENT, True)])
@pytest.mark.parametrize("what", ["a notice", "the end of an exemption"])
def test_something_is_due_from_its_own_instant_on(what: str, before: timedelta, due: bool) -> None:
    """Of servers in law time, of exemptions in UTC; either of them is enough."""
    world = World()
    if what == "a notice":
        world.open_case()
        instant = next_due(world.fold.servers[SERVER], world.fold.policy)
    else:
        world.see()
        instant = world.now + 2 * DAY
        world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=instant)
    assert instant is not None
    assert at(world, instant - before).fold.is_due() is due


@pytest.mark.parametrize(("since", "due"), [(CHECKPOINT_EVERY - 1, False), (CHECKPOINT_EVERY, True)])
def test_a_checkpoint_is_due_after_so_many_records(since: int, due: bool) -> None:
    """Whatever servers have ahead."""
    world = World()
    assert at(world, world.fold.law.h, since_checkpoint=since).fold.is_due() is due


def seen_again(world: World, **of_facts: Any) -> Glimpse:
    """A sighting at this moment, as far as it is read at first."""
    found = glimpse(encode(law.sighting(world.now, **of_facts)))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ([{}], {}, True),  # one id, known
        ([], {}, False),  # nobody yet
        ([VERIFIED], VERIFIED, True),  # of its two ids only the best is known
        ([{}, VERIFIED], VERIFIED, False),  # a cure would count for the other, too
        ([VERIFIED], {}, False),  # by a tie that is not on record
        ([{}], {"helo": "other.example"}, False),
    ],
)
def test_a_sighting_is_told_as_no_news_only_where_no_other_id_that_it_matches_is_known(
    before: list[dict[str, Any]], now: dict[str, Any], told: bool
) -> None:
    """It agrees with what is on record of its best id, in the hour that counts already."""
    world = World()
    for facts in before:
        world.see(**facts)
    assert world.fold.repeats(seen_again(world, **now), at=world.now) is told
    if told:
        assert world.see(**now) == []


def test_without_facts_nothing_is_told() -> None:
    """It must be read whole."""
    world = World()
    world.see()
    assert not world.fold.repeats(Glimpse(), at=world.now)


@pytest.mark.parametrize(
    ("days", "since", "until"),
    [
        (-1, None, 0),  # before the floor takes effect
        (0, 0, None),  # on its day it is in force
        (1, 0, None),
    ],
)
def test_a_repeat_holds_as_long_as_one_floor_is_in_force(days: int, since: int | None, until: int | None) -> None:
    """From midnight of the day on which it takes effect."""
    (wave,) = [wave for wave in policy_for().floors if wave.product == E2016]
    midnight = datetime.combine(wave.effective, datetime.min.time(), tzinfo=World().now.tzinfo)
    world = World(policy_for(), at=midnight + days * DAY + 8 * HOUR)
    world.see(reading(build=wave.builds[0]))
    like = Repeats(policy_for()).of(world.fold.servers[SERVER])
    assert like is not None
    assert (like.since == midnight + (since or 0) * DAY) is (since is not None)
    assert (like.until == midnight + (until or 0) * DAY) is (until is not None)
