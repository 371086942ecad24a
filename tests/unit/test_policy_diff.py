"""What another policy would change: asked of servers, and held against what adopting it really brings."""

from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from services.cli.live_state import Newest
from services.cli.policy_diff import Refusals, diff_text, diffed
from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.floors import FloorWave
from shared.domain.fold import encode_server
from shared.domain.policy import Caps, Connector, Notices, Policy, Protected
from shared.domain.policy_diff import Change, PolicyDiff, ServerChange, key_changes
from shared.domain.records import Row, VerdictGiven
from tests.support.scenario import E2007, E2016, SERVER, START, World, policy_for, reading


def changes_of(world: World, new: Policy, **of_diff: Any) -> dict[str, tuple[Change, ...]]:
    """What would change, by server."""
    asked = PolicyDiff(world.fold.policy, new, world.fold.law, **of_diff)
    found = asked.in_turn([change for server in world.fold.servers.values() for change in asked.of(server)])
    return {change.server: change.changes for change in found}


def floors(*builds: Build, product: str = E2016, day: date = date(2026, 1, 1)) -> tuple[FloorWave, ...]:
    """One floor."""
    return (FloorWave(product=product, effective=day, builds=builds, source="test"),)


def notices(**changes: Any) -> Notices:
    """The shipped ladder, changed."""
    return msgspec.convert({**msgspec.structs.asdict(policy_for().notices), **changes}, Notices)


LOW = Build(15, 1, 2507, 1)


def test_the_same_policy_changes_nothing() -> None:
    """Neither for a case nor for a server without one."""
    world = World()
    world.open_case()
    world.see(name="new.alt.example")
    assert changes_of(world, policy_for(version=2)) == {}


def test_a_higher_floor_makes_servers_fall_below_and_their_cases_possible() -> None:
    """Without a case so far; and with the tie that only the old policy let open, the first alone."""
    world = World(policy_for(floors=floors(LOW)))
    world.see()
    new = policy_for(version=2)
    assert changes_of(world, new) == {SERVER: ("falls-below", "may-open")}
    assert changes_of(world, msgspec.structs.replace(new, open_ties=("connector",))) == {SERVER: ("falls-below",)}


def test_another_tie_that_opens_makes_a_case_possible() -> None:
    """Below it was before."""
    world = World(policy_for(open_ties=("connector",)))
    world.see()
    assert changes_of(world, policy_for(version=2)) == {SERVER: ("may-open",)}


def test_a_lower_floor_accepts_servers_and_lets_their_cases_stand() -> None:
    """A case keeps the floor it was opened under; what accused it is accepted now."""
    world = World()
    world.open_case()
    world.see(name="young.alt.example")
    new = policy_for(version=2, floors=floors(LOW))
    assert changes_of(world, new) == {SERVER: ("stands",), "young.alt.example@192.0.2.7": ("accepted",)}


def test_a_wave_counts_from_its_day_on() -> None:
    """So a wave of next year is asked for with that day."""
    world = World(policy_for(floors=floors(LOW)))
    world.see()
    later = FloorWave(product=E2016, effective=date(2027, 2, 1), builds=(Build(15, 1, 2507, 61),), source="test")
    new = policy_for(version=2, floors=(*floors(LOW), later))
    assert changes_of(world, new) == {}
    assert changes_of(world, new, on=date(2027, 2, 1)) == {SERVER: ("falls-below", "may-open")}


def test_enforcing_starts_cases_and_observing_lets_them_stand() -> None:
    """As the enforcer itself decides it."""
    world = World(policy_for("observe"))
    world.open_case()
    assert changes_of(world, policy_for(version=2)) == {SERVER: ("starts",)}
    world.adopt(policy_for(version=2))
    world.pass_time(timedelta(days=45))
    assert changes_of(world, policy_for("observe", version=3)) == {SERVER: ("stands",)}
    renamed = (Connector(name="world", kind="internet", owner="postmaster", mode="enforce"),)
    assert changes_of(world, policy_for(version=3, connectors=renamed)) == {SERVER: ("stands",)}


def test_asking_less_for_blocking_steps_a_case_that_waits() -> None:
    """Its notice was never delivered."""
    world = World()
    world.open_case()
    for _ in range(14):
        world.see()
        world.pass_time(timedelta(days=5))
    assert changes_of(world, policy_for(version=2, notices=notices(needed_for_blocking=False))) == {SERVER: ("steps",)}


def test_a_shorter_expiry_ends_a_case_at_once() -> None:
    """That, and nothing else is said of it."""
    world = World()
    world.open_case()
    world.pass_time(timedelta(days=20))
    assert changes_of(world, policy_for("observe", version=2, expire_days=10)) == {SERVER: ("ends",)}


def test_a_released_case_is_nobodys_concern() -> None:
    """It ends by itself."""
    world = World()
    world.open_case()
    world.see(reading(build=Build(15, 1, 2507, 61)))
    assert changes_of(world, policy_for("observe", version=2)) == {}


def test_a_case_that_ends_anyway_is_not_told() -> None:
    """One that would have expired under the old policy, too; and one that is released."""
    world = World()
    world.open_case()
    world.now += timedelta(days=70)
    world.fold.advance(world.now, at=world.now)  # nothing of it is written yet
    assert changes_of(world, policy_for(version=2, expire_days=30)) == {}
    released = World()
    released.open_case()
    released.pass_time(timedelta(hours=30))
    released.see(reading(build=Build(15, 1, 2507, 61)))
    assert changes_of(released, policy_for(version=2, expire_days=1)) == {}


def test_mail_that_passes_already_is_not_told_again() -> None:
    """The policy in force accepts what the case accuses, and so does the new one."""
    world = World()
    world.open_case()
    world.adopt(policy_for(version=2, floors=floors(LOW)))
    assert changes_of(world, policy_for(version=3, floors=floors(LOW))) == {}


