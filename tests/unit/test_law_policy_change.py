"""What a new policy changes for the cases that are open: their mode and the terms of blocking, and nothing backwards."""

from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.policy import Connector, Policy
from shared.domain.state import decision_of
from tests.support.scenario import FLOOR_2016, SERVER, World, policy_for, reading

E = TypeVar("E")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
PATCHED = reading(build=FLOOR_2016)


def of_kind(events: list[e.Event], kind: type[E]) -> list[E]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def told(**changes: Any) -> Policy:
    """A policy, version 2, with other terms of notice."""
    notices = msgspec.structs.replace(policy_for().notices, **changes)
    return policy_for(version=2, notices=notices)


@pytest.mark.parametrize(
    ("delivered", "terms"),
    [(False, {"needed_for_blocking": False}), (True, {"hours_before_blocking": 1})],
)
def test_a_policy_that_asks_less_before_blocking_grants_it_from_now_on(delivered: bool, terms: dict[str, Any]) -> None:
    """Adopted on day 80, blocking begins with its first stage on day 80, not with the stage of day 80."""
    world = World(policy_for(notices=msgspec.structs.replace(policy_for().notices, hours_before_blocking=2400)))
    world.open_case()
    world.pass_time(HOUR)
    if delivered:
        world.settle()
    for _ in range(80):
        world.pass_time(DAY)
        world.see()
    assert world.kinds(world.adopt(told(**terms))) == ["PolicyAdopted", "BlockingGranted"]
    rows = world.fold.servers[SERVER].cases[0].rows[4:]
    assert [row.since - world.fold.law.now - SECOND for row in rows] == [days * DAY for days in (0, 10, 20, 30)]
    stage = of_kind(world.pass_time(HOUR), e.StageEntered)
    assert [(event.stage, event.block_minutes_per_hour) for event in stage] == [(5, 5)]


def test_a_policy_that_asks_less_changes_nothing_before_the_planned_day() -> None:
    """Blocking comes on its day, and a released case gets none."""
    world = World()
    world.open_case()
    for _ in range(40):
        world.pass_time(DAY)
        world.see()
    assert world.kinds(world.adopt(told(needed_for_blocking=False))) == ["PolicyAdopted"]
    world.see(PATCHED)
    assert world.kinds(world.adopt(policy_for(version=3), "request-2")) == ["PolicyAdopted"]


def test_notices_of_a_clock_that_was_stopped_do_not_count_for_the_next_one() -> None:
    """Delivered under the first clock, or settled late: blocking waits for a notice of the second."""
    world = World()
    world.open_case()
    world.pass_time(HOUR)
    first = world.fold.servers[SERVER].cases[0].pending[0].notice
    world.pass_time(30 * DAY)
    world.settle()
    assert world.fold.servers[SERVER].cases[0].delivered_law is not None
    world.pass_time(10 * DAY)
    pending = world.fold.servers[SERVER].cases[0].pending[0].notice
    world.adopt(policy_for("observe", 2))
    world.adopt(policy_for("enforce", 3), "request-2")
    for notice in (first, pending):
        late = of_kind(world.take(world.report(notice, SERVER)), e.RequestDecided)
        assert [event.outcome for event in late] == ["no effect"]
    assert world.fold.servers[SERVER].cases[0].delivered_law is None
    for _ in range(70):
        world.pass_time(DAY)
        world.see()
    assert not of_kind(world.events(), e.BlockingGranted)


def test_late_settled_notices_of_a_released_or_ended_case_change_nothing() -> None:
    """Released: noted. Ended: no effect, also where a new case is open."""
    world = World()
    world.open_case()
    world.pass_time(HOUR)
    notice = world.fold.servers[SERVER].cases[0].pending[0].notice
    world.see(PATCHED)
    decision = decision_of(world.fold.servers[SERVER])
    world.take(world.report(notice, SERVER, "failed"))
    assert decision_of(world.fold.servers[SERVER]) == decision
    world.pass_time(2 * DAY)
    assert world.fold.servers[SERVER].cases == ()
    world.open_case()
    again = of_kind(world.take(world.report(notice, SERVER)), e.RequestDecided)
    assert [event.outcome for event in again] == ["no effect"]
    assert world.fold.servers[SERVER].cases[0].delivered_law is None


def test_a_released_case_has_no_clock_to_stop() -> None:
    """It only waits for its end."""
    world = World()
    world.open_case()
    world.see(PATCHED)
    assert world.kinds(world.adopt(policy_for("observe", 2))) == ["PolicyAdopted"]


def test_clocks_change_in_the_order_of_the_servers_ids() -> None:
    """Whatever the order in which they were first seen."""
    world = World(policy_for("observe"))
    for name in ("b.alt.example", "a.alt.example"):
        world.open_case(name=name, helo=name)
    started = of_kind(world.adopt(policy_for("enforce", 2)), e.ClockStarted)
    assert [event.server[0] for event in started] == ["a", "b"]


