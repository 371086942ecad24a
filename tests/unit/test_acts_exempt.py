"""Exemptions, corrections, acknowledgements, modes, and who may ask for what."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import acts
from shared.domain import events as e
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.records import (
    AcknowledgeNotice,
    CorrectCase,
    DisputeCase,
    LiftStruck,
    PauseAccount,
    ResolveCase,
    ResumeAccount,
    SetExemption,
    SetMode,
    SignBlocking,
)
from tests.support.acts import BRANCH, DAY, IN_BRANCH, aged, outcome, reason
from tests.support.scenario import NAME, PEER, SERVER, World, policy_for


def exempt(world: World, kind: str, target: str, days: float | None = 10, **fields: Any) -> list[e.Event]:
    """An operator exempts until so many days from now; None lifts."""
    until = None if days is None else world.now + timedelta(days=days)
    return world.ask(SetExemption, kind=kind, target=target, owner="ops", until=until, **fields)


# --- exemptions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "target"), [("server", SERVER), ("connector", "internet")])
def test_an_exemption_stops_the_clocks_of_what_it_names_at_once(kind: str, target: str) -> None:
    """A server or a connector: its cases stand at day 0 like observed ones."""
    world = aged(65)
    assert world.kinds(exempt(world, kind, target)) == ["RequestDecided", "Exempted", "ClockStopped"]
    case = world.case()
    assert (case.enforced, len(case.rows), case.blocking, case.planned) == (False, 1, (), ())


def test_an_exempt_connector_leaves_the_others_alone() -> None:
    """Each server is of the connector that it was seen in last."""
    world = aged(35)
    world.open_case(**IN_BRANCH)
    stopped = [event.server for event in exempt(world, "connector", "branch") if isinstance(event, e.ClockStopped)]
    assert stopped == [BRANCH]


def test_when_an_exemption_is_over_cases_begin_at_day_0() -> None:
    """By its time, in the instant of it; the law ends it, in the order of what falls due."""
    world = aged(35)
    until = world.now + 10 * DAY
    exempt(world, "server", SERVER)
    world.pass_time(10 * DAY - timedelta(hours=1))
    assert world.kinds(world.pass_time(timedelta(hours=9), step=timedelta(hours=9))) == [
        "ExemptionEnded",
        "ClockStarted",
        "NoticeDue",
    ]
    assert {record.due for record, _ in world.log[-3:]} == {until}
    assert world.case().rows[0].since == until - world.fold.law.held


def test_a_lifted_exemption_is_over_at_once() -> None:
    """And lifting it again has no effect."""
    world = aged(35)
    exempt(world, "server", SERVER)
    assert world.kinds(exempt(world, "server", SERVER, None)) == ["RequestDecided", "ExemptionEnded", "ClockStarted"]
    assert outcome(exempt(world, "server", SERVER, None)) == "no effect"


def test_an_exempt_peers_server_stops_at_its_next_news_and_begins_when_that_is_over() -> None:
    """Nobody knows before from where a server is seen; then its case remembers the peer."""
    world = aged(35)
    assert world.kinds(exempt(world, "peer", PEER)) == ["RequestDecided", "Exempted"]
    world.pass_time(DAY)
    assert world.kinds(world.see()) == ["ServerSighted", "ClockStopped"]
    assert world.case().exempt_peer == PEER
    world.adopt(policy_for(version=2))
    assert not world.case().enforced
    world.pass_time(10 * DAY)
    assert world.kinds(world.see())[:2] == ["ServerSighted", "ClockStarted"]
    assert world.case().exempt_peer == ""


def test_a_case_of_an_exempt_peer_opens_observed() -> None:
    """Evidence is kept, and nobody is harmed."""
    world = World()
    exempt(world, "peer", PEER)
    world.open_case()
    assert (world.case().enforced, world.case().exempt_peer) == (False, PEER)


def test_an_observed_case_notes_the_exempt_peer_too() -> None:
    """Enforced later by a policy, or when another exemption ends, without news in between: nobody begins who is exempt."""
    world = World(policy_for("observe"))
    world.open_case()
    exempt(world, "peer", PEER)
    world.pass_time(DAY)
    assert world.kinds(world.see()) == ["ServerSighted", "ClockStopped"]
    world.adopt(policy_for(version=2))
    assert not world.case().enforced

    world = aged(35)
    exempt(world, "peer", PEER)
    exempt(world, "server", SERVER)
    world.pass_time(DAY)
    world.see()
    exempt(world, "server", SERVER, None)
    assert not world.case().enforced


def test_an_observed_case_forgets_a_peer_that_is_exempt_no_more() -> None:
    """It is seen from there still."""
    world = World(policy_for("observe"))
    exempt(world, "peer", PEER)
    world.open_case()
    exempt(world, "peer", PEER, None)
    world.pass_time(DAY)
    assert world.kinds(world.see()) == ["ServerSighted", "ClockStopped"]
    assert world.case().exempt_peer == ""


def test_a_message_of_an_exempt_id_stops_the_cases_of_all_its_ids() -> None:
    """The server is among its matches."""
    world = World()
    world.open_case()
    world.pass_time(DAY)
    exempt(world, "server", SERVER)
    world.open_case(client_name=NAME, client_resolve="ok")
    assert not world.case(NAME).enforced


def test_an_exemption_of_one_id_reaches_the_cases_under_all_ids_of_its_messages_at_once() -> None:
    """Its notices would tell of stages that nobody applies; its end reaches them in the same way."""
    world = World()
    world.see()
    verified: dict[str, Any] = {"client_name": NAME, "client_resolve": "ok"}
    world.open_case(**verified)
    stopped = exempt(world, "server", SERVER)
    assert [event.server for event in stopped if isinstance(event, e.ClockStopped)] == [NAME]
    lifted = exempt(world, "server", SERVER, None)
    assert [event.server for event in lifted if isinstance(event, e.ClockStarted)] == [NAME]


def test_the_end_of_an_exemption_reaches_the_cases_of_a_connector_that_was_renamed() -> None:
    """By its time, or lifted."""
    world = aged(35, **IN_BRANCH)
    exempt(world, "connector", "branch")
    world.adopt(_taken_over_by("berlin", policy_for().connectors[1].ranges))
    lifted = exempt(world, "connector", "branch", None)
    assert [event.server for event in lifted if isinstance(event, e.ClockStarted)] == [BRANCH]


def test_an_exemption_by_a_former_name_spares_all_of_the_connector() -> None:
    """Those that never had that name in their ids, too, from the adoption on."""
    branch = policy_for().connectors[1]
    berlin = msgspec.structs.replace(branch, name="berlin", ranges=("203.0.113.0/24",))
    world = aged(35, policy=policy_for(connectors=(*policy_for().connectors, berlin)), peer="203.0.113.9")
    exempt(world, "connector", "branch")
    adopted = world.adopt(_taken_over_by("berlin", (*branch.ranges, *berlin.ranges)))
    assert [event.server for event in adopted if isinstance(event, e.ClockStopped)] == [f"{NAME}@berlin"]


def _taken_over_by(name: str, ranges: tuple[str, ...]) -> Policy:
    """A newer policy in which another connector has the branch's servers."""
    internet, branch, *_ = policy_for().connectors
    taker = msgspec.structs.replace(branch, name=name, ranges=ranges, formerly=("branch",))
    return policy_for(version=2, connectors=(internet, taker))


