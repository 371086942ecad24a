"""Servers that are seen, one after another, at a real edge, and when the decision of each came back to it."""

import asyncio
import smtplib
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Self

from services.edge.app import EdgeApp
from services.edge.core import EvidenceKey
from services.edge.settings import EdgeSettings
from shared.domain.evidence import Facts
from shared.domain.policy import Connector, Policy
from shared.domain.records import MailEvidence
from shared.messaging import probe
from shared.runtime.clock import SystemClock
from tests.support.decisions import line_of
from tests.support.law import enforced
from tests.support.topic_io import until

CONNECTOR = "branch"
_PEER = "198.51.100.7"
_EVERY_S = 0.2
_MAIL_EVERY_S = 0.5
_LOOK_S = 0.02


def policy() -> Policy:
    """Enforcing for one connector that holds the servers and this machine; a case begins at day 0, so no mail may be refused."""
    ranges = ("198.51.100.0/24", "127.0.0.0/8")
    return enforced(
        connectors=(Connector(name=CONNECTOR, kind="on-premises", owner="it", ranges=ranges, mode="enforce"),)
    )


class Flow:
    """
    One edge in this process, fed with five new old servers a second, each seen in three hours; their cases open at once.

    offered, arrived: real time at which a server was handed to the edge, and at which its decision was in the edge's table.
    replies: of real mails, from the first of the servers, sent all the while.
    """

    def __init__(self, bootstrap: str, prefix: str, state_dir: Path) -> None:
        self._settings = EdgeSettings(
            bootstrap=bootstrap,
            topic_prefix=prefix,
            state_dir=str(state_dir),
            heartbeat_ms=200,
            edge="mx1",
            milter_sockets="",
            smtp_door=f"127.0.0.1:{probe.free_port()}",
            never_judged="",
        )
        self.edge = EdgeApp(self._settings, SystemClock())
        self.offered: dict[str, float] = {}
        self.arrived: dict[str, float] = {}
        self.replies: list[tuple[int, bytes]] = []
        self._flowing = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start the edge; nothing flows yet."""
        self._flowing.set()
        self._tasks = [asyncio.create_task(self.edge.run(self._stop))]
        await asyncio.wait_for(self.edge.decisions.settled.wait(), 30)
        await until(self._is_under_its_policy, "its policy is in force", timeout_s=60)
        self._tasks += [asyncio.create_task(one) for one in (self._offer(), self._mail(), self._watch())]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        self._stop.set()
        for task in self._tasks[1:]:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks)

    async def _is_under_its_policy(self) -> bool:
        """What is decided before the policy is adopted has other names."""
        found = self.edge.decisions.table.policy
        return found is not None and any(connector.name == CONNECTOR for connector in found.connectors)

    def end(self) -> None:
        """Offer no more servers."""
        self._flowing.clear()

    def missing(self) -> set[str]:
        """Servers whose decision has not come."""
        return self.offered.keys() - self.arrived.keys()

    def came_after(self, moment: float) -> int:
        """How many servers that were offered after *moment* have their decision."""
        return sum(self.offered[server] > moment for server in self.arrived)

    def standstill_s(self, moment: float) -> float:
        """The longest time without a decision, from the last one before *moment* on."""
        times: Sequence[float] = sorted(self.arrived.values())
        before = max((at for at in times if at <= moment), default=moment)
        since = [before, *(at for at in times if at > moment)]
        return max((later - earlier for earlier, later in pairwise(since)), default=0.0)

    async def _offer(self) -> None:
        while self._flowing.is_set():
            name = f"s{len(self.offered):05}.example"
            self.offered[f"{name}@{CONNECTOR}"] = time.monotonic()
            for hours in (2, 1, 0):
                facts = _facts(name, datetime.now(UTC) - timedelta(hours=hours))
                key = EvidenceKey(_PEER, name, str(hours), None, None, by_helo=True, by_dns=False, tls_name="")
                self.edge.publisher.offer_evidence(key, MailEvidence(facts=facts))
            await asyncio.sleep(_EVERY_S)

    async def _mail(self) -> None:
        while True:
            self.replies.append(await asyncio.to_thread(self._send))
            await asyncio.sleep(_MAIL_EVERY_S)

    def _send(self) -> tuple[int, bytes]:
        host, port = self._settings.smtp_door.split(":")
        name = "s00000.example"
        text = f"Received: {line_of(name=name)}\r\nFrom: a@{name}\r\nSubject: hello\r\n\r\nhello\r\n"
        with smtplib.SMTP(host, int(port), local_hostname=name, timeout=30) as client:
            client.ehlo()
            client.mail(f"a@{name}")
            client.rcpt("b@here.example")
            return client.data(text)

    async def _watch(self) -> None:
        while True:
            table, now = self.edge.decisions.table, time.monotonic()
            self.arrived |= {server: now for server in self.missing() if server in table}
            await asyncio.sleep(_LOOK_S)


def _facts(name: str, seen_at: datetime) -> Facts:
    return Facts(
        peer=_PEER,
        helo=name,
        client_name="",
        client_resolve="failed",
        tls_name="",
        name=name,
        own_lines=(line_of(name=name),),
        seen_at=seen_at,
        edge="mx1",
    )
