"""
The milter endpoint: an asyncio shell around `shared.smtp.milter`, on Unix and TCP sockets.

All work on a chunk of bytes happens in one call, without waiting for anything: no bus, no disk. The answer is given at
the end of the headers; whatever is answered earlier or later is `Continue` or `Accept`. Whatever goes wrong closes the
connection, and the MTA then takes its default action, which the recipe sets to accept.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import cast

import structlog

from services.edge.core import MessageSeen, Scope
from services.edge.session import MilterSession
from services.edge.settings import Endpoint
from shared.domain.errors import ConfigError
from shared.smtp.errors import RemoteProtocolError
from shared.smtp.milter import CONNECTION_CLOSED, MilterConnection, Pause
from shared.smtp.milter_events import (
    Accept,
    Continue,
    EndOfHeaders,
    EndOfMessage,
    MilterReply,
    Negotiate,
    Options,
    ReplyCode,
)
from shared.smtp.replies import SmtpReply

Answer = Callable[[MessageSeen], SmtpReply | None]

CONNECTIONS_MAX = 2000
"""Connections at a time; Postfix opens one a client session, 100 by default. Beyond, the newest is closed: mail passes."""

STALLED_S = 60.0
"""Real seconds after which a peer that stopped within a packet is closed. Between packets an MTA may wait for hours."""

IN_FLIGHT_S = 5.0
"""Real seconds that a message under way has to reach its answer when the edge is told to stop."""

_HEADERS = frozenset({"received"})  # the session asks no other, only whether there is any
_UNIX_MODE = 0o666  # the MTA is another user; who may reach the socket is said by its directory


class MilterServer:
    """Listens on all endpoints; `open`, then `close`."""

    def __init__(self, answer: Answer, scope: Scope, counts: Counter[str], *, stalled_s: float = STALLED_S) -> None:
        self.answer = answer
        self.scope = scope
        self.counts = counts
        self.stalled_s = stalled_s
        self.links: set[MilterLink] = set()
        self._servers: list[asyncio.Server] = []
        self._paths: list[Path] = []

    async def open(self, endpoint: Endpoint) -> None:
        """
        Listen on one more endpoint.

        Raises:
            ConfigError: it cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            if endpoint.kind == "unix":
                path = Path(endpoint.host)
                _clear_dead_socket(path)
                server = await loop.create_unix_server(lambda: MilterLink(self), str(path))
                self._paths.append(path)
                path.chmod(_UNIX_MODE)  # noqa: ASYNC240  (once, at start)
            else:
                server = await loop.create_server(lambda: MilterLink(self), endpoint.host, endpoint.port)
        except OSError as error:
            raise ConfigError(f"settings: the milter cannot listen on {endpoint}: {error}") from error
        self._servers.append(server)

    async def close(self) -> None:
        """Listen no more, let messages under way reach their answer, close all connections, remove the sockets."""
        for server in self._servers:
            server.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + IN_FLIGHT_S
        while any(link.session.in_message for link in self.links) and loop.time() < deadline:  # noqa: ASYNC110  (at stop)
            await asyncio.sleep(0.02)
        for link in list(self.links):
            link.close()


class MilterLink(asyncio.Protocol):
    """One connection from the MTA."""

    def __init__(self, server: MilterServer) -> None:
        self._server = server
        self._log = structlog.get_logger()
        self._connection = MilterConnection(_HEADERS)
        self.session = MilterSession(server.scope)
        self._stalled: asyncio.TimerHandle | None = None
        self._tcp: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection; one too many is closed at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._server.counts["milter_connections"] += 1
        if len(self._server.links) >= CONNECTIONS_MAX:
            self._server.counts["milter_connections_beyond"] += 1
            transport.close()
            return
        self._server.links.add(self)
        own = transport.get_extra_info("socket")
        if own is not None and own.family in {socket.AF_INET, socket.AF_INET6}:
            self._tcp = own
            self._quick_ack()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone, on whichever side."""
        del exc  # a reset is no news: the MTA ends sessions so
        self._cancel_stall()
        self._server.links.discard(self)

    def close(self) -> None:
        """End the connection; the MTA takes its default action."""
        self._cancel_stall()
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes of the MTA: answer all events that they complete."""
        self._quick_ack()
        self._connection.receive_data(data)
        try:
            self._run()
        except RemoteProtocolError as error:
            self._broken(str(error))

    def eof_received(self) -> bool:
        """The MTA will send no more; one that stopped within a packet broke the protocol."""
        if self._connection.mid_packet:
            self._broken("The MTA ended the connection within a packet.")
        return False

    def _run(self) -> None:
        out = bytearray()
        while not isinstance(event := self._connection.next_event(), Pause):
            message = self.session.take(event)
            if self._connection.reply_due:
                out += self._connection.send(self._reply(event, message))
        if out:
            self._transport.write(bytes(out))
        if event is CONNECTION_CLOSED:
            self.close()
        elif self._connection.mid_packet:
            self._watch_stall()
        else:
            self._cancel_stall()

    def _reply(self, event: object, message: MessageSeen | None) -> MilterReply:
        match event:
            case Options():
                return Negotiate()
            case EndOfHeaders() if message is not None:
                reply = self._server.answer(message)
                return ReplyCode(reply.line) if reply is not None else Accept()
            case EndOfMessage():
                return Accept()
            case _:
                return Continue()

    def _quick_ack(self) -> None:
        # Linux forgets the flag by itself; without it each message waits 43 ms for a delayed acknowledgement.
        if self._tcp is not None and hasattr(socket, "TCP_QUICKACK"):
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _watch_stall(self) -> None:
        if self._stalled is None:
            loop = asyncio.get_running_loop()
            self._stalled = loop.call_later(
                self._server.stalled_s, self._broken, "The MTA stopped within a packet; the connection is closed."
            )

    def _cancel_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _broken(self, what: str) -> None:
        self._server.counts["milter_protocol_errors"] += 1
        self._log.warning("milter-protocol-error", cause=what)
        self.close()


def _clear_dead_socket(path: Path) -> None:
    """Remove a socket that a killed edge left behind; one that somebody listens on stays, and binding to it fails."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(f"another process listens on {path}")
