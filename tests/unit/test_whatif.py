"""A recorded log decided again under another policy, held against worlds in which that policy really was in force."""

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import whatif
from shared.domain.build import Build
from shared.domain.errors import EventSchemaError, VersionGap
from shared.domain.events import decode_log
from shared.domain.floors import FloorWave
from shared.domain.policy import Policy
from shared.domain.whatif import Replay, WhatIf
from tests.support.scenario import E2007, E2016, FLOOR_2016, SERVER, START, World, policy_for, reading

FRIEND = "old.alt.example@192.0.2.7"


def replay(world: World, policy: Policy, **how: Any) -> Replay:
    """All of its log."""
    one = Replay(policy, **how)
    for record, stored in world.log:
        assert decode_log(stored) == record
        one.take(record, stored)
    return one


def told(world: World, policy: Policy, **how: Any) -> WhatIf:
    """The report."""
    return replay(world, policy, **how).report()


def stages(first: int) -> tuple[Any, ...]:
    """The shipped stages with the first throttling on another day."""
    shipped = policy_for().stages
    return (shipped[0], msgspec.structs.replace(shipped[1], from_day=first), *shipped[2:])


def life(
    world: World, days: int, *, settled: bool = True, seed: int = 1, act: Callable[[int], None] | None = None
) -> None:
    """Two servers that send each day or so; one is patched near the end; notices are told of; a freeze in between."""
    draw = random.Random(seed)  # noqa: S311 - a test's dice
    world.open_case()
    world.open_case(reading(E2007, None), name="old.alt.example")
    for day in range(days):
        if act:
            act(day)
        world.pass_time(timedelta(hours=draw.randint(18, 30)), watched=day not in {7, 8})
        world.see()
        world.see(reading(E2007, None), name="old.alt.example")
        if settled:
            world.settle()
        if day == 40:
            world.freeze("freeze-001", frozen=True)
        if day == 42:
            world.freeze("freeze-002", frozen=False)
        if day == days - 3:
            world.see(reading(build=FLOOR_2016))
            world.settle()


def test_the_same_policy_changes_nothing() -> None:
    """Holds, freezes, notices and releases included: every happening is equal, and nobody stands elsewhere."""
    world = World()
    life(world, 100)
    found = told(world, policy_for())
    assert (found.differences, found.servers, found.differing) == ((), (), {})
    assert found.same["stage"] > 8
    assert found.same["notice"] > 8
    assert found.same["case"] >= 3
    assert (found.records, found.since, found.until) == (world.fold.law.seq, START, world.fold.law.at)
    assert (found.policies_left_out, found.notices_without_outcome) == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": stages(10)},
        {"expire_days": 1},
        {"open_ties": ("connector",)},
        {"opening_hours": 2},
        {"mode": "observe"},
        {"floors": (FloorWave(product=E2007, effective=date(2023, 1, 1), source="test"),)},
        {"floors": (FloorWave(product=E2016, effective=date(2026, 12, 1), builds=(FLOOR_2016,), source="test"),)},
    ],
)
def test_the_other_world_is_the_one_in_which_that_policy_was_in_force(changes: dict[str, Any]) -> None:
    """From the beginning: the same schedules, and a report of what really differs."""
    recorded, real = World(), World(policy_for(**changes))
    for world in (recorded, real):
        life(world, 60)
        world.pass_time(timedelta(days=2))
        world.freeze("freeze-003", frozen=True)  # a last record: a log tells the other world of no later instant
    one = replay(recorded, policy_for(**changes))
    assert one._other is not None
    assert _schedules(one._other.servers) == _schedules(real.fold.servers)
    assert one.report().differences


def _schedules(servers: Any) -> dict[str, Any]:
    """Where each case stands, but for the numbers of records, which no two worlds share."""
    return {
        name: [(case.product, case.enforced, case.rows, case.entered, case.released_at) for case in server.cases]
        for name, server in servers.items()
        if server.cases
    }


def test_from_a_day_on_the_other_policy_is_adopted_then() -> None:
    """As the enforcer would adopt it, for cases that are open: here one in observe begins at day 0."""
    recorded, real = World(policy_for("observe")), World(policy_for("observe"))
    life(recorded, 50, settled=False)
    since = START + timedelta(days=20)

    def adopt(day: int) -> None:
        if real.now >= since and real.fold.policy.mode == "observe":
            real.adopt(policy_for(version=2), f"adopt-{day:03}")

    life(real, 50, settled=False, act=adopt)
    one = replay(recorded, policy_for(), since=since)
    found = one.report()
    assert one._other is not None
    assert found.since is not None
    assert found.since >= since
    begins = {name: [case.rows[0].since for case in server.cases] for name, server in one._other.servers.items()}
    for name, server in real.fold.servers.items():
        for there, here in zip(begins[name], [case.rows[0].since for case in server.cases], strict=True):
            assert abs(there - here) < timedelta(days=2)  # adopted with the first record behind that instant
    assert {one.what for one in found.differences} >= {"case: clock started", "notice: opening"}
    assert ("observed", "reported") in {(one.recorded, one.other) for one in found.servers}


