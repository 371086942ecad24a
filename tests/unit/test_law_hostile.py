"""What the law makes of late, forged, repeated and ill-timed input, and of a policy that changes under open cases."""

from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.decide import NEWS_PER_HOUR
from shared.domain.errors import InvariantError
from shared.domain.evolve import evolve_server, server_of
from shared.domain.fold import _HEAP_SLACK, RULES, Fold
from shared.domain.state import least_mark, note_mark
from tests.support.scenario import E2007, E2016, FLOOR_2016, NAME, SERVER, START, World, policy_for, reading

E = TypeVar("E")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
VERIFIED: dict[str, Any] = {"client_name": NAME, "client_resolve": "ok"}
PATCHED = reading(build=FLOOR_2016)


def of_kind(events: list[e.Event], kind: type[E]) -> list[E]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def builds(number: int) -> Build:
    """Builds below the floor, each another one."""
    return Build(15, 1, 2000 + number, 1)


# --- late ----------------------------------------------------------------------------------------------------------


def test_what_was_seen_before_a_patch_accuses_nobody_however_late_it_comes() -> None:
    """An edge hands in its hours after another edge saw the patched server: no case."""
    world = World()
    world.see()
    world.pass_time(6 * HOUR)
    world.see(PATCHED)
    for hours in (1, 2, 3, 4):
        world.see(reading(build=builds(hours)), seen_at=START + hours * HOUR)
    assert not of_kind(world.events(), e.CaseOpened)
    server = world.fold.servers[SERVER]
    assert (server.reading, server.hours, server.last_seen) == (PATCHED, (), START + 6 * HOUR)


def test_late_hours_of_a_server_that_was_not_patched_count() -> None:
    """Late is no excuse by itself."""
    world = World()
    world.pass_time(6 * HOUR)
    world.see()
    world.see(seen_at=START + HOUR)
    assert of_kind(world.see(seen_at=START + 2 * HOUR), e.CaseOpened)
    assert world.fold.servers[SERVER].cases[0].rows[0].since == world.fold.law.now  # and makes no case older


def test_what_comes_late_does_not_replace_newer_evidence() -> None:
    """Reading, line, day and law time of the newest stay."""
    world = World()
    world.pass_time(2 * DAY)
    world.see()
    newest = world.fold.servers[SERVER]
    events = world.see(reading(build=builds(1)), seen_at=START, own_lines=("old",), edge="mx2")
    assert [event.news for event in of_kind(events, e.ServerSighted)] == [("hour",)]
    late = world.fold.servers[SERVER]
    unlike = {f for f in late.__struct_fields__ if getattr(late, f) != getattr(newest, f)}
    assert unlike == {"hours", "news"}


def test_an_hour_that_is_older_than_the_expiry_does_not_count_whenever_it_comes() -> None:
    """Two hours today and a sighting of two months ago are no case."""
    world = World()
    world.pass_time(61 * DAY)
    world.see()
    world.pass_time(HOUR)
    world.see()
    assert not of_kind(world.see(seen_at=START), e.CaseOpened)
    assert len(world.fold.servers[SERVER].hours) == 2


def test_days_and_hours_are_of_utc_whatever_the_offset_of_the_clock() -> None:
    """At 01:30 of the first day in a zone ahead the floor's first UTC day has not come."""
    east = timezone(14 * HOUR)
    world = World(at=START.replace(month=9, day=7, hour=22))
    world.see(seen_at=datetime(2026, 9, 8, 11, 30, tzinfo=east))
    sighted = of_kind(world.events(), e.ServerSighted)[0]
    assert not sighted.below
    assert sighted.facts.seen_at.utcoffset() == timedelta()


# --- holds ---------------------------------------------------------------------------------------------------------


