"""
All servers of a fold in little memory: each as the compressed bytes of its state, decoded when somebody asks for it.

- What was put last is kept decoded until `settle`; what was asked for lately is, too. At LIVE_MAX all of that is dropped.
- A settled server is its bytes, compressed against an example that all of them resemble: 2,400 bytes of a server with a
  case become 250, where the same as objects would be over 3,000.
- The digest is the sum mod 2^128 of each server's share, so it needs no order and moves with one server at a time.
- What comes from a table is decoded once, and all that is ever worked out of it is worked out then; so whoever takes up
  a million servers that were read before decodes none of them again.

Nothing here is ever stored or sent: the compression may change with any version.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256

import msgspec
import zstandard

from shared.domain.build import Build
from shared.domain.caps import Queue, Waiter, open_cases, waiters
from shared.domain.evidence import Reading
from shared.domain.floors import Floor
from shared.domain.outlook import Outlook, shipped
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.repeats import Repeat
from shared.domain.schedule import plan_for
from shared.domain.state import Below, Case, PendingNotice, Server, decision_of

LIVE_MAX = 10_000
"""Servers kept decoded, some 3 kB each: more than one turn of the enforcer touches."""

_LEVEL = -1  # 10 % larger than level 1, in two thirds of the time
_MODULUS = 1 << 128
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Server).decode


def encode_server(server: Server) -> bytes:
    """The bytes of one server's state, as `enforcer-state` holds it and as the digest sums it."""
    return _ENCODE(server)


def digest_of(key: str, value: bytes) -> int:
    """One key's share of a table digest, SHA-256 of key LF value: the sum mod 2^128 over all of them is the digest."""
    return int.from_bytes(sha256(key.encode() + b"\n" + value).digest()[:16], "big")


def decision_share(server: Server) -> int:
    """The share of its decision in the digest of that table; 0 where it never had a case, and has none."""
    decision = decision_of(server)
    return digest_of(server.server, _ENCODE(decision)) if decision else 0


class Slot(msgspec.Struct, gc=False):
    """
    What is kept of one server. name: the one object of its id that is to be kept elsewhere, too. packed, share: of the state that was settled last.

    decision: the share of its decision, as it came from a table or as it was told last; 0: it has none; None: neither was yet.
    open_cases, waiters: what of it counts for the cap (`caps.py`). due: when something next falls due, unset where that must be worked out. repeat: which sightings of it are surely no
    news, None where that was not worked out.
    """

    name: str
    packed: bytes = b""
    share: int = 0
    decision: int | None = None
    due: datetime | msgspec.UnsetType | None = None
    repeat: Repeat | None = None
    open_cases: int = 0
    waiters: tuple[Waiter, ...] = ()


