"""What people ask for: each act of `docs/architecture/acts.md`, a rule a test."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.acts import STRUCK_MAX
from shared.domain.build import Build
from shared.domain.holds import clock_of
from shared.domain.records import DisputeCase, ResolveCase, SignBlocking
from shared.domain.state import Case
from tests.support.acts import aged, outcome
from tests.support.scenario import E2007, FLOOR_2016, SERVER, World, policy_for, reading

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def ways(case: Case, start: Any) -> list[Any]:
    """All that is ahead of a case, as distances from *start*."""
    return [
        [(row.stage, row.since - start) for row in (*case.rows, *case.blocking)],
        [(notice.kind, notice.since - start) for notice in case.planned],
    ]


# --- disputes --------------------------------------------------------------------------------------------------------


def test_a_disputed_case_has_one_row_without_minutes_from_now_on() -> None:
    """Edges need to know nothing of holds."""
    world = aged(35)
    assert world.kinds(world.ask_of_case(DisputeCase)) == ["RequestDecided", "CaseHeld"]
    (row,) = world.case().rows
    assert (row.since, row.stage) == (world.fold.law.now, 2)
    assert (row.throttle_minutes_per_hour, row.block_minutes_per_hour) == (0, 0)


def test_nothing_falls_due_for_a_held_case_but_its_end() -> None:
    """No stage, no notice, for all the days of the dispute; then it goes on by itself."""
    world = aged(28)
    world.ask_of_case(DisputeCase)
    assert world.pass_time(14 * DAY - timedelta(seconds=1)) == []
    assert world.kinds(world.pass_time(timedelta(seconds=1))) == ["CaseWentOn"]


def test_a_case_that_goes_on_has_all_of_it_later_by_as_long_as_it_was_held() -> None:
    """Rows, blocking rows and notices keep every distance, and the clock stood."""
    world = aged(44)
    case, clock = world.case(), clock_of(world.case(), world.fold.law)
    before = ways(case, case.rows[0].since)
    world.ask_of_case(DisputeCase)
    world.pass_time(5 * DAY)
    assert clock_of(world.case(), world.fold.law) == clock
    world.ask_of_case(ResolveCase, outcome="rejected")
    after = world.case()
    assert clock_of(after, world.fold.law) == clock
    assert after.rows[0].since == case.rows[0].since + 5 * DAY
    assert ways(after, after.rows[0].since) == before
    assert (after.entered, after.holds, after.kept) == (case.entered, (), None)


def test_time_in_which_the_law_stood_still_is_not_taken_for_time_held() -> None:
    """A freeze inside a dispute stops both clocks once."""
    world = aged(35)
    clock = clock_of(world.case(), world.fold.law)
    world.ask_of_case(DisputeCase)
    world.freeze("freeze-01", frozen=True)
    world.pass_time(3 * DAY)
    world.freeze("freeze-02", frozen=False)
    world.pass_time(DAY)
    world.ask_of_case(ResolveCase, outcome="rejected")
    assert clock_of(world.case(), world.fold.law) == clock


def test_a_case_whose_notice_arrives_while_it_is_held_is_not_blocked_backwards() -> None:
    """On day 70 without a notice, told in a dispute of ten days: the first blocking row begins when it goes on, not before."""
    world = aged(70, told="failed")
    world.ask_of_case(DisputeCase)
    world.take(world.report(world.case().pending[0].notice, SERVER)) if world.case().pending else None
    world.pass_time(10 * DAY)
    world.ask_of_case(ResolveCase, outcome="rejected")
    now = world.fold.law.now
    world.pass_time(40 * DAY)
    blocking = [row.since for row in world.case().rows if row.block_minutes_per_hour]
    assert all(since >= now for since in blocking)


def test_a_dispute_is_possible_once_a_case() -> None:
    """Whatever became of the first."""
    world = aged(1)
    world.ask_of_case(DisputeCase)
    assert outcome(world.ask_of_case(DisputeCase)) == "refused"
    world.ask_of_case(ResolveCase, outcome="rejected")
    assert outcome(world.ask_of_case(DisputeCase)) == "refused"


def test_a_dispute_that_is_upheld_ends_the_case_and_its_reading_opens_nothing() -> None:
    """Whoever was right is left alone; another build of the same product is another matter."""
    world = aged(35)
    world.ask_of_case(DisputeCase)
    assert world.kinds(world.ask_of_case(ResolveCase, outcome="upheld")) == ["RequestDecided", "CaseEnded"]
    assert world.fold.servers[SERVER].cases == ()
    world.open_case()
    assert world.fold.servers[SERVER].cases == ()
    assert world.fold.servers[SERVER].hours == ()
    world.open_case(reading(build=Build(15, 1, 2507, 6)))
    assert world.case().floor.builds == (FLOOR_2016,)


def test_what_is_struck_where_the_newest_reading_is_of_another_product_is_all_of_the_product() -> None:
    """Which builds were accused is not known any more; in doubt the milder."""
    world = aged(2)
    world.see(reading(E2007, None))
    case = world.fold.servers[SERVER].cases[0]
    world.ask(DisputeCase, server=SERVER, case=case.opened_seq)
    world.ask(ResolveCase, server=SERVER, case=case.opened_seq, outcome="upheld")
    world.open_case(reading(build=Build(15, 1, 2507, 6)))
    assert world.fold.servers[SERVER].cases == ()


def test_at_the_bound_of_struck_readings_one_more_is_refused() -> None:
    """And the case stays as it is, disputed."""
    world = World()
    for number in range(STRUCK_MAX + 1):
        build = Build(15, 1, 2507, number)
        world.open_case(reading(build=build))
        world.ask_of_case(DisputeCase)
        decided = outcome(world.ask_of_case(ResolveCase, outcome="upheld"))
        assert decided == ("done" if number < STRUCK_MAX else "refused")
    assert world.case().held_for("dispute") is not None


def test_a_disputed_case_that_is_observed_and_enforced_again_is_still_held() -> None:
    """At day 0, until the operator decides."""
    world = aged(35)
    world.ask_of_case(DisputeCase)
    until = world.case().holds[0].until
    world.adopt(policy_for("observe", 2))
    assert (world.case().enforced, world.case().kept) == (False, None)
    assert world.kinds(world.adopt(policy_for("enforce", 3), "request-2")) == [
        "PolicyAdopted",
        "ClockStarted",
        "CaseHeld",
    ]
    (held,) = world.case().holds
    assert held.until == until
    world.ask_of_case(ResolveCase, outcome="rejected")
    assert clock_of(world.case(), world.fold.law) == timedelta()
    assert world.case().planned[0].kind == "opening"


def test_a_held_case_is_released_by_a_cure_like_any_other() -> None:
    """And nothing holds it any more."""
    world = aged(35)
    world.ask_of_case(DisputeCase)
    world.see(reading(build=FLOOR_2016))
    case = world.case()
    assert (case.released_at, case.holds, case.kept, len(case.rows)) == (world.now, (), None, 4)
    world.pass_time(2 * DAY)
    assert world.fold.servers[SERVER].cases == ()


def test_a_held_case_expires_like_any_other() -> None:
    """A server that is gone is not kept for its dispute."""
    world = World(policy_for(expire_days=10))
    world.open_case()
    world.ask_of_case(DisputeCase)
    ended = [event for event in world.pass_time(11 * DAY) if isinstance(event, e.CaseEnded)]
    assert [event.expired for event in ended] == [True]


@pytest.mark.parametrize("kind", [DisputeCase, ResolveCase])
def test_an_act_on_a_case_that_closed_a_second_ago_has_no_effect(kind: Any) -> None:
    """And says so, whatever cases the server has by now."""
    world = aged(1)
    seq = world.case().opened_seq
    world.see(reading(build=FLOOR_2016))
    world.pass_time(DAY + timedelta(seconds=1))
    more = {"outcome": "rejected"} if kind is ResolveCase else {}
    assert outcome(world.ask(kind, server=SERVER, case=seq, **more)) == "no effect"


def test_a_held_case_may_be_signed_where_blocking_needs_no_notice() -> None:
    """Nothing of it depends on whether the case runs: there is nothing to sign, and that is told."""
    needed = msgspec.structs.replace(policy_for().notices, needed_for_blocking=False)
    world = aged(35, policy=policy_for(notices=needed))
    plain = outcome(world.ask_of_case(SignBlocking, stage=5))
    world.ask_of_case(DisputeCase)
    assert outcome(world.ask_of_case(SignBlocking, stage=5)) == plain
