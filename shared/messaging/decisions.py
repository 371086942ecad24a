"""
The table of decisions, as edges and the status service hold it: one record a server, heartbeat and policy.

It is folded from topic `decisions`, record by record; count and digest move with each, so comparing them with a
heartbeat costs nothing. Values stay bytes until somebody asks for them: a table of a million servers is then as large
as the topic, and a file of it is the same bytes. Where something cannot be read the table gets milder, never harsher.
"""

from collections.abc import Iterable, Iterator, Mapping

from shared.domain.errors import RecordSchemaError
from shared.domain.fold import digest_of
from shared.domain.identity import Identity, Naming
from shared.domain.policy import Policy
from shared.domain.records import Decision, DecisionRecord, Exemption, Heartbeat, PolicyRecord
from shared.messaging.codec import decode
from shared.messaging.topics import DECISIONS, KEY_HEARTBEAT, KEY_POLICY

_MODULUS = 1 << 128


class DecisionTable:
    """Bounded by what the topic holds: a record a server that ever had a case."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.naming: Naming | None = None
        self.exemptions: tuple[Exemption, ...] = ()
        self._exempt: frozenset[tuple[str, str]] = frozenset()
        self.heartbeat: Heartbeat | None = None
        self._policy_digest = ""
        self._reserved: dict[bytes, bytes] = {}
        self._servers: dict[str, bytes] = {}
        self._digest = 0

    # -- folding ----------------------------------------------------------------------------------------------------

    def apply(self, key: bytes | None, value: bytes | None) -> DecisionRecord | None:
        """
        Take one record of the topic; an empty value deletes. Gives what was read, None for a deletion.

        Raises:
            RecordSchemaError: it cannot be read. The server's old decision is forgotten then, for the unread one may be
                its release; likewise an old policy. An old heartbeat stays, and grows stale.
        """
        if key == KEY_HEARTBEAT:
            return self._take_heartbeat(value)
        if key == KEY_POLICY:
            return self._take_policy(value)
        return self._take_decision(_server_of(key), value)

    def _take_heartbeat(self, value: bytes | None) -> Heartbeat:
        record = decode(DECISIONS, value)
        if not isinstance(record, Heartbeat):
            raise RecordSchemaError(f"the key heartbeat of decisions holds a {type(record).__name__}")
        self.heartbeat = record
        self._reserved[KEY_HEARTBEAT] = value or b""
        return record

    def _take_policy(self, value: bytes | None) -> PolicyRecord:
        self.policy = self.naming = None
        self.exemptions = ()
        self._exempt = frozenset()
        self._policy_digest = ""
        self._reserved.pop(KEY_POLICY, None)
        record = decode(DECISIONS, value)
        if not isinstance(record, PolicyRecord):
            raise RecordSchemaError(f"the key policy of decisions holds a {type(record).__name__}")
        self.naming = Naming(record.policy)
        self.policy = record.policy
        self.exemptions = record.exemptions
        self._exempt = frozenset((one.kind, one.target) for one in record.exemptions)
        self._policy_digest = record.policy.digest
        self._reserved[KEY_POLICY] = value or b""
        return record

    def _take_decision(self, server: str, value: bytes | None) -> Decision | None:
        old = self._servers.pop(server, None)
        if old is not None:
            self._digest = (self._digest - digest_of(server, old)) % _MODULUS
        if not value:
            return None
        record = decode(DECISIONS, value)
        if not isinstance(record, Decision) or record.server != server:
            raise RecordSchemaError(f"the key {server[:80]!r} of decisions does not hold that server's decision")
        self._servers[server] = value
        self._digest = (self._digest + digest_of(server, value)) % _MODULUS
        return record

    # -- reading ----------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many servers have a decision."""
        return len(self._servers)

    @property
    def digest(self) -> str:
        """The digest over the server keys, as heartbeats carry it."""
        return f"{self._digest:032x}"

    @property
    def ready(self) -> bool:
        """Whether a verdict is possible: a policy and a heartbeat have been read."""
        return self.policy is not None and self.heartbeat is not None

    def difference_to(self, heartbeat: Heartbeat) -> str:
        """In which of count, digest and policy the table differs from what *heartbeat* says; "" if in none."""
        if heartbeat.count != self.count:
            return "count"
        if heartbeat.digest != self.digest:
            return "digest"
        return "policy" if heartbeat.policy_digest != self._policy_digest else ""

    def exempts(self, identity: Identity, peer: str) -> bool:
        """Whether a message of *identity* from *peer* is exempt; only the law ends an exemption, never the edge's own clock."""
        if not self._exempt or self.policy is None:
            return False
        matched = [("peer", peer), *(("server", one) for one in identity.matches)]
        matched += [("connector", name) for name in self.policy.names_of(identity.connector)]
        return not self._exempt.isdisjoint(matched)

    def __contains__(self, server: str) -> bool:
        return server in self._servers

    def decisions_of(self, servers: Iterable[str]) -> list[Decision]:
        """The decisions of those *servers* that have one."""
        return [decode(DECISIONS, self._servers[server]) for server in servers if server in self._servers]

    def decisions(self) -> Iterator[Decision]:
        """All decisions, decoded one by one; not to be mixed with `apply`."""
        return (decode(DECISIONS, value) for value in self._servers.values())

    # -- as a file --------------------------------------------------------------------------------------------------

    def records(self) -> Mapping[bytes, bytes]:
        """A copy of the live records, key to value, which `apply` makes the same table of."""
        return {server.encode(): value for server, value in self._servers.items()} | self._reserved


def _server_of(key: bytes | None) -> str:
    try:
        server = (key or b"").decode()
    except UnicodeDecodeError as error:
        raise RecordSchemaError(f"a key of decisions is not UTF-8: {error.reason}") from error
    if "." not in server and "@" not in server:
        raise RecordSchemaError(f"the key {server[:80]!r} of decisions is no server id")
    return server
