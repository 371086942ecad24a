"""
One batch of evidence: decode → read → publish → commit.

The numbered steps, each safe to be cut off at:

1. Records of partitions that are no longer ours are dropped: their owner starts at what was committed, and reads them.
2. The rest is decoded and read. What cannot be read becomes a dead letter.
3. Sightings and dead letters are sent, and all acknowledged. A crash here or later: they are read again, and seen twice.
4. Only then the marks are sent, and acknowledged: so no mark stands before evidence that it follows, whatever fails.
5. The offsets behind the batch are committed. Where that fails the partition has gone, and step 1 holds for its owner.

A batch is never skipped: when Kafka does not take its records the process ends, uncommitted, and is started anew.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.detector.core import Reader
from services.detector.outlet import Letter, Outlet
from shared.domain import records as r
from shared.domain.errors import InputError
from shared.messaging import codec
from shared.messaging import topics as t

_READ_AT_ONCE = 50  # records read before the event loop may send heartbeats again: some 20 ms


class Committer(Protocol):
    """What of a consumer is needed here."""

    def assignment(self) -> Iterable[TopicPartition]:
        """The partitions that are ours now."""
        ...

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Note the offsets to go on from."""
        ...


class Sorted(NamedTuple):
    """What a batch became: news to be sent first, and the marks behind it."""

    news: list[Letter]
    marks: list[Letter]


class BatchHandler:
    """Handles batches of `mail-evidence`, one at a time. counts: since start, for the log."""

    def __init__(self, prefix: str, reader: Reader, outlet: Outlet, log: structlog.stdlib.BoundLogger) -> None:
        self._prefix = prefix
        self._reader = reader
        self._outlet = outlet
        self._log = log
        self.counts: Counter[str] = Counter()

    async def handle(self, batch: Sequence[codec.Stored], consumer: Committer) -> None:
        """
        Do the numbered steps for *batch*: records in order for each partition.

        Raises:
            TransientError: Kafka does not take what follows from it; nothing is committed.
        """
        ours = set(consumer.assignment())
        kept = [record for record in batch if TopicPartition(record.topic, record.partition) in ours]
        self.counts["dropped"] += len(batch) - len(kept)
        if not kept:
            return
        outgoing = await self._sort(kept)
        for letters in outgoing:
            if letters:
                await self._outlet.deliver(letters)
        await self._commit(kept, consumer)

    async def _sort(self, batch: Sequence[codec.Stored]) -> Sorted:
        outgoing = Sorted([], [])
        for number, record in enumerate(batch, start=1):
            self._take(record, outgoing)
            if number % _READ_AT_ONCE == 0:
                await asyncio.sleep(0)
        return outgoing

    def _take(self, record: codec.Stored, outgoing: Sorted) -> None:
        try:
            letter, is_mark = self._read(record)
        except InputError as error:
            outgoing.news.append(self._dead(record, str(error)))
        except Exception as error:  # noqa: BLE001  (any text may come from outside, and must not end the loop)
            # Our fault; but one record must not stop the law for everybody, so it is kept aside, and we are told.
            self._log.exception("reading_failed", partition=record.partition, offset=record.offset)
            outgoing.news.append(self._dead(record, f"the detector failed on it: {type(error).__name__}"))
        else:
            (outgoing.marks if is_mark else outgoing.news).append(letter)

    def _read(self, record: codec.Stored) -> tuple[Letter, bool]:
        topic = self._prefix + t.SIGHTINGS
        found: r.EvidenceRecord = codec.decode(t.MAIL_EVIDENCE, record.value)
        if isinstance(found, r.Mark):
            self.counts["marks"] += 1
            return Letter(topic, None, codec.encode(found)), True
        origin = r.Origin(topic=t.MAIL_EVIDENCE, partition=record.partition, offset=record.offset)
        sighting = self._reader.sighting_of(found.facts, origin)
        letter = Letter(topic, (found.facts.name or found.facts.peer).encode(), codec.encode(sighting))
        self.counts[type(sighting).__name__] += 1
        return letter, False

    def _dead(self, record: codec.Stored, cause: str) -> Letter:
        self.counts["dead_letters"] += 1
        self._log.warning("dead_letter", partition=record.partition, offset=record.offset, cause=cause)
        letter = codec.dead_letter(record, reader="detector", cause=cause)
        return Letter(self._prefix + t.DEAD_LETTERS, None, codec.encode(letter))

    async def _commit(self, batch: Iterable[codec.Stored], consumer: Committer) -> None:
        finished = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in batch}
        ours = set(consumer.assignment())
        offsets = {tp: offset for tp, offset in finished.items() if tp in ours}
        try:
            if offsets:
                await consumer.commit(offsets)
        except KafkaError as error:
            # Harmless: what was sent is sent, and is read again at most.
            self.counts["commits_failed"] += 1
            self._log.warning("commit_failed", error=type(error).__name__)
