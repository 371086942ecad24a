"""The rules of the law, one a test, on a fold with a clock that stands still between steps."""

from datetime import timedelta
from typing import Any, TypeVar

import pytest

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.errors import InvariantError, VersionGap
from shared.domain.evidence import Reading
from shared.domain.fold import RULES
from shared.domain.records import AdoptPolicy
from shared.domain.state import decision_of
from tests.support.scenario import (
    E2007,
    E2016,
    FLOOR_2016,
    PEER,
    SERVER,
    START,
    World,
    policy_for,
    reading,
    refold,
)

E = TypeVar("E")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def of_kind(events: list[e.Event], kind: type[E]) -> list[E]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


# --- opening -------------------------------------------------------------------------------------------------------


def test_an_empty_log_begins_with_its_rules_and_policy() -> None:
    """The first records say by what everything after them was decided."""
    world = World()
    assert world.kinds(world.events()) == ["RulesAdopted", "PolicyAdopted"]
    assert world.fold.law.rules == RULES


def test_a_case_opens_in_the_third_distinct_hour() -> None:
    """Many mails in one hour count once."""
    world = World()
    for _ in range(5):
        world.see()
    assert not of_kind(world.events(), e.CaseOpened)
    world.pass_time(HOUR)
    world.see()
    world.pass_time(HOUR)
    opened = of_kind(world.see(), e.CaseOpened)
    assert [case.server for case in opened] == [SERVER]
    assert len(opened[0].evidence) == 3


def test_what_is_no_news_is_not_logged() -> None:
    """The same server in the same hour changes nothing."""
    world = World()
    world.see()
    assert world.see() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"helo": "other.example"},
        {"imported": True},
        {"client_resolve": "tempfail"},
        {"name": ""},
    ],
)
def test_untied_imported_and_undecided_names_accuse_nobody(changes: dict[str, Any]) -> None:
    """No case, however often it is seen."""
    world = World()
    for _ in range(6):
        world.see(**changes)
        world.pass_time(HOUR)
    assert not of_kind(world.events(), e.CaseOpened)


@pytest.mark.parametrize(
    "what",
    [
        reading(build=Build(15, 1, 2507, 6), high=FLOOR_2016),
        reading(build=FLOOR_2016),
        reading("Exim"),
        reading(build=None),
    ],
)
def test_what_is_not_below_the_floor_opens_nothing(what: Reading) -> None:
    """A range that reaches the floor is unknown."""
    world = World()
    world.open_case(what)
    assert not of_kind(world.events(), e.CaseOpened)


def test_a_cure_between_the_hours_starts_the_count_anew() -> None:
    """Whoever patches before the case opens never has one."""
    world = World()
    world.see()
    world.pass_time(HOUR)
    world.see()
    assert world.kinds(world.see(reading(build=FLOOR_2016))) == ["ServerSighted", "AccusationDropped"]
    world.pass_time(HOUR)
    world.see()
    assert not of_kind(world.events(), e.CaseOpened)
    assert world.fold.servers[SERVER].hours != ()


def test_hours_older_than_the_expiry_do_not_count() -> None:
    """Two readings two months ago and one today are no case."""
    world = World()
    world.see()
    world.pass_time(HOUR)
    world.see()
    world.pass_time(61 * DAY)
    assert not of_kind(world.see(), e.CaseOpened)
    assert len(world.fold.servers[SERVER].hours) == 1


def test_a_floor_that_is_not_yet_in_force_accuses_nobody() -> None:
    """Waves are dated."""
    world = World(at=START.replace(month=9, day=1))
    world.open_case()
    assert not of_kind(world.events(), e.CaseOpened)


def test_names_beyond_the_days_bound_are_not_kept_but_connectors_names_are() -> None:
    """Nobody can fill the state with made-up names, and no real branch is lost by it."""
    world = World(policy_for(new_names_per_day=2))
    for number in range(4):
        world.see(name=f"ex{number}.alt.example", helo=f"ex{number}.alt.example")
    assert len(world.fold.servers) == 2
    world.see(peer="198.51.100.1")
    assert len(world.fold.servers) == 3
    world.pass_time(DAY)
    world.see(name="ex3.alt.example", helo="ex3.alt.example")
    assert len(world.fold.servers) == 4


