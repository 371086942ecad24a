"""
Following a compacted topic: read from its beginning to its end, then follow, for ever, whatever the bus does.

`follow` owns the client; a `Sink` owns the table. `DecisionSink` holds `decisions`, `FreezeSink` holds `control`.
The old table serves until a new one is whole. A digest that differs from a heartbeat's means: observe, and read again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from aiokafka.errors import KafkaError

from shared.domain.errors import RecordSchemaError, TransientError
from shared.domain.records import Heartbeat, SetFreeze
from shared.messaging.codec import decode
from shared.messaging.decisions import DecisionTable
from shared.messaging.kafka import Record, new_reader, partitions_of, read_to_end, running
from shared.messaging.topics import CONTROL, KEY_FREEZE
from shared.runtime.clock import Clock

RELOAD_EVERY_S = 30.0
"""Real seconds at least between two readings of the whole table because its digest differs."""

_POLL_MS = 500
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # after each failure in a row; the last one again and again


class Sink(Protocol):
    """What a followed topic is folded into."""

    def begin(self) -> None:
        """The topic is read from its beginning."""

    def take(self, record: Record) -> None:
        """One record."""

    def loaded(self) -> None:
        """The end found at the beginning is reached; what comes now is followed."""

    def batch_done(self) -> bool:
        """What was there is taken; True to read all of it again."""

    def away(self, error: Exception) -> None:
        """The bus cannot be used now; it is tried again."""


async def follow(bootstrap: str, topic: str, sink: Sink, *, read_uncommitted: bool = False) -> None:
    """Keep *sink* at the end of *topic* (full name) until cancelled; no failure of the bus ends it."""
    failures = 0
    while True:
        try:
            consumer = new_reader(bootstrap, read_uncommitted=read_uncommitted)
            async with running(consumer):
                partitions = await partitions_of(consumer, topic)
                sink.begin()
                async for record in read_to_end(consumer, partitions):
                    sink.take(record)
                sink.loaded()
                failures = 0
                again = False
                while not again:
                    for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                        for record in records:
                            sink.take(record)
                    again = sink.batch_done()
        except (KafkaError, TransientError, OSError) as error:
            sink.away(error)
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1


class DecisionSink:
    """
    The table of decisions in use, and what is wrong with it.

    table: judged by; empty until something was loaded. source: where it came from. difference: in what it differs from
    the newest heartbeat, "" if in nothing. broker_s: the broker's UTC, s, less this machine's monotonic time, as they were
    last compared: the same until the machine boots again. None until then.
    """

    def __init__(
        self,
        clock: Clock,
        counts: Counter[str],
        *,
        cold_start: Callable[[], DecisionTable | None] = lambda: None,
        reload_every_s: float = RELOAD_EVERY_S,
    ) -> None:
        self.table = DecisionTable()
        self.source = "nothing"
        self.difference = ""
        self.broker_s: float | None = None
        self.settled = asyncio.Event()
        self._clock = clock
        self._counts = counts
        self._cold_start = cold_start
        self._reload_every_s = reload_every_s
        self._loading: DecisionTable | None = None
        self._loaded_at = float("-inf")
        self._newest: Record | None = None
        self._log = structlog.get_logger()

    def begin(self) -> None:
        """See `Sink`."""
        self._loading = DecisionTable()

    def take(self, record: Record) -> None:
        """See `Sink`. A record that cannot be read is counted and makes the table milder, never harsher."""
        table = self.table if self._loading is None else self._loading
        try:
            taken = table.apply(record.key, record.value)
        except RecordSchemaError as error:
            self._counts["decisions_unreadable"] += 1
            self._log.error("decision-unreadable", offset=record.offset, cause=str(error))
            return
        if isinstance(taken, Heartbeat) and self._loading is None:
            self._newest = record
            self._compare(taken)

    def loaded(self) -> None:
        """See `Sink`."""
        if self._loading is not None:
            self.table, self._loading = self._loading, None
        self.source, self._loaded_at = "kafka", time.monotonic()
        self._counts["decisions_loaded"] += 1
        self._log.info("decisions-loaded", servers=self.table.count, digest=self.table.digest)
        self.settled.set()

    def batch_done(self) -> bool:
        """See `Sink`."""
        if self._newest is not None:
            # Only the newest of a batch: one that waited for us says nothing about a clock.
            self.hear(datetime.fromtimestamp(self._newest.timestamp / 1000, UTC))
            self._newest = None
        return bool(self.difference) and time.monotonic() - self._loaded_at >= self._reload_every_s

    def away(self, error: Exception) -> None:
        """See `Sink`. Before the first load, the cold-start file serves."""
        self._loading = None
        self._counts["decisions_away"] += 1
        if self.source == "nothing":
            self._log.warning("kafka-away", cause=str(error))
            stored = self._cold_start()
            self.source = "none" if stored is None else "file"
            self.table = stored or self.table
            self.settled.set()

    def hear(self, broker_now: datetime) -> None:
        """It was *broker_now* (UTC, real) by the broker's clock a moment ago: a heartbeat came, or it took a report of ours."""
        self.broker_s = broker_now.timestamp() - time.monotonic()

    def skew(self) -> timedelta:
        """
        Own clock less the broker's; 0 where they were never compared.

        The broker's runs on by monotonic time: a clock that was set since is known, though nothing more is heard.
        """
        if self.broker_s is None:
            return timedelta()
        return timedelta(seconds=self._clock.real_now().timestamp() - time.monotonic() - self.broker_s)

    def _compare(self, heartbeat: Heartbeat) -> None:
        self.difference = self.table.difference_to(heartbeat)
        if self.difference:
            self._counts["decisions_differ"] += 1
            self._log.error(
                "decisions-differ",
                what=self.difference,
                own_count=self.table.count,
                own_digest=self.table.digest,
                count=heartbeat.count,
                digest=heartbeat.digest,
            )


class FreezeSink:
    """
    Topic `control`, read uncommitted and obeyed on sight. frozen: None until it was read.

    A record that cannot be read counts as a freeze: the mildest that it may have meant.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self.frozen: bool | None = None
        self.settled = asyncio.Event()
        self._loading: bool | None = None
        self._read = False
        self._counts = counts
        self._log = structlog.get_logger()

    def begin(self) -> None:
        """See `Sink`."""
        self._loading, self._read = False, False

    def take(self, record: Record) -> None:
        """See `Sink`."""
        if record.key != KEY_FREEZE:
            return
        frozen = self._is_freeze(record)
        if self._read:
            self._log.warning("control", frozen=frozen)
            self.frozen = frozen
        else:
            self._loading = frozen

    def loaded(self) -> None:
        """See `Sink`."""
        self.frozen, self._read = self._loading, True
        self.settled.set()

    def batch_done(self) -> bool:
        """See `Sink`."""
        return False

    def away(self, error: Exception) -> None:
        """See `Sink`; what was read last holds."""
        self._counts["control_away"] += 1
        self.settled.set()
        del error  # told by the follower of `decisions`, which hangs on the same bus

    def _is_freeze(self, record: Record) -> bool:
        if not record.value:
            return False
        try:
            request = decode(CONTROL, record.value)
        except RecordSchemaError as error:
            self._counts["control_unreadable"] += 1
            self._log.error("control-unreadable", offset=record.offset, cause=str(error))
            return True
        return not isinstance(request, SetFreeze) or request.frozen
