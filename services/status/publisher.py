"""The way to the bus for what is asked over HTTP."""

import asyncio
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.domain.errors import TransientError
from shared.messaging.asking import Outgoing
from shared.messaging.kafka import RemadeProducer

_WITHIN_S = 5.0  # a broker that is there takes milliseconds
_AWAY = (KafkaError, OSError, TimeoutError)


class NotAskedError(TransientError):
    """The record was surely not published."""


class UnsureError(TransientError):
    """The broker did not say whether it took the record; it may come yet."""


class Publisher(Protocol):
    """What publishes one record."""

    async def publish(self, record: Outgoing) -> None:
        """Publish. Raises NotAskedError or UnsureError."""
        ...


class KafkaPublisher:
    """The real one: one producer, made at the start, and made anew after it failed."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._prefix = prefix
        self._producer = RemadeProducer(bootstrap)
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Make the producer, so that the first who asks does not wait. Raises NotAskedError."""
        await self._started()

    async def publish(self, record: Outgoing) -> None:
        """As `Publisher.publish`."""
        producer = await self._started()
        try:
            async with asyncio.timeout(_WITHIN_S):
                await producer.send_and_wait(self._prefix + record.topic, record.value, key=record.key, partition=0)
        except _AWAY as error:
            await self.stop()
            raise UnsureError(f"the bus did not say whether it took it ({type(error).__name__})") from error

    async def _started(self) -> AIOKafkaProducer:
        """The producer; one at a time makes it, or two would."""
        try:
            async with self._starting, asyncio.timeout(_WITHIN_S):
                return await self._producer.started()
        except _AWAY as error:
            raise NotAskedError(f"the bus cannot be reached ({type(error).__name__})") from error

    async def stop(self) -> None:
        """Stop the producer; the next who asks gets another."""
        async with self._starting:
            await self._producer.stop()