def test_ipv6_peers_are_exempt_by_their_prefix() -> None:
    """As all records name them."""
    world = World()
    for target in ("2001:db8::7", "2001:db8::/64"):
        exempt(world, "peer", target, 10 if target.endswith("7") else 11)
    assert set(world.fold.reprieves.exemptions) == {("peer", "2001:db8::/64")}


@pytest.mark.parametrize(
    ("kind", "target", "days", "fields", "told"),
    [
        ("server", SERVER, 10, {"why": " "}, "needs its reason"),
        ("server", SERVER, 0, {}, "has come already"),
        ("server", SERVER, 367, {}, "366 days at most"),
        ("server", "ex.other.example", 10, {}, "was ever seen"),
        ("connector", "nowhere", 10, {}, "names no connector"),
        ("peer", "mail.example", 10, {}, "no IP address"),
    ],
)
def test_what_cannot_be_exempt_is_refused_with_the_reason(
    kind: str, target: str, days: float, fields: dict[str, Any], told: str
) -> None:
    """Nothing of it happens."""
    world = aged(35)
    answer = exempt(world, kind, target, days, **fields)
    assert (outcome(answer), len(answer)) == ("refused", 1)
    assert told in reason(answer)


def test_the_same_exemption_again_has_no_effect_and_another_end_takes_its_place() -> None:
    """One a target."""
    world = aged(35)
    exempt(world, "server", SERVER, 10)
    assert outcome(exempt(world, "server", SERVER, 10)) == "no effect"
    assert world.kinds(exempt(world, "server", SERVER, 20)) == ["RequestDecided", "Exempted"]
    assert len(world.fold.reprieves.in_force()) == 1