def test_a_sighting_from_the_future_counts_as_of_now() -> None:
    """An edge whose clock runs ahead opens nothing early."""
    world = World()
    for hours in range(4):
        world.see(seen_at=START + timedelta(hours=hours))
    assert not of_kind(world.events(), e.CaseOpened)


# --- stages and notices --------------------------------------------------------------------------------------------


def test_the_whole_way_of_a_case_that_never_patches() -> None:
    """Stages and notices on their days; blocking is granted after a delivered notice."""
    world = World()
    world.open_case()
    day0 = world.fold.servers[SERVER].cases[0].rows[0].since
    found: list[tuple[int, str]] = []
    for _ in range(95):
        world.pass_time(DAY)
        world.settle()
        world.see()
    for record, _stored in world.log:
        event = record.event
        if isinstance(event, e.StageEntered | e.NoticeDue | e.BlockingGranted) and record.due:
            name = event.kind if isinstance(event, e.NoticeDue) else type(event).__name__
            found.append(((record.due - day0).days, name))
    assert found == [
        (0, "opening"),
        (23, "before-throttling"),
        *((day, name) for day in (30, 40, 50) for name in ("StageEntered", "stage")),
        (53, "before-blocking"),
        (60, "BlockingGranted"),
        *((day, name) for day in (60, 70, 80, 90) for name in ("StageEntered", "stage")),
    ]


def test_without_a_delivered_notice_nothing_is_ever_blocked_and_the_notice_is_repeated() -> None:
    """The last throttle row holds for as long as nobody could be told."""
    world = World()
    world.open_case()
    for _ in range(90):
        world.pass_time(DAY)
        world.settle("failed")
        world.see()
    case = world.fold.servers[SERVER].cases[0]
    assert case.rows[-1].block_minutes_per_hour == 0
    assert case.entered == 4
    repeated = [event for event in of_kind(world.events(), e.NoticeDue) if event.kind == "before-blocking"]
    assert len(repeated) == 6


def test_a_late_notice_shifts_the_blocking_rows_and_keeps_their_distances() -> None:
    """Delivered on day 70: blocking from a day later on, full blocking 30 days after that."""
    world = World()
    world.open_case()
    for _ in range(70):
        world.pass_time(DAY)
        world.see()
    world.settle()
    delivered = world.fold.law.now
    world.pass_time(2 * DAY)
    rows = world.fold.servers[SERVER].cases[0].rows
    assert rows[4].since == delivered + DAY
    assert [(row.since - rows[4].since).days for row in rows[4:]] == [0, 10, 20, 30]


def test_a_policy_may_say_that_no_notice_is_needed() -> None:
    """Then blocking comes on its day."""
    shipped = policy_for()
    notices = {
        **{f: getattr(shipped.notices, f) for f in shipped.notices.__struct_fields__},
        "needed_for_blocking": False,
    }
    world = World(policy_for(notices=notices))
    world.open_case()
    for _ in range(61):
        world.pass_time(DAY)
        world.see()
    assert of_kind(world.events(), e.BlockingGranted)
    assert all(event.again is None for event in of_kind(world.events(), e.NoticeDue))


def test_nothing_falls_due_beyond_h() -> None:
    """While no edge marks, no stage comes, however long it lasts; the outage does not count."""
    world = World()
    world.open_case()
    world.pass_time(29 * DAY)
    world.see()
    events = world.pass_time(20 * DAY, watched=False)
    assert world.kinds(events) == ["HoldBegan"]
    held_from = world.fold.law.h
    back = world.pass_time(timedelta(minutes=1))
    assert world.kinds(back) == ["HoldEnded"]
    assert world.fold.law.held == world.now - held_from
    assert world.kinds(world.pass_time(2 * DAY))[0] == "StageEntered"


