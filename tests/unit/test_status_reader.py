"""The status service's reader without a Kafka: what its answers do when it is cancelled."""

import asyncio

import pytest
from aiokafka import TopicPartition

from services.status import reader
from shared.domain.errors import TransientError

Ends = dict[TopicPartition, int]


async def test_a_cancellation_that_comes_together_with_an_answer_is_not_forgotten() -> None:
    """Else the reader would go on for ever, and the service would not end."""
    answered: asyncio.Future[Ends] = asyncio.get_running_loop().create_future()

    async def ask() -> Ends:
        return await answered

    async def read_for_ever() -> None:
        while True:
            await reader._answer(ask())
            await asyncio.sleep(0)

    reading = asyncio.create_task(read_for_ever())
    await asyncio.sleep(0)
    answered.set_result({})
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading}, timeout=5)
    assert reading.cancelled()


async def test_an_answer_that_does_not_come_is_a_passing_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told with its bound."""
    monkeypatch.setattr(reader, "_ANSWER_S", 0.01)

    async def never() -> Ends:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(TransientError, match="the broker has not answered for 0 s"):
        await reader._answer(never())
