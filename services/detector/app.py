"""The detector's wiring: a FastStream batch subscriber around `handlers.BatchHandler`, and its life from start to end."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.message import FAKE_CONSUMER
from faststream.kafka.subscriber.usecase import BatchSubscriber

from services.detector.core import Reader
from services.detector.handlers import BatchHandler
from services.detector.outlet import KafkaOutlet
from services.detector.settings import DetectorSettings
from shared.domain.errors import TransientError
from shared.messaging import topics as t
from shared.messaging.kafka import await_broker, new_reader, partitions_of, running
from shared.runtime.catalogue_files import load_catalogue_of
from shared.runtime.readiness import ReadyFile

MAX_RECORDS = 500
"""Records in a batch: some 200 ms of reading, and one wait for the broker's answer instead of 500."""
_BATCH_WAIT_MS = 50
_STALLED_S = 30.0  # without an answer to a fetch for so long: not ready (the broker answers empty fetches in 0.5 s)
_LOOK_EVERY_S = 0.5
_REBALANCE_MS = 30_000  # a batch in hand may end before its partitions change hands
_STOP_S = 20.0  # a batch in hand may end first


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Tells that the group has answered; the rest of a rebalance is safe by the handler's steps."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self.joined = False

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing to close: the batch in hand drops what is gone, and commits only what is ours."""
        if revoked:
            self._log.info("partitions_revoked", partitions=sorted(tp.partition for tp in revoked))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Each position stands at what was committed when this is called."""
        self._log.info("partitions_assigned", partitions=sorted(tp.partition for tp in assigned))
        self.joined = True


async def run(settings: DetectorSettings, *, log: structlog.stdlib.BoundLogger, stopping: asyncio.Event) -> None:
    """
    Run until *stopping* is set.

    Raises:
        TransientError: topics are missing, or Kafka did not answer in time; nothing is lost, start it again.
        ConfigError: the catalogue or the state directory cannot be used.
    """
    ready = ReadyFile(settings.state_dir, "detector")
    ready.clear()
    if not await await_broker(settings.bootstrap, stopping, lambda why: log.warning("waiting_for_broker", why=why)):
        return
    await _check_topics(settings)
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    outlet = KafkaOutlet(settings.bootstrap, log)
    handler = BatchHandler(settings.topic_prefix, Reader(load_catalogue_of(settings.state_dir)), outlet, log)
    listener = _Listener(log)
    broker, subscriber = declare(settings, handler, listener, failed)
    try:
        await broker.start()
        await _watch(lambda: listener.joined and _is_fresh(subscriber.consumer), ready, log, stopping, failed)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await broker.stop()
        await outlet.stop()
        log.info("stopped", **handler.counts)


def declare(
    settings: DetectorSettings, handler: BatchHandler, listener: ConsumerRebalanceListener, failed: asyncio.Future[None]
) -> tuple[KafkaBroker, BatchSubscriber]:
    """Declare the subscriber; *failed* gets what the handler raised, since FastStream logs errors and goes on."""
    quiet = logging.getLogger("faststream")
    quiet.setLevel(logging.ERROR)  # it warns at each start that it creates no topics, which is what we want
    broker = KafkaBroker(
        settings.bootstrap.split(","),  # the library takes a text for one address
        consumer_only=True,  # our own producer sends: FastStream's publish is a round trip a record
        allow_auto_create_topics=False,
        apply_types=False,
        logger=quiet,
    )

    async def parse(batch: tuple[ConsumerRecord, ...]) -> KafkaMessage:
        # The library's own loses a whole batch for one header that is not text. Nobody acknowledges by the message.
        return KafkaMessage(raw_message=batch, body=b"", consumer=FAKE_CONSUMER)

    async def decode(message: KafkaMessage) -> tuple[ConsumerRecord, ...]:
        return message.raw_message

    subscriber = broker.subscriber(
        settings.topic_prefix + t.MAIL_EVIDENCE,
        group_id=settings.topic_prefix + "detector",
        batch=True,
        max_records=MAX_RECORDS,
        batch_timeout_ms=_BATCH_WAIT_MS,
        ack_policy=AckPolicy.MANUAL,  # the handler commits what it finished, and nothing else
        auto_offset_reset="earliest",  # a new group begins with the oldest evidence: nothing is passed over
        isolation_level="read_committed",
        session_timeout_ms=settings.detector_session_timeout_ms,
        heartbeat_interval_ms=settings.detector_session_timeout_ms // 3,
        rebalance_timeout_ms=_REBALANCE_MS,
        listener=listener,
        parser=parse,
        decoder=decode,
    )

    @subscriber
    async def read_evidence(batch: tuple[ConsumerRecord, ...]) -> None:
        consumer = subscriber.consumer
        if failed.done() or consumer is None:
            return  # the process is about to end: nothing may be passed on behind a batch that was not
        try:
            await handler.handle(batch, consumer)
        except Exception as error:  # noqa: BLE001  (raised again in `_watch`, which ends the process)
            failed.set_exception(error)

    return broker, subscriber


async def _check_topics(settings: DetectorSettings) -> None:
    """Nothing relies on automatic creation; a subscriber to a topic that is not there would wait for ever in silence."""
    reader = new_reader(settings.bootstrap)
    try:
        async with running(reader):
            for name in (t.MAIL_EVIDENCE, t.SIGHTINGS, t.DEAD_LETTERS):
                await partitions_of(reader, settings.topic_prefix + name)
    except KafkaError as error:
        raise TransientError(
            f"no Kafka answers at {settings.bootstrap} ({type(error).__name__}); start it, or set PATCHGATE_BOOTSTRAP"
        ) from error


def _is_fresh(consumer: AIOKafkaConsumer) -> bool:
    """Whether each partition that is ours answered a fetch lately; a consumer can fall silent (aiokafka 1037)."""
    oldest_ms = (time.time() - _STALLED_S) * 1000
    return all((consumer.last_poll_timestamp(tp) or 0) >= oldest_ms for tp in consumer.assignment())


async def _watch(
    is_fresh: Callable[[], bool],
    ready: ReadyFile,
    log: structlog.stdlib.BoundLogger,
    stopping: asyncio.Event,
    failed: asyncio.Future[None],
) -> None:
    """Keep the ready file young while there is progress, until told to stop; raise what the handler raised."""
    told: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    said_ready = False
    try:
        while not told.done() and not failed.done():
            if is_fresh():
                ready.touch()
                if not said_ready:
                    log.info("ready")
                    said_ready = True
            await asyncio.wait([told, failed], timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            failed.result()
    finally:
        told.cancel()