def test_a_lower_count_of_hours_opens_at_the_next_reading_below_the_floor_and_at_no_other() -> None:
    """A reading that cannot tell opens nothing, though two hours are there."""
    world = World()
    world.see()
    world.pass_time(HOUR)
    world.see()
    world.adopt(policy_for(version=2, opening_hours=2))
    world.pass_time(HOUR)
    unclear = reading(build=Build(15, 1, 2507, 6), high=FLOOR_2016)
    assert world.kinds(world.see(unclear)) == ["ServerSighted"]
    assert world.kinds(world.see()) == ["ServerSighted", "CaseOpened"]


def test_a_policy_that_expires_cases_sooner_holds_for_open_ones() -> None:
    """What falls due is worked out anew for everybody."""
    world = World(policy_for("observe"))
    world.open_case()
    world.adopt(policy_for("observe", 2, expire_days=10))
    assert [event.expired for event in of_kind(world.pass_time(11 * DAY), e.CaseEnded)] == [True]


def test_no_blocking_begins_while_the_law_stands_still() -> None:
    """A policy that asks less, adopted in a freeze: the stage comes when the freeze is lifted."""
    world = World()
    world.open_case()
    for _ in range(62):
        world.pass_time(DAY)
        world.see()
    world.freeze("freeze-01", frozen=True)
    world.adopt(told(needed_for_blocking=False))
    case = world.fold.servers[SERVER].cases[0]
    assert case.rows[4].since > world.fold.law.now
    world.pass_time(DAY)
    assert case.rows[4].since > world.fold.law.now
    world.freeze("freeze-02", frozen=False)
    assert of_kind(world.pass_time(HOUR), e.StageEntered)


def test_notices_that_are_planned_before_day_0_come_on_day_0() -> None:
    """A policy may warn longer ahead than its stages are long."""
    notices = msgspec.structs.replace(policy_for().notices, before_throttling_days=365, before_blocking_days=365)
    world = World(policy_for(notices=notices))
    world.open_case()
    world.pass_time(HOUR)
    case = world.fold.servers[SERVER].cases[0]
    assert [notice.kind for notice in case.pending] == ["opening", "before-throttling", "before-blocking"]
    assert {notice.due_at for notice in case.pending} == {case.rows[0].since}


def test_changed_stages_are_for_later_cases() -> None:
    """A case keeps the schedule that its admin was told."""
    world = World()
    world.open_case()
    rows = world.fold.servers[SERVER].cases[0].rows
    world.adopt(policy_for(version=2, stages=policy_for().stages[:2]))
    assert world.fold.servers[SERVER].cases[0].rows == rows


def test_a_connector_that_a_policy_removes_is_only_observed() -> None:
    """Its cases stand at day 0."""
    world = World()
    world.open_case(peer="198.51.100.1")
    internet = policy_for().connectors[:1]
    assert world.kinds(world.adopt(policy_for(version=2, connectors=internet))) == ["PolicyAdopted", "ClockStopped"]


def test_cases_follow_the_connector_in_which_their_server_is_seen() -> None:
    """Renamed, the connector's cases stand still; seen there again, they start at day 0."""
    world = World()
    world.open_case()
    world.pass_time(DAY)
    renamed = Connector(name="world", kind="internet", owner="postmaster", mode="enforce")
    world.adopt(policy_for(version=2, connectors=(renamed,)))
    assert not world.fold.servers[SERVER].cases[0].enforced
    assert world.kinds(world.see(imported=True)) == ["ServerSighted"]
    world.pass_time(HOUR)
    assert world.kinds(world.see(reading(build=Build(15, 1, 2507, 6)))) == ["ServerSighted", "ClockStarted"]
    assert world.fold.servers[SERVER].cases[0].rows[0].since == world.fold.law.now


@pytest.mark.parametrize(("mode", "stopped"), [("observe", ["ex07.alt.example@plant"]), ("enforce", [])])
def test_a_case_moves_into_the_connector_in_which_its_server_is_seen_and_follows_its_mode(
    mode: str, stopped: list[str]
) -> None:
    """A policy puts the peer into a connector: the case is of the id there, and nothing of it is left under the old one."""
    world = World()
    world.open_case()
    world.pass_time(DAY)
    plant = Connector(name="plant", kind="on-premises", owner="it", ranges=("192.0.2.0/24",), mode=mode)  # type: ignore[arg-type]
    world.adopt(policy_for(version=2, connectors=(*policy_for().connectors, plant)))
    assert [event.server for event in of_kind(world.see(), e.ClockStopped)] == stopped
    assert world.fold.servers[SERVER].cases == ()
    assert world.fold.servers["ex07.alt.example@plant"].cases[0].enforced is not bool(stopped)


def test_a_cure_does_not_start_or_stop_what_it_releases() -> None:
    """Renamed connector and cure in one message: released, and that is all."""
    world = World()
    world.open_case()
    renamed = Connector(name="world", kind="internet", owner="postmaster", mode="enforce")
    world.adopt(policy_for(version=2, connectors=(renamed,)))
    assert world.kinds(world.see(PATCHED)) == ["ServerSighted", "CaseReleased"]
