"""Mixed: a released case that is seen below its floor again before it has ended. A table of cases, and the whole way."""

from datetime import timedelta
from typing import Any

import pytest

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.policy import Policy, Relapses
from shared.domain.records import PauseAccount, ResolveCase, SetExemption
from shared.domain.verify import Audit
from tests.support.acts import aged, outcome
from tests.support.scenario import FLOOR_2016, SERVER, World, policy_for, reading

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PATCHED = reading(build=FLOOR_2016)


def cured(days: int = 45, *, policy: Policy | None = None) -> World:
    """A case so old is released, an hour ago."""
    world = aged(days, policy=policy)
    world.see(PATCHED)
    world.pass_time(HOUR)
    return world


def mixed(days: int = 45, *, policy: Policy | None = None) -> World:
    """And the old build is seen again."""
    world = cured(days, policy=policy)
    world.see()
    return world


def kinds(events: list[e.Event]) -> list[str]:
    """Names of the events."""
    return [type(event).__name__ for event in events]


def audited(world: World) -> str:
    """What an audit finds wrong."""
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    return audit.report().what


@pytest.mark.parametrize(
    ("what", "changes", "opens"),
    [
        (reading(), {}, True),
        (reading(build=Build(15, 1, 2507, 6)), {}, True),
        (PATCHED, {}, False),
        (reading(build=Build(15, 1, 2507, 6), high=FLOOR_2016), {}, False),  # nobody knows
        (reading(), {"imported": True}, False),
        (reading(), {"late": 2 * HOUR}, False),  # seen before the cure
        (reading("Microsoft Exchange 2007", None), {}, False),
        (reading(), {"helo": "other.example"}, False),
    ],
)
def test_what_opens_a_released_case_again(what: Any, changes: dict[str, Any], opens: bool) -> None:
    """A live reading below its floor, by a tie that opens, seen after the cure."""
    world = cured()
    facts = dict(changes)
    seen_at = world.now - facts.pop("late", timedelta())
    events = world.see(what, seen_at=seen_at, **facts)
    assert ("CaseMixed" in kinds(events)) == opens
    assert audited(world) == ""


@pytest.mark.parametrize("why", ["observed since", "exempt since", "ended"])
def test_what_is_not_enforced_any_more_is_not_opened_again(why: str) -> None:
    """It ends, as every released case."""
    world = cured()
    if why == "observed since":
        world.adopt(policy_for("observe", version=2), "to-observe")
    if why == "exempt since":
        world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=world.now + 9 * DAY)
    if why == "ended":
        world.pass_time(DAY)
    assert "CaseMixed" not in kinds(world.see())
    world.pass_time(2 * DAY)
    assert world.fold.servers[SERVER].cases == ()


def test_a_mixed_case_is_held_with_its_clock_as_it_was_released() -> None:
    """One row without minutes; its way of before stands behind it; the same number, and no edge is told of a new one."""
    world = cured()
    number = world.case().opened_seq
    events = world.see()
    assert kinds(events) == ["ServerSighted", "CaseMixed", "CaseHeld"]
    assert "mixed" in events[0].news  # type: ignore[union-attr]  # a sighting's
    case = world.case()
    assert (case.opened_seq, case.mixed, case.released_at, case.ends_law) == (number, True, None, None)
    assert [(row.throttle_minutes_per_hour, row.block_minutes_per_hour) for row in case.rows] == [(0, 0)]
    assert case.kept is not None
    assert [row.stage for row in case.kept.rows] == [3, 4]
    assert case.inherited is not None
    assert case.inherited // DAY == 45


def test_after_so_many_days_it_runs_on_by_itself() -> None:
    """With the row of its release; blocking waits for a notice of its own."""
    world = mixed(65, policy=policy_for(relapses=Relapses(mixed_days=3)))
    assert world.case().delivered_law is None
    world.pass_time(3 * DAY - HOUR)
    assert world.case().rows[0].throttle_minutes_per_hour == 0
    world.pass_time(2 * HOUR)
    assert [row.stage for row in world.case().rows] == [4]
    assert world.case().rows[0].throttle_minutes_per_hour == 20
    for _ in range(5):
        world.see()
        world.pass_time(DAY)
    assert [row.stage for row in world.case().rows] == [4]
    world.settle()
    world.see()
    world.pass_time(2 * DAY)
    assert [row.stage for row in world.case().rows] == [4, 5, 6, 7, 8]
    assert audited(world) == ""