def test_a_case_that_opens_while_the_law_stands_still_is_at_day_0_when_it_goes_on() -> None:
    """The days that do not count are not added to its day 0 either, nor to its expiry."""
    world = World()
    world.pass_time(10 * DAY, watched=False)
    for _ in range(3):
        world.see()
        world.pass_time(HOUR, watched=False)
    server = world.fold.servers[SERVER]
    assert server.cases[0].rows[0].since == server.below[0].at_law == world.fold.law.now


def test_blind_inside_a_freeze_does_not_begin_the_hold_anew() -> None:
    """The law stands where the freeze found it."""
    world = World()
    world.freeze("freeze-01", frozen=True)
    law_then = world.fold.law.now
    world.pass_time(DAY)
    world.pass_time(DAY, watched=False)
    assert world.fold.law.blind
    assert world.fold.law.now == law_then


def test_h_never_goes_back_nor_above_the_clock() -> None:
    """Whatever a mark says."""
    world = World()
    world.fold.advance(START + DAY, at=START + HOUR)
    assert world.fold.law.h == START + HOUR
    world.fold.advance(START, at=START + 2 * HOUR)
    assert world.fold.law.h == START + HOUR


def test_a_released_case_enters_no_stage() -> None:
    """Cured on the day before throttling: it only ends."""
    world = World()
    world.open_case()
    world.pass_time(29 * DAY)
    world.see(PATCHED)
    assert not of_kind(world.pass_time(3 * DAY), e.StageEntered)


def test_nothing_falls_due_while_a_hold_runs() -> None:
    """Who freezes the law sends no notices either; they come when it is lifted."""
    world = World()
    world.freeze("freeze-01", frozen=True)
    world.open_case()
    assert world.pass_time(2 * DAY) == []
    world.freeze("freeze-02", frozen=False)
    assert world.kinds(world.pass_time(timedelta(seconds=1))) == ["NoticeDue"]


# --- cures and bounds ----------------------------------------------------------------------------------------------


def test_a_cure_counts_though_the_days_bound_of_new_names_is_reached() -> None:
    """Nobody keeps a case alive by filling the day with made-up names."""
    world = World(policy_for(new_names_per_day=1))
    world.open_case()
    world.pass_time(DAY)
    world.see(name="made.up.example", helo="made.up.example")
    assert world.see(name="more.up.example", helo="more.up.example") == []
    released = of_kind(world.see(PATCHED, **VERIFIED), e.CaseReleased)
    assert [(event.server, event.by) for event in released] == [(SERVER, NAME)]


def test_a_server_gives_so_much_news_an_hour_and_cures_always() -> None:
    """Nobody fills the log with builds; the next hour counts anew."""
    world = World()
    world.see()
    for number in range(20):
        world.see(reading(build=builds(number)))
    assert len(of_kind(world.events(), e.ServerSighted)) == NEWS_PER_HOUR
    assert world.kinds(world.see(PATCHED)) == ["ServerSighted", "AccusationDropped"]
    assert world.see(reading(build=builds(30))) == []
    world.pass_time(HOUR)
    assert world.kinds(world.see()) == ["ServerSighted"]
    assert world.fold.servers[SERVER].news == 1


def test_after_release_nothing_counts_until_the_case_ended_and_then_it_starts_anew() -> None:
    """Only observed, and below the floor again within a day: recorded; afterwards a case needs three hours of its own."""
    world = World(policy_for("observe"))
    world.open_case()
    world.see(PATCHED)
    world.pass_time(HOUR)
    for _ in range(3):
        assert not of_kind(world.see(), e.CaseOpened)
        world.pass_time(HOUR)
    world.pass_time(DAY)
    assert world.fold.servers[SERVER].cases == ()
    opened = []
    for _ in range(3):
        opened.append(len(of_kind(world.see(), e.CaseOpened)))
        world.pass_time(HOUR)
    assert opened == [0, 0, 1]


def test_of_two_ids_only_the_better_is_accused() -> None:
    """A verified server's case is under its name, and its name at the peer has none."""
    world = World()
    world.open_case(**VERIFIED)
    assert set(world.fold.servers) == {NAME}


