"""The state as status reads it: topics in, bounded in every direction; timelines; and how ready it is."""

from datetime import datetime, timedelta

import msgspec
import pytest

from services.status import view as view_module
from services.status.readiness import Readiness, held_back_by, readiness
from services.status.settings import StatusSettings
from services.status.standbys import Standby
from services.status.timeline import ACTS_PER_SERVER, SIGHTINGS_PER_SERVER, Timelines
from services.status.view import Board, View
from shared.domain.errors import RecordSchemaError
from shared.domain.policy import Caps
from shared.domain.records import EdgeReport, SignBlocking
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support.scenario import FLOOR_2016, SERVER, START, World, policy_for, reading
from tests.support.status_state import StillClock, edge_report, records_of, view_of

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def board_of(view: View | None, *, progress: datetime | None = START) -> Board:
    """A board that shows *view* and is up to date."""
    board = Board()
    board.view = view
    board.reader.trouble = ""
    board.reader.progress = progress
    return board


def ready_of(board: Board, now: datetime, **settings: int) -> Readiness:
    """The readiness at that instant."""
    return readiness(board, StatusSettings(**settings), StillClock(now))  # type: ignore[arg-type]  # whole numbers only


# --- reading -------------------------------------------------------------------------------------------------------


def test_a_view_holds_what_was_written() -> None:
    """Servers, law, policy, heartbeat and the digest of the table, as the enforcer has them."""
    world = World()
    world.open_case()
    view = view_of(world)
    assert view.servers == world.fold.servers
    assert view.position is not None
    assert view.position.law == world.fold.law
    assert view.table.policy == world.fold.policy
    assert (view.table.count, view.differs_in, view.unreadable) == (1, "", 0)


def test_a_lost_decision_shows_in_the_digest() -> None:
    """The heartbeat counts one more than was read."""
    world = World()
    world.open_case()
    view = View()
    view.loaded = True
    for topic, key, value in records_of(world):
        if key != SERVER.encode():
            view.take(topic, key, value, START)
    assert view.differs_in == "count"
    board = board_of(view)
    assert any("differ from the heartbeat" in warning for warning in ready_of(board, START).warnings)


def test_inside_the_load_no_digest_is_compared() -> None:
    """Compaction may have taken what an old heartbeat counts."""
    world = World()
    world.open_case()
    view = View()
    for topic, key, value in records_of(world):
        if key != SERVER.encode():
            view.take(topic, key, value, START)
    assert view.differs_in is None


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [
        (t.LOG, None, b"{}"),
        (t.LOG, None, None),
        (t.ENFORCER_STATE, b"a.b@c", b"\xff"),
        (t.ENFORCER_STATE, b"\xff", None),
        (t.ENFORCER_STATE, t.KEY_POSITION, b"[]"),
        (t.DECISIONS, b"a.b@c", b"not JSON"),
        (t.DECISIONS, t.KEY_HEARTBEAT, None),
        (t.EDGE_REPORTS, b"mx1", b"{}"),
    ],
)
def test_an_unreadable_record_is_counted_and_the_rest_stays(topic: str, key: bytes | None, value: bytes | None) -> None:
    """One error with a cause, counted; what is shown is as before."""
    world = World()
    world.open_case()
    view = view_of(world)
    with pytest.raises(RecordSchemaError):
        view.take(topic, key, value, START)
    assert view.unreadable == 1
    assert (view.servers, view.table.count) == (dict(world.fold.servers), 1)
    assert any("1 records could not be read" in warning for warning in ready_of(board_of(view), START).warnings)


def test_tombstones_take_away() -> None:
    """A server or a decision that is deleted is gone; records of others in these topics are passed over."""
    world = World()
    world.open_case()
    view = view_of(world)
    view.take(t.ENFORCER_STATE, b"request abc-12345", b"{}", START)
    view.take(t.ENFORCER_STATE, t.KEY_POLICY, b"{}", START)
    view.take(t.EDGE_REPORTS, b"mx1", None, START)
    view.take(t.ENFORCER_STATE, SERVER.encode(), None, START)
    view.take(t.DECISIONS, SERVER.encode(), None, START)
    assert (view.servers, view.table.count, view.unreadable) == ({}, 0, 0)


def test_edges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound the one that reported longest ago goes."""
    monkeypatch.setattr(view_module, "EDGES_MAX", 2)
    world = World()
    view = view_of(world, *(edge_report(world, edge=edge) for edge in ("mx1", "mx2", "mx1", "mx3")))
    assert sorted(view.edges) == ["mx1", "mx3"]


def test_remembered_heartbeats_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge that lags further than that cannot be compared, and is not accused."""
    monkeypatch.setattr(view_module, "HEARTBEATS_KEPT", 1)
    world = World()
    early = edge_report(world)
    view = view_of(world, early)
    report = view.edges["mx1"]
    assert view.edge_agrees(report) is True
    world.see()
    for topic, key, value in records_of(world):
        view.take(topic, key, value, START)
    assert view.edge_agrees(report) is None


# --- timelines -----------------------------------------------------------------------------------------------------


