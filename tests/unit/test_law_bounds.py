"""Rules of the law at their very bounds: the instant, the second product, the owner's account. One table of cases a rule."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.accounts import midnight_after
from shared.domain.blocking import not_before
from shared.domain.build import Build
from shared.domain.errors import InvariantError
from shared.domain.floors import Floor, Standing
from shared.domain.records import AdoptPolicy, CorrectCase, Exemption, LiftStruck, PauseAccount, SetExemption
from shared.domain.reprieves import Reprieves
from shared.domain.state import Signed, decision_of
from tests.support.acts import BRANCH, IN_BRANCH, aged, outcome, reason
from tests.support.scenario import E2016, FLOOR_2016, NAME, PEER, SERVER, START, World, policy_for, reading

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
NO_TIME = timedelta()
PATCHED = reading(build=FLOOR_2016)
E2019 = "Microsoft Exchange 2019"
OLD_2019 = reading(E2019, Build(15, 2, 1118, 7))
PATCHED_2019 = reading(E2019, Build(15, 2, 1748, 39))
VERIFIED: dict[str, Any] = {"client_name": NAME, "client_resolve": "ok"}


# --- relapse, mixed --------------------------------------------------------------------------------------------------


def test_each_product_leaves_a_clock_of_its_own_behind() -> None:
    """Two products under one name, the second released first: neither takes the other's clock away, nor does its relapse."""
    world = World()
    world.open_case()
    world.pass_time(10 * DAY)
    world.open_case(OLD_2019)
    world.pass_time(20 * DAY)
    for what in (PATCHED_2019, PATCHED):
        world.see(what)
        world.pass_time(2 * DAY)
    past = world.fold.servers[SERVER].past
    assert [one.floor.product for one in past] == [E2016, E2019]
    assert [one.clock // DAY for one in past] == [32, 20]
    world.open_case(OLD_2019)
    server = world.fold.servers[SERVER]
    assert [one.floor.product for one in server.past] == [E2016]
    assert server.cases[0].inherited == past[1].clock
    world.see(PATCHED_2019)
    world.pass_time(2 * DAY)
    assert [one.floor.product for one in world.fold.servers[SERVER].past] == [E2016, E2019]


def test_a_second_release_of_a_product_leaves_its_newest_clock_only() -> None:
    """What it inherited and what it ran since, together."""
    world = aged(35)
    for _ in range(2):
        world.see(PATCHED)
        world.pass_time(2 * DAY)
        world.open_case()
        world.pass_time(5 * DAY)
    world.see(PATCHED)
    world.pass_time(2 * DAY)
    (past,) = world.fold.servers[SERVER].past
    assert past.clock // DAY == 45


def test_a_mixed_case_is_held_for_the_pause_of_its_owners_account_too() -> None:
    """Its server is seen in a connector: the account is the owner's."""
    world = aged(35, **IN_BRANCH)
    world.see(PATCHED, **IN_BRANCH)
    world.pass_time(HOUR)
    world.ask(PauseAccount, account="it", days=3)
    mixed = world.see(**IN_BRANCH)
    assert world.kinds(mixed) == ["ServerSighted", "CaseMixed", "CaseHeld", "CaseHeld"]
    held = {event.reason: event for event in mixed if isinstance(event, e.CaseHeld)}
    assert held["pause"].ends == midnight_after((world.now + 2 * DAY).date())
    assert held["mixed"].until == world.fold.law.now + world.fold.policy.relapses.mixed_days * DAY
    assert {hold.reason for hold in world.case(BRANCH).holds} == {"mixed", "pause"}


@pytest.mark.parametrize(("after", "mixes"), [(-SECOND, False), (NO_TIME, False), (SECOND, True)])
def test_only_what_was_seen_after_the_cure_opens_a_released_case_again(after: timedelta, mixes: bool) -> None:
    """In the instant of the cure itself nobody knows which of both came first."""
    world = aged(35)
    world.see(PATCHED)
    cured_at = world.now
    world.pass_time(HOUR)
    assert ("CaseMixed" in world.kinds(world.see(seen_at=cured_at + after))) is mixes


def test_a_cure_releases_each_id_that_has_an_open_case_whatever_the_others_have() -> None:
    """The first of them was released before, the second was not; one without a case is passed over."""
    world = aged(3)
    for _ in range(3):
        world.see(peer="192.0.2.99", **VERIFIED)  # the same name elsewhere: a case of its own
        world.pass_time(HOUR)
    world.see(PATCHED, peer="192.0.2.99", **VERIFIED)
    assert world.case(NAME).released_at is not None
    assert world.case().released_at is None
    released = [event.server for event in world.see(PATCHED, **VERIFIED) if isinstance(event, e.CaseReleased)]
    assert released == [SERVER]


# --- notices ---------------------------------------------------------------------------------------------------------


def test_a_notice_that_is_repeated_is_about_the_same_stage_and_each_has_its_own_number() -> None:
    """None was delivered: the notice before blocking comes again each week, about the first blocking stage."""
    world = aged(70, told="failed")
    due = [event for event in world.events() if isinstance(event, e.NoticeDue)]
    assert [one.stage for one in due if one.kind == "before-blocking"] == [5, 5, 5]
    assert [one.notice for one in due] == [f"{world.case().opened_seq}-{number + 1}" for number in range(len(due))]
    assert {one.line_edge for one in due} == {"mx1"}


@pytest.mark.parametrize(
    ("days", "delivered_ago", "signed_ago", "needed", "promised"),
    [
        (50, None, None, True, 10 * DAY),  # its day is yet to come
        (66, None, None, True, DAY),  # delivered now, it is a day old tomorrow
        (66, 2 * HOUR, None, True, DAY - 2 * HOUR),
        (66, None, HOUR, True, -HOUR),
        (66, 30 * HOUR, HOUR, True, -6 * HOUR),  # the earlier of both is enough
        (66, 2 * HOUR, HOUR, True, -HOUR),
        (66, None, None, False, NO_TIME),
    ],
)
def test_a_notice_promises_blocking_as_early_as_it_can_still_come(
    days: int, delivered_ago: timedelta | None, signed_ago: timedelta | None, needed: bool, promised: timedelta
) -> None:
    """Not before its day; a day after a notice is delivered, or once it is signed; from now on where neither was."""
    world = aged(days, told="failed")
    case, law = world.case(), world.fold.law
    began = case.rows[0].since + days * DAY
    law = msgspec.structs.replace(law, h=law.utc_of(began))
    signed = () if signed_ago is None else (Signed(stage=5, at_law=law.now - signed_ago),)
    delivered = None if delivered_ago is None else law.now - delivered_ago
    case = msgspec.structs.replace(case, signed=signed, delivered_law=delivered)
    notices = msgspec.structs.replace(policy_for().notices, needed_for_blocking=needed)
    told = not_before(case, law, policy_for(notices=notices))
    assert told[0].since - law.now == promised
    assert [row.since - told[0].since for row in told] == [number * 10 * DAY for number in range(4)]


# --- moving ----------------------------------------------------------------------------------------------------------


def test_a_case_that_moves_by_a_message_of_an_exempt_peer_stands_at_its_new_id() -> None:
    """And notes that peer, so that it begins when the exemption is over."""
    world = aged(35)
    world.ask(SetExemption, kind="peer", target=PEER, owner="ops", until=world.now + 5 * DAY)
    assert world.kinds(world.see(**VERIFIED)) == ["ServerSighted", "CaseMoved", "ClockStopped"]
    assert (world.case(NAME).enforced, world.case(NAME).exempt_peer) == (False, PEER)
    world.pass_time(6 * DAY)
    world.see(**VERIFIED)
    assert world.case(NAME).enforced


# --- freeze ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "asked", "became", "why", "follows"),
    [
        (False, True, "done", "frozen: nothing is slowed or refused, no case ages", ["HoldBegan"]),
        (True, True, "no effect", "frozen already", []),
        (True, False, "done", "the freeze is lifted", ["HoldEnded"]),
        (False, False, "no effect", "not frozen", []),
    ],
)
def test_what_becomes_of_a_freeze(before: bool, asked: bool, became: str, why: str, follows: list[str]) -> None:
    """By whether the law is frozen."""
    world = World()
    if before:
        world.freeze("freeze-before", frozen=True)
    events = world.freeze("freeze-asked", frozen=asked)
    assert (outcome(events), reason(events)) == (became, why)
    assert world.kinds(events) == ["RequestDecided", *follows]
    assert isinstance(events[0], e.RequestDecided)
    assert events[0].request.id == "freeze-asked"
    assert world.fold.law.frozen is asked


