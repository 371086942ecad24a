"""The notifier's side of the bus: it follows `log` and `contacts`, keeps its offset, and reports through `requests`."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from shared.domain import records as r
from shared.domain.errors import EventSchemaError, RecordSchemaError
from shared.domain.events import LogRecord
from shared.messaging import codec
from shared.messaging import topics as t
from shared.messaging.kafka import RemadeProducer, new_reader, partitions_of, read_to_end, running

_POLL_MS = 1000
_STALLED_S = 30.0  # without an answer for so long the notifier makes no progress (an empty fetch is answered in 0.1 s)
_REPORT_WAIT_FIRST_S = 0.5
_REPORT_WAIT_MAX_S = 30.0


class LogFeed:
    """The log from the offset that was kept. The offset is the group's, but partitions are never given out by it."""

    def __init__(self, bootstrap: str, prefix: str, log: structlog.stdlib.BoundLogger) -> None:
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=prefix + "notifier",
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
        )
        self._partition = TopicPartition(prefix + t.LOG, 0)
        self._log = log
        self._kept = -1

    async def begin(self) -> None:
        """
        Stand at the kept offset; at the log's beginning where none is kept (groups forget after 7 days), or it is beyond the end.

        Raises:
            TransientError: there is no log.
        """
        await partitions_of(self.consumer, self._partition.topic)
        self.consumer.assign([self._partition])
        kept = await self.consumer.committed(self._partition)
        end = (await self.consumer.end_offsets([self._partition]))[self._partition]
        if kept is not None and kept > end:
            self._log.warning("offset_beyond_log", kept=kept, end=end)
            kept = None
        self.consumer.seek(self._partition, kept or 0)

    async def to_end(self) -> AsyncIterator[tuple[int, LogRecord]]:
        """Every record up to the end that the log has now, with its offset."""
        end = (await self.consumer.end_offsets([self._partition]))[self._partition]
        while await self.position() < end:
            for found in await self.poll():
                yield found

    async def poll(self) -> list[tuple[int, LogRecord]]:
        """What came since the last time; waits a second at most."""
        polled = await self.consumer.getmany(self._partition, timeout_ms=_POLL_MS)
        return [_read(record) for records in polled.values() for record in records]

    def is_fresh(self) -> bool:
        """Whether Kafka answered a fetch lately: an empty poll looks the same where it is away."""
        answered_ms = self.consumer.last_poll_timestamp(self._partition)
        return answered_ms is not None and answered_ms >= (time.time() - _STALLED_S) * 1000

    async def position(self) -> int:
        """The offset of the next record."""
        return int(await self.consumer.position(self._partition))

    async def keep(self, offset: int) -> None:
        """Start from *offset* next time. Where that cannot be noted now it is noted later: then more is read again."""
        if offset == self._kept:
            return
        try:
            await self.consumer.commit({self._partition: offset})
            self._kept = offset
        except KafkaError as error:
            self._log.warning("offset_not_kept", error=type(error).__name__)


def _read(record: ConsumerRecord) -> tuple[int, LogRecord]:
    try:
        return record.offset, codec.decode(t.LOG, record.value)
    except RecordSchemaError as error:
        raise EventSchemaError(
            f"offset {record.offset} of {record.topic} cannot be read ({error}); "
            "it is damaged or from a newer patchgate: run `patchgate audit verify`"
        ) from error


class ContactFeed:
    """The table of contacts, from its beginning, then followed."""

    def __init__(self, bootstrap: str, prefix: str, log: structlog.stdlib.BoundLogger) -> None:
        self.consumer = new_reader(bootstrap)
        self._topic = prefix + t.CONTACTS
        self._log = log

    async def to_end(self) -> AsyncIterator[tuple[str, r.Contact | None]]:
        """Every contact, by id; None: it was erased."""
        async for record in read_to_end(self.consumer, await partitions_of(self.consumer, self._topic)):
            for found in self._read(record):
                yield found

    async def poll(self) -> list[tuple[str, r.Contact | None]]:
        """What changed since the last time; waits a second at most."""
        polled = await self.consumer.getmany(timeout_ms=_POLL_MS)
        return [found for records in polled.values() for record in records for found in self._read(record)]

    def _read(self, record: ConsumerRecord) -> list[tuple[str, r.Contact | None]]:
        """One contact; none where it cannot be read: it is told by its offset only, since it may hold an address."""
        contact_id = (record.key or b"").decode("utf-8", "replace")
        if not record.value:
            return [(contact_id, None)]
        try:
            contact: r.Contact = codec.decode(t.CONTACTS, record.value)
        except RecordSchemaError:
            self._log.error("contact_unreadable", offset=record.offset)
            return [(contact_id, None)]
        return [(contact_id, contact)]


async def reported_notices(bootstrap: str, prefix: str) -> set[str]:
    """The notices whose outcome stands in `requests`, whether the enforcer has come to it or not. Source: its last 14 days."""
    reader = new_reader(bootstrap)
    found = set()
    async with running(reader):
        async for record in read_to_end(reader, await partitions_of(reader, prefix + t.REQUESTS)):
            try:
                request = codec.decode(t.REQUESTS, record.value)
            except RecordSchemaError:
                continue  # the enforcer keeps it aside and says so; it is no report of ours
            if isinstance(request, r.ReportNotice):
                found.add(request.notice)
    return found


class Reporter(Protocol):
    """Tells the law what became of a notice."""

    async def report(self, report: r.ReportNotice) -> None:
        """Return once the report is on the bus."""
        ...


class KafkaReporter:
    """The real one: it tries until Kafka has the report, with growing waits, and a new producer after each failure."""

    def __init__(self, bootstrap: str, prefix: str, log: structlog.stdlib.BoundLogger) -> None:
        self._topic = prefix + t.REQUESTS
        self._log = log
        self._producer = RemadeProducer(bootstrap)

    async def report(self, report: r.ReportNotice) -> None:
        """As `Reporter.report`; without Kafka there is nothing else to do, so it waits as long as it takes."""
        wait_s = _REPORT_WAIT_FIRST_S
        while True:
            try:
                await self._send(codec.encode(report))
            except KafkaError as error:
                self._log.warning("report_not_sent", notice=report.notice, error=type(error).__name__)
                await self.stop()
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _REPORT_WAIT_MAX_S)
            else:
                return

    async def _send(self, value: bytes) -> None:
        producer = await self._producer.started()
        await producer.send_and_wait(self._topic, value, partition=0)

    async def stop(self) -> None:
        """Stop the producer."""
        await self._producer.stop()
