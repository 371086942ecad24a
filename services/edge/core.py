"""
The edge's judgement of one message: pure, no clock, no I/O. The shell gathers a `MessageSeen`, asks, and obeys.

The order, first match wins; everything in doubt passes, counted by its reason:

1. never judged, no evidence: AUTH, submission ports, networks of the settings, no peer address, no headers at all;
2. evidence: what the sender's own lines show (`see`); none where DNS failed for the moment, and none without a name;
3. the verdict by the table; no table: it passes;
4. never refused: while DNS fails for the moment, the null sender, and a message with a protected address among its
   accepted recipients;
5. observed, not refused: the local file exempts it, or the edge has a reason to observe.
"""

import ipaddress
from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from shared.domain.build import Build
from shared.domain.catalogue import BuildCatalogue
from shared.domain.evidence import ClientResolve, Facts, Reading
from shared.domain.floors import Standing
from shared.domain.header_text import LINE_LENGTH_MAX
from shared.domain.identity import Identity, peer_of
from shared.domain.policy import Policy
from shared.domain.received import OWN_RUN_LINES_MAX, read_own_run, redact
from shared.domain.records import Decision, VerdictGiven
from shared.domain.verdict import Verdict, judge
from shared.messaging.decisions import DecisionTable
from shared.smtp.replies import SmtpReply

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PROTECTED_LOCAL_PARTS = frozenset({"postmaster", "abuse"})
"""Who is blocked must be able to ask why (RFC 5321, 4.5.1; RFC 2142)."""

NAME_LENGTH_MAX = 256
"""Characters of HELO, client and TLS name; a name of the DNS has 255 at most, so a cut one equals none."""

_ADDRESS_CACHE = 65_536  # addresses whose peer and networks are remembered; the least recently seen is forgotten


_peer_of = lru_cache(_ADDRESS_CACHE)(peer_of)


class ReceivedLines:
    """
    The `Received` lines of one message while it arrives, bounded.

    The first OWN_RUN_LINES_MAX are kept (the reader reads no more), each as redacted if it is longer than a redacted
    line can be; the rest is counted.
    """

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.beyond = 0

    def add(self, value: str) -> None:
        """Take the next line, top first."""
        if len(self.kept) >= OWN_RUN_LINES_MAX:
            self.beyond += 1
            return
        self.kept.append(value if len(value) <= LINE_LENGTH_MAX else redact(value))


