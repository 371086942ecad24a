"""What we change in the client library, so that a newer version of it cannot silently undo it."""

import asyncio

import aiokafka.client
import aiokafka.conn
import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.protocol.metadata import MetadataRequest

from shared.messaging import kafka


@pytest.mark.parametrize("client", ["consumer", "producer"])
async def test_clients_pause_after_a_metadata_update_that_failed(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a broker a client asks ten times a second, not ten thousand times."""
    pauses: list[float] = []
    slept = asyncio.Event()

    async def no_pause(seconds: float) -> None:
        pauses.append(seconds)
        slept.set()

    async def fails(*_: object) -> bool:
        return False

    made = kafka.new_reader("127.0.0.1:1") if client == "consumer" else kafka.new_producer("127.0.0.1:1")
    monkeypatch.setattr(asyncio, "sleep", no_pause)
    monkeypatch.setattr(aiokafka.client.AIOKafkaClient.__mro__[1], "_metadata_update", fails)
    inner = made._client if client == "consumer" else made.client
    assert await inner._metadata_update(None, []) is False
    assert pauses == [kafka._METADATA_RETRY_S]


async def test_a_connection_that_was_closed_under_us_is_broken_for_the_client() -> None:
    """Uvloop tells it by a RuntimeError; the metadata task of a client must not end by it."""

    class _Closed:
        def write(self, _: bytes) -> None:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

        def close(self) -> None:
            pass

        def at_eof(self) -> bool:
            return False

    client = aiokafka.client.AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    connection = aiokafka.conn.AIOKafkaConnection("127.0.0.1", 9)
    connection._versions = {MetadataRequest.API_KEY: (0, 5)}
    connection._reader = connection._writer = _Closed()
    connection._read_task = asyncio.get_running_loop().create_future()
    client._conns["bootstrap", ConnectionGroup.DEFAULT] = connection
    assert await client._metadata_update(client.cluster, []) is False
    assert not connection.connected()


class _Client:
    """A client whose stop ends in its own way."""

    def __init__(self, ends: BaseException | None) -> None:
        self._ends = ends

    async def stop(self) -> None:
        if self._ends is not None:
            raise self._ends


@pytest.mark.parametrize("ends", [None, asyncio.CancelledError()])
async def test_a_stop_that_ends_as_if_cancelled_does_not_cancel_us(ends: BaseException | None) -> None:
    """The service's own task goes on."""
    await kafka.stop_bounded(_Client(ends))


async def test_a_stop_that_hangs_is_left_behind_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends must not wait for ever."""
    monkeypatch.setattr(kafka, "_STOP_S", 0.01)

    class _Hangs:
        async def stop(self) -> None:
            await asyncio.Event().wait()

    await kafka.stop_bounded(_Hangs())


async def test_a_stop_that_fails_says_so() -> None:
    """Errors never pass silently."""
    with pytest.raises(OSError, match="disk"):
        await kafka.stop_bounded(_Client(OSError("disk")))


async def test_a_service_that_starts_without_its_broker_waits_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is told to stop, or the broker is there."""
    monkeypatch.setattr(kafka, "_BROKER_RETRY_S", 0.01)
    stopping, told, asked = asyncio.Event(), list[str](), asyncio.Event()

    def tell(why: str) -> None:
        told.append(why)
        asked.set()

    waiting = asyncio.create_task(kafka.await_broker("127.0.0.1:1", stopping, tell))
    async with asyncio.timeout(20):
        await asked.wait()
        stopping.set()
        assert await waiting is False
    assert len(told) == 1
    assert "127.0.0.1:1" in told[0]