def test_an_operator_may_let_it_run_on_at_once() -> None:
    """`resolve runs-on`; another time there is nothing to resolve."""
    world = mixed()
    assert outcome(world.ask_of_case(ResolveCase, outcome="runs-on")) == "done"
    assert [row.stage for row in world.case().rows] == [3, 4]
    assert outcome(world.ask_of_case(ResolveCase, outcome="runs-on")) == "no effect"


def test_the_old_cases_notices_are_settled_and_do_not_count() -> None:
    """The notice of the release, delivered late, lets nothing be blocked."""
    world = cured()
    pending = [one.notice for one in world.case().pending]
    world.see()
    for notice in pending:
        world.take(world.report(notice, SERVER))
    assert world.case().delivered_law is None


@pytest.mark.parametrize(("hours", "released"), [(3, False), (22, False), (25, True)])
def test_a_cure_releases_it_only_if_the_other_machine_was_not_seen_for_a_day(hours: int, released: bool) -> None:
    """Law time since the newest reading below the floor on record."""
    world = mixed()
    world.pass_time(hours * HOUR)
    assert ("CaseReleased" in kinds(world.see(PATCHED))) == released


def test_mixed_once_more_it_is_not_held_again() -> None:
    """It is open at once, with the row of its release."""
    world = mixed()
    world.ask_of_case(ResolveCase, outcome="runs-on")
    world.pass_time(2 * DAY)
    assert "CaseReleased" in kinds(world.see(PATCHED))
    world.pass_time(HOUR)
    assert kinds(world.see())[1:] == ["CaseMixed"]
    assert [row.stage for row in world.case().rows] == [3, 4]
    assert world.case().rows[0].throttle_minutes_per_hour == 10


def test_an_exemption_does_not_take_the_hold_away() -> None:
    """It stands meanwhile, and goes on to be held from its end until the day that was told."""
    world = mixed()
    (hold,) = world.case().holds
    world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=world.now + 2 * DAY)
    assert not world.case().enforced
    world.pass_time(3 * DAY)
    assert world.case().enforced
    assert [(one.reason, one.until) for one in world.case().holds] == [("mixed", hold.until)]
    assert world.case().rows[-1].throttle_minutes_per_hour == 0
    assert hold.until is not None
    world.pass_time(hold.until - world.fold.law.now + HOUR)
    assert world.case().holds == ()
    assert audited(world) == ""


def test_a_hold_that_ends_while_the_case_is_exempt_is_over_after_it() -> None:
    """Its 14 days are the law's, whatever else spares the case."""
    world = mixed()
    world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=world.now + 20 * DAY)
    world.pass_time(15 * DAY)
    assert (world.case().holds, world.case().enforced) == ((), False)
    world.pass_time(6 * DAY)
    assert (world.case().holds, world.case().enforced) == ((), True)
    assert audited(world) == ""


def test_it_is_held_for_a_pause_too_where_its_account_is_paused() -> None:
    """And goes on when both are over."""
    world = cured()
    world.ask(PauseAccount, account=SERVER, days=30)
    world.see()
    assert sorted(hold.reason for hold in world.case().holds) == ["mixed", "pause"]
    world.pass_time(20 * DAY)
    assert [hold.reason for hold in world.case().holds] == ["pause"]
    world.see()
    world.pass_time(11 * DAY)
    assert world.case().holds == ()


def test_a_cure_under_another_id_is_opened_again_by_the_very_next_message() -> None:
    """Though it says what was on record before: a repeat is news then."""
    world = aged(45)
    world.see(PATCHED, client_name="ex07.alt.example", client_resolve="ok")
    assert world.case().released_at is not None
    world.pass_time(HOUR)
    assert "CaseMixed" in kinds(world.see())


def test_of_a_release_by_older_rules_nothing_is_known_and_it_just_ends() -> None:
    """Its record does not say its clock."""
    world = cured()
    server = world.fold.servers[SERVER]
    import msgspec  # noqa: PLC0415  (only here)

    old = msgspec.structs.replace(server, cases=(msgspec.structs.replace(server.cases[0], past=None),))
    world.fold.servers.put(SERVER, old)
    assert "CaseMixed" not in kinds(world.see())
    world.pass_time(2 * DAY)
    assert world.fold.servers[SERVER].past == ()