def timelines_of(world: World, **bounds: int) -> Timelines:
    """The timelines of a whole log."""
    kept = Timelines(**bounds)
    for record, _ in world.log:
        kept.note(record)
    return kept


def test_a_timeline_tells_what_happened_in_order() -> None:
    """Sightings, acts, and what concerned all since this server was first seen."""
    world = World()
    world.open_case()
    world.settle()
    world.freeze("freeze-0001", frozen=True)
    events = timelines_of(world).of(SERVER)
    kinds = [event.kind.removesuffix(".v1") for event in events]
    assert kinds == [*["server-sighted"] * 3, "case-opened", "notice-due", "notice-settled", "hold-began"]
    assert [event.scope for event in events][-2:] == ["server", "all"]
    assert events[3].what == "case opened about Microsoft Exchange 2016"


def test_sightings_push_no_act_out() -> None:
    """A year of daily sightings: the newest few are kept, and every act."""
    world = World()
    world.open_case()
    for _ in range(100):
        world.pass_time(DAY)
        world.see()
        world.settle()
    events = timelines_of(world).of(SERVER)
    sightings = [event for event in events if event.kind == "server-sighted.v1"]
    assert len(sightings) == SIGHTINGS_PER_SERVER
    assert len(events) - len(sightings) <= ACTS_PER_SERVER
    assert [event.stage for event in events if event.kind == "stage-entered.v1"] == [2, 3, 4, 5, 6, 7, 8]
    assert any(event.kind == "case-opened.v1" for event in events)


def test_timelines_are_bounded_in_all() -> None:
    """At the bound the server without news for the longest loses its timeline, the others keep theirs."""
    world = World()
    for number in range(5):
        world.see(name=f"ex{number}.example", helo=f"ex{number}.example")
    world.pass_time(timedelta(hours=1))
    world.see(name="ex0.example", helo="ex0.example")
    kept = timelines_of(world, entries_in_all=5)
    found = [len([one for one in kept.of(f"ex{n}.example@192.0.2.7") if one.scope == "server"]) for n in range(5)]
    assert found == [2, 0, 1, 1, 1]
    assert len(kept) == 5
    for number in (5, 6, 7, 8):
        world.see(name=f"ex{number}.example", helo=f"ex{number}.example")
    kept = timelines_of(world, entries_in_all=5)
    assert not [one for one in kept.of("ex0.example@192.0.2.7") if one.scope == "server"]
    assert len(kept) == 4  # its two went at once


# --- readiness -----------------------------------------------------------------------------------------------------


def test_all_in_order_is_ready() -> None:
    """Fresh heartbeat, fresh H, an edge that agrees: ready, and no warning."""
    world = World()
    world.open_case()
    view = view_of(world, edge_report(world))
    ready = ready_of(board_of(view, progress=world.now), world.now)
    assert (ready.ready, ready.reasons, ready.warnings) == (True, (), ())
    assert (ready.table_agrees, ready.h_age_s, ready.heartbeat_age_s, ready.servers) == (True, 0.0, 0.0, 1)
    assert [edge.table_agrees for edge in ready.edges] == [True]


def test_before_the_first_load_it_is_not_ready() -> None:
    """Nothing read to the end: one reason, with what stands in the way."""
    board = Board()
    board.reader.trouble = "KafkaConnectionError: nobody there"
    ready = ready_of(board, START)
    assert not ready.ready
    assert ready.reasons == ("the topics have not been read to their end yet (KafkaConnectionError: nobody there)",)


@pytest.mark.parametrize(
    ("later_s", "settings", "words"),
    [
        (30, {}, []),
        (31, {}, ["what is shown is 31 s old"]),
        (60, {}, ["what is shown"]),
        (61, {}, ["what is shown", "the last heartbeat is 61 s old"]),
        (31, {"blind_after_s": 30}, ["what is shown", "H is 31 s old, more than blind_after (30 s)"]),
    ],
)
def test_each_age_has_its_bound(later_s: int, settings: dict[str, int], words: list[str]) -> None:
    """Just at the bound is well, a second later is a reason."""
    world = World()
    ready = ready_of(board_of(view_of(world)), START + later_s * SECOND, **settings)
    assert len(ready.reasons) == len(words)
    assert all(word in reason for word, reason in zip(words, ready.reasons, strict=True))


def test_topics_without_an_enforcer_are_not_ready() -> None:
    """Read to the end, but nobody has written a heartbeat or a position."""
    ready = ready_of(board_of(View()), START)
    assert [reason.split(":")[0] for reason in ready.reasons] == [
        "no heartbeat in `decisions`",
        "no position in `enforcer-state`",
    ]


@pytest.mark.parametrize(
    ("marks", "partition", "age_s"),
    [
        ((START, START - 5 * SECOND, START - SECOND), 1, 5.0),
        ((START, None, START - DAY, None), 1, None),
        ((START,), 0, 0.0),
    ],
)
def test_the_partition_that_holds_h_back_is_named(
    marks: tuple[datetime | None, ...], partition: int, age_s: float | None
) -> None:
    """The least mark; a partition that nobody has marked holds back most of all."""
    position = Position(offsets={}, law=World().fold.law, marks=marks, counts={})
    found = held_back_by(position, StillClock(START))
    assert found is not None
    assert (found.partition, found.age_s) == (partition, age_s)
    assert held_back_by(msgspec.structs.replace(position, marks=()), StillClock(START)) is None


