"""
Making clients, and reading a whole table: choices that bite are made here once.

read_committed everywhere but for `control`; no automatic commit and no automatic topic creation; reset policy none;
idempotent producers with acks=all; and a bounded stop, since a client's stop can hang (aiokafka 773, 1013).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiokafka.client
import aiokafka.conn
import aiokafka.consumer.fetcher
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from shared.domain.errors import TransientError

_STOP_S = 8.0
_METADATA_RETRY_S = 0.1
_BROKER_RETRY_S = 1.0
_FETCH_MAX_WAIT_MS = 20  # an empty fetch waits at the broker at most so long; new records are returned at once
_FETCH_BYTES = 1 << 20  # the client library's own; a batch that is larger is fetched whole
_SMALL_BATCH_BYTES = 16_384  # the client library's own

BATCH_BYTES = 900_000
"""Of a batch in a transaction, before compression. A broker takes batches of 1 MB (`message.max.bytes`), headers included."""

Record = ConsumerRecord


class _PatientClient(aiokafka.client.AIOKafkaClient):  # type: ignore[misc]  # aiokafka has no types
    """
    A metadata update that fails is followed by a pause.

    aiokafka 0.14 asks again at once while no broker can be reached: in 3 of 13 outages that was a loop of 10,000 lines a
    second. Look again when the pinned version changes.
    """

    async def _metadata_update(self, *arguments: object) -> bool:
        updated = bool(await super()._metadata_update(*arguments))
        if not updated:
            await asyncio.sleep(_METADATA_RETRY_S)
        return updated


# For every client of this process, FastStream's too: they all make theirs by this name.
for _module in (aiokafka.client, aiokafka.consumer.consumer, aiokafka.producer.producer):
    _module.AIOKafkaClient = _PatientClient


class _TornConnection(aiokafka.conn.AIOKafkaConnection):  # type: ignore[misc]  # aiokafka has no types
    """
    A connection that was closed under us is broken, whoever says so.

    aiokafka 0.14 expects an OSError there; uvloop raises a RuntimeError, and that ended the client's metadata task for good: it
    learned of no broker any more. Look again when the pinned version changes.
    """

    def send(self, *arguments: object, **more: object) -> Awaitable[Any]:
        try:
            return super().send(*arguments, **more)  # type: ignore[no-any-return]
        except RuntimeError as error:
            self.close(reason=aiokafka.conn.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


aiokafka.conn.AIOKafkaConnection = _TornConnection


class _CleanedRecords(aiokafka.consumer.fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """
    A control batch without records is no abort marker.

    Kafka's cleaner leaves such a batch where a transaction's marker was, once `delete.retention.ms` (a day) is over. aiokafka 0.14
    takes it for an error, for ever: no compacted topic that was written in transactions could be read again. Kafka's own
    client passes over it. Look again when the pinned version changes.
    """

    def _contains_abort_marker(self, batch: Any) -> bool:  # noqa: ANN401 - the client's own class, in C
        with suppress(KafkaError):
            return bool(super()._contains_abort_marker(batch))
        return False


aiokafka.consumer.fetcher.PartitionRecords = _CleanedRecords


def new_producer(bootstrap: str, *, transactional_id: str | None = None, linger_ms: int = 0) -> AIOKafkaProducer:
    """
    An idempotent producer, or a transactional one. linger_ms stays 0 with transactions: commit waits it out.

    A transactional one sends large batches, each compressed: its records are much alike.
    """
    whole_turns = transactional_id is not None
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        acks="all",
        linger_ms=linger_ms,
        transactional_id=transactional_id,
        transaction_timeout_ms=30_000,
        request_timeout_ms=20_000,
        retry_backoff_ms=100,
        max_request_size=1_000_000,
        max_batch_size=BATCH_BYTES if whole_turns else _SMALL_BATCH_BYTES,
        compression_type="zstd" if whole_turns else None,
    )


def new_reader(
    bootstrap: str,
    *,
    read_uncommitted: bool = False,
    fetch_bytes: int = _FETCH_BYTES,
    idle_ms: int = _FETCH_MAX_WAIT_MS,
    group: str | None = None,
) -> AIOKafkaConsumer:
    """
    A consumer to `assign`, `seek`, read. Its position is its owner's to keep. fetch_bytes: of one partition.

    idle_ms: an empty fetch waits so long at the broker. group: where its owner may show how far it is; nothing starts there.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_uncommitted" if read_uncommitted else "read_committed",
        fetch_max_wait_ms=idle_ms,
        max_partition_fetch_bytes=fetch_bytes,
        retry_backoff_ms=100,
        request_timeout_ms=20_000,
    )


