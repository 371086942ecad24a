"""Re-homing: cases move to a better id of their server, and connectors are added, renamed and removed. A table of cases."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.fold import encode_server
from shared.domain.identity import Naming
from shared.domain.policy import (
    Caps,
    Connector,
    Policy,
    PolicyError,
    Protected,
    complaints_of,
    parse_policy,
    shipped_policy_text,
)
from shared.domain.records import CorrectCase, DisputeCase, PauseAccount, SetExemption, SignBlocking
from shared.domain.state import decision_of
from shared.domain.verdict import judge
from shared.domain.verify import Audit
from tests.support.acts import aged, outcome
from tests.support.scenario import (
    E2016,
    FLOOR_2016,
    NAME,
    SERVER,
    World,
    facts,
    policy_for,
    reading,
    refold,
)

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
VERIFIED: dict[str, Any] = {"client_name": NAME, "client_resolve": "ok"}
IN_BRANCH: dict[str, Any] = {"peer": "198.51.100.7"}
BRANCH, BERLIN = f"{NAME}@branch", f"{NAME}@berlin"


def connectors(*renamed: Connector) -> Policy:
    """A newer policy with the internet and these connectors."""
    return policy_for(version=2, connectors=(policy_for().connectors[0], *renamed))


def berlin(*formerly: str, **changes: Any) -> Connector:
    """The branch's ranges under another name."""
    branch = policy_for().connectors[1]
    names: Any = formerly or msgspec.UNSET
    return msgspec.structs.replace(branch, **{"name": "berlin", "formerly": names, **changes})


def kinds(events: list[e.Event]) -> list[str]:
    """Their names."""
    return [type(event).__name__ for event in events]


def sound(world: World) -> bool:
    """Whether the log folds to the same state, and is decided again as it stands."""
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    again = refold([stored for _, stored in world.log], policy_for())
    same = {name: encode_server(one) for name, one in again.servers.items()}
    return audit.report().what == "" and same == {n: encode_server(one) for n, one in world.fold.servers.items()}


# --- what moves ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "seen_as", "moves"),
    [
        (reading(), VERIFIED, True),
        (reading(), {}, False),  # no better id
        (reading(build=FLOOR_2016), VERIFIED, False),  # a cure releases
        (reading(), {**VERIFIED, "imported": True}, False),
        (reading(), {**VERIFIED, "helo": "other.example"}, False),  # the message does not match the old id
        (reading(), {**VERIFIED, "peer": "192.0.2.8"}, False),
        (reading("Microsoft Exchange 2007", None), VERIFIED, False),
    ],
)
def test_what_moves_a_case(what: Any, seen_as: dict[str, Any], moves: bool) -> None:
    """A live reading below the floor, of a message that matches both ids."""
    world = aged(35)
    events = world.see(what, **seen_as)
    assert ("CaseMoved" in kinds(events)) == moves
    assert bool(world.fold.servers[SERVER].cases) != moves or "CaseReleased" in kinds(events)
    assert sound(world)


def test_a_case_moves_with_all_that_it_has() -> None:
    """Number, rows, notices, clock; nothing of it stays, and both decisions say so."""
    world = aged(35)
    before = world.case()
    assert kinds(world.see(**VERIFIED)) == ["ServerSighted", "CaseMoved"]
    assert world.case(NAME) == before
    old, new = decision_of(world.fold.servers[SERVER]), decision_of(world.fold.servers[NAME])
    assert old is not None
    assert new is not None
    assert (old.cases, [case.rows for case in new.cases]) == ((), [before.rows])
    assert old.seq == new.seq == world.fold.law.seq


def test_an_id_that_has_a_case_of_its_own_keeps_it() -> None:
    """Both go on, and the mildest row holds."""
    world = aged(35)
    for _ in range(3):
        world.see(name=NAME, peer="192.0.2.99", **VERIFIED)
        world.pass_time(HOUR)
    assert world.case(NAME).opened_seq != world.case().opened_seq
    assert "CaseMoved" not in kinds(world.see(**VERIFIED))
    assert world.fold.servers[SERVER].cases != ()


