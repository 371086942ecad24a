"""What lies ahead of a server, held against what then really happens, and how it is listed."""

import csv
import io
from datetime import date, datetime, timedelta

import msgspec
import pytest

from services.cli.__main__ import run
from services.cli.cases import cases_text, csv_text, due_of, due_text, wanted_cases
from services.cli.live_state import Live
from shared.domain import events as e
from shared.domain.ahead import Ahead, CaseRow, ahead_of, case_rows, floors_ahead
from shared.domain.build import Build
from shared.domain.floors import FloorWave
from tests.support.scenario import E2016, FLOOR_2016, SERVER, World, policy_for, reading


def ahead(world: World, days: float) -> list[Ahead]:
    """Of the one server."""
    until = world.fold.law.h + timedelta(days=days)
    return list(ahead_of(world.fold.servers[SERVER], world.fold.law, world.fold.policy, until=until))


def case_of(world: World) -> CaseRow:
    """The one case."""
    [row] = case_rows(world.fold.servers[SERVER], world.fold.law, world.fold.policy)
    return row


def world_with_case(mode: str = "enforce", *, settled: bool = True) -> World:
    """A case whose opening notice was delivered, or not."""
    world = World(policy_for(mode))
    world.open_case()
    world.pass_time(timedelta(hours=1))
    if settled:
        world.settle()
    return world


@pytest.mark.parametrize("settled", [True, False])
def test_what_is_told_ahead_is_what_happens_when_nothing_else_does(settled: bool) -> None:
    """The same events at the same instants, as long as the case lives, up to its expiry."""
    world = world_with_case(settled=settled)
    told = [(step.not_before, step.event) for step in ahead(world, 100) if step.event]
    before = len(world.log)
    world.pass_time(timedelta(days=100))
    happened = [
        (record.due, record.event.__struct_config__.tag)
        for record, _ in world.log[before:]
        if not isinstance(record.event, e.Checkpoint)
    ]
    assert told == happened
    assert told[-1][1] == "case-ended.v1"
    assert len(told) > 8


def test_blocking_that_waits_for_a_notice_says_so_and_when_it_could_come() -> None:
    """Not before a day behind a notice that would be delivered now; it is not told where it lies beyond the end."""
    world = world_with_case(settled=False)
    for _ in range(8):
        world.pass_time(timedelta(days=7))
        world.see()
    [waiting] = [step for step in ahead(world, 14) if step.blocked_by == "notice missing"]
    assert waiting.what == "blocking begins with stage 5"
    opened = world.fold.servers[SERVER].cases[0].rows[0].since
    assert waiting.not_before == opened + timedelta(days=60)
    assert all(step.blocked_by != "notice missing" for step in ahead(world, 1))
    world.freeze("freeze-001", frozen=True)
    assert {step.blocked_by for step in ahead(world, 14)} == {"frozen"}
    assert any(step.what == waiting.what for step in ahead(world, 14))
    world.freeze("freeze-002", frozen=False)
    world.settle()
    assert all(step.blocked_by != "notice missing" for step in ahead(world, 14))
    assert any(step.event == "blocking-granted.v1" for step in ahead(world, 14))


def test_a_notice_that_nobody_told_of_is_the_first_to_be_seen() -> None:
    """The notifier is late, or dead."""
    world = world_with_case(settled=False)
    first = ahead(world, 1)[0]
    assert (first.what, first.blocked_by) == ("the opening notice is sent", "notice not settled")
    assert first.not_before <= world.now


def test_while_the_law_stands_still_everything_is_kept_back_by_that() -> None:
    """Frozen, and blind; dates are as if it ended now."""
    world = world_with_case()
    free = [step.not_before for step in ahead(world, 40)]
    world.freeze("freeze-001", frozen=True)
    assert {step.blocked_by for step in ahead(world, 40)} == {"frozen"}
    assert [step.not_before for step in ahead(world, 40)] == free
    world.pass_time(timedelta(days=2))
    late = [step.not_before for step in ahead(world, 40)]
    assert late[0] == free[0] + timedelta(days=2)
    world.freeze("freeze-002", frozen=False)
    world.pass_time(timedelta(days=1), watched=False)
    assert {step.blocked_by for step in ahead(world, 40)} == {"blind"}