def test_hours_of_one_product_do_not_open_a_case_of_another() -> None:
    """Two readings of one and two of the other are no case."""
    world = World()
    for what in (reading(), reading(E2007, None), reading(), reading(E2007, None)):
        world.see(what)
        world.pass_time(HOUR)
    assert not of_kind(world.events(), e.CaseOpened)
    assert of_kind(world.see(), e.CaseOpened)


def test_a_reading_that_cannot_tell_releases_nothing() -> None:
    """A range that reaches the floor is no cure."""
    world = World()
    world.open_case()
    world.see(reading(build=Build(15, 1, 2507, 6), high=FLOOR_2016))
    assert not of_kind(world.events(), e.CaseReleased)


def test_a_cure_of_one_product_leaves_the_hours_of_another() -> None:
    """Each is judged by itself."""
    world = World()
    world.see(reading(E2007, None))
    world.see()
    world.see(PATCHED)
    assert [hour.product for hour in world.fold.servers[SERVER].hours] == [E2007]


def test_who_was_never_told_of_a_case_is_not_told_of_its_release() -> None:
    """Opened and released while the law stood still."""
    world = World()
    world.freeze("freeze-01", frozen=True)
    world.open_case()
    assert world.kinds(world.see(PATCHED)) == ["ServerSighted", "CaseReleased"]


def test_an_hour_counts_for_each_product_that_was_seen_in_it() -> None:
    """Two products in three hours are two cases."""
    world = World()
    for _ in range(3):
        world.see()
        world.see(reading(E2007, None))
        world.pass_time(HOUR)
    assert {case.product for case in world.fold.servers[SERVER].cases} == {E2007, E2016}


def test_ties_that_the_policy_does_not_let_open_accuse_nobody() -> None:
    """Known by HELO alone, where that is not enough."""
    world = World(policy_for(open_ties=("connector", "verified")))
    world.open_case()
    assert not of_kind(world.events(), e.CaseOpened)
    world.open_case(**VERIFIED)
    assert [event.server for event in of_kind(world.events(), e.CaseOpened)] == [NAME]


def test_a_product_that_is_gone_expires_though_the_next_one_is_below_the_floor_too() -> None:
    """Each case by its own evidence: the notices of the old one quote its line, and end."""
    world = World()
    world.open_case(reading(E2007, None), own_lines=("a line of 2007",))
    for _ in range(61):
        world.pass_time(DAY)
        world.see(own_lines=("a line of 2016",))
    ended = of_kind(world.events(), e.CaseEnded)
    assert [(event.product, event.expired) for event in ended] == [(E2007, True)]
    lines = {(event.product, event.line) for event in of_kind(world.events(), e.NoticeDue)}
    assert lines == {(E2007, "a line of 2007"), (E2016, "a line of 2016")}
    assert [below.product for below in world.fold.servers[SERVER].below] == [E2007, E2016]


# --- notices -------------------------------------------------------------------------------------------------------


def test_a_notice_that_is_repeated_promises_no_day_that_is_gone() -> None:
    """Not before: the planned day, or as long after this notice as the policy says."""
    world = World()
    world.open_case()
    day0 = world.fold.servers[SERVER].cases[0].rows[0].since
    for _ in range(70):
        world.pass_time(DAY)
        world.settle("failed")
        world.see()
    found = []
    for record, _stored in world.log:
        event = record.event
        if isinstance(event, e.NoticeDue) and event.kind == "before-blocking" and record.due:
            assert event.blocking[0].since >= record.due + DAY
            found.append((event.blocking[0].since - day0).days)
            assert [(row.since - event.blocking[0].since).days for row in event.blocking] == [0, 10, 20, 30]
    assert found == [60, 61, 68]


