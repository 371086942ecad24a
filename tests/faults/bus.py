"""What a fault does to topics and groups, as an operator's tools would."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, new_reader, partitions_of, running, stop_bounded
from shared.messaging.topics import TOPICS
from tests.faults.fault import FaultError
from tests.support.decisions import decision

_WITHIN_S = 30.0
_GONE = {0, 69}  # done; there is no such group any more


@asynccontextmanager
async def admin_client(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Lend an admin client."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=20_000)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


def _own_config(topic: str) -> dict[str, str]:
    return dict(next(one.config for one in TOPICS if one.name == topic))


async def set_config(bootstrap: str, prefix: str, topic: str, more: Mapping[str, str]) -> None:
    """Give *topic* the settings it must have, and *more*; what was set before and is in neither goes."""
    resource = ConfigResource(ConfigResourceType.TOPIC, prefix + topic, {**_own_config(topic), **more})
    async with admin_client(bootstrap) as client:
        for response in await client.alter_configs([resource]):
            for code, text, *_ in response.resources:
                if code:
                    raise FaultError(f"the settings of {topic} cannot be altered: {for_code(code).__name__} {text}")


async def make_anew(bootstrap: str, prefix: str, topic: str, more: Mapping[str, str]) -> None:
    """Delete *topic*, and create it again, empty."""
    new = NewTopic(prefix + topic, 1, 1, topic_configs={**_own_config(topic), **more})
    async with admin_client(bootstrap) as client:
        await client.delete_topics([prefix + topic])
        deadline = time.monotonic() + _WITHIN_S
        while True:
            (error,) = (await client.create_topics([new])).topic_errors
            if not error[1]:
                return
            if time.monotonic() > deadline:
                raise FaultError(f"{topic} cannot be made anew: {for_code(error[1]).__name__}")
            await asyncio.sleep(0.1)


async def delete_group(bootstrap: str, group: str) -> None:
    """Delete a group with all its offsets, as soon as it has no member."""
    async with admin_client(bootstrap) as client:
        coordinator = await client.find_coordinator(group)
        deadline = time.monotonic() + _WITHIN_S
        while True:
            response = await client._send_request(DeleteGroupsRequest([group]), coordinator)
            ((_, code),) = response.results
            if code in _GONE:
                return
            if time.monotonic() > deadline:
                raise FaultError(f"the group {group} cannot be deleted: {for_code(code).__name__}")
            await asyncio.sleep(0.1)


async def trim(bootstrap: str, topic: str, keep: int) -> None:
    """Delete all but the newest *keep* records of each partition, as retention would."""
    reader = new_reader(bootstrap)
    async with running(reader):
        ends = await reader.end_offsets(await partitions_of(reader, topic))
    async with admin_client(bootstrap) as client:
        await client.delete_records(
            {tp: RecordsToDelete(before_offset=end - keep) for tp, end in ends.items() if end > keep}
        )


async def holds_key(bootstrap: str, topic: str, key: bytes) -> bool:
    """Whether any record of *key* is left in partition 0, a deletion too."""
    reader = new_reader(bootstrap)
    partition = TopicPartition(topic, 0)
    async with running(reader):
        reader.assign([partition])
        (end,) = (await reader.end_offsets([partition])).values()
        await reader.seek_to_beginning(partition)
        while await reader.position(partition) < end:
            for record in (await reader.getmany(partition, timeout_ms=100)).get(partition, []):
                if record.key == key:
                    return True
    return False


async def leave_open(
    bootstrap: str, transactional_id: str, timeout_s: float, records: Mapping[str, tuple[bytes | None, bytes]]
) -> None:
    """Begin a transaction, write *records* (full topic name: key, value) in it, and go without ending it."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        transactional_id=transactional_id,
        transaction_timeout_ms=int(timeout_s * 1000),
    )
    try:
        await producer.start()
        await producer.begin_transaction()
        sent = [await producer.send(topic, value, key=key, partition=0) for topic, (key, value) in records.items()]
        await asyncio.gather(*sent)
    finally:
        await stop_bounded(producer)


async def write_as_stranger(bootstrap: str, topic: str, server: str) -> None:
    """Write a decision that blocks *server* all the time into `decisions` (full name), which only the enforcer may."""
    value = encode(decision(block=60, server=server))
    producer = new_producer(bootstrap)
    async with running(producer):
        await producer.send_and_wait(topic, value, key=server.encode(), partition=0)
