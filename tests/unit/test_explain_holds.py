"""A case that is held is told as held: why, since when, until when; in the explanation, the list, what lies ahead, the timeline."""

from datetime import timedelta

from services.cli.cases import cases_text
from services.status.timeline import Timelines
from shared.domain import events as e
from shared.domain.ahead import ahead_of, case_rows
from shared.domain.catalogue import load_catalogue
from shared.domain.explain import explain, plain
from shared.domain.explanation import CaseShown
from shared.domain.records import (
    AcknowledgeNotice,
    CorrectCase,
    DisputeCase,
    PauseAccount,
    ResolveCase,
    ResumeAccount,
)
from tests.support.scenario import SERVER, World

CATALOGUE = load_catalogue()
DAY = timedelta(days=1)


def told(world: World) -> tuple[CaseShown, str]:
    """The one case, and all of its server in words."""
    server = world.fold.servers[SERVER]
    found = explain(server, world.fold.law, world.fold.policy, CATALOGUE, now=world.now)
    return found.cases[0], "\n".join(plain(found))


def listed(world: World) -> str:
    """The line of the list."""
    rows = list(case_rows(world.fold.servers[SERVER], world.fold.law, world.fold.policy))
    return list(cases_text(rows))[1]


def test_a_disputed_case_says_since_when_and_until_when() -> None:
    """And what ends it by itself; a case that runs says nothing of it. Its number stands in front."""
    world = World()
    world.open_case()
    case, text = told(world)
    assert case.held == ()
    assert "disputes" not in text
    assert "  held  " not in listed(world)
    world.ask_of_case(DisputeCase)
    since = world.now
    world.pass_time(DAY)
    case, text = told(world)
    [hold] = case.held
    assert (hold.reason, hold.since, hold.until) == ("dispute", since, since + 14 * DAY)
    assert (
        "Its admin disputes it, since 2026-11-24 11:00 UTC; it waits for an operator, until 2026-12-08 11:00 UTC"
        in text
    )
    assert f"Case {case.opened_seq} about" in text
    assert "the case goes on: nobody decided the dispute" in text
    assert listed(world).startswith(f"{case.opened_seq}  ")
    assert "  held  " in listed(world)
    law, policy = world.fold.law, world.fold.policy
    steps = [step.what for step in ahead_of(world.fold.servers[SERVER], law, policy, until=world.now + 20 * DAY)]
    assert "the case goes on: nobody decided the dispute" in steps
    world.ask_of_case(ResolveCase, outcome="rejected")
    assert told(world)[0].held == ()
    assert "  held  " not in listed(world)


def test_a_case_may_be_held_for_two_reasons() -> None:
    """Both are told; it is held until the last is gone."""
    world = World()
    world.open_case()
    world.ask(PauseAccount, account=SERVER, days=3)
    world.ask_of_case(DisputeCase)
    case, text = told(world)
    assert {hold.reason for hold in case.held} == {"pause", "dispute"}
    assert "Its account is paused, since 2026-11-24 11:00 UTC, until 2026-11-27 00:00 UTC." in text
    world.ask(ResumeAccount, account=SERVER)
    assert [hold.reason for hold in told(world)[0].held] == ["dispute"]


def test_the_timeline_tells_acts_in_words() -> None:
    """Held, gone on, acknowledged, corrected, upheld: none is told by its tag."""
    world = World()
    world.open_case()
    world.ask_of_case(AcknowledgeNotice)
    world.ask_of_case(DisputeCase)
    world.ask_of_case(ResolveCase, outcome="rejected")
    world.ask_of_case(CorrectCase)
    timelines = Timelines()
    for record, _ in world.log:
        timelines.note(record)
    events = {event.kind: event for event in timelines.of(SERVER)}
    assert events["case-held.v1"].what == "held: its admin disputes it; mail passes and the clock stands"
    assert events["case-went-on.v1"].what == "goes on: no longer held because its admin disputes it"
    assert events["notice-acknowledged.v1"].delivered
    assert events["notice-acknowledged.v1"].what == "notice acknowledged: it counts as delivered"
    assert events["case-ended.v1"].what.startswith("case ended: an operator said")
    other = World()
    other.open_case()
    other.ask_of_case(DisputeCase)
    other.ask_of_case(ResolveCase, outcome="upheld")
    kept = Timelines()
    for record, _ in other.log:
        kept.note(record)
    assert kept.of(SERVER)[-1].what.startswith("case ended: its dispute was upheld")
    assert isinstance(other.log[-1][0].event, e.CaseEnded)
