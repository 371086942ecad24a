"""A case that is held is told as held: why, since when, until when; in the explanation, the list, what lies ahead, the timeline."""

from datetime import timedelta

import pytest

from services.cli.cases import cases_text
from services.status.timeline import Timelines
from shared.domain import events as e
from shared.domain.ahead import ahead_of, case_rows
from shared.domain.catalogue import load_catalogue
from shared.domain.explain import explain, plain
from shared.domain.explanation import HOLD_MEANS, CaseShown
from shared.domain.records import (
    AcknowledgeNotice,
    CorrectCase,
    DisputeCase,
    PauseAccount,
    ResolveCase,
    ResumeAccount,
)
from tests.support.scenario import SERVER, World, policy_for

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
    """And what ends it by itself; a case that runs says nothing of it."""
    world = World()
    world.open_case()
    case, text = told(world)
    assert case.holds == ()
    assert "clock stands" not in text
    assert "held:" not in listed(world)
    world.ask_of_case(DisputeCase)
    since = world.now
    world.pass_time(DAY)
    case, text = told(world)
    [hold] = case.holds
    assert (hold.reason, hold.since, hold.until) == ("dispute", since, since + 14 * DAY)
    assert (
        "Its clock stands and its mail passes since 2026-11-24 11:00 UTC, because its admin disputes it, "
        "until 2026-12-08 11:00 UTC at the latest." in text
    )
    assert "By itself, next, " in text
    assert "the case is no longer held (dispute), unless somebody decides before" in text
    assert "reported, held: dispute" in listed(world)
    steps = [
        step.what
        for step in ahead_of(world.fold.servers[SERVER], world.fold.law, world.fold.policy, until=world.now + 20 * DAY)
    ]
    assert "the case is no longer held (dispute), unless somebody decides before" in steps
    world.ask_of_case(ResolveCase, outcome="rejected")
    assert told(world)[0].holds == ()
    assert "held:" not in listed(world)


def test_a_case_may_be_held_for_two_reasons() -> None:
    """Both are told; it is held until the last is gone."""
    world = World()
    world.open_case()
    world.ask(PauseAccount, account=SERVER, days=3)
    world.ask_of_case(DisputeCase)
    case, text = told(world)
    assert {hold.reason for hold in case.holds} == {"pause", "dispute"}
    assert "because its account is paused." in text
    assert "held: pause, dispute" in listed(world)
    world.ask(ResumeAccount, account=SERVER)
    assert [hold.reason for hold in told(world)[0].holds] == ["dispute"]


def test_an_observed_case_is_not_called_held() -> None:
    """It stands at day 0 anyway; what was disputed waits until it is enforced."""
    world = World()
    world.open_case()
    world.ask_of_case(DisputeCase)
    world.adopt(policy_for("observe", version=2))
    assert told(world)[0].holds == ()
    assert "held:" not in listed(world)


@pytest.mark.parametrize("reason", HOLD_MEANS)
def test_each_reason_has_its_words(reason: str) -> None:
    """None is told by its tag."""
    assert HOLD_MEANS[reason]  # type: ignore[index]  # each of them is one


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
    assert events["case-held.v1"].what == "held, its mail passes: its admin disputes it"
    assert events["case-went-on.v1"].what == "no longer held (dispute): the case goes on where it stood"
    assert events["notice-acknowledged.v1"].delivered
    assert events["notice-acknowledged.v1"].what == "its admin has the notice: it counts as delivered"
    assert events["case-ended.v1"].what == "case ended: an operator corrected it"
    other = World()
    other.open_case()
    other.ask_of_case(DisputeCase)
    other.ask_of_case(ResolveCase, outcome="upheld")
    kept = Timelines()
    for record, _ in other.log:
        kept.note(record)
    assert kept.of(SERVER)[-1].what == "case ended: its dispute is upheld"
    assert isinstance(other.log[-1][0].event, e.CaseEnded)