def test_looking_ahead_is_bounded_by_the_end() -> None:
    """Nothing beyond it, and all that is on it."""
    world = world_with_case()
    [first, *_] = ahead(world, 40)
    exactly = (first.not_before - world.fold.law.h) / timedelta(days=1)
    assert [step.not_before for step in ahead(world, exactly)] == [first.not_before]
    assert ahead(world, exactly - 0.001) == []


def test_floors_that_take_effect_in_that_time_are_told() -> None:
    """From the day after today on; of the whole product, too."""
    waves = tuple(
        FloorWave(product=f"p{day}", effective=date(2026, 12, day), builds=builds, source="test")
        for day, builds in ((1, ()), (2, ()), (3, (FLOOR_2016,)), (4, ()))
    )
    found = floors_ahead(policy_for(floors=waves), after=date(2026, 12, 1), until=date(2026, 12, 3))
    assert [(step.product, step.not_before.day, step.what) for step in found] == [
        ("p2", 2, "a floor takes effect: none is acceptable any more"),
        ("p3", 3, "a floor takes effect: 15.1.2507.61"),
    ]


def test_a_case_in_the_list_has_its_stage_since_when_and_what_comes_next() -> None:
    """In every state that it comes through."""
    world = world_with_case("observe")
    assert case_of(world).state == "observed"
    world.adopt(policy_for(version=2))
    row = case_of(world)
    assert (row.state, row.stage, row.since, row.shown) == ("reported", 1, world.now, "15.1.2507.39")
    world.pass_time(timedelta(days=32))
    row = case_of(world)
    assert (row.state, row.stage, row.next_step) == (
        "throttled",
        2,
        "stage 3 begins (10 minutes an hour deferred, 0 refused)",
    )
    assert (row.since, row.next_at) == (
        row.opened_at + timedelta(days=30, hours=2),
        row.opened_at + timedelta(days=40, hours=2),
    )
    world.see(reading(build=Build(15, 1, 2507, 61)))
    row = case_of(world)
    assert (row.state, row.stage, row.since, row.next_step) == ("released", 0, None, "the released case ends")


def test_cases_are_chosen_by_state_and_connector() -> None:
    """Both, one of them, or none."""
    world = world_with_case()
    server, now = world.fold.servers[SERVER], Live(world.fold.law, world.fold.policy)
    for states, connector, many in (
        (set(), "", 1),
        ({"reported"}, "internet", 1),
        ({"blocked"}, "", 0),
        (set(), "branch", 0),
    ):
        assert len(wanted_cases(server, now, frozenset(states), connector)) == many  # type: ignore[arg-type]


def test_lists_are_tables_and_csv() -> None:
    """What stands in the one stands in the other."""
    world = world_with_case()
    now = Live(world.fold.law, world.fold.policy)
    row = case_of(world)
    assert list(cases_text([row]))[1].startswith(f"{row.case}     {SERVER}  {E2016}  reported  1")
    assert list(cases_text([]))[-1] == "0 cases."
    read = list(csv.DictReader(io.StringIO(csv_text(CaseRow.__struct_fields__, [row]))))
    assert read[0]["server"] == SERVER
    assert datetime.fromisoformat(read[0]["opened_at"]) == row.opened_at
    until = world.now + timedelta(days=40)
    found = due_of(now, world.now, until, ahead(world, 40))
    assert [step.not_before for step in found.steps] == sorted(step.not_before for step in found.steps)
    lines = list(due_text(found, 40))
    assert len(lines) == len(found.steps) + 2
    assert "before throttling" in lines[1]
    told = msgspec.json.decode(msgspec.json.encode(found))
    assert told["steps"][0]["server"] == SERVER


@pytest.mark.parametrize(
    "arguments", [["cases", "--json", "--csv"], ["cases", "--state", "angry"], ["due", "--days", "-1"]]
)
def test_a_wrong_question_is_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is read."""
    assert run(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
