"""The topics that an edge reads and writes, made and written by hand."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.messaging.kafka import new_producer, new_reader, partitions_of, read_to_end, running
from shared.messaging.topics import CONTROL, DECISIONS, EDGE_REPORTS, MAIL_EVIDENCE, TOPICS, VERDICTS

PARTITIONS = 3


async def make_topics(bootstrap: str, prefix: str, **decisions_config: str) -> None:
    """Create what an edge reads and writes, as `topics.py` says."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = [
            topic for topic in TOPICS if topic.name in {CONTROL, DECISIONS, EDGE_REPORTS, MAIL_EVIDENCE, VERDICTS}
        ]
        await admin.create_topics(
            [
                NewTopic(
                    prefix + topic.name,
                    PARTITIONS if topic.spread else 1,
                    1,
                    topic_configs=topic.config | (decisions_config if topic.name == DECISIONS else {}),
                )
                for topic in wanted
            ]
        )
    finally:
        await admin.close()


async def write(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Write *records* to a topic of one partition, in order."""
    producer: AIOKafkaProducer = new_producer(bootstrap)
    async with running(producer):
        for key, value in records:
            await producer.send_and_wait(topic, value, key=key, partition=0)


async def read_all(bootstrap: str, topic: str) -> list[tuple[int, bytes | None, bytes]]:
    """Read a whole topic: partition, key, value of each record, in the order of each partition."""
    consumer = new_reader(bootstrap)
    async with running(consumer):
        partitions = await partitions_of(consumer, topic)
        return [(one.partition, one.key, one.value) async for one in read_to_end(consumer, partitions)]


async def until(what: str, condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = 20.0) -> None:
    """Wait until *condition* holds; it may be a coroutine function."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert asyncio.get_running_loop().time() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.05)
