"""A small real SMTP server for tests: it keeps mails, and can answer with scripted codes."""

import asyncio
from collections import deque
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import NamedTuple, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

WAIT_S = 30.0


class Mail(NamedTuple):
    """One accepted mail: its envelope, and what was in it."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    peer: str


class SmtpSink:
    """
    An SMTP server on a free loopback port, as an async context.

    rcpt, data: replies to give next at RCPT and at the end of DATA, one for each command; "" or none left: accept.
    attempts: how many mails were offered, taken or not.
    """

    def __init__(self, *, port: int = 0, smtputf8: bool = True) -> None:
        self.port = port
        self._smtputf8 = smtputf8
        self.mails: list[Mail] = []
        self.rcpt: deque[str] = deque()
        self.data: deque[str] = deque()
        self.attempts = 0
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        def one_session() -> SMTP:
            return SMTP(self, hostname="sink.example", enable_SMTPUTF8=self._smtputf8)

        self._server = await asyncio.get_running_loop().create_server(one_session, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def address(self) -> str:
        """`host:port`, as settings take it."""
        return f"127.0.0.1:{self.port}"

    async def wait_for_mails(self, count: int, *, timeout_s: float = WAIT_S) -> list[Mail]:
        """Wait until at least so many mails were accepted; fails after *timeout_s*."""
        await self._wait(lambda: len(self.mails) >= count, timeout_s)
        return self.mails

    async def wait_for_attempts(self, count: int, *, timeout_s: float = WAIT_S) -> None:
        """Wait until at least so many mails were offered."""
        await self._wait(lambda: self.attempts >= count, timeout_s)

    async def _wait(self, condition: Callable[[], bool], timeout_s: float) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), timeout_s)

    # -- called by aiosmtpd, which fixes their names ---------------------------------------------------------------

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer one recipient."""
        del server, session
        reply = self.rcpt.popleft() if self.rcpt else ""
        if reply:
            await self._offered()
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Answer one mail."""
        del server
        reply = self.data.popleft() if self.data else ""
        if not reply:
            content = envelope.original_content or b""
            message = message_from_bytes(content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            self.mails.append(
                Mail(
                    envelope.mail_from or "", tuple(envelope.rcpt_tos), message, session.peer[0] if session.peer else ""
                )
            )
        await self._offered()
        return reply or "250 2.0.0 Ok: queued"

    async def _offered(self) -> None:
        async with self._changed:
            self.attempts += 1
            self._changed.notify_all()
