"""
From evidence at one edge to the decision at another.

Detector and enforcer run as processes of their own, with the settings that ship (heartbeats and marks every 5 s). One
edge's publisher is handed mails of servers that have patched, so each of them lifts a case; another edge's follower reads
`decisions`. A time counts from the instant at which the mail should have come by the even rhythm, not from when it was
sent, to the instant at which the other edge holds the new decision. The first seconds, in which caches fill, do not count.
Both edges and the rhythm share one process, and all of it shares the cores with the broker.
"""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from bench.fresh import fresh
from bench.seeded import seed
from bench.stack import PREFIX, BenchError, Place, place, service
from bench.table import Row, Tell, single
from bench.world import CONNECTOR, PATCHED, facts_of, name_of
from services.edge.core import EvidenceKey
from services.edge.follower import DecisionSink, follow
from services.edge.novelty import Novelty
from services.edge.publisher import Publisher
from shared.domain.records import EdgeReport, MailEvidence
from shared.messaging import topics as t
from shared.messaging.decisions import DecisionTable
from shared.messaging.kafka import Record
from shared.runtime.clock import SystemClock

_RATES = (200, 500)  # messages a second, one after another
_FOR_S, _WARM_S = 20, 3
_LAST_S = 30.0
_HEARTBEAT_S = 5.0
_P50_MS, _P99_MS = 50, 300


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    seconds = _WARM_S + (5 if quick else _FOR_S)
    servers = sum(_RATES) * seconds
    rows: list[Row] = []
    with place() as where:
        tell(f"writing the state of {servers:,} servers")
        fresh(_seed, where, servers)
        with service("enforcer", where) as enforcer, service("detector", where) as detector:
            enforcer.wait_ready()
            detector.wait_ready()
            first = 0
            for per_s in _RATES:
                tell(f"{per_s} messages a second for {seconds} s")
                rows += _rows(per_s, sorted(fresh(follow_cures, where, first, per_s, seconds)))
                first += per_s * seconds
    return rows


def _rows(per_s: int, late_ms: list[float]) -> list[Row]:
    p50, p99 = share(late_ms, 0.50), share(late_ms, 0.99)
    what, asked = f"{per_s} messages a second", per_s == max(_RATES)
    return [
        single(
            f"{what}, p50, ms",
            p50,
            target=f"at most {_P50_MS}" if asked else "",
            reached=p50 <= _P50_MS if asked else None,
        ),
        single(
            f"{what}, p99, ms",
            p99,
            target=f"at most {_P99_MS}" if asked else "",
            reached=p99 <= _P99_MS if asked else None,
        ),
        single(f"{what}, worst, ms", late_ms[-1], note=f"of {len(late_ms):,} messages"),
    ]


def share(ordered: list[float], part: float) -> float:
    """The value below which that part of *ordered* lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def _seed(where: Place, servers: int) -> datetime:
    return asyncio.run(seed(where, servers))


class _Watched(DecisionSink):
    """An edge's table that notes when a case was lifted. lifted: server and real time."""

    def __init__(self) -> None:
        super().__init__(SystemClock(), Counter())
        self.lifted: dict[str, float] = {}
        self._more = asyncio.Event()

    async def has_lifted(self, servers: int) -> None:
        """Wait until so many cases are lifted, or nothing more came for a while."""
        with suppress(TimeoutError):
            while len(self.lifted) < servers:
                self._more.clear()
                await asyncio.wait_for(self._more.wait(), _LAST_S)

    def take(self, record: Record) -> None:
        """As an edge does."""
        super().take(record)
        if self.source == "kafka" and record.value and b'"cases":[]' in record.value:
            self.lifted.setdefault(record.key.decode(), time.monotonic())
            self._more.set()


def follow_cures(where: Place, first: int, per_s: int, seconds: int) -> list[float]:
    """Milliseconds from a mail at one edge to the decision at another, of each message behind the first ones."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    return asyncio.run(_late_ms(where, first, per_s, seconds))


async def _late_ms(where: Place, first: int, per_s: int, seconds: int) -> list[float]:
    """Milliseconds of each message behind the first ones."""
    sink, publisher = _Watched(), _publisher(where)
    tasks = [
        asyncio.create_task(follow(where.bootstrap, f"{PREFIX}{t.DECISIONS}", sink)),
        asyncio.create_task(publisher.run()),
    ]
    try:
        await asyncio.wait_for(sink.settled.wait(), _LAST_S)
        intended = await _offer(publisher, range(first, first + per_s * seconds), per_s)
        await sink.has_lifted(len(intended))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    missing = intended.keys() - sink.lifted.keys()
    if missing:
        raise BenchError(f"{len(missing)} of {len(intended)} cures did not arrive; nothing came for {_LAST_S:.0f} s")
    counted = list(intended.items())[per_s * _WARM_S :]
    return [(sink.lifted[server] - when) * 1000 for server, when in counted]


def _publisher(where: Place) -> Publisher:
    """The sending edge's own publisher, with its marks."""
    return Publisher(
        where.bootstrap,
        PREFIX,
        SystemClock(),
        Novelty(),
        Counter(),
        edge="mx1",
        heartbeat_s=_HEARTBEAT_S,
        report=_report,
        may_mark=lambda: True,
        hear=lambda _at: None,
    )


def _report() -> EdgeReport:
    now = datetime.now(UTC)
    return EdgeReport(
        edge="mx1",
        at=now,
        started_at=now,
        version="bench",
        counts={},
        table_count=0,
        table_digest=DecisionTable().digest,
        heartbeat_seq=0,
        observing="",
    )


async def _offer(publisher: Publisher, numbers: range, per_s: int) -> dict[str, float]:
    """Hand over a mail of each server in an even rhythm; server and intended real time of each."""
    intended: dict[str, float] = {}
    began = time.monotonic() + 0.5
    for place_in_line, number in enumerate(numbers):
        when = began + place_in_line / per_s
        await asyncio.sleep(max(0.0, when - time.monotonic()))
        facts = facts_of(number, datetime.now(UTC), PATCHED)
        key = EvidenceKey(facts.peer, facts.name, "", None, None, by_helo=True, by_dns=False, tls_name="")
        publisher.offer_evidence(key, MailEvidence(facts=facts))
        intended[f"{name_of(number)}@{CONNECTOR}"] = when
    return intended
