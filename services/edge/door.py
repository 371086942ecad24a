"""
The plain SMTP door, for the demo and for tests without an MTA: the same core and the same verdicts as the milter.

It asks no DNS and knows no TLS and no AUTH, so a name there is tied by connector or HELO only. What it accepts goes
into a directory if the settings name one, and is counted otherwise: it relays nothing.
"""

import asyncio
import itertools
import re
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.edge.core import MessageSeen, ReceivedLines, Scope
from services.edge.settings import Endpoint
from shared.domain.errors import ConfigError
from shared.smtp.replies import SmtpReply

MESSAGE_BYTES_MAX = 10 * 1024 * 1024
"""A larger message is refused by the server itself, 552."""

LINE_BYTES_MAX = 2 * 1024 * 1024
"""A longer line is refused by the server itself, 500. SMTP's own bound is 1000; senders with a header of 1 MB exist."""

_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\n]*\n[ \t])*[^\n]*)(?:\n|$)")


class DoorServer:
    """Listens on one endpoint. spool: "" to only count what is accepted."""

    def __init__(
        self,
        answer: Callable[[MessageSeen], SmtpReply | None],
        scope: Scope,
        counts: Counter[str],
        *,
        name: str,
        spool: str = "",
    ) -> None:
        self._handler = _Handler(answer, scope, counts, Path(spool) if spool else None)
        self._name = name
        self._server: asyncio.Server | None = None

    async def open(self, endpoint: Endpoint) -> None:
        """
        Listen.

        Raises:
            ConfigError: it cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        self._handler.port = str(endpoint.port)
        try:
            self._server = await loop.create_server(self._new, endpoint.host, endpoint.port)
        except OSError as error:
            raise ConfigError(f"settings: the SMTP door cannot listen on {endpoint}: {error}") from error

    def _new(self) -> SMTP:
        return _Door(self._handler, hostname=self._name, ident="patchgate", data_size_limit=MESSAGE_BYTES_MAX)

    async def close(self) -> None:
        """Listen no more; sessions under way end with the process."""
        if self._server is not None:
            self._server.close()


class _Door(SMTP):
    line_length_limit = LINE_BYTES_MAX

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        if own is not None:
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Handler:
    """What aiosmtpd calls."""

    def __init__(
        self,
        answer: Callable[[MessageSeen], SmtpReply | None],
        scope: Scope,
        counts: Counter[str],
        spool: Path | None,
    ) -> None:
        self.port = ""
        self._answer = answer
        self._scope = scope
        self._counts = counts
        self._spool = spool
        self._numbers = itertools.count(1)
        self._log = structlog.get_logger()

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: ANN401, ARG002, N802  (aiosmtpd's name and signature)
        """Judge at the end of the message; the reply is the answer to DATA."""
        number = next(self._numbers)
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = self._message(session, envelope, content, f"door-{number}")
        reply = self._answer(message)
        if reply is not None:
            return reply.line
        self._counts["door_accepted"] += 1
        return self._keep(number, content)

    def _message(self, session: Session, envelope: Envelope, content: bytes, queue_id: str) -> MessageSeen:
        received, has_headers = read_headers(content)
        return MessageSeen(
            address=str(session.peer[0]) if session.peer else "",
            helo=session.host_name or "",
            daemon_port=self.port,
            null_sender=envelope.mail_from in {"", "<>", None},  # aiosmtpd keeps the brackets of an empty path
            protected=any(self._scope.protects(recipient) for recipient in envelope.rcpt_tos),
            has_headers=has_headers,
            received=tuple(received.kept),
            queue_id=queue_id,
        )

    def _keep(self, number: int, content: bytes) -> str:
        if self._spool is None:
            return "250 2.0.0 accepted"
        fresh = self._spool / f"{number:08d}.new"
        try:
            self._spool.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(content)
            fresh.rename(fresh.with_suffix(".eml"))
        except OSError as error:
            self._counts["door_spool_errors"] += 1
            self._log.error("door-spool-error", cause=str(error))
            return "451 4.3.0 cannot store the message; try again later"
        return "250 2.0.0 accepted"


def read_headers(content: bytes) -> tuple[ReceivedLines, bool]:
    """The `Received` lines of a message, and whether it has any header; bytes are read as Latin-1, as a milter's are."""
    text = content.replace(b"\r\n", b"\n")
    received, at, found_any = ReceivedLines(), 0, False
    while found := _HEADER.match(text, at):
        found_any = True
        if found[1].lower() == b"received":
            received.add(found[2].decode("latin-1").strip())
        at = found.end()
    return received, found_any
