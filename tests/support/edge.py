"""What edge tests share: a fake clock, a fake outlet, and a gate put together from parts."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from services.edge.core import EvidenceKey, MessageSeen, Scope
from services.edge.follower import DecisionSink, FreezeSink
from services.edge.gate import Gate
from services.edge.localfile import LocalFile
from services.edge.novelty import Novelty
from shared.domain.catalogue import load_catalogue
from shared.domain.evidence import ClientResolve
from shared.domain.records import MailEvidence, VerdictGiven
from shared.messaging.decisions import DecisionTable
from tests.support.decisions import BY_NAME, NOON, PEER, line_of


class FakeClock:
    """Moved by hand; UTC and real time are the same unless `real` is moved apart."""

    scaled = False

    def __init__(self, utc: datetime = NOON) -> None:
        self.utc = utc

    def now(self) -> datetime:
        """Give the UTC set."""
        return self.utc

    def real_now(self) -> datetime:
        """Give the same."""
        return self.utc

    def real_age(self, instant: datetime) -> timedelta:
        """Give how long ago it was."""
        return self.utc - instant


class Outlet:
    """Keeps what the gate offers."""

    def __init__(self) -> None:
        self.evidence: list[tuple[EvidenceKey, MailEvidence]] = []
        self.verdicts: list[VerdictGiven] = []

    def offer_evidence(self, key: EvidenceKey, record: MailEvidence) -> None:
        """Keep it."""
        self.evidence.append((key, record))

    def offer_verdict(self, record: VerdictGiven) -> None:
        """Keep it."""
        self.verdicts.append(record)


class Limits(msgspec.Struct):
    """The gate's part of the settings."""

    edge: str = "mx1"
    stale_after_s: int = 21600
    clock_guard_s: int = 300


class StoredRecord(msgspec.Struct):
    """A record as a consumer hands it over."""

    key: bytes | None
    value: bytes | None
    offset: int = 0
    timestamp: int = int(NOON.timestamp() * 1000)


class Bench:
    """A gate with a table that counts as read from Kafka, and every part at hand."""

    def __init__(self, table: DecisionTable | None = None, *, local_file: Path | None = None) -> None:
        self.clock = FakeClock()
        self.counts: Counter[str] = Counter()
        self.decisions = DecisionSink(self.clock, self.counts, reload_every_s=0)
        self.freeze = FreezeSink(self.counts)
        self.freeze.frozen = False
        self.outlet = Outlet()
        self.novelty = Novelty()
        if table is not None:
            self.decisions.table = table
        self.gate = Gate(
            Limits(),
            self.clock,
            Scope(reply_addresses={"help@neu.example"}),
            load_catalogue(),
            self.decisions,
            self.freeze,
            LocalFile(str(local_file) if local_file else ""),
            self.novelty,
            self.outlet,
            self.counts,
        )


def message(
    *lines: str,
    address: str = PEER,
    helo: str = BY_NAME,
    client_name: str = "unknown",
    client_resolve: ClientResolve = "failed",
    auth: bool = False,
    daemon_port: str = "25",
    null_sender: bool = False,
    protected: bool = False,
    has_headers: bool = True,
    tls_name: str = "",
) -> MessageSeen:
    """Give a message of the old server, with anything about it changed."""
    return MessageSeen(
        address=address,
        helo=helo,
        client_name=client_name,
        client_resolve=client_resolve,
        tls_name=tls_name,
        daemon_port=daemon_port,
        auth=auth,
        null_sender=null_sender,
        protected=protected,
        has_headers=has_headers,
        received=lines or (line_of(),),
        queue_id="4XyZ9q1Bz2",
    )


def later(minutes: int) -> datetime:
    """Give NOON and so many minutes."""
    return NOON.astimezone(UTC) + timedelta(minutes=minutes)
