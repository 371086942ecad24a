"""What people are told of acts: explanations, lists, what is ahead, the timeline, another policy's world, and the notifier."""

from typing import Any, Literal

import pytest

from services.notifier.ledger import Ledger
from services.notifier.texts import Signature, write
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
from tests.support.notices import contact
from tests.support.scenario import FLOOR_2016, PEER, SERVER, World, policy_for, reading


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


# --- exempt, and back again ------------------------------------------------------------------------------------------


def exempted(kind: Literal["server", "peer", "connector"], target: str, **of_facts: Any) -> World:
    """35 days old, and then exempt for nine days."""
    world = aged(35, **of_facts)
    world.ask(SetExemption, kind=kind, target=target, owner="ben", until=world.now + 9 * DAY)
    return world


def shown_with_exemptions(world: World, name: str) -> Explanation:
    """As the command and the page show it."""
    fold = world.fold
    exemptions = fold.reprieves.in_force()
    return explain(fold.servers[name], fold.law, fold.policy, load_catalogue(), now=world.now, exemptions=exemptions)


@pytest.mark.parametrize(
    ("kind", "target", "name"),
    [("server", SERVER, SERVER), ("connector", "branch", BRANCH), ("server", BRANCH, BRANCH)],
)
def test_an_exempt_server_says_by_what_until_when_and_who_answers(
    kind: Literal["server", "connector"], target: str, name: str
) -> None:
    """Not that it were the policy's word."""
    world = exempted(kind, target, **(IN_BRANCH if name == BRANCH else {}))
    found = shown_with_exemptions(world, name)
    assert (found.state, found.verdict.action) == ("observed", "accept")
    assert found.verdict.why == "exempt: nothing of it is slowed or refused"
    told = f"Exempt, until 2027-01-07 11:00 UTC: {kind} {target}; ben answers for that."
    assert told in plain(found)


def test_an_exempt_peer_passes_before_its_server_is_seen_from_there_again() -> None:
    """Edges let it pass from the act on; the case hears of it with the next news."""
    world = exempted("peer", PEER)
    found = shown_with_exemptions(world, SERVER)
    assert (found.exempt[0].target, found.verdict.action, found.state) == (PEER, "accept", "throttled")


def test_exemptions_of_others_are_not_shown() -> None:
    """Of each kind one that matches nothing of it."""
    world = aged(35)
    world.ask(SetExemption, kind="peer", target="192.0.2.99", owner="ben", until=world.now + DAY)
    world.ask(SetExemption, kind="connector", target="branch", owner="ben", until=world.now + DAY)
    found = shown_with_exemptions(world, SERVER)
    assert (found.exempt, found.state) == ((), "throttled")


def test_a_relapse_says_which_clock_counts() -> None:
    """Else nobody understands why a new case begins with minutes."""
    world = aged(45)
    world.see(reading(build=FLOOR_2016))
    world.pass_time(5 * DAY)
    world.open_case()
    case = explained(world, SERVER).cases[-1]
    assert case.inherited_s is not None
    assert case.inherited_s / 86_400 == pytest.approx(45, abs=0.2)
    assert "An earlier case had been released, and the old software came back: its clock of 45.0 days counts." in lines(
        world, SERVER
    )


def test_the_opening_notice_of_a_relapse_does_not_say_that_all_mail_passes() -> None:
    """It is delayed from the first minute on."""
    world = aged(45)
    world.see(reading(build=FLOOR_2016))
    world.pass_time(5 * DAY)
    world.open_case()
    notices = [event for event in world.events() if isinstance(event, e.NoticeDue) and event.kind == "opening"]
    signed = Signature(receiver="Example Ltd", whom="postmaster@mx.example")
    first, again = (
        " ".join(write(notice, notice.opened_at, contact(), load_catalogue(), signed).body.split())
        for notice in notices
    )
    assert "For now all of its mail passes as before." in first
    assert "some of its mail is delayed from now on, in 10 minutes of each hour" in again
    assert "passes as before" not in again


def test_a_case_that_is_open_again_says_so() -> None:
    """Below the floor an hour after its cure: two machines."""
    world = aged(45)
    world.see(reading(build=FLOOR_2016))
    world.pass_time(DAY / 24)
    world.see()
    case = explained(world, SERVER).cases[0]
    assert case.mixed
    assert "It had been released, and was then seen below its floor again: its clock went on at 45.0 days." in lines(
        world, SERVER
    )
