"""What the enforcer would write of a small world, as records of topics: for status without, and with, a real Kafka."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from services.status.view import View
from shared.domain.evidence import UtcDatetime
from shared.domain.fold import digest_of, encode_server
from shared.domain.records import EdgeReport, Heartbeat, PolicyRecord
from shared.domain.state import Position, decision_of
from shared.messaging import topics as t
from shared.messaging.asking import Outgoing
from shared.messaging.codec import encode
from tests.support.scenario import World

Record = tuple[str, bytes | None, bytes]


class StillClock:
    """A clock that shows what it is told; real time is the same, so ages are plain differences."""

    scaled = False

    def __init__(self, now: datetime) -> None:
        self.at = now

    def now(self) -> datetime:
        """The instant it was told."""
        return self.at

    def real_now(self) -> datetime:
        """The same."""
        return self.at

    def real_age(self, instant: datetime) -> timedelta:
        """The plain difference."""
        return self.at - instant


class Bus:
    """A bus below the port: keeps what is published; `fails` is raised instead, once it is set."""

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.fails: Exception | None = None

    async def publish(self, record: Outgoing) -> None:
        """Keep it."""
        if self.fails is not None:
            raise self.fails
        self.published.append(record)


def records_of(
    world: World, *, since: int = 0, marks: tuple[UtcDatetime | None, ...] | None = None
) -> Iterator[Record]:
    """Topic, key and value of all that the enforcer writes: the log from a place on, then the whole tables, the heartbeat last."""
    fold = world.fold
    for _, stored in world.log[since:]:
        yield t.LOG, None, stored
    position = Position(offsets={}, law=fold.law, marks=(world.now,) if marks is None else marks, counts={"no news": 7})
    yield t.ENFORCER_STATE, t.KEY_POSITION, msgspec.json.encode(position)
    for name, server in sorted(fold.servers.items()):
        yield t.ENFORCER_STATE, name.encode(), encode_server(server)
    yield t.DECISIONS, t.KEY_POLICY, encode(PolicyRecord(policy=fold.policy, exemptions=fold.reprieves.in_force()))
    yield from _decisions(world)


def edge_report(world: World, *, edge: str = "mx1", observing: str = "", digest: str | None = None) -> Record:
    """What an edge that holds the newest table reports."""
    beat = _heartbeat(world, _table(world))
    report = EdgeReport(
        edge=edge,
        at=world.now,
        started_at=world.now,
        version="test",
        counts={"asked": 12},
        table_count=beat.count,
        table_digest=digest or beat.digest,
        heartbeat_seq=beat.seq,
        observing=observing,
    )
    return t.EDGE_REPORTS, edge.encode(), encode(report)


def view_of(
    world: World, *more: Record, appended: datetime | None = None, marks: tuple[UtcDatetime | None, ...] | None = None
) -> View:
    """A view that has read all of *world*; appended: when the broker took it (now, of the world, unless told)."""
    view = View()
    view.loaded = True
    for topic, key, value in (*records_of(world, marks=marks), *more):
        view.take(topic, key, value, appended or world.now.astimezone(UTC))
    return view


def _table(world: World) -> dict[str, bytes]:
    found = {name: decision_of(server) for name, server in sorted(world.fold.servers.items())}
    return {name: encode(decision) for name, decision in found.items() if decision is not None}


def _decisions(world: World) -> Iterator[Record]:
    table = _table(world)
    for name, value in table.items():
        yield t.DECISIONS, name.encode(), value
    yield t.DECISIONS, t.KEY_HEARTBEAT, encode(_heartbeat(world, table))


def _heartbeat(world: World, table: dict[str, bytes]) -> Heartbeat:
    law = world.fold.law
    digest = sum(digest_of(name, value) for name, value in table.items()) % (1 << 128)
    return Heartbeat(
        at=world.now,
        h=law.h,
        held=law.held_so_far,
        seq=law.seq,
        count=len(table),
        digest=f"{digest:032x}",
        policy_digest=world.fold.policy.digest,
        frozen=law.frozen,
    )