def test_hours_that_counted_at_the_better_id_open_no_second_case() -> None:
    """They are of the case that came."""
    world = aged(35)
    for _ in range(2):
        world.see(peer="192.0.2.99", **VERIFIED)
        world.pass_time(HOUR)
    assert kinds(world.see(**VERIFIED)) == ["ServerSighted", "CaseMoved"]
    assert world.fold.servers[NAME].hours == ()
    assert len(world.fold.servers[NAME].cases) == 1


def test_a_message_that_moves_one_case_cures_another_all_the_same() -> None:
    """It is below the floor of a case that opened later, and at that of the older one, which another id has."""
    world = World()
    world.open_case(peer="192.0.2.99", **VERIFIED)
    higher = tuple(
        msgspec.structs.replace(wave, builds=(Build(15, 1, 2507, 75),)) if wave.product == E2016 else wave
        for wave in policy_for().floors
    )
    world.adopt(policy_for(version=2, floors=higher))
    world.open_case(reading(build=FLOOR_2016))
    wider = msgspec.structs.replace(policy_for().connectors[1], ranges=("192.0.2.0/24",))
    world.adopt(policy_for(version=3, floors=higher, connectors=(policy_for().connectors[0], wider)), "request-2")
    events = world.see(reading(build=FLOOR_2016), **VERIFIED)
    # Of the other id, whose case was released, late readings count no more.
    assert kinds(events)[:4] == ["ServerSighted", "AccusationDropped", "CaseReleased", "NoticeDue"]
    assert "CaseMoved" in kinds(events)
    assert (world.case(NAME).released_at is not None, world.case(BRANCH).released_at) == (True, None)
    assert sound(world)


def test_a_released_case_does_not_move() -> None:
    """It ends where it is."""
    world = aged(35)
    world.see(reading(build=FLOOR_2016))
    world.pass_time(HOUR)
    assert "CaseMoved" not in kinds(world.see(**VERIFIED))


def test_its_mode_follows_the_better_ids_connector() -> None:
    """Where that is only observed it stands at day 0; enforced later, it begins there."""
    branch = msgspec.structs.replace(policy_for().connectors[1], mode="observe", ranges=("192.0.2.0/24",))
    world = aged(35)
    assert kinds(world.adopt(connectors(branch))) == ["PolicyAdopted"]
    assert kinds(world.see()) == ["ServerSighted", "CaseMoved", "ClockStopped"]
    assert not world.case(BRANCH).enforced
    assert sound(world)


def test_a_case_that_waits_for_the_cap_keeps_its_place() -> None:
    """The queue knows it by its new id."""
    world = World(policy_for(caps=Caps(newly_blocked_per_day=1, newly_blocked_percent_of_open_cases=0)))
    for _ in range(61):
        for name in ("ahead.example", "next.example"):
            world.open_case(name=name, helo=name)
        world.open_case()
        world.settle()
        world.pass_time(DAY - 9 * HOUR)
        if len(world.fold.queue):
            break
    assert len(world.fold.queue) == 1
    world.see(**VERIFIED)
    assert [waiter.server for waiter in world.fold.queue._in_order()] == [NAME]
    assert world.fold.queue.open_cases == 3


def test_what_waited_for_a_signature_at_the_old_id_only_comes_from_now_on() -> None:
    """Protected as one of the internet, not as one of the branch: its first blocking row begins now."""
    guard = Protected(title="Strangers", connectors=("internet",))
    world = aged(85, policy=policy_for(protected=(guard,)))
    branch = msgspec.structs.replace(policy_for().connectors[1], ranges=("192.0.2.0/24",))
    new = policy_for(version=2, protected=(guard,), connectors=(policy_for().connectors[0], branch))
    assert kinds(world.adopt(new)) == ["PolicyAdopted"]
    assert kinds(world.see()) == ["ServerSighted", "CaseMoved", "BlockingGranted"]
    assert world.case(BRANCH).rows[4].since == world.fold.law.now + timedelta(seconds=1)
    assert sound(world)


