"""Inputs of the enforcer made by hand, ways to put them on the bus, and what it wrote, read back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from shared.domain import events as e
from shared.domain.evidence import Reading
from shared.domain.policy import Policy
from shared.domain.records import AdoptPolicy, Mark, Origin, ReportNotice, ServerSeen, SetFreeze
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, new_reader, read_to_end, running
from tests.support.scenario import facts, policy_for, reading

PARTITIONS = 2
"""Of `mail-evidence` in these tests."""


def sighting(seen_at: datetime, what: Reading | None = None, **of_facts: Any) -> ServerSeen:
    """A sighting of `ex07.alt.example` (an old Exchange 2016, below the floor) unless told otherwise."""
    origin = Origin(topic="mail-evidence", partition=0, offset=0)
    return ServerSeen(facts=facts(seen_at, **of_facts), reading=what or reading(), origin=origin)


def three_hours(until: datetime, what: Reading | None = None, **of_facts: Any) -> list[ServerSeen]:
    """Sightings in three distinct UTC hours, the last at *until*: enough to open a case."""
    return [sighting(until - timedelta(hours=back), what, **of_facts) for back in (2, 1, 0)]


def marks(at: datetime, edge: str = "mx1", partitions: int = PARTITIONS) -> list[Mark]:
    """An edge's mark in each partition, as the detector passes them on: H comes to *at*."""
    return [Mark(edge=edge, at=at, partition=number, of=partitions) for number in range(partitions)]


def adopt(policy: Policy, made_at: datetime, request_id: str = "adopt-00001") -> AdoptPolicy:
    """An operator hands in *policy*."""
    return AdoptPolicy(id=request_id, who="ops", why="test", made_at=made_at, policy=policy)


def enforced(version: int = 2, **changes: Any) -> Policy:
    """A policy in enforce mode for the internet and one on-premises connector."""
    return policy_for("enforce", version=version, **changes)


def freeze(made_at: datetime, request_id: str, *, frozen: bool) -> SetFreeze:
    """An operator freezes, or lifts the freeze."""
    return SetFreeze(id=request_id, who="ops", why="test", made_at=made_at, frozen=frozen)


# --- the bus -------------------------------------------------------------------------------------------------------

_INPUT_OF: dict[type, str] = {AdoptPolicy: t.REQUESTS, ReportNotice: t.REQUESTS, SetFreeze: t.CONTROL}


class Feeder:
    """Writes inputs as detector, status and CLI would; each `feed` returns when the broker has them."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str) -> None:
        self._producer = producer
        self._prefix = prefix

    async def feed(self, inputs: Iterable[msgspec.Struct]) -> None:
        """Each to the topic it belongs to."""
        await self.feed_raw((_INPUT_OF.get(type(one), t.SIGHTINGS), encode(one)) for one in inputs)

    async def feed_raw(self, values: Iterable[tuple[str, bytes | None]]) -> None:
        """Values as they are, to partition 0 of topics."""
        sent = []
        for topic, value in values:
            key = t.KEY_FREEZE if topic == t.CONTROL else None
            sent.append(await self._producer.send(self._prefix + topic, value, key=key, partition=0))
        await asyncio.gather(*sent)


@asynccontextmanager
async def feeder(bootstrap: str, prefix: str) -> AsyncIterator[Feeder]:
    """Lend a feeder."""
    producer = new_producer(bootstrap)
    async with running(producer):
        yield Feeder(producer, prefix)


async def read_topic(bootstrap: str, prefix: str, topic: str) -> list[ConsumerRecord]:
    """All committed records of a topic of one partition."""
    reader = new_reader(bootstrap)
    async with running(reader):
        return [record async for record in read_to_end(reader, [TopicPartition(prefix + topic, 0)])]


async def read_table(bootstrap: str, prefix: str, topic: str) -> dict[bytes, bytes]:
    """The live keys of a compacted topic."""
    table: dict[bytes, bytes] = {}
    for record in await read_topic(bootstrap, prefix, topic):
        if record.value:
            table[record.key] = record.value
        else:
            table.pop(record.key, None)
    return table


async def read_log(bootstrap: str, prefix: str) -> list[e.LogRecord]:
    """The log, decoded."""
    return [e.decode_log(record.value) for record in await read_topic(bootstrap, prefix, t.LOG)]


async def eventually(check: Callable[[], Awaitable[bool]], what: str, timeout_s: float = 20.0) -> None:
    """Wait until *check* holds; fail with *what* at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not await check():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        await asyncio.sleep(0.05)


def utc_now() -> datetime:
    """The system's clock, which the enforcer of a test goes by too."""
    return datetime.now(UTC)
