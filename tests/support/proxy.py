"""
A TCP proxy in front of a Kafka broker that can stop forwarding: a network that is cut, where no connection is ever reset.

Kafka tells its clients where it listens, and they would go there directly. So the proxy puts its own port in place of the
broker's in whatever passes towards the client; both are four bytes behind the same host, so no length changes.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_READ = 1 << 16


class Proxy:
    """Forwards until `cut`, and again from `mend` on; what was sent meanwhile is delivered late, as a network does."""

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self._host, self._port = host, int(port)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0

    @property
    def bootstrap(self) -> str:
        """Where it listens."""
        return f"{self._host}:{self.port}"

    def cut(self) -> None:
        """Forward nothing more, in either direction; connections stay open, and new ones are accepted."""
        self._open.clear()

    def mend(self) -> None:
        """Forward again."""
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            towards = [self._requests(reader, far_writer), self._answers(far_reader, writer)]
            await asyncio.gather(*towards)
        for one in (writer, far_writer):
            one.close()

    async def end(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = self._host.encode()
        theirs, ours = (host + struct.pack(">i", port) for port in (self._port, self.port))
        while True:
            size = await reader.readexactly(4)
            answer = await reader.readexactly(int.from_bytes(size, "big"))
            await self._open.wait()
            writer.write(size + answer.replace(theirs, ours))
            await writer.drain()


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """Run one before the broker at *target* until the block ends."""
    one = Proxy(target)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await one.end()