def test_a_notice_before_blocking_is_not_repeated_once_one_was_delivered() -> None:
    """However long the policy makes blocking wait after it."""
    notices = msgspec.structs.replace(policy_for().notices, hours_before_blocking=2400)
    world = World(policy_for(notices=notices))
    world.open_case()
    for _ in range(80):
        world.pass_time(DAY)
        world.settle()
        world.see()
    told = [event for event in of_kind(world.events(), e.NoticeDue) if event.kind == "before-blocking"]
    assert len(told) == 1
    delivered = next(r.at for r, _ in reversed(world.log) if isinstance(r.event, e.NoticeSettled))
    assert told[0].blocking[0].since < delivered + 100 * DAY  # counted from an earlier one: some came before it


def test_a_repeated_notice_falls_due_no_more_once_blocking_is_granted() -> None:
    """Its place in the plan goes with the grant."""
    world = World()
    world.open_case()
    for _ in range(62):
        world.pass_time(DAY)
        world.see()
    assert [n.kind for n in world.fold.servers[SERVER].cases[0].planned] == ["before-blocking"]
    world.settle()
    world.pass_time(9 * DAY)
    case = world.fold.servers[SERVER].cases[0]
    assert {n.kind for n in case.planned} == {"stage"}
    kinds = [event.kind for event in of_kind(world.events(), e.NoticeDue)]
    assert kinds.count("before-blocking") == 2


# --- the fold ------------------------------------------------------------------------------------------------------


def test_partitions_that_are_added_hold_h_back_until_they_are_marked() -> None:
    """And a mark of an edge that does not know of them takes none away."""
    marks = note_mark((), 0, 1, START)
    assert least_mark(marks) == START
    marks = note_mark(marks, 0, 2, START + HOUR)
    assert (marks, least_mark(marks)) == ((START + HOUR, None), None)
    marks = note_mark(marks, 1, 2, START)
    assert least_mark(note_mark(marks, 0, 1, START)) == START
    assert note_mark(marks, 0, 1, START)[0] == START + HOUR


def test_the_heap_is_built_anew_at_its_bound_and_still_tells_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Due things that moved on leave entries behind; they are bounded and lose nothing."""
    assert _HEAP_SLACK == 1000
    monkeypatch.setattr("shared.domain.fold._HEAP_SLACK", 2)
    world = World()
    world.open_case()
    for _ in range(95):
        world.pass_time(DAY)
        world.settle()
        world.see()
        assert len(world.fold._due) <= 2 + 2 * len(world.fold.servers)
    assert world.fold.servers[SERVER].cases[0].entered == 8


def test_an_older_logs_rules_are_adopted_anew() -> None:
    """A new epoch is one record."""
    world = World()
    assert world.fold._law is not None
    older = Fold(policy_for(), msgspec.structs.replace(world.fold.law, rules=RULES - 1))
    written = older.begin(at=START, version="x")
    assert [record.event for record, _ in written] == [e.RulesAdopted(rules=RULES, version="x")]


def test_what_changed_is_told_once_and_sorted() -> None:
    """The enforcer writes the state of these, in an order that does not hang on memory."""
    world = World()
    for name in ("b.alt.example", "a.alt.example"):
        world.see(name=name, helo=name)
    changed = world.fold.take_changed()
    assert changed == sorted(changed)
    assert len(changed) == 2
    assert world.fold.take_changed() == []


def test_a_case_of_another_product_is_not_changed() -> None:
    """An event names server and product."""
    world = World()
    world.open_case()
    lost = e.StageEntered(server=SERVER, product=E2007, stage=2, throttle_minutes_per_hour=5, block_minutes_per_hour=0)
    with pytest.raises(InvariantError, match="not open"):
        world.fold._write(lost, at=START)
    assert world.fold.servers[SERVER].case_of(E2016) is not None


def test_a_record_of_no_server_changes_none() -> None:
    """Whoever asks for that has taken the wrong half of `evolve`."""
    world = World()
    world.see()
    with pytest.raises(InvariantError, match="changes no case"):
        evolve_server(world.fold.servers[SERVER], world.log[0][0], 1)
    with pytest.raises(AssertionError):
        server_of(object())  # type: ignore[arg-type]  # no event
