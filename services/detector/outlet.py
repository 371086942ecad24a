"""Where the detector's records go: one idempotent producer, replaced when a send failed."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import structlog
from aiokafka.errors import KafkaError

from shared.domain.errors import TransientError
from shared.messaging.kafka import RemadeProducer

TRIES = 5
"""
With the waits below and a request's 20 s bound all tries end within about 115 s: well below the 300 s after which the
group throws out a consumer that does not poll.
"""
_BACKOFF_FIRST_S = 0.5
_BACKOFF_MAX_S = 8.0


class Letter(NamedTuple):
    """A record to be written to partition 0 of *topic* (full name)."""

    topic: str
    key: bytes | None
    value: bytes


class Outlet(Protocol):
    """Writes letters in their order."""

    async def deliver(self, letters: Sequence[Letter]) -> None:
        """
        Return when Kafka has acknowledged all of *letters*; some may stand there twice after trouble.

        Raises:
            TransientError: not possible, after all tries.
        """
        ...


class KafkaOutlet:
    """The real one."""

    def __init__(
        self, bootstrap: str, log: structlog.stdlib.BoundLogger, *, backoff_first_s: float = _BACKOFF_FIRST_S
    ) -> None:
        self._bootstrap = bootstrap
        self._log = log
        self._backoff_first_s = backoff_first_s
        self._producer = RemadeProducer(bootstrap)

    async def deliver(self, letters: Sequence[Letter]) -> None:
        """As `Outlet.deliver`; a failed send is tried again as a whole, by a new producer, after a growing wait."""
        cause: KafkaError | None = None
        for attempt in range(TRIES):
            try:
                return await self._send(letters)
            except KafkaError as error:
                cause = error
                self._log.warning("send_failed", attempt=attempt + 1, of=TRIES, error=type(error).__name__)
                await self.stop()  # after a failed send the old one may refuse its partition for ever (aiokafka 1017)
                await asyncio.sleep(min(self._backoff_first_s * 2**attempt, _BACKOFF_MAX_S))
        raise TransientError(
            f"Kafka at {self._bootstrap} took no records in {TRIES} tries ({type(cause).__name__}); look at the broker"
        ) from cause

    async def _send(self, letters: Sequence[Letter]) -> None:
        producer = await self._producer.started()
        sent = [await producer.send(letter.topic, letter.value, key=letter.key, partition=0) for letter in letters]
        failures = [f for f in await asyncio.gather(*sent, return_exceptions=True) if isinstance(f, BaseException)]
        for failure in failures:
            raise failure

    async def stop(self) -> None:
        """Stop the producer; the next `deliver` starts another."""
        await self._producer.stop()
