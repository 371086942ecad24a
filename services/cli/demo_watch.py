"""What the demo sees: it follows the log and the decisions like any other reader, and waits for what it expects."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiosmtpd.smtp import SMTP, Envelope, Session

from shared.domain.errors import PatchgateError
from shared.domain.events import Event, LogRecord
from shared.domain.records import Decision, Heartbeat
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.messaging.kafka import new_reader, partitions_of, stop_bounded

EventT = TypeVar("EventT")

_POLL_S = 0.02
logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # the demo stops the broker itself, and tells
_MAX_MAILS = 1000  # the demo gets some thirty; beyond the bound the relay answers 452


class DemoFailed(PatchgateError):
    """The demo did not see what it expected; the text says what."""


class Watcher:
    """The log so far and the newest heartbeat; reads again from the start when the broker was away."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._task: asyncio.Task[None] | None = None
        self.log: list[LogRecord] = []
        self.heartbeat: Heartbeat | None = None
        self.decisions: dict[str, Decision] = {}

    async def __aenter__(self) -> Self:
        """Begin to follow."""
        self._task = asyncio.create_task(self._follow_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow_for_ever(self) -> None:
        while True:
            consumer = new_reader(self._bootstrap)
            try:
                await consumer.start()
                await self._follow(consumer)
            except (KafkaError, OSError, PatchgateError):
                await asyncio.sleep(0.3)  # the broker is away for a moment, which is a scene of the demo
            finally:
                await stop_bounded(consumer)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        log, *_ = await partitions_of(consumer, self._prefix + t.LOG)
        decisions, *_ = await partitions_of(consumer, self._prefix + t.DECISIONS)
        consumer.assign([log, decisions])
        await consumer.seek_to_beginning(log, decisions)
        while True:
            for partition, records in (await consumer.getmany(timeout_ms=50)).items():
                for record in records:
                    self._take(partition == log, record.value)

    def _take(self, is_log: bool, value: bytes | None) -> None:
        if is_log:
            found: LogRecord = decode(t.LOG, value)
            if not self.log or found.seq > self.log[-1].seq:
                self.log.append(found)
            return
        found_decision = decode(t.DECISIONS, value)
        if isinstance(found_decision, Heartbeat):
            self.heartbeat = found_decision
        elif isinstance(found_decision, Decision):
            self.decisions[found_decision.server] = found_decision

    async def until(self, what: str, seen: Callable[[], object], *, within_s: float = 20.0) -> None:
        """
        Wait until *seen* is true.

        Raises:
            DemoFailed: it was not, *within_s* real seconds.
        """
        try:
            async with asyncio.timeout(within_s):
                while not seen():  # noqa: ASYNC110  (what is waited for has no event of its own)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise DemoFailed(f"expected within {within_s:g} s and not seen: {what}") from error

    async def folded_to(self, instant: datetime) -> None:
        """Wait until everything seen by *instant* has been folded, and the edges were told."""
        await self.until(f"H at {instant:%Y-%m-%d %H:%M} UTC", lambda: self.heartbeat and self.heartbeat.h >= instant)

    def events(self, kind: type[EventT], server: str = "") -> list[EventT]:
        """The events of *kind* so far, of one server or all."""
        return [
            event
            for event in self._events()
            if isinstance(event, kind) and getattr(event, "server", "") == (server or getattr(event, "server", ""))
        ]

    def _events(self) -> list[Event]:
        return [record.event for record in self.log]


class Relay:
    """The admins' mail server: takes notices by real SMTP and keeps them."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port of the loopback."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self, hostname="relay", loop=loop), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802  (the library's names)
        """Keep one mail."""
        if len(self.mails) >= _MAX_MAILS:
            return "452 4.3.1 enough for a demo"
        content: Any = envelope.content
        self.mails.append(message_from_bytes(content, _class=EmailMessage, policy=policy.default))
        return "250 2.0.0 kept"