# --- how it is found afterwards --------------------------------------------------------------------------------------


def test_a_notice_sent_before_the_move_is_settled_after_it() -> None:
    """Its report names the id of then."""
    world = aged(2, told="failed")
    world.pass_time(30 * DAY)
    pending = world.case().pending[0].notice
    world.see(**VERIFIED)
    events = world.take(world.report(pending, SERVER))
    assert kinds(events) == ["RequestDecided", "NoticeSettled"]
    assert world.case(NAME).delivered_law is not None


@pytest.mark.parametrize(("kind", "more"), [(DisputeCase, {}), (CorrectCase, {}), (SignBlocking, {"stage": 5})])
def test_an_act_that_names_the_old_id_finds_the_case(kind: Any, more: dict[str, Any]) -> None:
    """By its number."""
    world = aged(35, told="failed")
    number = world.case().opened_seq
    world.see(**VERIFIED)
    assert outcome(world.ask(kind, server=SERVER, case=number, **more)) == "done"
    assert outcome(world.ask(DisputeCase, server=SERVER, case=number + 1)) == "no effect"


def test_of_many_moves_the_newest_are_known() -> None:
    """Bounded: an id that is older can only be named by its new one."""
    world = aged(3)
    server = world.fold.servers[SERVER]
    assert server.moved == ()
    world.see(**VERIFIED)
    assert [(one.server, one.case) for one in world.fold.servers[SERVER].moved] == [(NAME, world.case(NAME).opened_seq)]


# --- connectors ------------------------------------------------------------------------------------------------------


def test_a_new_connector_takes_its_servers_in_with_their_clocks() -> None:
    """Seen at the internet before; the case comes along at the next sighting."""
    world = aged(35)
    case = world.case()
    home = msgspec.structs.replace(policy_for().connectors[1], name="home", ranges=("192.0.2.0/24",))
    assert kinds(world.adopt(connectors(policy_for().connectors[1], home))) == ["PolicyAdopted"]
    world.see()
    assert world.case(f"{NAME}@home") == case
    assert sound(world)


def test_a_renamed_connector_keeps_its_cases_and_their_clocks() -> None:
    """Nothing happens at the adoption; the next message moves the case to the new name."""
    world = aged(35, **IN_BRANCH)
    case = world.case(BRANCH)
    assert kinds(world.adopt(connectors(berlin("branch")))) == ["PolicyAdopted"]
    assert world.case(BRANCH) == case
    assert kinds(world.see(**IN_BRANCH)) == ["ServerSighted", "CaseMoved"]
    assert world.case(BERLIN) == case
    assert sound(world)


def test_without_formerly_a_renamed_connectors_cases_stand_at_day_0_and_harm_nobody() -> None:
    """Nobody says that they are the same."""
    world = aged(35, **IN_BRANCH)
    assert kinds(world.adopt(connectors(berlin()))) == ["PolicyAdopted", "ClockStopped"]


def test_a_cure_counts_for_the_old_name_too() -> None:
    """Though no message below the floor came in between."""
    world = aged(35, **IN_BRANCH)
    world.adopt(connectors(berlin("branch")))
    assert "CaseReleased" in kinds(world.see(reading(build=FLOOR_2016), **IN_BRANCH))


def test_the_edge_judges_by_the_old_name_until_the_case_has_moved() -> None:
    """One function of facts and policy: the ids of a message hold the old name behind the new one."""
    who = Naming(connectors(berlin("branch", "paris"))).identify(facts(World().now, **IN_BRANCH))
    assert who.matches == (BERLIN, BRANCH, f"{NAME}@paris", f"{NAME}@198.51.100.7")
    assert (who.server, who.connector) == (BERLIN, "berlin")


