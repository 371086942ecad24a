"""
One node and three, on one machine.

The same enforcer, with the same 20,000 servers behind it, on one embedded node and on three (three copies, acknowledged
when two have it). Three nodes on one machine share its cores and its disk: this shows what safety costs, not what a cluster
could do, and one dead disk takes all three. News: the first sightings of new servers, as in the enforcer's own figures.
Evidence to decision: from one edge to another with detector and enforcer between, 100 cures a second. Without progress:
sightings come at an even pace while a node is ended that leads the log and that, where it happens to, coordinates the
transactions; the time is the longest between two commits that took any. The node then comes back, and the next round begins
when every partition has all its copies.
"""

import asyncio
import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.enforcer import Run, catch_up
from bench.fresh import fresh
from bench.latency import follow_cures, share
from bench.seeded import seed
from bench.stack import PREFIX, BenchError, Place, place, service
from bench.table import Row, Tell, rounds, single
from bench.world import sighting_of
from shared.domain.state import Position
from shared.messaging import cluster, probe
from shared.messaging import topics as t
from shared.messaging.cluster_status import look
from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, new_reader, running

_SERVERS, _NEWS = 20_000, 20_000
_PER_S, _FOR_S = 100, 10
_ROUNDS = 3
_PACE_S = 0.02  # between two sightings while a node dies
_WARM_S, _GOES_ON_S = 2.0, 90.0
_GOES_ON_RECORDS = 100
_MEGABYTE = 1024 * 1024


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    shrink, turns = (10, 1) if quick else (1, _ROUNDS)
    rows = _rows("one node", place(), tell, shrink)
    with _three() as where:
        rows += _rows("three nodes", nullcontext(where), tell, shrink)
        rows += _memory(where)
        for how in (signal.SIGKILL, signal.SIGTERM):
            tell(f"the leader of the log gets {how.name}, {turns} times")
            gaps = [_standstill(where, how) for _ in range(turns)]
            verb = "killed" if how is signal.SIGKILL else "stopped in order"
            rows.append(rounds(f"leader {verb}, s without progress", gaps, 1))
        tell("stopping and starting all")
        cluster.stop(where.directory)
        began = time.monotonic()
        cluster.start(where.directory)
        rows.append(single("start of all three, s", time.monotonic() - began, 1))
    return rows


@contextmanager
def _three() -> Iterator[Place]:
    """Run three nodes as they ship."""
    with tempfile.TemporaryDirectory(prefix="patchgate-bench-") as name:
        directory = Path(name)
        handle = cluster.start(directory, port=probe.free_row(2 * cluster.NODES))
        try:
            yield Place(handle.bootstrap, directory)
        finally:
            cluster.stop(directory)


def _rows(what: str, nodes: AbstractContextManager[Place], tell: Tell, shrink: int) -> list[Row]:
    servers, news = _SERVERS // shrink, _NEWS // shrink
    with nodes as where:
        tell(f"{what}: {news:,} sightings that are news")
        at = fresh(_seed, where, servers)
        run: Run = catch_up(where, servers, news, servers + news, at)
        tell(f"{what}: {_PER_S} cures a second for {_FOR_S} s")
        with service("enforcer", where) as enforcer, service("detector", where) as detector:
            enforcer.wait_ready()
            detector.wait_ready()
            late_ms = sorted(fresh(follow_cures, where, 0, _PER_S, _FOR_S))
    return [
        single(f"{what}: news, committed sightings a second", run.per_s),
        single(f"{what}: news, sightings a CPU second of the enforcer", run.per_cpu_s),
        single(f"{what}: evidence to decision, p50, ms", share(late_ms, 0.50), note=f"of {len(late_ms):,} messages"),
        single(f"{what}: evidence to decision, p99, ms", share(late_ms, 0.99)),
    ]


def _seed(where: Place, servers: int) -> datetime:
    return asyncio.run(seed(where, servers))


def _memory(where: Place) -> list[Row]:
    nodes = cluster.status(where.directory).nodes
    return [
        rounds("memory of a node after that, MB", [one.resident_bytes / _MEGABYTE for one in nodes]),
        rounds("data of a node after that, MB", [one.data_bytes / _MEGABYTE for one in nodes]),
    ]


# -- a node ends ------------------------------------------------------------------------------------------------------


def _standstill(where: Place, how: signal.Signals) -> float:
    cluster.await_whole(where.directory)
    with service("enforcer", where) as one:
        one.wait_ready()
        gap = fresh(_longest_gap, where, how)
        one.check()
    cluster.start(where.directory)
    return gap


def _longest_gap(where: Place, how: signal.Signals) -> float:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the node is away on purpose
    return asyncio.run(_feed_and_watch(where, how))


async def _feed_and_watch(where: Place, how: signal.Signals) -> float:
    progress: list[float] = []
    tasks = [asyncio.create_task(_feed(where)), asyncio.create_task(_watch(where, progress))]
    try:
        await asyncio.sleep(_WARM_S)
        moment = time.monotonic()
        os.kill(_leader(where.directory), how)
        deadline = moment + _GOES_ON_S
        while sum(at > moment + _WARM_S for at in progress) < _GOES_ON_RECORDS:
            if time.monotonic() > deadline:
                raise BenchError(f"no progress within {_GOES_ON_S:.0f} s")
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.1)
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
    around = [at for at in progress if at > moment - 1.0]
    return max(later - earlier for earlier, later in pairwise(around))


def _leader(directory: Path) -> int:
    """The process of the node that leads the log."""
    plan = cluster.remembered(directory)
    seen = look(plan) if plan else None
    number = next((one.leader for one in seen.partitions if one.topic == PREFIX + t.LOG), 0) if seen else 0
    pid = cluster.status(directory).nodes[number - 1].pid if number > 0 else None
    if pid is None:
        raise BenchError("the log has no leader")
    return pid


async def _feed(where: Place) -> None:
    """Sightings that are no news, which the enforcer counts, one by one; each waits for its answer no longer than the client does."""
    producer = new_producer(where.bootstrap)
    async with running(producer):
        number = 0
        while True:
            sighting = sighting_of(number % 1000, datetime.now(UTC))
            await producer.send(PREFIX + t.SIGHTINGS, encode(sighting), partition=0)
            number += 1
            await asyncio.sleep(_PACE_S)


async def _watch(where: Place, progress: list[float]) -> None:
    """Note when a committed position has moved on."""
    reader: AIOKafkaConsumer = new_reader(where.bootstrap)
    partition, offset = TopicPartition(PREFIX + t.ENFORCER_STATE, 0), 0
    async with running(reader):
        reader.assign([partition])
        await reader.seek_to_end(partition)
        while True:
            for record in (await reader.getmany(partition, timeout_ms=200)).get(partition, []):
                if record.key == t.KEY_POSITION and (now := _offset(record.value)) > offset:
                    offset = now
                    progress.append(time.monotonic())


def _offset(value: bytes) -> int:
    return msgspec.json.decode(value, type=Position).offsets[t.SIGHTINGS]