def test_a_freeze_stops_the_clock_and_the_time_does_not_count() -> None:
    """Frozen for ten days: stage 2 comes ten days later."""
    world = World()
    world.open_case()
    due = world.fold.servers[SERVER].cases[0].rows[1].since
    assert world.kinds(world.freeze("freeze-01", frozen=True)) == ["RequestDecided", "HoldBegan"]
    assert world.kinds(world.freeze("freeze-02", frozen=True)) == ["RequestDecided"]
    world.pass_time(10 * DAY)
    assert world.fold.law.frozen
    assert world.kinds(world.freeze("freeze-03", frozen=False)) == ["RequestDecided", "HoldEnded"]
    world.see()
    world.pass_time(32 * DAY)
    entered = [record for record, _ in world.log if isinstance(record.event, e.StageEntered)]
    assert entered[0].due == due + 10 * DAY


def test_two_reasons_to_hold_count_once() -> None:
    """Blind inside a freeze: held time is their union."""
    world = World()
    world.open_case()
    law_then = world.fold.law.now
    world.freeze("freeze-01", frozen=True)
    world.pass_time(2 * DAY, watched=False)
    world.freeze("freeze-02", frozen=False)
    world.pass_time(DAY, watched=False)
    world.pass_time(timedelta(minutes=1))
    assert not world.fold.law.blind
    assert world.fold.law.hold_since is None
    assert world.fold.law.now == law_then


# --- release, end --------------------------------------------------------------------------------------------------


def test_a_cure_releases_at_once_and_the_case_ends_a_day_later() -> None:
    """The decision is a record without cases, not a tombstone."""
    world = World()
    world.open_case()
    for _ in range(5):
        world.pass_time(DAY)
        world.settle()
    assert world.kinds(world.see(reading(build=FLOOR_2016))) == ["ServerSighted", "CaseReleased", "NoticeDue"]
    decision = decision_of(world.fold.servers[SERVER])
    assert decision is not None
    assert decision.cases == ()
    assert world.kinds(world.see(reading(build=Build(15, 1, 2507, 73)))) == ["ServerSighted"]
    ended = of_kind(world.pass_time(2 * DAY), e.CaseEnded)
    assert [event.expired for event in ended] == [False]
    assert world.fold.servers[SERVER].cases == ()


def test_a_cure_counts_for_every_id_that_the_message_matches() -> None:
    """Known by a verified name, and by HELO where DNS did not confirm it: the patched message lifts both."""
    world = World()
    verified: dict[str, Any] = {"client_name": "ex07.alt.example", "client_resolve": "ok"}
    world.open_case(**verified)
    world.open_case()
    released = of_kind(world.see(reading(build=FLOOR_2016), **verified), e.CaseReleased)
    assert {event.server for event in released} == {SERVER, "ex07.alt.example"}


def test_another_product_releases_nothing_and_is_judged_by_itself() -> None:
    """Each product has a case of its own."""
    world = World()
    world.open_case(reading(E2007, None))
    world.open_case(reading())
    assert {case.product for case in world.fold.servers[SERVER].cases} == {E2007, E2016}
    world.see(reading(build=FLOOR_2016))
    alive = [case.product for case in world.fold.servers[SERVER].cases if case.released_at is None]
    assert alive == [E2007]


def test_a_server_that_is_not_seen_for_sixty_days_expires() -> None:
    """Its decision holds no case any more."""
    world = World(policy_for("observe"))
    world.open_case()
    events = world.pass_time(61 * DAY)
    assert [event.expired for event in of_kind(events, e.CaseEnded)] == [True]
    decision = decision_of(world.fold.servers[SERVER])
    assert decision is not None
    assert decision.cases == ()


# --- observe and enforce, requests ---------------------------------------------------------------------------------


def test_in_observe_a_case_stands_at_day_0_and_starts_when_enforced() -> None:
    """No notice, no stage; after the change of mode the clock begins at day 0, and stands again after the way back."""
    world = World(policy_for("observe"))
    world.open_case()
    for _ in range(40):
        world.see()
        assert world.pass_time(DAY) == []
    assert world.kinds(world.adopt(policy_for("enforce", 2))) == ["PolicyAdopted", "ClockStarted"]
    case = world.fold.servers[SERVER].cases[0]
    assert case.rows[0].since == world.fold.law.now
    assert world.kinds(world.pass_time(DAY)) == ["NoticeDue"]
    assert world.kinds(world.adopt(policy_for("observe", 3), "request-2")) == ["PolicyAdopted", "ClockStopped"]
    world.see()
    assert world.pass_time(35 * DAY) == []