@pytest.mark.parametrize("what", ["pause", "exemption", "protection"])
def test_what_spares_a_renamed_connectors_servers_goes_on(what: str) -> None:
    """A pause of its owner, an exemption of the old name, the protected list by the new name."""
    guard = (Protected(title="Clinics", connectors=("berlin",)),)
    world = aged(35, **IN_BRANCH)
    if what == "pause":
        world.ask(PauseAccount, account="it", days=30)
    if what == "exemption":
        world.ask(SetExemption, kind="connector", target="branch", owner="ops", until=world.now + 30 * DAY)
    new = connectors(berlin("branch"))
    world.adopt(msgspec.structs.replace(new, protected=guard) if what == "protection" else new)
    for _ in range(27):
        world.see(**IN_BRANCH)
        world.settle()
        world.pass_time(DAY)
    case = world.case(BERLIN)
    if what == "pause":
        assert case.held_for("pause") is not None
    if what == "exemption":
        assert not case.enforced
    if what == "protection":
        assert [row.stage for row in case.rows] == [1, 2, 3, 4]
    assert sound(world)


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        (("old",), (), ""),
        (("branch",), (), "formerly: branch: a connector has it now"),
        (("old", "old"), (), "formerly: old: it is named twice"),
        (("old",), ("old",), "formerly: old: it is named twice"),
        (("berlin",), (), "formerly: berlin: a connector has it now"),
    ],
)
def test_a_former_name_is_nobodys_name_now_and_named_once(
    first: tuple[str, ...], second: tuple[str, ...], complaint: str
) -> None:
    """Else whose servers they are could not be said."""
    branch = msgspec.structs.replace(policy_for().connectors[1], formerly=second or msgspec.UNSET)
    found = list(complaints_of(connectors(berlin(*first, ranges=("203.0.113.0/24",)), branch)))
    assert (complaint in "; ".join(found)) if complaint else found == []


def test_formerly_is_read_from_the_document_and_left_out_where_there_is_none() -> None:
    """An older policy keeps its digest."""
    berlin = 'name = "berlin"\nkind = "partner"\nowner = "it"\nranges = ["203.0.113.0/24"]\nformerly = ["paris"]\n'
    text = f"{shipped_policy_text()}\n[[connectors]]\n{berlin}"
    assert parse_policy(text).connectors[-1].names == ("berlin", "paris")
    assert b"formerly" not in msgspec.json.encode(parse_policy(shipped_policy_text()))
    with pytest.raises(PolicyError, match="formerly"):
        parse_policy(text.replace('["paris"]', '["Paris!"]'))


# --- never harsher ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [5, 35, 45, 65, 75, 95])
@pytest.mark.parametrize("how", ["verified", "renamed", "new connector"])
def test_no_row_is_harsher_for_a_message_that_the_case_met_before(days: int, how: str) -> None:
    """What a message of the same facts gets after the move is the row that it had; only the minutes' place in the hour moves."""
    renamed = how == "renamed"
    world = aged(days, **(IN_BRANCH if renamed else {}))
    seen: dict[str, Any] = IN_BRANCH if renamed else VERIFIED if how == "verified" else {}
    if how == "new connector":
        home = msgspec.structs.replace(policy_for().connectors[1], name="home", ranges=("192.0.2.0/24",))
        new = connectors(policy_for().connectors[1], home)
    else:
        new = connectors(berlin("branch"))
    before = judged(world, seen)
    world.adopt(new)
    between = judged(world, seen)
    world.see(**seen)
    assert judged(world, seen) == between == before


def judged(world: World, seen: dict[str, Any]) -> Any:
    """The row that an edge applies to a message with these facts."""
    who = world.fold.naming.identify(facts(world.now, **seen))
    decisions = [
        found
        for one in who.matches
        if one in world.fold.servers and (found := decision_of(world.fold.servers[one])) is not None
    ]
    law = world.fold.law
    return judge(reading(), decisions, world.fold.policy, law_now=law.now, now=world.now, connector=who.connector).row
