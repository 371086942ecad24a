"""Holds: what a held case shows, and how it goes on. A table of cases a rule."""

from datetime import timedelta

import pytest

from shared.domain import events as e
from shared.domain.accounts import midnight_after
from shared.domain.records import DisputeCase, PauseAccount, ResolveCase
from tests.support.acts import BRANCH, IN_BRANCH, aged
from tests.support.scenario import FLOOR_2016, SERVER, policy_for, reading

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
NO_TIME = timedelta()


@pytest.mark.parametrize(("days", "stages"), [(35, [1, 2, 3, 4]), (62, [1, 2, 3, 4, 5, 6, 7, 8])])
def test_a_case_goes_on_with_all_of_its_way_later_by_as_long_as_it_was_held(days: int, stages: list[int]) -> None:
    """Whether it waits for blocking or is blocked already: the row of before is in force again, each distance as it was."""
    world = aged(days)
    before = world.case()
    assert [row.stage for row in before.rows] == stages
    world.ask_of_case(DisputeCase)
    world.pass_time(3 * DAY)
    world.ask_of_case(ResolveCase, outcome="rejected")
    after = world.case()
    later = [(row.stage, row.since + 3 * DAY) for row in (*before.rows, *before.blocking)]
    assert [(row.stage, row.since) for row in (*after.rows, *after.blocking)] == later
    assert [row.stage for row in after.rows] == stages
    assert [notice.since for notice in after.planned] == [notice.since + 3 * DAY for notice in before.planned]
    assert (after.entered, after.holds, after.kept) == (before.entered, (), None)


@pytest.mark.parametrize(("days", "behind_now"), [(59, 1), (66, 0)])
def test_blocking_that_waits_for_its_grant_waits_on_from_now_at_least(days: int, behind_now: int) -> None:
    """Its day is yet to come, or was gone before the hold: nothing is granted backwards that became free meanwhile."""
    world = aged(days, told="failed")
    before = world.case().blocking
    began = world.fold.law.now
    world.ask_of_case(DisputeCase)
    world.pass_time(5 * DAY)
    world.ask_of_case(ResolveCase, outcome="rejected")
    first = world.case().blocking[0].since
    assert (first > world.fold.law.now) is bool(behind_now)
    assert first == max(before[0].since + (world.fold.law.now - began), world.fold.law.now)
    assert [row.since - first for row in world.case().blocking] == [row.since - before[0].since for row in before]


def test_a_case_that_begins_while_it_is_disputed_and_its_account_is_paused_is_held_for_both_from_day_0() -> None:
    """At its first stage; the dispute ends when it would have, the pause at the midnight of its last day."""
    world = aged(35, **IN_BRANCH)
    world.ask_of_case(DisputeCase, BRANCH)
    disputed = world.case(BRANCH).held_for("dispute")
    assert disputed is not None
    world.adopt(policy_for("observe", version=2), "to-observe")
    world.ask(PauseAccount, account="it", days=3)
    begun = world.adopt(policy_for(version=3), "to-enforce")
    assert world.kinds(begun) == ["PolicyAdopted", "ClockStarted", "CaseHeld", "CaseHeld"]
    dispute, pause = (event for event in begun if isinstance(event, e.CaseHeld))
    now = world.fold.law.now
    assert [(one.reason, one.row.stage, one.row.since) for one in (dispute, pause)] == [
        ("dispute", 1, now),
        ("pause", 1, now),
    ]
    assert (dispute.until, dispute.ends) == (disputed.until, None)
    assert (pause.until, pause.ends) == (None, midnight_after((world.now + 2 * DAY).date()))
    assert {one.product for one in (dispute, pause)} == {world.case(BRANCH).product}


@pytest.mark.parametrize("state", ["runs", "disputed", "observed, and disputed before", "paused"])
def test_a_released_case_has_nothing_ahead_and_nothing_holds_it(state: str) -> None:
    """No row that waits, no notice, no turn, no hold: only its end."""
    world = aged(35)
    if state == "paused":
        world.ask(PauseAccount, account=SERVER, days=3)
    if "disputed" in state:
        world.ask_of_case(DisputeCase)
    if "observed" in state:
        world.adopt(policy_for("observe", version=2), "to-observe")
        assert world.case().holds
    rows = (world.case().kept or world.case()).rows
    world.see(reading(build=FLOOR_2016))
    case = world.case()
    assert (case.blocking, case.planned, case.holds, case.kept, case.waits) == ((), (), (), None, None)
    assert case.rows == rows
    assert case.ends_law == world.fold.law.now + DAY
