"""The bus as commands need it: read a topic to its end, hold a table, ask and wait for the answer on the log. All bounded."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shared.domain import events as e
from shared.domain.errors import TransientError
from shared.domain.records import AdoptPolicy, SetFreeze
from shared.messaging import topics as t
from shared.messaging.codec import decode, encode
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


async def each(settings: CommonSettings, consumer: AIOKafkaConsumer, topic: str) -> AsyncIterator[Record]:
    """
    Every record of *topic* (no prefix), from its beginning to the end it has now.

    Raises:
        TransientError: there is no such topic, or the broker falls silent.
    """
    partitions = await partitions_of(consumer, settings.topic_prefix + topic)
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    await consumer.seek_to_beginning(*partitions)
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


async def ask(
    settings: CommonSettings, request: AdoptPolicy | SetFreeze, topic: str, *, key: bytes | None, wait_s: float
) -> e.LogRecord | None:
    """
    Publish *request* and wait for its record on the log; None where nobody decided it in *wait_s*.

    Raises:
        TransientError: it could not be published.
    """
    async with reading(settings) as log:
        partitions = await partitions_of(log, settings.topic_prefix + t.LOG)
        log.assign(partitions)
        for partition, end in (await log.end_offsets(partitions)).items():
            log.seek(partition, end)
        async with running(producer := new_producer(settings.bootstrap)):
            await producer.send_and_wait(settings.topic_prefix + topic, encode(request), key=key)
        try:
            async with asyncio.timeout(wait_s):
                return await _answer(log, request.id)
        except TimeoutError:
            return None


async def _answer(log: AIOKafkaConsumer, request_id: str) -> e.LogRecord:
    while True:
        for records in (await log.getmany(timeout_ms=_POLL_MS)).values():
            for record in records:
                found: e.LogRecord = decode(t.LOG, record.value)
                if _request_in(found.event) == request_id:
                    return found


def _request_in(event: e.Event) -> str | None:
    request = event.request if isinstance(event, e.RequestDecided | e.PolicyAdopted) else None
    return request.id if request else None