class Servers(Mapping[str, Server]):
    """Server id to state. Not to be shared between threads."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._live: dict[str, Server] = {}
        self._unsettled: dict[str, None] = {}
        self._digest = 0
        self.queue = Queue()
        self.outlook = shipped()
        self._unknown: list[str] = []
        self._compress = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=_likeness(), write_checksum=False, write_dict_id=False
        ).compress
        self._decompress = zstandard.ZstdDecompressor(dict_data=_likeness()).decompress

    # -- reading ----------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Server:
        server = self._live.get(name)
        if server is None:
            server = self._unpacked(self._slots[name])
            self._keep(name, server)
        return server

    def get(self, name: str, default: Server | None = None) -> Server | None:  # type: ignore[override]  # no other default
        """The server, or *default*; quicker than Mapping's, for most names that are asked for are of nobody."""
        return self[name] if name in self._slots else default

    def __contains__(self, name: object) -> bool:
        return name in self._slots

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, name: str) -> Slot | None:
        """What is kept of a server; its decision, due and repeat are the owner's to set once it is put."""
        return self._slots.get(name)

    def slots(self) -> Iterator[tuple[str, Slot]]:
        """All of them."""
        return iter(self._slots.items())

    def stored(self, name: str) -> bytes:
        """The bytes of its state."""
        if name in self._unsettled:
            return encode_server(self._live[name])
        return self._decompress(self._slots[name].packed)

    def digest(self) -> str:
        """The digest of all of them, hex."""
        self.settle()
        return f"{self._digest:032x}"

    # -- changing ---------------------------------------------------------------------------------------------------

    def put(self, name: str, server: Server) -> Slot:
        """Its state from now on."""
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = Slot(name)
        before = self._live.get(name)
        self._keep(name, server)
        self._unsettled[name] = None
        if before is None or before.cases is not server.cases:  # most of what is put is a sighting, and leaves them
            self._count(slot, server)
        return slot

    def put_stored(self, name: str, stored: bytes) -> Server:
        """
        Its state from now on, as it stands in a table; these bytes are kept, and give its share.

        What is ahead of it is worked out, and the share of its decision.

        Raises:
            msgspec.MsgspecError: they are no server's.
        """
        server = _DECODE(stored)
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = Slot(name)
        self._live.pop(name, None)
        self._unsettled.pop(name, None)
        self._settle(slot, stored)
        slot.decision = decision_share(server)
        slot.due, slot.repeat = self.outlook.due(server), self.outlook.repeat(server)
        self._count(slot, server)
        return server

    def remove(self, name: str) -> None:
        """Forget it, whether or not it is there."""
        slot = self._slots.pop(name, None)
        if slot is not None:
            self._live.pop(name, None)
            self._unsettled.pop(name, None)
            self._digest = (self._digest - slot.share) % _MODULUS
            self._count(slot, None)

    def _count(self, slot: Slot, server: Server | None) -> None:
        """Keep what counts for the cap up to this server's state; None: it is gone."""
        open_now, waits = (open_cases(server), waiters(server)) if server and server.cases else (0, ())
        self.queue.open_cases += open_now - slot.open_cases
        if waits != slot.waiters:
            self.queue.move(slot.waiters, waits)
        slot.open_cases, slot.waiters = open_now, waits

    # -- looking ahead ----------------------------------------------------------------------------------------------

    def look(self, policy: Policy) -> bool:
        """From now on what is ahead is worked out by *policy*; whether that may differ from what was worked out before."""
        outlook = Outlook(policy)
        if outlook.terms == self.outlook.terms:
            return False
        self.outlook = outlook
        for slot in self._slots.values():
            slot.due, slot.repeat = msgspec.UNSET, None
        self._unknown = list(self._slots)
        return True

    def work_out(self, most: int | None = None) -> bool:
        """What is ahead of at most so many servers of which it is unknown; whether more are left."""
        for _ in range(len(self._unknown) if most is None else min(most, len(self._unknown))):
            slot = self._slots.get(self._unknown.pop())
            if slot is not None and slot.due is msgspec.UNSET:
                server = self._live.get(slot.name) or self._unpacked(slot)
                slot.due, slot.repeat = self.outlook.due(server), self.outlook.repeat(server)
        return bool(self._unknown)

    def _unpacked(self, slot: Slot) -> Server:
        return _DECODE(self._decompress(slot.packed))

    def _keep(self, name: str, server: Server) -> None:
        if len(self._live) >= LIVE_MAX:
            self.settle()
            self._live.clear()
        self._live[name] = server

    def settle(self) -> None:
        """Bring what was put since the last call into its bytes, and the digest up to it."""
        for name in self._unsettled:
            self._settle(self._slots[name], encode_server(self._live[name]))
        self._unsettled.clear()

    def _settle(self, slot: Slot, encoded: bytes) -> None:
        share = digest_of(slot.name, encoded)
        self._digest = (self._digest + share - slot.share) % _MODULUS
        slot.share = share
        # Copied, for the compressor's own bytes keep the room of the worst case, ten times as much.
        slot.packed = bytes(memoryview(self._compress(encoded)))


@cache
def _likeness() -> zstandard.ZstdCompressionDict:
    """What all servers resemble: one with a case at day 0, under the policy that ships."""
    content = encode_server(_example())
    likeness = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    likeness.precompute_compress(level=_LEVEL)
    return likeness


def _example() -> Server:
    product, name, at = (
        "Microsoft Exchange 2016",
        "mail.alt.example",
        datetime(2026, 11, 24, 8, 0, 0, 123456, tzinfo=UTC),
    )
    tls = "with Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.1.2507.39"
    line = f"from {name} (192.0.2.7) by {name} (192.0.2.7) {tls}; Tue, 24 Nov 2026 08:00:00 +0000"
    plan = plan_for(parse_policy(shipped_policy_text()), at, enforced=True)
    build = Build(15, 1, 2507, 39)
    reading = Reading(
        product=product, shown=build, low=build, high=Build(15, 1, 2507, 43), form="smtp", reason="cu-base-pickup"
    )
    case = Case(
        product=product,
        floor=Floor(product=product, builds=(Build(15, 1, 2507, 61),)),
        opened_at=at,
        opened_seq=1006,
        evidence=(1003, 1004, 1005),
        enforced=True,
        rows=plan.rows,
        blocking=plan.blocking,
        planned=plan.notices[1:],
        pending=(PendingNotice(notice="1006-1", kind="opening", due_at=at),),
        ordinal=1,
    )
    return Server(
        server=f"{name}@branch",
        connector="branch",
        tie="connector",
        first_seen=at - timedelta(hours=2),
        last_seen=at,
        reading=reading,
        matches=(f"{name}@branch", f"{name}@192.0.2.7"),
        below=(Below(product=product, line=line, seen_at=at, edge="mx1", seq=1005, at_law=at, reading=reading),),
        cases=(case,),
        changed_seq=1006,
        policy_version=1,
        news_hour=498_776,
        news=3,
    )