def test_a_stage_on_another_day_is_told_with_both_dates() -> None:
    """The same minutes, earlier."""
    world = World()
    life(world, 60)
    found = told(world, policy_for(stages=stages(10)))
    minutes = "stage: 5 minutes an hour deferred, 0 refused"
    [moved] = [one for one in found.differences if one.server == SERVER and one.what == minutes]
    assert moved.recorded is not None
    assert moved.other == moved.recorded - timedelta(days=20)
    assert found.differing["stage"] == 2


def test_a_policy_that_observes_instead_needs_no_notices() -> None:
    """All of them are recorded only; the servers stand elsewhere at the end."""
    world = World()
    life(world, 45)
    found = told(world, policy_for("observe"))
    assert {one.other for one in found.differences if one.what.startswith("notice")} == {None}
    assert {(one.server, one.other) for one in found.servers} == {(FRIEND, "observed")}


def test_a_notice_that_was_never_sent_has_no_outcome_unless_that_is_assumed() -> None:
    """So blocking waits for ever in the one world, and comes on its day in the other."""
    world = World(policy_for("observe"))
    life(world, 80, settled=False)
    never, assumed = (told(world, policy_for(), assume_delivered=one) for one in (False, True))
    assert never.notices_without_outcome > 5
    assert assumed.notices_without_outcome == 0
    refusing = {"stage: 30 minutes an hour deferred, 5 refused", "stage: 0 minutes an hour deferred, 10 refused"}
    assert not refusing & {one.what for one in never.differences}
    assert refusing & {one.what for one in assumed.differences}


def test_a_report_goes_to_the_notice_of_its_kind() -> None:
    """Of two that are open, the one that was told of is settled; the other stays open."""
    world = World()
    world.open_case()
    world.see()
    world.pass_time(timedelta(days=24))
    opening, second = world.fold.servers[SERVER].cases[0].pending
    world.take(world.report(second.notice, SERVER))
    one = replay(world, policy_for())
    assert one._other is not None
    assert [notice.kind for notice in one._other.servers[SERVER].cases[0].pending] == [opening.kind]
    assert one.report().notices_without_outcome == 1


def test_what_falls_due_in_the_instant_of_an_input_has_fallen_due_before_the_next_input_of_that_instant() -> None:
    """As in one turn of the enforcer, whose records have one instant: the report finds the notice."""
    world = World()
    world.see()
    for _ in range(2):
        world.pass_time(timedelta(hours=1))
        world.see()
    world.log += world.fold.tick(at=world.now, blind=False)
    world.settle()
    found = told(world, policy_for())
    assert (found.differences, found.notices_without_outcome) == ((), 0)


def test_what_falls_due_behind_the_last_input_falls_due_in_both_worlds() -> None:
    """Stages and notices of a server that nobody sees any more."""
    world = World()
    world.open_case()
    world.settle()
    world.pass_time(timedelta(days=45))
    found = told(world, policy_for())
    assert found.differences == ()
    assert found.same["stage"] == 2


def test_sightings_that_were_no_news_are_not_in_the_log_and_the_server_counts() -> None:
    """A floor that only the other policy has: the record holds too few hours, and the report shows who is on the way."""
    low = FloorWave(product=E2016, effective=date(2026, 1, 1), builds=(Build(15, 1, 2507, 1),), source="test")
    world = World(policy_for(floors=(low,)))
    for _ in range(5):
        world.see()
        world.pass_time(timedelta(hours=2))
    [server] = told(world, policy_for()).servers
    assert (server.recorded, server.other) == ("no-case", "counting")
    [server] = told(world, policy_for(opening_hours=1)).servers
    assert (server.recorded, server.other) == ("no-case", "reported")


def test_policies_that_were_adopted_on_the_way_are_left_out() -> None:
    """The other one stays, and the report says so."""
    world = World(policy_for("observe"))
    world.open_case()
    world.adopt(policy_for(version=2))
    world.pass_time(timedelta(days=1))
    found = told(world, policy_for("observe"))
    assert found.policies_left_out == 1
    assert [(one.server, one.recorded, one.other) for one in found.servers] == [(SERVER, "reported", "observed")]


def test_beyond_the_end_of_the_log_nothing_is_decided() -> None:
    """And that is no error."""
    world = World()
    world.open_case()
    found = told(world, policy_for("observe"), since=world.now + timedelta(days=1))
    assert (found.since, found.inputs, found.servers) == (None, 0, ())


def test_differences_are_bounded_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is that of the state and the bound."""
    monkeypatch.setattr(whatif, "DIFFERENCES_MAX", 3)
    world = World()
    life(world, 60)
    found = told(world, policy_for("observe"))
    assert len(found.differences) == 3
    assert found.left_out > 3


def test_a_log_that_does_not_follow_or_holds_nothing_is_an_error() -> None:
    """Nothing is concluded from it."""
    world = World()
    world.open_case()
    one = Replay(policy_for())
    one.take(*world.log[0])
    with pytest.raises(VersionGap):
        one.take(*world.log[2])
    with pytest.raises(EventSchemaError, match="no record"):
        Replay(policy_for()).report()


def test_asking_changes_nothing_of_what_was_recorded() -> None:
    """Both worlds are folds of their own: the recorded one ends where the enforcer's did."""
    world = World()
    life(world, 30)
    one = replay(world, policy_for("observe"), since=START + timedelta(days=10))
    assert one._recorded.digest() == world.fold.digest()
