"""What people are told of acts: explanations, lists, what is ahead, the timeline, another policy's world, and the notifier."""

import pytest

from services.notifier.ledger import Ledger
from services.status.timeline import Timelines
from shared.domain import events as e
from shared.domain.ahead import ahead_of, case_rows
from shared.domain.catalogue import load_catalogue
from shared.domain.explain import explain, plain
from shared.domain.explanation import Explanation
from shared.domain.policy_diff import PolicyDiff
from shared.domain.records import (
    AcknowledgeNotice,
    CorrectCase,
    DisputeCase,
    LiftStruck,
    PauseAccount,
    ResolveCase,
    ResumeAccount,
    SetExemption,
)
from shared.domain.whatif import Replay
from tests.support.acts import BRANCH, DAY, IN_BRANCH, acts_story, aged
from tests.support.scenario import SERVER, World, policy_for


def explained(world: World, name: str) -> Explanation:
    """All that is known of the server."""
    fold = world.fold
    return explain(fold.servers[name], fold.law, fold.policy, load_catalogue(), now=world.now)


def lines(world: World, name: str) -> str:
    """In plain words."""
    return "\n".join(plain(explained(world, name)))


def paused() -> World:
    """In the connector, 35 days old, paused for three days."""
    world = aged(35, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=3)
    return world


def test_a_paused_case_says_until_when_and_that_its_mail_passes() -> None:
    """And what comes next by itself is that it goes on."""
    world = paused()
    found = explained(world, BRANCH)
    assert (found.state, found.verdict.action) == ("held", "accept")
    assert "it is held: its mail passes, and its clock stands" in lines(world, BRANCH)
    assert "Its account is paused, since 2026-12-29 11:00 UTC, until 2027-01-01 00:00 UTC." in lines(world, BRANCH)
    assert "By itself, next, 2027-01-01 00:00 UTC: the case goes on: the pause is over." in lines(world, BRANCH)


def test_a_disputed_case_says_until_when_at_the_latest() -> None:
    """If no operator decides."""
    world = aged(35)
    world.ask_of_case(DisputeCase)
    assert (
        "Its admin disputes it, since 2026-12-29 11:00 UTC; it waits for an operator, until 2027-01-12 11:00 UTC"
        in (lines(world, SERVER))
    )


@pytest.mark.parametrize("hold", ["pause", "dispute"])
def test_what_is_ahead_of_a_held_case_is_what_comes_if_nothing_else_happens(hold: str) -> None:
    """The end of its hold first, then the rest, as much later; and that is what the days bring."""
    world = paused()
    if hold == "dispute":
        world.ask(ResumeAccount, account="it")
        world.ask_of_case(DisputeCase, BRANCH)
    fold = world.fold
    until = world.now + 40 * DAY
    ahead = [
        (one.not_before, one.event)
        for one in ahead_of(fold.servers[BRANCH], fold.law, fold.policy, until=until)
        if one.event
    ]
    (row,) = case_rows(fold.servers[BRANCH], fold.law, fold.policy)
    assert (row.state, row.next_at) == ("held", ahead[0][0])
    before = len(world.log)
    world.pass_time(40 * DAY)
    kept = ("case-went-on.v1", "stage-entered.v1", "notice-due.v1", "blocking-granted.v1")
    came = [(record.due, str(record.event.__struct_config__.tag)) for record, _ in world.log[before:]]
    assert ahead == [one for one in came if one[1] in kept]
    assert len(ahead) > 3


def test_the_timeline_tells_each_act_in_words() -> None:
    """No tag of the log is shown to people."""
    timelines = Timelines()
    world = acts_story()
    for record, _ in world.log:
        timelines.note(record)
    told = [event.what for event in timelines.of(BRANCH)]
    assert not [what for what in told if ".v1" in what]
    assert "held: its account is paused; mail passes and the clock stands" in told
    assert "goes on: no longer held because its admin disputes it" in told
    assert [event.delivered for event in timelines.of(BRANCH) if event.kind == "notice-acknowledged.v1"] == [True]


def test_an_acknowledged_notice_is_not_sent_any_more() -> None:
    """The notifier forgets what its admin has already."""
    world, ledger = aged(0, told="pending"), Ledger()
    for offset, (record, _) in enumerate(world.log):
        ledger.note(offset, record)
    assert len(ledger.open) == 1
    before = len(world.log)
    world.ask_of_case(AcknowledgeNotice)
    for offset, (record, _) in enumerate(world.log[before:], start=before):
        ledger.note(offset, record)
    assert ledger.open == {}


def test_another_policys_diff_knows_who_is_exempt() -> None:
    """An exempt server does not start because a policy is adopted."""
    world = aged(35)
    world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=world.now + 9 * DAY)
    fold = world.fold
    server, policy = fold.servers[SERVER], policy_for(version=2)
    assert PolicyDiff(fold.policy, policy, fold.law, reprieves=fold.reprieves).of(server) == ()
    assert [one.changes for one in PolicyDiff(fold.policy, policy, fold.law).of(server)] == [("starts",)]


def test_what_if_the_same_policy_had_been_in_force_all_acts_come_out_the_same() -> None:
    """Acts are inputs: decided again, on the cases of the other world, whatever their numbers there."""
    world = acts_story()
    replay = Replay(policy_for(version=9))
    for record, stored in world.log:
        replay.take(record, stored)
    other = replay.report()
    assert {"case: held (pause)", "case: held (dispute)"} <= _happenings(world)
    assert [one for one in other.differences if "held" in one.what and one.other is None] == []


def _happenings(world: World) -> set[str]:
    return {f"case: held ({record.event.reason})" for record, _ in world.log if isinstance(record.event, e.CaseHeld)}


def test_struck_readings_are_told_as_ended_by_an_operator() -> None:
    """Not as a release."""
    timelines = Timelines()
    world = aged(2)
    world.ask_of_case(DisputeCase)
    world.ask_of_case(ResolveCase, outcome="upheld")
    world.ask(LiftStruck, server=SERVER)
    world.pass_time(DAY)
    world.open_case()
    world.ask_of_case(CorrectCase)
    for record, _ in world.log:
        timelines.note(record)
    told = " ".join(event.what for event in timelines.of(SERVER))
    assert "its dispute was upheld" in told
    assert "should never have been" in told