@pytest.mark.parametrize(
    ("version", "late", "outcome", "reason"),
    [(1, False, "refused", "must be above 1"), (2, True, "refused", "24 hours")],
)
def test_a_policy_that_is_old_or_late_is_refused(version: int, late: bool, outcome: str, reason: str) -> None:
    """The outcome and its reason stand in the log."""
    world = World()
    world.now += timedelta(minutes=1)
    request = policy_for(version=version)
    if late:
        made_at, world.now = world.now, world.now + 2 * DAY
        asked = AdoptPolicy(id="request-9", who="ops", why="t", made_at=made_at, policy=request)
        events = world.take(asked)
    else:
        events = world.adopt(request)
    decided = of_kind(events, e.RequestDecided)[0]
    assert decided.outcome == outcome
    assert reason in decided.reason


def test_a_request_with_a_known_id_changes_nothing() -> None:
    """Told twice, done once; the second is on record, until the ids are forgotten."""
    world = World()
    world.adopt(policy_for(version=2))
    again = of_kind(world.adopt(policy_for(version=3)), e.RequestDecided)
    assert [event.outcome for event in again] == ["no effect"]
    world.pass_time(17 * DAY)
    world.adopt(policy_for(version=4), "request-2")
    assert set(world.fold.requests) == {"request-2"}


def test_a_notice_that_is_settled_or_unknown_cannot_be_settled() -> None:
    """A late or doubled report has no effect."""
    world = World()
    world.open_case()
    world.pass_time(HOUR)
    notice = of_kind(world.events(), e.NoticeDue)[0]
    assert world.kinds(world.take(world.report(notice.notice, SERVER))) == ["RequestDecided", "NoticeSettled"]
    again = world.take(world.report(notice.notice, SERVER, "failed"))
    assert [event.outcome for event in of_kind(again, e.RequestDecided)] == ["no effect"]
    nobody = world.take(world.report("1-1", "nobody@" + PEER))
    assert [event.outcome for event in of_kind(nobody, e.RequestDecided)] == ["no effect"]


# --- the fold ------------------------------------------------------------------------------------------------------


def test_a_log_with_a_gap_or_a_foreign_record_does_not_fold() -> None:
    """Seq and hash chain are checked at each step."""
    world = World()
    world.open_case()
    stored = [value for _, value in world.log]
    with pytest.raises(VersionGap, match="does not follow"):
        refold([*stored[:3], *stored[4:]], policy_for())


def test_an_event_of_what_is_not_there_is_an_invariant_error() -> None:
    """The fold stops rather than guess."""
    world = World()
    lost = e.StageEntered(server=SERVER, product=E2016, stage=2, throttle_minutes_per_hour=5, block_minutes_per_hour=0)
    with pytest.raises(InvariantError, match="nothing before it named"):
        world.fold._write(lost, at=START)
    world = World()
    world.see()
    with pytest.raises(InvariantError, match="not open"):
        world.fold._write(lost, at=START)


def test_a_new_epoch_is_begun_by_newer_rules_only() -> None:
    """The same rules add nothing."""
    world = World()
    assert world.fold.begin(at=START, version="x") == []


def test_nothing_folded_has_no_law() -> None:
    """Asking for it before the first record is a mistake."""
    from shared.domain.fold import Fold  # noqa: PLC0415  (only here)

    fold = Fold(policy_for())
    assert fold.is_empty
    with pytest.raises(ValueError, match="nothing has been folded"):
        _ = fold.law


def test_a_checkpoint_comes_every_thousand_records() -> None:
    """It holds the digest of the state before it."""
    world = World()
    for number in range(1100):
        world.see(name=f"ex{number}.alt.example", helo=f"ex{number}.alt.example")
    checks = [event for event in world.events() if isinstance(event, e.Checkpoint)]
    assert len(checks) == 1
    assert checks[0].servers <= 1000
