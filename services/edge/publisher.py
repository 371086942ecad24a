"""
What the edge tells the bus: evidence, marks, verdicts and its own report. It never delays and never fails a mail.

One round, every heartbeat and whenever something waits:

1. take the time, then all that waits (bounded; `offer_*` runs on the same loop, so nothing slips in between);
2. send it and wait for Kafka's answer to each record; only then is evidence remembered as published;
3. if no evidence is left waiting, a mark with the time of step 1 goes into every partition of `mail-evidence`: all
   evidence seen before it stands before it. While Kafka is away there is no answer, so no mark, so H and the law stand.

A failed round puts its records back and makes a new producer (one that failed is spoilt): a record may then come
twice, which is harmless. Evidence beyond the bound is dropped, counted and forgotten, so the server's next message
publishes it. A mark may pass it: a lost accusation harms nobody, and a lost cure only delays the release until that
next message, for a cured server is never refused by its own lines.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.edge.core import EvidenceKey
from services.edge.novelty import Novelty
from shared.domain.errors import RecordSchemaError, TransientError
from shared.domain.records import EdgeReport, MailEvidence, Mark, VerdictGiven
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, running
from shared.runtime.clock import Clock

EVIDENCE_MAX = 20_000
"""Pieces of evidence that may wait for Kafka; one more is dropped, see above."""

VERDICTS_MAX = 20_000
"""Verdicts that may wait; one more is dropped and counted: the refusal stands in the MTA's log and in ours."""

REPORT_EVERY_S = 10.0
ASKED_WITHIN_S = 24 * 3600.0
"""Real seconds since the last question of an MTA in which marks are written."""

_ROUND_MAX = 1000  # records sent before their answers are awaited
_ANSWER_S = 30.0  # real time for the answers of one round; an idempotent producer itself would wait for ever
_STOP_S = 5.0
_BACKOFF_S = 1.0
_APPEND_TIME = 1  # Kafka's timestamp type LogAppendTime: the broker's clock

_Waiting = TypeVar("_Waiting")


