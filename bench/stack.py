"""A real Kafka and real services for a benchmark: started by it, ended by it, in a directory that is gone afterwards."""

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped] # it ships no types
from aiokafka import AIOKafkaProducer, TopicPartition

from services.enforcer.books import Books, Outgoing, whole_state
from shared.domain.fold import Fold
from shared.domain.state import Position
from shared.messaging import admin, embedded, probe
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, new_reader, running

ROOT = Path(__file__).parents[1]
PREFIX = "bench."
_READY_S = 120.0
_STOP_S = 30.0
_LOOK_S = 0.02
_IN_FLIGHT = 5_000


class BenchError(Exception):
    """A benchmark cannot go on; the text says why."""


class Place(NamedTuple):
    """Where a benchmark works. directory: for the services' states."""

    bootstrap: str
    directory: Path


@contextmanager
def place() -> Iterator[Place]:
    """Run the embedded broker as it ships."""
    with tempfile.TemporaryDirectory(prefix="patchgate-bench-") as name:
        directory = Path(name)
        handle = embedded.start(directory, port=probe.free_port())
        try:
            yield Place(handle.bootstrap, directory)
        finally:
            embedded.stop(directory)


class Service:
    """`python -m services.NAME`, with the settings that ship; its log goes to a file."""

    def __init__(self, name: str, where: Place, **settings: str) -> None:
        state_dir = where.directory / name
        state_dir.mkdir(parents=True, exist_ok=True)
        self._ready_file = state_dir / "ready" / name
        self._ready_file.unlink(missing_ok=True)
        self._log = state_dir / "log"
        given = {"bootstrap": where.bootstrap, "topic_prefix": PREFIX, "state_dir": str(state_dir), "log_json": "true"}
        ours = {f"PATCHGATE_{key.upper()}": value for key, value in (given | settings).items()}
        others = {key: value for key, value in os.environ.items() if not key.startswith("PATCHGATE_")}
        self.began = time.monotonic()
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", f"services.{name}"]
            self._process = psutil.Popen(command, cwd=ROOT, env=others | ours, stdout=log, stderr=log)

    def wait_ready(self) -> float:
        """Wait until it says that it is ready; real seconds since it was started."""
        wait_for(f"{self._ready_file.name} is ready", self._is_ready, _READY_S)
        return time.monotonic() - self.began

    def _is_ready(self) -> bool:
        self.check()
        return self._ready_file.exists()

    def check(self) -> None:
        """Raise BenchError if it has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"{self._ready_file.name} ended: {self._log.read_text()[-2000:]}")

    def cpu_s(self) -> float:
        """CPU seconds that it has used."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End it as an operator does."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except psutil.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_S)


@contextmanager
def service(name: str, where: Place, **settings: str) -> Iterator[Service]:
    """Run one until the block ends."""
    one = Service(name, where, **settings)
    try:
        yield one
    finally:
        one.stop()


def wait_for(what: str, condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait until *condition* holds; raise BenchError after *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(_LOOK_S)


# -- the topics -------------------------------------------------------------------------------------------------------


async def apply_topics(where: Place, partitions: int = 3) -> None:
    """Make all topics as `patchgate topics apply` does."""
    await admin.apply(where.bootstrap, PREFIX, partitions=partitions)


async def write(where: Place, records: Iterable[Outgoing]) -> None:
    """Write *records* to partition 0 of their topics, in order."""
    async with _producer(where) as producer:
        sent = []
        for topic, key, value in records:
            sent.append(await producer.send(PREFIX + topic, value, key=key, partition=0))
            if len(sent) >= _IN_FLIGHT:
                await _acknowledged(sent)
        await _acknowledged(sent)


@asynccontextmanager
async def _producer(where: Place) -> AsyncIterator[AIOKafkaProducer]:
    producer = new_producer(where.bootstrap, linger_ms=5)
    async with running(producer):
        yield producer


async def _acknowledged(sent: list[object]) -> None:
    for future in sent:
        await future  # type: ignore[misc]  # aiokafka has no types
    sent.clear()


def as_written(fold: Fold, tip: bytes) -> Iterator[Outgoing]:
    """
    What an enforcer that came to *fold* would have left in the topics, but for the log, of which only its tip is written.

    tip: the stored bytes of the newest log record. A start reads no other record of the log.
    """
    books = Books(fold.requests)
    yield Outgoing(t.LOG, None, tip)
    yield from books.heal_decisions(fold, {})
    beat = books.heartbeat(fold, at=fold.law.at, policy_digest=fold.policy.digest)
    yield Outgoing(t.DECISIONS, t.KEY_HEARTBEAT, encode(beat))
    yield from whole_state(fold, ())
    position = Position(offsets=dict.fromkeys(t.INPUTS, 0), law=fold.law, marks=(), counts={})
    yield Outgoing(t.ENFORCER_STATE, t.KEY_POSITION, encode(position))


def bytes_of_log(where: Place, topic: str) -> int:
    """Bytes that the broker holds of a topic of one partition, keys, values and batches together."""
    directory = where.directory / "broker" / "data"
    return sum(file.stat().st_size for file in directory.glob(f"**/{PREFIX}{topic}-0/*.log"))


async def end_of(where: Place, topic: str) -> int:
    """The offset behind the newest committed record of partition 0."""
    reader = new_reader(where.bootstrap)
    partition = TopicPartition(PREFIX + topic, 0)
    async with running(reader):
        reader.assign([partition])
        return int((await reader.end_offsets([partition]))[partition])