class MessageSeen(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known of a message at the end of its headers.

    address: who connected, "" if that is no IP connection. tls_name: the CN of a certificate that the MTA verified.
    daemon_port: the MTA's own port, "" if unknown. auth: the client logged in. protected: see `Scope.protects`.
    has_headers: False where the MTA hands over no header at all. received: the first `Received` values, top first.
    """

    address: str
    helo: str = ""
    client_name: str = ""
    client_resolve: ClientResolve = "unknown"
    tls_name: str = ""
    daemon_port: str = ""
    auth: bool = False
    null_sender: bool = False
    protected: bool = False
    has_headers: bool = True
    received: tuple[str, ...] = ()
    queue_id: str = ""


class EvidenceKey(NamedTuple):
    """
    What makes two messages show the same: peer, name, product, range; and by what the name is tied to the peer.

    Without the ties a first message that proves nothing would silence, for an hour, the one that proves who it is.
    """

    peer: str
    name: str
    product: str
    low: Build | None
    high: Build | None
    by_helo: bool
    by_dns: bool
    tls_name: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What one message showed, and how its own lines are read."""

    facts: Facts
    reading: Reading | None

    @property
    def key(self) -> EvidenceKey:
        """See `EvidenceKey`."""
        facts, reading = self.facts, self.reading
        return EvidenceKey(
            facts.peer,
            facts.name,
            reading.product if reading else "",
            reading.low if reading else None,
            reading.high if reading else None,
            facts.helo.lower() == facts.name,
            facts.client_resolve == "ok" and facts.client_name.lower() == facts.name,
            facts.tls_name,
        )


class Exemptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who passes by the local file. peers: addresses or networks."""

    servers: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    connectors: tuple[str, ...] = ()

    def cover(self, identity: Identity, peer: str) -> bool:
        """Whether a message of *identity* from *peer* is exempt."""
        if identity.connector in self.connectors or any(server in self.servers for server in identity.matches):
            return True
        return bool(self.peers) and _within(
            peer, tuple(ipaddress.ip_network(text, strict=False) for text in self.peers)
        )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    What becomes of a message. reply: None where it passes. reason: the counter's name.

    record: the verdict to publish: a refusal, or one that was only observed.
    """

    reason: str
    reply: SmtpReply | None = None
    record: VerdictGiven | None = None


class Scope:
    """Whom the settings take out: who is never judged, and which recipients are never cut off."""

    def __init__(
        self,
        *,
        networks: Collection[Network] = (),
        submission_ports: Collection[str] = (),
        reply_addresses: Collection[str] = (),
    ) -> None:
        self._ports = frozenset(submission_ports)
        self._reply_addresses = frozenset(reply_addresses)
        listed = tuple(networks)
        self._in_networks = lru_cache(_ADDRESS_CACHE)(lambda address: _within(address, listed))

    def protects(self, recipient: str) -> bool:
        """Whether a message to *recipient*, as the client wrote it, is never refused."""
        address = recipient.strip().removeprefix("<").removesuffix(">").lower()
        if address.startswith("@"):  # a source route: the mailbox stands behind its colon (RFC 5321, appendix C)
            address = address.partition(":")[2]
        local, at, domain = address.rpartition("@")
        local = (local if at else domain).strip('"')
        return local in PROTECTED_LOCAL_PARTS or address in self._reply_addresses

    def never_judged(self, message: MessageSeen) -> str:
        """Why *message* passes unseen; "" if it does not."""
        if message.auth:
            return "pass_auth"
        if message.daemon_port in self._ports:
            return "pass_submission_port"
        if not _is_address(message.address):
            return "pass_no_peer_address"
        if self._in_networks(message.address):
            return "pass_network"
        return "" if message.has_headers else "pass_no_headers"


def see(message: MessageSeen, catalogue: BuildCatalogue, *, now: datetime, edge: str) -> Seen:
    """The facts that *message* shows and their reading; for a message that is judged (its address is one)."""
    run = read_own_run(message.received, catalogue)
    facts = Facts(
        peer=_peer_of(message.address),
        helo=message.helo[:NAME_LENGTH_MAX],
        client_name=message.client_name[:NAME_LENGTH_MAX],
        client_resolve=message.client_resolve,
        tls_name=message.tls_name[:NAME_LENGTH_MAX],
        name=run.name,
        own_lines=tuple(redact(line) for line in run.lines),
        seen_at=now,
        edge=edge,
    )
    return Seen(facts=facts, reading=run.reading)


def no_evidence(seen: Seen) -> str:
    """Why nothing is published of *seen*; "" if something is."""
    if not seen.facts.name:
        return "nameless"
    # Such a message could be tied tomorrow and is not today: it would fill the hour's place of the one that can be.
    return "dns_tempfail" if seen.facts.client_resolve == "tempfail" else ""


def may_cure(seen: Seen, decisions: Collection[Decision], policy: Policy | None) -> bool:
    """
    Whether *seen* may end a case: its range is at or above the floor in force, or that of a case of *decisions*.

    Where no policy is known it may.
    """
    if seen.reading is None or policy is None:
        return seen.reading is not None
    in_force = policy.floor_for(seen.reading.product, seen.facts.seen_at.date())
    floors = [in_force, *(case.floor for decision in decisions for case in decision.cases)]
    return any(floor is not None and floor.standing(seen.reading) is Standing.AT_OR_ABOVE for floor in floors)


def decide(
    seen: Seen, message: MessageSeen, table: DecisionTable, *, now: datetime, observing: str, exempt: Exemptions
) -> Outcome:
    """
    The outcome for a message that is judged.

    now: the edge's own clock, for the minute window. observing: why nothing is refused at present, "" if it is.
    """
    if table.policy is None or table.naming is None or table.heartbeat is None:
        return Outcome(reason="pass_no_verdict_possible")
    identity = table.naming.identify(seen.facts)
    heartbeat = table.heartbeat
    verdict = judge(
        seen.reading,
        table.decisions_of(identity.matches),
        table.policy,
        law_now=heartbeat.h - heartbeat.held,
        now=now,
        connector=identity.connector,
    )
    if verdict.reply is None:
        return Outcome(reason=_passed_because(seen, verdict))
    never = _never_refused(seen, message)
    if never:
        return Outcome(reason=never)
    if table.exempts(identity, seen.facts.peer):
        record = _record(seen, message, verdict, heartbeat.seq, now=now, spared_why="exempt")
        return Outcome(reason="pass_exempt", record=record)
    if exempt.cover(identity, seen.facts.peer):
        observing = "exempt by the local file"
    record = _record(seen, message, verdict, heartbeat.seq, now=now, spared_why=observing)
    if observing:
        return Outcome(reason="pass_observing", record=record)
    return Outcome(reason=_REFUSED[verdict.action], reply=verdict.reply, record=record)


def _never_refused(seen: Seen, message: MessageSeen) -> str:
    """Why a message that a case accuses passes all the same; "" if it does not."""
    if seen.facts.client_resolve == "tempfail":
        # An id by the verified name might match in a minute, with a milder row: in doubt the mail passes.
        return "pass_dns_tempfail"
    if message.null_sender:
        return "pass_null_sender"
    return "pass_protected_recipient" if message.protected else ""


def _passed_because(seen: Seen, verdict: Verdict) -> str:
    if verdict.case is not None:
        return "pass_outside_minutes" if verdict.enforced else "pass_observed_case"
    return "pass_no_product" if seen.reading is None else "pass_not_accused"


def _record(
    seen: Seen, message: MessageSeen, verdict: Verdict, heartbeat_seq: int, *, now: datetime, spared_why: str
) -> VerdictGiven | None:
    if verdict.decision is None or verdict.row is None or verdict.reply is None:
        return None  # cannot be: who is refused has all three
    return VerdictGiven(
        at=now,
        edge=seen.facts.edge,
        queue_id=message.queue_id[:NAME_LENGTH_MAX],
        server=verdict.decision.server,
        product=verdict.case.product if verdict.case else "",
        shown=str(seen.reading.shown) if seen.reading and seen.reading.shown else "",
        action="reject" if verdict.action == "reject" else "defer",
        would_be=bool(spared_why),
        spared_why=spared_why,
        row=verdict.row,
        window_from_minute=verdict.window_from_minute,
        reply=verdict.reply.line,
        heartbeat_seq=heartbeat_seq,
        decision_seq=verdict.decision.seq,
    )


def resolve_of(text: str) -> ClientResolve:
    """What the MTA's `{client_resolve}` says. Source: Postfix MILTER_README, sendmail op guide."""
    return _RESOLVE.get(text.upper(), "unknown")


def _is_address(text: str) -> bool:
    try:
        _peer_of(text)
    except ValueError:
        return False
    return True


def _within(address: str, networks: Collection[Network]) -> bool:
    """Whether an address, or a peer's whole /64, lies in one of *networks*; `::ffff:` is folded first."""
    own = ipaddress.ip_network(address.partition("%")[0])
    if isinstance(own, ipaddress.IPv6Network) and own.network_address.ipv4_mapped is not None:
        own = ipaddress.ip_network(own.network_address.ipv4_mapped)
    return any(
        network.version == own.version and own.subnet_of(network)  # type: ignore[arg-type]  # versions agree
        for network in networks
    )


_RESOLVE: dict[str, Literal["ok", "failed", "forged", "tempfail"]] = {
    "OK": "ok",
    "FAIL": "failed",
    "FORGED": "forged",
    "TEMP": "tempfail",
}
_REFUSED = {"defer": "deferred", "reject": "rejected"}
