"""
The enforcer on a real Kafka.

One enforcer process over the state of 100,000 servers, each with a case. Its input waits in `sightings` before it is
started. A rate counts from the first committed position to the last, by the timestamps that the enforcer itself put on
its `position` records; CPU is that of the enforcer process from ready to caught up. No news: sightings that the state
knows already, of all servers by turns, as they come where each edge tells of each server once an hour. News: the first
sightings of new servers. Restart: from the start of the process to its readiness, the
stop before it a clean one; the first start, over topics that the benchmark wrote, does not count.

Beside it, over the same sightings that are no news: a Kafka Streams program (Java, exactly_once_v2, in-memory store, commits
every 100 ms) and a quixstreams one (exactly-once, its RocksDB store, commits every 100 ms) that count per server and do nothing
else, each in a process of its own, from its first committed offset to its last, CPU of that process between the two. Java is
warm by then: fifteen rounds over the same records go before those that count.
"""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from statistics import median
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import count_peers
from bench.fresh import fresh
from bench.seeded import seed
from bench.stack import PREFIX, BenchError, Place, Service, bytes_of_log, end_of, place, service, write
from bench.table import Row, Tell, rounds, single
from bench.world import SERVERS, sighting_of
from services.enforcer.books import Outgoing
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.messaging.kafka import new_reader, running

_NEWS, _NO_NEWS = 60_000, 300_000
_TARGET_NEWS, _TARGET_NO_NEWS, _TARGET_RESTART_S = 15_000, 100_000, 5.0
_CAUGHT_UP_S = 180.0
_POLL_S = 0.1


class Run(NamedTuple):
    """One catching up. per_s: sightings a second between first and last commit; per_cpu_s: for each CPU second."""

    per_s: float
    per_cpu_s: float
    sightings_a_turn: float


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    shrink = 10 if quick else 1
    servers, news, no_news = SERVERS // shrink, _NEWS // shrink, _NO_NEWS // shrink
    with place() as where:
        tell(f"writing the state of {servers:,} servers")
        at = fresh(_seed, where, servers)
        tell("starting and stopping")
        restarts = [_restart(where) for _ in range(2 if quick else 4)][1:]
        tell(f"{no_news:,} sightings that are no news")
        repeated = catch_up(where, 0, no_news, servers, at)
        tell(f"{news:,} sightings that are news")
        before = bytes_of_log(where, t.LOG)
        first = catch_up(where, servers, news, servers + news, at)
        per_record = (bytes_of_log(where, t.LOG) - before) / news
        others = count_peers.rows(where, no_news, repeated.per_cpu_s, tell, quick=quick)
    return [
        *_rates("news", first, _TARGET_NEWS),
        *_rates("no news", repeated, _TARGET_NO_NEWS),
        single(
            "log on disk, bytes a first sighting",
            per_record,
            note="compressed, with Kafka's own bytes; servers that differ more than these compress less",
        ),
        rounds(
            f"restart with {servers:,} servers, s",
            restarts,
            1,
            target=f"at most {_TARGET_RESTART_S:.0f}",
            reached=median(restarts) <= _TARGET_RESTART_S,
        ),
        *others,
    ]


def _rates(kind: str, run: Run, target: float) -> list[Row]:
    return [
        single(
            f"{kind}, committed sightings a second",
            run.per_s,
            target=f"at least {target:,.0f}",
            reached=run.per_s >= target,
        ),
        single(f"{kind}, sightings a CPU second of the enforcer", run.per_cpu_s),
        single(f"{kind}, sightings a commit", run.sightings_a_turn),
    ]


def _seed(where: Place, servers: int) -> datetime:
    return asyncio.run(seed(where, servers))


def _restart(where: Place) -> float:
    with service("enforcer", where) as one:
        return one.wait_ready()


def _feed(where: Place, first: int, count: int, servers: int, at: datetime) -> int:
    """Write sightings of servers from *first* on, again from there when all were seen; gives the end of the topic."""

    def letters() -> Iterator[Outgoing]:
        for number in range(count):
            sighting = sighting_of(first + number % (servers - first), at)
            yield Outgoing(
                t.SIGHTINGS, sighting.facts.name.encode(), encode(sighting)
            )  # the key that the detector gives

    asyncio.run(write(where, letters()))
    return asyncio.run(end_of(where, t.SIGHTINGS))


def catch_up(where: Place, first: int, count: int, servers: int, at: datetime) -> Run:
    """Write *count* sightings of servers from *first* to below *servers*, and let an enforcer that starts then take them."""
    end = fresh(_feed, where, first, count, servers, at)
    begin = end - count
    with service("enforcer", where) as one:
        one.wait_ready()
        cpu_s = one.cpu_s()
        asyncio.run(_until_caught_up(where, one, end))
        cpu_s = one.cpu_s() - cpu_s
    turns = [turn for turn in asyncio.run(_positions(where)) if begin < turn[0] <= end]
    (began_at, began_s), (ended_at, ended_s) = turns[0], turns[-1]
    return Run((ended_at - began_at) / (ended_s - began_s), count / cpu_s, count / len(turns))


async def _until_caught_up(where: Place, one: Service, end: int) -> None:
    """Look at the newest position now and then, which costs the broker next to nothing."""
    deadline = time.monotonic() + _CAUGHT_UP_S
    partition = TopicPartition(PREFIX + t.ENFORCER_STATE, 0)
    reader = new_reader(where.bootstrap)
    async with running(reader):
        reader.assign([partition])
        while await _newest_offset(reader, partition) < end:
            one.check()
            if time.monotonic() > deadline:
                raise BenchError(f"the enforcer has not caught up within {_CAUGHT_UP_S:.0f} s")
            await asyncio.sleep(_POLL_S)


async def _newest_offset(reader: AIOKafkaConsumer, partition: TopicPartition) -> int:
    """How far `sightings` is read; the last records of the topic are a position and the mark of its commit."""
    end = (await reader.end_offsets([partition]))[partition]
    reader.seek(partition, max(0, end - 2))
    records = (await reader.getmany(partition, timeout_ms=1000)).get(partition, [])
    return max((_offset(record.value) for record in records if record.key == t.KEY_POSITION), default=0)


async def _positions(where: Place) -> list[tuple[int, float]]:
    """Of each commit: how far `sightings` was read, and when, in seconds."""
    partition = TopicPartition(PREFIX + t.ENFORCER_STATE, 0)
    reader = new_reader(where.bootstrap)
    found: list[tuple[int, float]] = []
    async with running(reader):
        reader.assign([partition])
        await reader.seek_to_beginning(partition)
        end = (await reader.end_offsets([partition]))[partition]
        while await reader.position(partition) < end:
            records = (await reader.getmany(partition, timeout_ms=1000)).get(partition, [])
            positions = [record for record in records if record.key == t.KEY_POSITION]
            found += [(_offset(record.value), record.timestamp / 1000) for record in positions]
    return found


def _offset(value: bytes) -> int:
    return msgspec.json.decode(value, type=Position).offsets[t.SIGHTINGS]