def test_edges_that_observe_or_differ_are_warned_of() -> None:
    """Neither makes the report wrong, so it stays ready."""
    world = World()
    odd = edge_report(world, edge="mx2", observing="clock off by 400 s", digest="1" * 32)
    ready = ready_of(board_of(view_of(world, edge_report(world), odd)), START)
    assert ready.ready
    assert [warning.split(" ")[1] for warning in ready.warnings] == ["mx2", "mx2"]
    assert [(edge.edge, edge.table_agrees) for edge in ready.edges] == [("mx1", True), ("mx2", False)]


def test_who_leads_and_who_stands_by_is_told() -> None:
    """The leader by the last heartbeat; a standby that is not warm is a warning, and unknown standbys are none."""
    world = World()
    view = view_of(world)
    beat = view.table.heartbeat
    assert beat is not None
    view.take(t.DECISIONS, t.KEY_HEARTBEAT, encode(msgspec.structs.replace(beat, leader="mx1-77")), START)
    board = board_of(view)
    ready = ready_of(board, START)
    assert (ready.leader, ready.standbys, ready.warnings) == ("mx1-77", None, ())
    warm = Standby(instance="mx2-5", warm=True, seq=beat.seq, behind=0)
    cold = Standby(instance="mx3-6", warm=False, seq=None, behind=None)
    board.standbys = (warm, cold)
    ready = ready_of(board, START)
    assert ready.ready
    assert ready.standbys == (warm, cold)
    assert [warning.split(":")[0] for warning in ready.warnings] == ["enforcer mx3-6 stands by and is not warm yet"]


def test_a_hold_is_told() -> None:
    """A freeze: standing still, and for how long."""
    world = World()
    world.freeze("freeze-0001", frozen=True)
    world.pass_time(2 * SECOND)
    ready = ready_of(board_of(view_of(world), progress=world.now), world.now)
    assert (ready.standing_still, ready.held_s) == ("freeze", 2.0)


def test_an_edge_report_of_the_future_is_read() -> None:
    """A newer edge adds fields; they are passed over."""
    _, key, value = edge_report(World())
    newer = value[:-1] + b',"new_field":1}'
    view = View()
    view.take(t.EDGE_REPORTS, key, newer, START)
    assert isinstance(view.edges["mx1"], EdgeReport)


def test_each_kind_of_event_has_its_words() -> None:
    """Everything that can happen to a server is told in words, never by its tag."""
    world = World()
    world.see()
    world.see(reading(build=FLOOR_2016))
    world.open_case()
    for _ in range(61):
        world.pass_time(DAY)
        world.see()
        world.settle()
    world.adopt(policy_for("observe", version=2), "request-2")
    world.adopt(policy_for("enforce", version=3), "request-3")
    world.see(reading(build=FLOOR_2016))
    world.pass_time(DAY)
    world.open_case()
    world.pass_time(61 * DAY, step=DAY)
    world.pass_time(timedelta(hours=3), watched=False)
    world.pass_time(timedelta(hours=1))
    queued = World(policy_for(caps=Caps(newly_blocked_per_day=1, newly_blocked_percent_of_open_cases=0)))
    for _ in range(62):
        queued.open_case(name="ahead.alt.example", helo="ahead.alt.example")
        queued.open_case()
        queued.settle()
        queued.pass_time(DAY)
    mixed = World()
    mixed.open_case()
    mixed.see(reading(build=FLOOR_2016))
    mixed.pass_time(timedelta(hours=1))
    mixed.see()
    mixed.see(client_name="ex07.alt.example", client_resolve="ok")
    signed = World()
    signed.open_case()
    signed.ask_of_case(SignBlocking, stage=5)
    world.log += [*queued.log, *signed.log, *mixed.log]
    kept = Timelines()
    words: dict[str, str] = {}
    for record, _ in world.log:
        kept.note(record)
        words |= {event.kind: event.what for event in kept.of(SERVER)} | {
            event.kind: event.what for event in kept.of("ex07.alt.example")
        }
    assert set(words) == {
        f"{name}.v1"
        for name in (
            *("server-sighted", "accusation-dropped", "case-opened", "clock-started", "clock-stopped", "stage-entered"),
            *(
                "blocking-granted",
                "blocking-waits",
                "blocking-signed",
                "notice-due",
                "notice-settled",
                "case-released",
                "case-mixed",
                "case-moved",
                "case-held",
                "case-ended",
            ),
            *("policy-adopted", "hold-began", "hold-ended"),
        )
    }
    assert not [kind for kind, what in words.items() if what == kind]
    assert words["case-ended.v1"] == "case expired: not seen any more"
    assert words["hold-began.v1"] == "the law stands still: nobody looked"
