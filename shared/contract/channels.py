"""What stands in which topic: its records, their keys, what an empty value means, who writes and who reads."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, get_args

import msgspec

from shared.domain import records as r
from shared.domain.accounts import Account
from shared.domain.events import LogRecord
from shared.domain.state import Position, Server
from shared.messaging import topics as t

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""A value that is nothing but a time."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a record. pattern: a regular expression that it matches, "" for any; const: the one key there is."""

    meaning: str
    pattern: str = ""
    const: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """As JSON Schema; a key is UTF-8 text."""
        rule = {"const": self.const} if self.const else {"pattern": self.pattern} if self.pattern else {"minLength": 1}
        return {"type": "string", "description": self.meaning, **rule}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of record of a topic. kind: its type; key: None where it has none; emptied: what an empty value means."""

    kind: Any
    key: Key | None = None
    emptied: str = ""

    @property
    def name(self) -> str:
        """Its name in the schema."""
        return "Instant" if self.kind is Instant else str(self.kind.__name__)


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as people of other programs need it. writers, readers: our services."""

    topic: str
    purpose: str
    messages: tuple[Message, ...]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    committed: bool = False


_PEER = Key(meaning="Peer: its IPv4 address, or the /64 prefix of its IPv6 address.")
_NAME = Key(meaning="Name of the sender's own lines, or the peer where they name nobody.")
_SERVER = Key(meaning="Server id. It holds a dot or an @; reserved keys hold neither.", pattern="[.@]")
_EDGE = Key(meaning="Name of the edge.", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")
_CONTACT = Key(meaning="Contact id.", pattern="^[a-z0-9][a-z0-9-]{0,39}$")
_REQUEST = Key(meaning="`request`, a blank, and the id of a request that was decided.", pattern="^request .")

_ACCOUNT = Key(meaning="`account`, a blank, and the name of a pause account.", pattern="^account .")


def _only(key: bytes, meaning: str) -> Key:
    return Key(meaning=meaning, const=key.decode())


_HEARTBEAT = _only(t.KEY_HEARTBEAT, "How far the law has come.")
_POLICY = _only(t.KEY_POLICY, "The policy in force.")
_POSITION = _only(t.KEY_POSITION, "How far the enforcer has come.")
_FREEZE = _only(t.KEY_FREEZE, "The one switch.")

CHANNELS: tuple[Channel, ...] = (
    Channel(
        topic=t.MAIL_EVIDENCE,
        purpose="What messages showed, and the edges' marks.",
        messages=(Message(kind=r.MailEvidence, key=_PEER), Message(kind=r.Mark)),
        writers=("edge",),
        readers=("detector",),
    ),
    Channel(
        topic=t.SIGHTINGS,
        purpose="How the catalogue reads that evidence, and the marks, passed on behind it.",
        messages=(
            *(Message(kind=kind, key=_NAME) for kind in (r.UnpatchedServerSeen, r.PatchedServerSeen, r.ServerSeen)),
            Message(kind=r.Mark),
        ),
        writers=("detector",),
        readers=("enforcer",),
    ),
    Channel(
        topic=t.REQUESTS,
        purpose="What people ask for, and what became of notices.",
        messages=tuple(Message(kind=kind) for kind in (r.AdoptPolicy, r.ReportNotice, *get_args(r.Act))),
        writers=("cli", "notifier", "status"),
        readers=("cli", "enforcer", "notifier"),
    ),
    Channel(
        topic=t.CONTROL,
        purpose="Freeze and unfreeze. Edges read it uncommitted and obey on sight.",
        messages=(Message(kind=r.SetFreeze, key=_FREEZE, emptied="as unfrozen"),),
        writers=("cli", "status"),
        readers=("cli", "edge", "enforcer"),
    ),
    Channel(
        topic=t.LOG,
        purpose="The truth: each accepted input and each consequence, in one order, chained by hashes.",
        messages=(Message(kind=LogRecord),),
        writers=("enforcer",),
        readers=("cli", "enforcer", "notifier", "status"),
        committed=True,
    ),
    Channel(
        topic=t.DECISIONS,
        purpose="What holds for each server: all that an edge needs to judge mail.",
        messages=(
            Message(kind=r.Decision, key=_SERVER, emptied="the server has no decision"),
            Message(kind=r.Heartbeat, key=_HEARTBEAT),
            Message(kind=r.PolicyRecord, key=_POLICY),
        ),
        writers=("enforcer",),
        readers=("cli", "edge", "enforcer", "status"),
        committed=True,
    ),
    Channel(
        topic=t.ENFORCER_STATE,
        purpose="The enforcer's memory, to restart fast; never the truth. Internal: it may change with any version.",
        messages=(
            Message(kind=Server, key=_SERVER, emptied="the server is forgotten"),
            Message(kind=Position, key=_POSITION),
            Message(kind=r.PolicyRecord, key=_POLICY),
            Message(kind=Instant, key=_REQUEST, emptied="the id may be used again"),
            Message(kind=Account, key=_ACCOUNT, emptied="nothing of it is of this year or the last"),
        ),
        writers=("enforcer",),
        readers=("cli", "enforcer", "status"),
        committed=True,
    ),
    Channel(
        topic=t.CONTACTS,
        purpose="Addresses of people, and nowhere else.",
        messages=(Message(kind=r.Contact, key=_CONTACT, emptied="the address is erased"),),
        writers=("cli",),
        readers=("cli", "notifier"),
    ),
    Channel(
        topic=t.VERDICTS,
        purpose="Each refusal, and each that was spared because somebody only observes. No service of ours reads it.",
        messages=(Message(kind=r.VerdictGiven, key=_SERVER),),
        writers=("edge",),
        readers=(),
    ),
    Channel(
        topic=t.EDGE_REPORTS,
        purpose="How each edge is.",
        messages=(Message(kind=r.EdgeReport, key=_EDGE),),
        writers=("edge",),
        readers=("status",),
    ),
    Channel(
        topic=t.DEAD_LETTERS,
        purpose="Records that nobody can read, kept for a person to look at.",
        messages=(Message(kind=r.DeadLetter),),
        writers=("detector", "enforcer"),
        readers=(),
    ),
)
"""All topics, in the order of `topics.py`."""

CONFIG: Mapping[str, t.Topic] = {topic.name: topic for topic in t.TOPICS}