@pytest.mark.parametrize(("age", "became"), [(DAY, "done"), (DAY + SECOND, "refused")])
def test_a_request_is_decided_up_to_a_day_after_it_was_made(age: timedelta, became: str) -> None:
    """Later it must be made again, and the answer names it."""
    world = World()
    world.now += age
    world.fold.advance(world.now, at=world.now)
    events = world.ask(
        SetExemption, kind="connector", target="internet", owner="ops", until=world.now + DAY, made_at=START
    )
    assert outcome(events) == became
    assert isinstance(events[0], e.RequestDecided)
    assert events[0].request.made_at == START
    assert ("over 24 hours ago" in reason(events)) is (became == "refused")


# --- terms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "granted"), [(-SECOND, True), (NO_TIME, True), (SECOND, False)])
def test_a_policy_that_asks_less_grants_what_has_its_day_by_now(ahead: timedelta, granted: bool) -> None:
    """In the instant of its day, too; never backwards, and what has its day yet to come waits for it."""
    world = aged(50, told="failed")
    day = world.case().blocking[0].since
    world.fold._law = msgspec.structs.replace(world.fold.law, h=world.fold.law.utc_of(day) - ahead)
    world.now = world.fold.law.h
    no_notice = msgspec.structs.replace(policy_for().notices, needed_for_blocking=False)
    less = AdoptPolicy(
        id="adopt-less", who="ops", why="test", made_at=world.now, policy=policy_for(version=2, notices=no_notice)
    )
    events = world.fold.decide(less, at=world.now)
    assert ("BlockingGranted" in world.kinds(events)) is granted


