"""The campaign's own reader, on records made by hand: what is right passes, and each kind of wrong is told."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.fold import Written
from shared.domain.records import EdgeReport
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.runtime.clock import Segment
from tests.faults import checks
from tests.faults.truth import Truth
from tests.faults.watch import Watch
from tests.support.scenario import START, World, policy_for
from tests.support.status_state import records_of

NOW = datetime.now(UTC)


class Stored(NamedTuple):
    """A record as the consumer hands it over."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    partition: int = 0
    timestamp: int = int(NOW.timestamp() * 1000)


def a_world() -> World:
    """A few hours of one old server, opened, in a world whose first policy is the shipped one."""
    from shared.domain.policy import parse_policy, shipped_policy_text  # noqa: PLC0415

    world = World(parse_policy(shipped_policy_text()))
    world.adopt(policy_for(version=2))
    world.open_case()
    return world


def a_watch(*, shows: datetime | None = None) -> Watch:
    """A watch whose clock shows *shows* now: well behind what the world logged."""
    truth = Truth(Segment(real=NOW, utc=shows or START + timedelta(days=9), rate=1.0), "k7")
    return Watch("nowhere:1", "p.", truth)


def give(watch: Watch, topic: str, values: Iterable[tuple[bytes | None, bytes]]) -> None:
    """Let it read *values*, behind what it has read of the topic."""
    (partition,) = (tp for tp, name in watch._partitions.items() if name == topic)
    for key, value in values:
        watch._take(Stored("p." + topic, watch._positions[partition], key, value))


def give_log(watch: Watch, log: Iterable[Written]) -> None:
    """Let it read a log."""
    give(watch, t.LOG, ((None, stored) for _, stored in log))


def give_tables(watch: Watch, world: World) -> None:
    """Let it read what the enforcer would have written beside the log."""
    for topic, key, value in records_of(world):
        if topic in {t.ENFORCER_STATE, t.DECISIONS}:
            give(watch, topic, [(key, value)])
    policy = next(value for topic, key, value in records_of(world) if (topic, key) == (t.DECISIONS, t.KEY_POLICY))
    give(watch, t.ENFORCER_STATE, [(t.KEY_POLICY, policy)])
    requests = world.fold.requests.items()
    give(watch, t.ENFORCER_STATE, ((t.KEY_REQUEST_PREFIX + k.encode(), msgspec.json.encode(at)) for k, at in requests))


def test_a_whole_log_with_its_tables_is_right() -> None:
    """Nothing is wrong, and nothing differs."""
    watch, world = a_watch(), a_world()
    give_log(watch, world.log)
    give_tables(watch, world)
    assert watch.violations == []
    assert [*checks.law_differs(watch)] == []
    assert watch.events["CaseOpened"] == 1


def test_a_record_that_is_missing_or_doubled_is_told() -> None:
    """A gap, and the same record once more."""
    world = a_world()
    for log in ([*world.log[:3], *world.log[4:]], [*world.log[:3], world.log[2], *world.log[3:]]):
        watch = a_watch()
        give_log(watch, log)
        (violation,) = watch.violations
        assert "missing, doubled or out of place" in violation


def test_an_input_that_is_taken_twice_is_told() -> None:
    """Another record of an input that others came between."""
    world = a_world()
    watch = a_watch()
    give_log(watch, world.log)
    (cause,) = {record.cause for record, _ in world.log if isinstance(record.event, e.CaseOpened)}
    watch._check_order(msgspec.structs.replace(world.log[-1][0], cause=None))
    watch._check_order(msgspec.structs.replace(world.log[-1][0], cause=cause))
    (violation,) = watch.violations
    assert "was taken twice" in violation


def test_a_log_that_is_dated_ahead_or_goes_back_is_told() -> None:
    """A wrong clock became law."""
    watch, world = a_watch(shows=START - timedelta(days=40)), a_world()
    give_log(watch, world.log[:1])
    assert "a wrong clock became law" in watch.violations[0]
    watch = a_watch()
    give_log(watch, world.log)
    watch._check_order(msgspec.structs.replace(world.log[-1][0], at=START))
    assert "behind the one before it" in watch.violations[0]


@pytest.mark.parametrize("topic", [t.ENFORCER_STATE, t.DECISIONS])
def test_a_table_that_is_not_the_logs_is_told(topic: str) -> None:
    """One key more."""
    watch, world = a_watch(), a_world()
    give_log(watch, world.log)
    give_tables(watch, world)
    give(watch, topic, [(b"stranger.example", b"x")])
    (complaint,) = checks.law_differs(watch)
    assert complaint.startswith(f"{topic} is not what the log folds to: 1 keys differ")


def test_a_position_behind_the_log_is_told() -> None:
    """Until the tables have caught up, the check is not passed."""
    watch, world = a_watch(), a_world()
    give_log(watch, world.log)
    give_tables(watch, world)
    old = msgspec.structs.replace(world.fold.law, seq=3)
    give(
        watch,
        t.ENFORCER_STATE,
        [(t.KEY_POSITION, msgspec.json.encode(Position(offsets={}, law=old, marks=(), counts={})))],
    )
    (complaint,) = checks.law_differs(watch)
    assert "the position stands at log record 3" in complaint


def test_an_edge_with_another_table_or_a_reason_to_observe_is_told() -> None:
    """Its digest must belong to its heartbeat, one since the fault; and a report of before the fault says nothing."""
    watch, world = a_watch(), a_world()
    give_log(watch, world.log)
    give_tables(watch, world)
    assert watch.heartbeat is not None
    count, digest = watch.expected_digest
    watch.digests[1] = (count, digest)  # the table was the same then
    since = NOW.timestamp() - 1
    right = EdgeReport(
        edge="edge-a",
        at=NOW,
        started_at=NOW,
        version="test",
        counts={},
        table_count=count,
        table_digest=digest,
        heartbeat_seq=watch.heartbeat.seq,
        observing="",
    )
    wrong = {"table_digest": "0" * 32}, {"table_count": count + 1}, {"observing": "frozen"}, {"heartbeat_seq": 1}
    for changes, complaints in ({}, 0), *((change, 1) for change in wrong):
        give(watch, t.EDGE_REPORTS, [(b"edge-a", msgspec.json.encode(msgspec.structs.replace(right, **changes)))])
        assert len([*checks.edges_differ(watch, watch._truth, ["edge-a"], since)]) == complaints
    assert [*checks.edges_differ(watch, watch._truth, ["edge-a"], NOW.timestamp() + 1)] == ["edge-a has not reported"]
