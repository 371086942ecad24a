"""A compacted topic that was written in transactions can be read after Kafka's cleaner has been there a day later."""

import asyncio
import time
from contextlib import suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError

from shared.messaging.kafka import new_producer, new_reader, read_to_end, running

pytestmark = pytest.mark.broker

AT_ONCE = {
    "cleanup.policy": "compact",
    "segment.ms": "50",
    "delete.retention.ms": "0",
    "min.cleanable.dirty.ratio": "0.0",
    "min.compaction.lag.ms": "0",
}
[CLIENTS_OWN] = fetcher.PartitionRecords.__bases__


async def _make(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=AT_ONCE)])
    finally:
        await admin.close()


async def _write(bootstrap: str, topic: str, *, key: bytes, value: bytes, transactional_id: str) -> None:
    producer = new_producer(bootstrap, transactional_id=transactional_id)
    async with running(producer), producer.transaction():
        await producer.send_and_wait(topic, value, key=key)


async def _abandon(bootstrap: str, topic: str, *, transactional_id: str) -> None:
    """A transaction that a successor had aborted, and the successor never wrote: of it only the marker is kept."""
    dead = new_producer(bootstrap, transactional_id=transactional_id)
    async with running(dead):
        await dead.begin_transaction()
        await dead.send_and_wait(topic, b"never", key=b"gone")
        async with running(new_producer(bootstrap, transactional_id=transactional_id)):
            pass
        with suppress(KafkaError):  # it is fenced by now
            await dead.abort_transaction()


async def _read(bootstrap: str, topic: str) -> dict[bytes, bytes]:
    consumer = new_reader(bootstrap)
    async with running(consumer):
        return {record.key: record.value async for record in read_to_end(consumer, [TopicPartition(topic, 0)])}


async def _client_fails(bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the client library as it is stumbles over what the cleaner left."""
    with monkeypatch.context() as patched:
        patched.setattr(fetcher, "PartitionRecords", CLIENTS_OWN)
        try:
            await _read(bootstrap, topic)
        except KafkaError as error:
            assert "Control batch" in str(error)  # noqa: PT017 - any other error is another fault
            return True
    return False


async def test_markers_that_the_cleaner_emptied_hinder_nobody(
    broker_bootstrap: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client library alone would never read such a topic again; with a version that can, this test says so."""
    topic = f"{prefix}cleaned"
    await _make(broker_bootstrap, topic)
    await _abandon(broker_bootstrap, topic, transactional_id=f"{prefix}first")
    deadline = time.monotonic() + 60
    number = 0
    while not await _client_fails(broker_bootstrap, topic, monkeypatch):
        assert time.monotonic() < deadline, "no empty marker within 60 s, or this client can read one: drop our patch"
        number += 1
        await _write(broker_bootstrap, topic, key=b"kept", value=b"%d" % number, transactional_id=f"{prefix}{number}")
        await asyncio.sleep(0.1)
    assert await _read(broker_bootstrap, topic) == {b"kept": b"%d" % number}