@pytest.mark.parametrize("bound", ["EXEMPTIONS_MAX", "EXEMPTIONS_BYTES_MAX"])
def test_at_the_bound_of_exemptions_one_more_is_refused(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges read all of them in one record; another end of one that is in force is no more."""
    monkeypatch.setattr(acts, bound, 2 if bound == "EXEMPTIONS_MAX" else 200)
    world = World()
    assert [outcome(exempt(world, "peer", f"192.0.2.{number}")) for number in range(3)] == ["done", "done", "refused"]
    assert outcome(exempt(world, "peer", "192.0.2.1", 11)) == "done"


def test_exemptions_and_pauses_end_before_servers_fall_due_at_the_same_instant() -> None:
    """Cases that begin anew then have their first notice in the same breath."""
    world = World()
    world.open_case(**IN_BRANCH)
    world.settle()
    world.ask(PauseAccount, account="it", days=1)
    midnight = world.fold.reprieves.due
    assert midnight is not None
    exempt(world, "peer", "203.0.113.1", (midnight - world.now) / DAY)
    kinds = world.kinds(world.pass_time(2 * DAY))
    assert kinds[:3] == ["PauseEnded", "CaseWentOn", "ExemptionEnded"]


# --- corrections -----------------------------------------------------------------------------------------------------


def test_a_corrected_case_ends_and_its_reading_opens_nothing_until_that_is_lifted() -> None:
    """Then it counts from its next sighting on."""
    world = aged(35)
    assert world.kinds(world.ask_of_case(CorrectCase)) == ["RequestDecided", "CaseEnded"]
    world.open_case()
    assert world.fold.servers[SERVER].cases == ()
    assert world.kinds(world.ask(LiftStruck, server=SERVER)) == ["RequestDecided", "ReadingsLifted"]
    assert outcome(world.ask(LiftStruck, server=SERVER)) == "no effect"
    world.pass_time(DAY)
    world.open_case()
    assert world.case().enforced


def test_a_struck_reading_counts_for_no_id_that_its_message_matches() -> None:
    """A milder name cannot be missed by a better tie."""
    world = aged(35)
    world.ask_of_case(CorrectCase)
    world.open_case(client_name=NAME, client_resolve="ok")
    assert world.fold.servers[NAME].cases == ()


# --- acknowledgement -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["failed", "pending"])
def test_an_acknowledged_notice_counts_as_delivered_from_now_on(told: str) -> None:
    """So blocking comes on its day, although no relay took it."""
    world = World()
    world.open_case()
    world.pass_time(DAY)
    if told == "failed":
        world.settle("failed")
    assert world.kinds(world.ask_of_case(AcknowledgeNotice)) == ["RequestDecided", "NoticeAcknowledged"]
    case = world.case()
    assert (case.pending, case.delivered_law) == ((), world.fold.law.now)
    assert outcome(world.ask_of_case(AcknowledgeNotice)) == "no effect"
    for _ in range(65):
        world.pass_time(DAY)
        world.see()
    assert any(row.block_minutes_per_hour for row in world.case().rows)


# --- modes -----------------------------------------------------------------------------------------------------------


def test_a_mode_is_a_new_version_of_the_policy_with_that_one_line_changed() -> None:
    """Of one connector, or of the whole."""
    world = aged(35)
    before = world.fold.policy
    assert world.kinds(world.ask(SetMode, connector="internet", mode="observe")) == ["PolicyAdopted", "ClockStopped"]
    after = world.fold.policy
    assert after.connectors[0].mode == "observe"
    assert msgspec.structs.replace(after, version=before.version, connectors=before.connectors) == before
    assert after.version == before.version + 1
    world.ask(SetMode, connector="", mode="observe")
    assert world.fold.policy == msgspec.structs.replace(after, version=after.version + 1, mode="observe")


def test_a_mode_that_is_so_already_or_of_no_connector_changes_nothing() -> None:
    """Each with its outcome."""
    world = World()
    assert outcome(world.ask(SetMode, connector="internet", mode="enforce")) == "no effect"
    assert outcome(world.ask(SetMode, connector="", mode="enforce")) == "no effect"
    assert outcome(world.ask(SetMode, connector="nowhere", mode="enforce")) == "refused"
    assert world.fold.policy.version == 1


def test_the_shipped_policy_can_be_enforced_by_one_act() -> None:
    """Widening is one act."""
    world = World(parse_policy(shipped_policy_text()))
    assert outcome(world.ask(SetMode, connector="", mode="enforce")) == "done"


# --- who may ask, and when -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "fields"),
    [
        (PauseAccount, {"account": SERVER, "days": 1}),
        (ResumeAccount, {"account": SERVER}),
        (SetExemption, {"kind": "server", "target": BRANCH, "owner": "it", "until": None}),
        (DisputeCase, {"server": SERVER, "case": 6}),
        (ResolveCase, {"server": BRANCH, "case": 6, "outcome": "upheld"}),
        (SignBlocking, {"server": BRANCH, "case": 6, "stage": 5}),
        (AcknowledgeNotice, {"server": SERVER, "case": 6}),
        (CorrectCase, {"server": BRANCH, "case": 6}),
        (LiftStruck, {"server": BRANCH}),
        (SetMode, {"connector": "branch", "mode": "observe"}),
    ],
)
def test_an_owner_is_refused_all_that_is_not_his(act: Any, fields: dict[str, Any]) -> None:
    """An operator's acts, and his own ones for others' servers."""
    world = aged(1, **IN_BRANCH)
    world.open_case()
    answer = world.ask(act, as_owner="it", **fields)
    assert (outcome(answer), len(answer)) == ("refused", 1)
    assert "owner may" in reason(answer) or "for an operator" in reason(answer)


def test_an_owner_may_pause_resume_dispute_and_acknowledge_what_is_his() -> None:
    """What the table gives him."""
    world = aged(1, told="failed", **IN_BRANCH)
    done = [
        world.ask(PauseAccount, account="it", days=1, as_owner="it"),
        world.ask(ResumeAccount, account="it", as_owner="it"),
        world.ask_of_case(AcknowledgeNotice, BRANCH, as_owner="it"),
        world.ask_of_case(DisputeCase, BRANCH, as_owner="it"),
    ]
    assert [outcome(events) for events in done] == ["done"] * 4


def test_who_owns_no_connector_has_no_account() -> None:
    """A name alone is not enough."""
    world = aged(1)
    assert outcome(world.ask(PauseAccount, account=SERVER, days=1, as_owner=SERVER)) == "refused"


def test_an_id_that_was_decided_has_no_effect_and_an_old_act_is_refused() -> None:
    """Whatever was made of the first; over 24 hours old, it must be made again."""
    world = aged(1)
    assert outcome(world.ask_of_case(DisputeCase, id="act-0000001")) == "done"
    assert outcome(world.ask_of_case(CorrectCase, id="act-0000001")) == "no effect"
    old = world.ask_of_case(CorrectCase, made_at=world.now - timedelta(hours=24, seconds=1))
    assert (outcome(old), world.case().disputed) == ("refused", True)
    assert outcome(world.ask_of_case(CorrectCase, made_at=world.now - timedelta(hours=24))) == "done"
