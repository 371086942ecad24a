"""Rules at their very instant, and with one thing more than usual: two products, two ids, a second notice."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.fold import Fold
from shared.domain.holds import hold_now
from shared.domain.records import DisputeCase, PauseAccount, SetExemption, SignBlocking
from shared.domain.repeats import Glimpse, GlimpsedFacts
from shared.domain.schedule import notice_due
from shared.domain.state import note_mark
from tests.support.acts import BRANCH, DAY, IN_BRANCH, aged
from tests.support.scenario import FLOOR_2016, NAME, SERVER, START, World, facts, policy_for, reading

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
E2019 = "Microsoft Exchange 2019"
VERIFIED: dict[str, Any] = {"client_name": NAME, "client_resolve": "ok"}


def relapse_after(days: int, *, more: timedelta = timedelta()) -> e.CaseOpened:
    """A case of 45 days is cured; so long after its release the third reading opens a case again."""
    world = aged(45)
    world.see(reading(build=FLOOR_2016))
    begun = world.now
    world.pass_time(days * DAY + more - 3 * HOUR)
    for hours_left in (2, 1, 0):
        world.pass_time(begun + days * DAY + more - world.now - hours_left * HOUR)
        world.see()
    return [event for event in world.events() if isinstance(event, e.CaseOpened)][-1]


@pytest.mark.parametrize(("more", "inherits"), [(timedelta(), True), (SECOND, False)])
def test_a_relapse_inherits_up_to_the_instant_at_which_its_days_are_over(more: timedelta, inherits: bool) -> None:
    """Of law time, the instant included."""
    assert bool(relapse_after(policy_for().relapses.days, more=more).inherited) is inherits


def test_two_products_released_are_both_remembered_in_the_order_of_their_names() -> None:
    """Each leaves a clock of its own behind; the bytes of the state do not depend on which was cured first."""
    world = World()
    old, new = reading(E2019, Build(15, 2, 1544, 4)), reading(E2019, Build(15, 2, 1748, 39))
    for what in (old, reading()):
        world.open_case(what)
    for _ in range(35):
        world.pass_time(DAY)
        world.settle()
        world.see(old)
        world.see()
    for cure in (new, reading(build=FLOOR_2016)):
        world.pass_time(DAY)
        world.see(cure)
    world.pass_time(3 * DAY)
    past = world.fold.servers[SERVER].past
    assert [one.floor.product for one in past] == [reading().product, E2019]
    assert all(one.clock >= 35 * DAY for one in past)


def test_a_clock_that_starts_anew_has_no_signature() -> None:
    """What was signed was for the way of before."""
    world = aged(35, told="failed")
    world.ask_of_case(SignBlocking, stage=5)
    assert world.case().signed
    until = world.now + DAY
    world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=until)
    assert world.case().signed == ()
    world.pass_time(2 * DAY)
    assert (world.case().enforced, world.case().signed) == (True, ())


def test_what_is_asked_before_a_tick_never_hides_what_the_tick_would_write() -> None:
    """Through the end of a pause and the steps of a case."""
    world = World()
    world.open_case(**IN_BRANCH)
    world.ask(PauseAccount, account="it", days=2)
    written = 0
    for _ in range(160):
        world.now += 6 * HOUR
        world.fold.advance(world.now, at=world.now)
        said = world.fold.is_due()
        found = world.fold.tick(at=world.now, blind=False)
        written += len(found)
        assert said or not found
        world.log += found
    assert written > 3


@pytest.mark.parametrize("what", ["server", "pause"])
def test_what_falls_due_is_due_at_its_instant_and_not_before(what: str) -> None:
    """With H at the instant, not a second earlier."""
    world = aged(20, **IN_BRANCH)
    if what == "pause":
        world.ask(PauseAccount, account="it", days=1)
        instant = world.fold.reprieves.due
    else:
        instant = world.fold.law.utc_of(world.case(BRANCH).planned[0].since)
    assert instant is not None
    for at, due in ((instant - SECOND, False), (instant, True)):
        world.fold.advance(at, at=at)
        assert world.fold.is_due() is due
    assert world.fold.tick(at=instant, blind=False)


def test_a_hold_at_the_instant_of_a_row_keeps_that_row() -> None:
    """It has begun."""
    world = aged(35)
    server, case, law = world.fold.servers[SERVER], world.case(), world.fold.law
    at = case.rows[2].since
    held = hold_now(server, case, msgspec.structs.replace(law, h=at + law.held, at=at + law.held), "dispute")
    assert held.row.stage == case.rows[2].stage


def test_a_case_that_begins_while_it_is_paused_and_disputed_is_held_for_both_from_its_first_row() -> None:
    """And each hold ends when it must."""
    world = aged(35, **IN_BRANCH)
    world.ask_of_case(DisputeCase, BRANCH)
    dispute = world.case(BRANCH).held_for("dispute")
    world.ask(PauseAccount, account="it", days=5)
    ends = world.fold.reprieves.paused_until("it")
    world.ask(SetExemption, kind="server", target=BRANCH, owner="ops", until=world.now + DAY)
    begun = [event for event in world.pass_time(2 * DAY) if isinstance(event, e.CaseHeld)]
    assert [(one.reason, one.row.stage, one.ends, one.until) for one in begun] == [
        ("dispute", 1, None, dispute.until if dispute else None),
        ("pause", 1, ends, None),
    ]


def test_a_notice_of_which_no_evidence_is_kept_names_no_line_and_no_edge() -> None:
    """It is told all the same."""
    world = aged(2)
    server = msgspec.structs.replace(world.fold.servers[SERVER], below=())
    what = e.PlannedNotice(kind="stage", since=world.fold.law.now, stage=2)
    told = notice_due(server, server.cases[0], world.fold.law, world.fold.policy, what)
    assert (told.line, told.line_edge, told.line_seen_at) == ("", "", server.last_seen)


def test_the_notice_before_blocking_is_repeated_for_the_same_stage() -> None:
    """Until one is delivered."""
    world = aged(70, told="failed")
    told = [event for event in world.events() if isinstance(event, e.NoticeDue) and event.kind == "before-blocking"]
    assert len(told) > 1
    assert {one.stage for one in told} == {5}


@pytest.mark.parametrize(
    ("marks", "partition", "of", "then"),
    [
        ((), 0, 1, (START,)),
        ((), 2, 1, (None, None, START)),
        ((START - HOUR,), 0, 3, (START, None, None)),
        ((START + HOUR, None), 0, 2, (START + HOUR, None)),
    ],
)
def test_a_mark_widens_what_is_known_of_partitions(marks: Any, partition: int, of: int, then: Any) -> None:
    """Those that were added hold H back, and a mark never goes back."""
    assert note_mark(marks, partition, of, START) == then


@pytest.mark.parametrize("known", [False, True])
def test_a_message_of_several_ids_repeats_only_while_no_other_of_them_is_known(known: bool) -> None:
    """What is known of another id may be news for that."""
    world = World()
    if known:
        world.see()
    world.open_case(**VERIFIED)
    world.see(**VERIFIED)
    assert repeats(world.fold, world, **VERIFIED) is not known


def test_a_message_of_one_id_repeats() -> None:
    """Nothing else could be news."""
    world = World()
    world.open_case()
    world.see()
    assert repeats(world.fold, world)


def repeats(fold: Fold, world: World, **of_facts: Any) -> bool:
    """Whether the same message again is no news."""
    glimpse = Glimpse(
        facts=msgspec.convert(msgspec.structs.asdict(facts(world.now, **of_facts)), GlimpsedFacts, strict=False),
        reading=msgspec.Raw(msgspec.json.encode(reading())),
    )
    return fold.repeats(glimpse, at=world.now)