@pytest.mark.parametrize(
    "new",
    [
        policy_for("observe", version=2),
        policy_for(version=2, notices=notices(needed_for_blocking=False)),
        policy_for(
            version=2,
            notices=notices(needed_for_blocking=False),
            caps=Caps(newly_blocked_per_day=1, newly_blocked_percent_of_open_cases=0),
        ),
        policy_for(version=2, floors=floors(product=E2007)),
        policy_for(version=2, open_ties=("connector",)),
    ],
)
def test_what_is_told_is_what_adopting_brings(new: Policy) -> None:
    """Held against the events of the same world when it really adopts."""
    world = World()
    world.open_case()
    world.open_case(reading(E2007, None), name="old.alt.example")
    for _ in range(14):
        world.see()
        world.see(reading(E2007, None), name="old.alt.example")
        world.pass_time(timedelta(days=5))
    told = changes_of(world, new)
    kinds = {
        e.ClockStarted: "starts",
        e.ClockStopped: "stands",
        e.BlockingGranted: "steps",
        e.BlockingWaits: "waits",
    }
    brought = {
        (event.server, kinds[type(event)])
        for event in world.adopt(new)
        if isinstance(event, e.ClockStarted | e.ClockStopped | e.BlockingGranted | e.BlockingWaits)
    }
    assert brought
    assert {
        (name, change) for name, changes in told.items() for change in changes if change in kinds.values()
    } == brought


def test_asking_changes_nothing() -> None:
    """The state is the enforcer's."""
    world = World(policy_for("observe"))
    world.open_case()
    before = world.fold.digest()
    assert changes_of(world, policy_for(version=2))
    assert world.fold.digest() == before


def test_the_keys_that_differ_are_told_by_name() -> None:
    """Entries of lists by their place; what is new or gone, too."""
    old, new = policy_for(), policy_for(version=2, floors=policy_for().floors[:-1])
    found = {change.key: (change.old, change.new) for change in key_changes(old, new)}
    assert found["version"] == (1, 2)
    assert found["floors[5].product"] == ("Microsoft Exchange 2019", None)
    assert all(key == "version" or key.startswith("floors[5].") for key in found)
    assert key_changes(old, old) == ()


def test_a_key_that_says_what_its_absence_meant_is_no_difference() -> None:
    """An older policy has no [pauses], which meant 90 days; a cap it did not have."""
    newer = policy_for(protected=(Protected(title="Clinics", domains=("clinic.example",)),))
    without = {"caps", "pauses", "disputes", "relapses", "protected"}
    fields = {key: value for key, value in msgspec.structs.asdict(newer).items() if key not in without}
    older = msgspec.convert(fields, Policy)
    assert {change.key: (change.old, change.new) for change in key_changes(older, newer)} == {
        "caps.newly_blocked_per_day": (None, 5),
        "caps.newly_blocked_percent_of_open_cases": (None, 1),
        "protected[1].title": (None, "Clinics"),
        "protected[1].domains": (None, ("clinic.example",)),
    }


def test_of_many_records_of_a_server_the_newest_counts() -> None:
    """A table on a topic holds old values, too, until they are compacted away; a tombstone takes it out."""
    world = World()
    world.see()
    server = world.fold.servers[SERVER]
    newer = msgspec.structs.replace(server, connector="branch")
    found = Newest(lambda one: one.connector if one.connector == "branch" else None)
    for name, one in ((b"a.example", newer), (b"b.example", newer), (b"c.example", newer), (b"a.example", server)):
        found.take(name, encode_server(one))
    found.take(b"c.example", None)
    found.take(b"position", b"{}")
    assert (found.of_all(), len(found)) == (["branch"], 2)


def verdict(server: str, at: datetime) -> VerdictGiven:
    """A would-be refusal."""
    row = Row(since=START, stage=2, throttle_minutes_per_hour=5, block_minutes_per_hour=0)
    return VerdictGiven(
        at=at,
        edge="mx1",
        queue_id="Q1",
        server=server,
        product=E2016,
        shown="",
        action="defer",
        would_be=True,
        row=row,
        window_from_minute=0,
        reply="450 no",
        heartbeat_seq=1,
        decision_seq=1,
    )


def test_refusals_are_counted_a_day_over_the_time_they_span() -> None:
    """Of the servers that were asked for; nothing is made up where nothing is known."""
    tally = Refusals({"a", "b"})
    assert tally.a_day() == {}
    for hour in (0, 1, 48):
        tally.take(verdict("a", START + timedelta(hours=hour)))
    tally.take(verdict("c", START))
    assert (tally.a_day(), tally.read) == ({"a": 1.5}, 4)


def test_the_text_lists_twenty_of_each_change_and_says_how_many_more() -> None:
    """With the direction, and the refusals where they are known."""
    changes = tuple(
        ServerChange(
            server=f"s{number:02}.example",
            connector="branch",
            product=E2016,
            shown="15.1.2507.39",
            state="no-case",
            changes=("falls-below",),
        )
        for number in range(25)
    )
    found = diffed(policy_for(), policy_for(version=2), changes, servers=99, refusals_a_day={"s00.example": 2.5})
    text = "\n".join(diff_text(found))
    assert "version: 1 -> 2" in text
    assert "99 servers compared; something changes for 25 of them." in text
    assert "25 fall below the floor with what they showed last (harsher):" in text
    assert "s00.example  Microsoft Exchange 2016 15.1.2507.39  (branch, no-case, 2.5 refusals a day)" in text
    assert "s19.example" in text
    assert "s20.example" not in text
    assert "and 5 more" in text