# --- standing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "standing"),
    [
        (None, None, Standing.UNKNOWN),
        (None, Build(15, 1, 2507, 6), Standing.UNKNOWN),
        (Build(15, 1, 2507, 6), None, Standing.UNKNOWN),
        (Build(15, 1, 2507, 6), Build(15, 1, 2507, 60), Standing.BELOW),
        (Build(15, 1, 2507, 6), FLOOR_2016, Standing.UNKNOWN),
        (FLOOR_2016, FLOOR_2016, Standing.AT_OR_ABOVE),
    ],
)
def test_a_reading_without_both_ends_stands_nowhere(low: Build | None, high: Build | None, standing: Standing) -> None:
    """Half a range proves nothing; a whole one is below only if all of it is."""
    half = msgspec.structs.replace(reading(), low=low, high=high)
    assert Floor(product=E2016, builds=(FLOOR_2016,)).standing(half) is standing


# --- what is decided once --------------------------------------------------------------------------------------------


def test_a_request_that_was_decided_before_is_answered_so_and_named() -> None:
    """By its id, whatever it asks for now."""
    world = World()
    world.freeze("freeze-0001", frozen=True)
    (decided,) = world.freeze("freeze-0001", frozen=False)
    assert isinstance(decided, e.RequestDecided)
    assert (decided.outcome, decided.reason) == ("no effect", "a request with this id was decided before")
    assert decided.request.id == "freeze-0001"


@pytest.mark.parametrize(
    ("notice", "became", "why"),
    [
        ("the pending one", "done", "notice delivered"),
        ("one of a case that is not there", "no effect", "the notice is settled, or its case is over"),
        ("no number", "no effect", "the notice is settled, or its case is over"),
    ],
)
def test_what_becomes_of_a_report_about_a_notice(notice: str, became: str, why: str) -> None:
    """It is recorded with what it reported; told again, it is settled."""
    world = aged(1, told="failed")
    world.pass_time(30 * DAY)
    pending = world.case().pending[0].notice
    named = {"the pending one": pending, "one of a case that is not there": "999-1"}.get(notice, notice)
    report = msgspec.structs.replace(world.report(pending, SERVER), notice=named)
    for expected in [(became, why), ("no effect", "the notice is settled, or its case is over")]:
        decided = world.take(report)[0]
        assert isinstance(decided, e.RequestDecided)
        assert (decided.outcome, decided.reason) == expected
        assert decided.request == report


# --- what edges are told ---------------------------------------------------------------------------------------------


def test_the_decision_says_when_struck_readings_count_and_count_again() -> None:
    """Each with the record that changed it, and the policy in force then."""
    world = aged(3)
    for act in ("correct", "lift"):
        world.adopt(policy_for(version=world.fold.policy.version + 1), f"adopt-{act}")
        if act == "correct":
            world.ask_of_case(CorrectCase)
        else:
            world.ask(LiftStruck, server=SERVER)
        told = decision_of(world.fold.servers[SERVER])
        assert told is not None
        assert bool(told.struck) is (act == "correct")
        assert (told.seq, told.policy_version) == (world.fold.law.seq, world.fold.policy.version)


@pytest.mark.parametrize(
    ("kind", "target", "by"),
    [
        ("server", SERVER, "server"),
        ("connector", "internet", "connector"),
        ("peer", PEER, "peer"),
        ("server", "other.example", ""),
        ("connector", "branch", ""),
        ("peer", "192.0.2.8", ""),
    ],
)
def test_who_is_spared_is_told_by_what(kind: Any, target: str, by: str) -> None:
    """Of several the server first, then its connector, then the peer; nobody else is spared."""
    until = START + DAY
    one = Exemption(kind=kind, target=target, owner="ops", until=until)
    assert Reprieves({}, [one]).spare(policy_for(), (NAME, SERVER), "internet", PEER) == by


def test_an_end_of_an_exemption_that_never_began_is_a_broken_log_that_says_which() -> None:
    """As is a case that moves from where it is not."""
    with pytest.raises(InvariantError, match=r"an exemption of peer 192\.0\.2\.7 ended, and none is in force"):
        Reprieves().apply(e.ExemptionEnded(kind="peer", target=PEER))
    world = World()
    world.see()
    moved = e.CaseMoved(server=NAME, product=E2016, source=SERVER, case=3)
    with pytest.raises(InvariantError, match=f"moves a case of {SERVER} that is not there"):
        world.fold._write(moved, at=world.now)
