"""The bus as commands need it: read a topic to its end, hold a table, ask and wait for the answer on the log. All bounded."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shared.domain import events as e
from shared.domain.answer import AnyRequest, request_in
from shared.domain.errors import TransientError
from shared.messaging import topics as t
from shared.messaging.asking import outgoing
from shared.messaging.codec import decode
from shared.messaging.kafka import Record, new_producer, new_reader, partitions_of, running
from shared.runtime.settings import CommonSettings

_SILENCE_S = 30.0  # a broker that gives nothing for so long, though there is more, is not there
_POLL_MS = 200

# What goes wrong is told by us, in one line; the client library would tell it again, in many.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)


@asynccontextmanager
async def reading(settings: CommonSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """
    A reader that runs.

    Raises:
        TransientError: the broker is not there, or goes away.
    """
    try:
        async with running(consumer := new_reader(settings.bootstrap)):
            yield consumer
    except (KafkaError, OSError) as error:
        raise TransientError(
            f"the broker at {settings.bootstrap} cannot be used ({type(error).__name__}): is it running? `patchgate up` starts one"
        ) from error


async def each(
    settings: CommonSettings, consumer: AIOKafkaConsumer, topic: str, *, start: int | None = None
) -> AsyncGenerator[Record, None]:
    """
    Every record of *topic* (no prefix), from its beginning to the end it has now. start: an offset, of a single partition.

    Raises:
        TransientError: there is no such topic, or the broker falls silent.
    """
    partitions = await partitions_of(consumer, settings.topic_prefix + topic)
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    if start is None:
        await consumer.seek_to_beginning(*partitions)
    else:
        consumer.seek(partitions[0], start)
    heard = time.monotonic()
    # As `read_to_end`, whose services wait for ever; whoever types a command is told.
    while behind := [tp for tp in partitions if await consumer.position(tp) < ends[tp]]:
        batch = await consumer.getmany(*behind, timeout_ms=_POLL_MS)
        if batch:
            heard = time.monotonic()
        elif time.monotonic() - heard > _SILENCE_S:
            raise TransientError(
                f"the broker at {settings.bootstrap} fell silent in the middle of {topic}; try again when it answers"
            )
        for records in batch.values():
            for record in records:
                yield record


async def table(
    settings: CommonSettings, topic: str, *, wanted: Callable[[bytes, bytes], bool] | None = None
) -> dict[bytes, bytes]:
    """
    The newest value of each key of a compacted topic; as large as the topic.

    wanted: of which keys and values more than the key is kept; the other values are b"".
    """
    held: dict[bytes, bytes] = {}
    async with reading(settings) as consumer:
        async for record in each(settings, consumer, topic):
            key = record.key or b""
            if record.value:
                held[key] = record.value if wanted is None or wanted(key, record.value) else b""
            else:
                held.pop(key, None)
    return held


async def ask(settings: CommonSettings, request: AnyRequest, *, wait_s: float) -> e.LogRecord | None:
    """
    Publish *request* and wait for its record on the log; None where nobody decided it in *wait_s*.

    Raises:
        TransientError: it could not be published.
    """
    return (await ask_all(settings, [request], wait_s=wait_s)).get(request.id)


async def ask_all(settings: CommonSettings, requests: Sequence[AnyRequest], *, wait_s: float) -> dict[str, e.LogRecord]:
    """
    Publish *requests* in their order and wait for their records on the log; those that nobody decided in *wait_s* are missing.

    Raises:
        TransientError: they could not be published.
    """
    async with reading(settings) as log:
        partitions = await partitions_of(log, settings.topic_prefix + t.LOG)
        log.assign(partitions)
        for partition, end in (await log.end_offsets(partitions)).items():
            log.seek(partition, end)
        async with running(producer := new_producer(settings.bootstrap)):
            for topic, key, value in map(outgoing, requests):
                await producer.send_and_wait(settings.topic_prefix + topic, value, key=key)
        answers: dict[str, e.LogRecord] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await _answers(log, {request.id for request in requests}, answers)
        return answers


async def _answers(log: AIOKafkaConsumer, ids: set[str], answers: dict[str, e.LogRecord]) -> None:
    """Fill *answers* until all of *ids* are there."""
    while ids - answers.keys():
        for records in (await log.getmany(timeout_ms=_POLL_MS)).values():
            for record in records:
                found: e.LogRecord = decode(t.LOG, record.value)
                request = request_in(found.event)
                if request is not None and request.id in ids:
                    answers.setdefault(request.id, found)
