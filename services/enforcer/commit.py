"""
One transaction, steps 3 to 5 of a turn.

A send that fails, a commit that fails and a fence all end the process: after any of them the producer is spoilt, or
somebody else leads, and the fold in memory is ahead of what is written. Nothing is tried twice here.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from aiokafka.structs import RecordMetadata

from services.enforcer.books import Outgoing
from services.enforcer.setup import Setup, Step
from shared.domain.errors import ConfigError, PatchgateError, TransientError
from shared.messaging import topics as t


class FencedError(PatchgateError):
    """Another enforcer leads; this one must end. If two were started on purpose, the operator does nothing."""


class Committer:
    """Commits lists of records, each as one transaction."""

    def __init__(self, setup: Setup, producer: AIOKafkaProducer) -> None:
        self._setup = setup
        self._producer = producer
        self._newest_heartbeat = -1  # its offset

    async def commit(self, records: Sequence[Outgoing]) -> None:
        """
        Write all of *records*, in their order, or none.

        Raises:
            FencedError: another enforcer leads.
            ConfigError: this machine's clock and the broker's differ by too much.
            TransientError: topic `decisions` is another one than before.
            KafkaError: the broker did not take them.
        """
        steps = self._setup.steps
        try:
            async with self._producer.transaction():
                steps(Step.BEGUN)
                appended = await self._send(records)
                self._check_clock(records[-1], appended[records[-1].topic])
                steps(Step.SENT)
        except ProducerFenced as error:
            raise FencedError(
                "another enforcer has taken over, or the broker gave up a transaction of over 30 s: this one ends"
            ) from error
        steps(Step.COMMITTED)

    async def _send(self, records: Sequence[Outgoing]) -> dict[str, RecordMetadata]:
        """Send all; for each topic (no prefix) what the broker said of the last batch."""
        by_topic: dict[str, list[Outgoing]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        # Topics side by side; the batches of one go one after another, in order.
        sending = [self._send_topic(topic, of_it) for topic, of_it in by_topic.items()]
        appended = {}
        for topic, result in zip(by_topic, await asyncio.gather(*sending, return_exceptions=True), strict=True):
            if isinstance(result, BaseException):
                raise result
            appended[topic] = result
        return appended

    async def _send_topic(self, topic: str, records: Iterable[Outgoing]) -> RecordMetadata:
        name, producer = self._setup.prefix + topic, self._producer
        sent, batch = [], producer.create_batch()
        for _, key, value in records:
            if (
                batch.append(timestamp=None, key=key, value=value) is None
            ):  # full; a batch that is empty takes any record
                sent.append(await producer.send_batch(batch, name, partition=0))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        sent.append(await producer.send_batch(batch, name, partition=0))
        # Still inside the transaction: a commit goes through although a send in it failed.
        return (await asyncio.gather(*sent))[-1]

    def _check_clock(self, record: Outgoing, appended: RecordMetadata) -> None:
        """What a wrong clock dates must not become law: the heartbeat's append time is the broker's clock."""
        if (record.topic, record.key) != (t.DECISIONS, t.KEY_HEARTBEAT):
            return
        self._check_topic(appended)
        guard = timedelta(seconds=self._setup.settings.clock_guard_s)
        off = self._setup.clock.real_now() - datetime.fromtimestamp(appended.timestamp / 1000, UTC)
        if abs(off) > guard:
            raise ConfigError(
                f"this machine's clock is {off.total_seconds():+.0f} s off the broker's, and {guard.total_seconds():.0f} s are allowed: "
                "set both by NTP, then start the enforcer again"
            )

    def _check_topic(self, appended: RecordMetadata) -> None:
        """Offsets only grow. Where they do not, edges read an empty table, and only a start writes the whole of it."""
        if appended.offset <= self._newest_heartbeat:
            raise TransientError(
                "topic decisions was made anew under this enforcer: it ends, and the next start writes the whole table"
            )
        self._newest_heartbeat = appended.offset