async def stop_bounded(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """
    Stop *client* within a bound; what does not stop is left to the end of the process.

    Waited for from outside: while the broker is away a client's stop can end as if we had been cancelled (aiokafka 647).
    """
    stopping = asyncio.ensure_future(client.stop())
    try:
        done, _ = await asyncio.wait({stopping}, timeout=_STOP_S)
    finally:
        stopping.cancel()  # no effect on one that is done
    if done and not stopping.cancelled():
        stopping.result()
    elif done and isinstance(client, AIOKafkaConsumer):
        await client._client.close()  # noqa: SLF001  (what `stop` would have done next)


@asynccontextmanager
async def running(client: AIOKafkaConsumer | AIOKafkaProducer) -> AsyncIterator[None]:
    """Start *client*, and stop it whatever happens. One that cannot start leaves nothing behind."""
    try:
        await client.start()
        yield
    finally:
        await stop_bounded(client)


class RemadeProducer:
    """A producer that is started when it is first needed, and made anew after `stop`: one whose send failed is spoilt."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: AIOKafkaProducer | None = None

    async def started(self) -> AIOKafkaProducer:
        """
        The producer, running.

        Raises:
            KafkaError: it cannot be started; nothing of it is left.
        """
        if self._producer is None:
            producer = new_producer(self._bootstrap)
            try:
                await producer.start()
            except BaseException:
                await stop_bounded(producer)
                raise
            self._producer = producer
        return self._producer

    async def stop(self) -> None:
        """Stop it, if it runs; the next `started` makes another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_bounded(producer)


async def await_broker(bootstrap: str, stopping: asyncio.Event, tell: Callable[[str], object]) -> bool:
    """
    Wait until a broker answers at *bootstrap*; False when *stopping* is set before.

    A service that starts while the broker is away waits, and does not die again and again. *tell* is called once if it must.
    """
    told = False
    while not stopping.is_set():
        try:
            async with running(new_producer(bootstrap)):
                return True
        except KafkaError as error:
            if not told:
                tell(f"no Kafka answers at {bootstrap} ({type(error).__name__}); waiting for it")
                told = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_BROKER_RETRY_S):
                await stopping.wait()
    return False


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """
    All partitions of *topic* (full name), in order.

    Raises:
        TransientError: the broker knows no such topic; the operator runs `patchgate topics apply`.
    """
    # The public `partitions_for_topic` answers from a cache that holds only what was subscribed.
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001
    found = cluster.partitions_for_topic(topic)
    if not found:
        raise TransientError(f"the broker has no topic {topic}; run `patchgate topics apply`")
    return [TopicPartition(topic, number) for number in sorted(found)]


async def read_to_end(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition], *, batch_timeout_ms: int = 100
) -> AsyncIterator[ConsumerRecord]:
    """
    Every record from the beginning of *partitions* to the end they have now; afterwards *consumer* can go on following.

    Compares positions, never the last record's offset: markers and aborted records take offsets too.
    """
    assigned = list(partitions)
    consumer.assign(assigned)
    ends = await consumer.end_offsets(assigned)
    await consumer.seek_to_beginning(*assigned)
    while True:
        behind = [tp for tp in assigned if await consumer.position(tp) < ends[tp]]
        if not behind:
            return
        for records in (await consumer.getmany(*behind, timeout_ms=batch_timeout_ms)).values():
            for record in records:
                yield record