class Publisher:
    """
    `run` until cancelled, then `finish`.

    may_mark: whether an MTA asked within ASKED_WITHIN_S and the clock can be believed. hear: told the broker's time (UTC,
    real) with each report that it took.
    """

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        clock: Clock,
        novelty: Novelty,
        counts: Counter[str],
        *,
        edge: str,
        heartbeat_s: float,
        report: Callable[[], EdgeReport],
        may_mark: Callable[[], bool],
        hear: Callable[[datetime], None],
        evidence_max: int = EVIDENCE_MAX,
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._clock = clock
        self._novelty = novelty
        self._counts = counts
        self._edge = edge
        self._heartbeat_s = heartbeat_s
        self._report = report
        self._may_mark = may_mark
        self._hear = hear
        self._evidence_max = evidence_max
        self._evidence: deque[tuple[EvidenceKey, MailEvidence]] = deque()
        self._verdicts: deque[VerdictGiven] = deque()
        self._wake = asyncio.Event()
        self._mark_at = self._report_at = float("-inf")
        self._log = structlog.get_logger()

    # -- taking -----------------------------------------------------------------------------------------------------

    def offer_evidence(self, key: EvidenceKey, record: MailEvidence) -> None:
        """Take one piece of evidence; at the bound it is dropped."""
        if len(self._evidence) >= self._evidence_max:
            self._counts["evidence_dropped"] += 1
            self._novelty.lost(key)
            return
        self._evidence.append((key, record))
        self._wake.set()

    def offer_verdict(self, record: VerdictGiven) -> None:
        """Take one verdict; at the bound it is dropped."""
        if len(self._verdicts) >= VERDICTS_MAX:
            self._counts["verdicts_dropped"] += 1
            return
        self._verdicts.append(record)
        self._wake.set()

    # -- sending ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send until cancelled; no failure of the bus ends it."""
        while True:
            producer = new_producer(self._bootstrap)
            try:
                async with running(producer):
                    while True:
                        await self._round(producer)
                        await self._rest()
            except (KafkaError, TransientError, OSError, TimeoutError) as error:
                self._counts["publish_failures"] += 1
                self._log.warning("publish-failed", cause=str(error) or type(error).__name__)
            await asyncio.sleep(_BACKOFF_S)

    async def finish(self) -> None:
        """A last round, with the report, within a bound; call it when `run` has ended."""
        self._mark_at = self._report_at = float("-inf")
        try:
            async with asyncio.timeout(_STOP_S):
                producer = new_producer(self._bootstrap)
                async with running(producer):
                    while self._evidence or self._verdicts or self._report_at < 0:
                        await self._round(producer)
        except (KafkaError, TransientError, OSError, TimeoutError) as error:
            self._log.warning("last-words-failed", evidence_lost=len(self._evidence), cause=str(error))

    async def _rest(self) -> None:
        """Until something waits or a mark is due."""
        self._wake.clear()
        if self._evidence or self._verdicts:
            return
        wait_s = self._mark_at + self._heartbeat_s - time.monotonic()
        try:
            async with asyncio.timeout(max(wait_s, 0.0)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _round(self, producer: AIOKafkaProducer) -> None:
        """The three steps at the top of this module."""
        at, moment = self._clock.now(), time.monotonic()
        evidence, verdicts = _taken(self._evidence), _taken(self._verdicts)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._send(producer, self._encoded(evidence, verdicts))
        except BaseException:
            self._evidence.extendleft(reversed(evidence))
            self._verdicts.extendleft(reversed(verdicts))
            raise
        for key, _ in evidence:
            self._novelty.published(key)
        self._counts["evidence_published"] += len(evidence)
        self._counts["verdicts_published"] += len(verdicts)
        async with asyncio.timeout(_ANSWER_S):
            await self._mark(producer, at, moment, all_in=not self._left_before(at))
            await self._tell(producer, moment)

    def _left_before(self, at: datetime) -> bool:
        """Whether evidence seen before *at* still waits: more had come than fits one round."""
        return bool(self._evidence) and self._evidence[0][1].facts.seen_at < at

    def _encoded(
        self, evidence: list[tuple[EvidenceKey, MailEvidence]], verdicts: list[VerdictGiven]
    ) -> list[tuple[str, bytes, bytes]]:
        records: list[tuple[str, str, MailEvidence | VerdictGiven]] = []
        records += [(t.MAIL_EVIDENCE, record.facts.peer, record) for _, record in evidence]
        records += [(t.VERDICTS, verdict.server, verdict) for verdict in verdicts]
        encoded = []
        for topic, key, record in records:
            try:
                encoded.append((topic, key.encode(), encode(record)))
            except RecordSchemaError as error:  # cannot be: every field is bounded
                self._counts["publish_too_large"] += 1
                self._log.error("publish-too-large", cause=str(error))
        return encoded

    async def _send(self, producer: AIOKafkaProducer, records: list[tuple[str, bytes, bytes]]) -> None:
        sent = [await producer.send(self._prefix + topic, value, key=key) for topic, key, value in records]
        await asyncio.gather(*sent)

    async def _mark(self, producer: AIOKafkaProducer, at: datetime, moment: float, *, all_in: bool) -> None:
        if moment - self._mark_at < self._heartbeat_s or not all_in:
            return
        self._mark_at = moment
        if not self._may_mark():
            return
        topic = self._prefix + t.MAIL_EVIDENCE
        partitions = sorted(await producer.partitions_for(topic))
        sent = []
        for partition in partitions:
            mark = Mark(edge=self._edge, at=at, partition=partition, of=len(partitions))
            sent.append(await producer.send(topic, encode(mark), partition=partition))
        await asyncio.gather(*sent)
        self._counts["marks"] += 1

    async def _tell(self, producer: AIOKafkaProducer, moment: float) -> None:
        if moment - self._report_at < REPORT_EVERY_S:
            return
        self._report_at = moment
        topic = self._prefix + t.EDGE_REPORTS
        taken = await producer.send_and_wait(topic, encode(self._report()), key=self._edge.encode())
        if taken.timestamp_type == _APPEND_TIME:
            self._hear(datetime.fromtimestamp(taken.timestamp / 1000, UTC))


def _taken(queue: deque[_Waiting]) -> list[_Waiting]:
    return [queue.popleft() for _ in range(min(len(queue), _ROUND_MAX))]
