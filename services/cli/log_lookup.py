"""One record of the log by its number, and those from there on; found by halving, for numbers grow with offsets."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.cli.bus import each, reading
from services.cli.log_source import decoded
from shared.messaging import topics as t
from shared.messaging.kafka import partitions_of
from shared.runtime.settings import CommonSettings

_NEAR = 256  # so few offsets are read in one go
_LOOK_MS = 2_000  # a fetch that is answered comes in milliseconds; behind the newest record there is none


async def from_seq(settings: CommonSettings, seq: int) -> AsyncGenerator[bytes, None]:
    """
    The stored records of the log from number *seq* on, up to the end it has now; all of them where *seq* is before the first.

    Only those on the way to the first are decoded: of the others most are nobody's business. Who stops before the end closes it.

    Raises:
        EventSchemaError: one on the way cannot be read.
        TransientError: the broker is not there.
    """
    async with reading(settings) as log:
        [partition] = await partitions_of(log, settings.topic_prefix + t.LOG)
        start = await _before(log, partition, seq)
        there = False
        async with aclosing(each(settings, log, t.LOG, start=start)) as records:
            async for record in records:
                stored = record.value or b""
                there = there or decoded(stored, record.offset).seq >= seq
                if there:
                    yield stored


async def _before(log: AIOKafkaConsumer, partition: TopicPartition, seq: int) -> int:
    """An offset at or before that of record *seq*: markers of transactions take offsets, too, so it is not told by the number."""
    log.assign([partition])
    low: int = (await log.beginning_offsets([partition]))[partition]
    high: int = (await log.end_offsets([partition]))[partition]
    while high - low > _NEAR:
        middle = (low + high) // 2
        log.seek(partition, middle)
        found = await log.getmany(partition, timeout_ms=_LOOK_MS, max_records=1)
        records = found.get(partition, [])
        if records and decoded(records[0].value or b"", middle).seq <= seq:
            low = middle
        else:
            high = middle
    return low
