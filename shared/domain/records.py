"""
The records of the topics other than `log`: what the services say to each other. JSON by msgspec, tagged `name.v1`.

A new field has a default; a changed meaning is a new tag, and consumers know it before producers send it.
"""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from shared.domain.build import Build
from shared.domain.catalogue import Assessment
from shared.domain.evidence import Facts, Reading, UtcDatetime
from shared.domain.floors import Floor
from shared.domain.policy import Mode, Policy


class _Record(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """Base of all records of topics: immutable, with its tag in `type`."""


# --- mail-evidence -----------------------------------------------------------------------------------------------


class MailEvidence(_Record, frozen=True, kw_only=True, tag="mail-evidence.v1"):
    """What one message showed."""

    facts: Facts


class Mark(_Record, frozen=True, kw_only=True, tag="mark.v1"):
    """
    All evidence that *edge* saw before *at* stands before this record in its partition; on `sightings` likewise.

    partition, of: which partition of `mail-evidence`, of how many.
    """

    edge: str
    at: UtcDatetime
    partition: Annotated[int, msgspec.Meta(ge=0)]
    of: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


# --- sightings ---------------------------------------------------------------------------------------------------


class Origin(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where a record came from."""

    topic: str
    partition: int
    offset: int


class _Sighting(_Record, frozen=True, kw_only=True):
    """The detector's reading of one message, always with the facts. assessment: what the catalogue says of the build."""

    facts: Facts
    reading: Reading | None = None
    assessment: Assessment | None = None
    origin: Origin


class UnpatchedServerSeen(_Sighting, frozen=True, kw_only=True, tag="unpatched-server-seen.v1"):
    """By the catalogue, updates are missing or the product has no more of them."""


class PatchedServerSeen(_Sighting, frozen=True, kw_only=True, tag="patched-server-seen.v1"):
    """By the catalogue, no security update is missing."""


class ServerSeen(_Sighting, frozen=True, kw_only=True, tag="server-seen.v1"):
    """Cannot tell: no product that we judge, no build, or a build that the catalogue does not know."""


Sighting = UnpatchedServerSeen | PatchedServerSeen | ServerSeen

# --- requests, control -------------------------------------------------------------------------------------------


class _Request(_Record, frozen=True, kw_only=True):
    """
    What a person or the notifier asks for. id: the asker's own, 8 to 64 characters; who: a login name, never an address.

    made_at: when asked; one made over 24 h ago is refused.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{8,64}$(?!\n)")]
    who: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    why: Annotated[str, msgspec.Meta(max_length=500)]
    made_at: UtcDatetime


class AdoptPolicy(_Request, frozen=True, kw_only=True, tag="adopt-policy.v1"):
    """Put a policy in force; its version must be above the one in force."""

    policy: Policy


class ReportNotice(_Request, frozen=True, kw_only=True, tag="report-notice.v1"):
    """What became of a notice: code and enhanced status only, no text of the relay and no address."""

    notice: str
    server: str
    outcome: Literal["delivered", "failed", "lapsed", "no-contact"]
    code: Annotated[int, msgspec.Meta(ge=0, le=599)] = 0
    enhanced: Annotated[str, msgspec.Meta(max_length=12)] = ""


class _Act(_Request, frozen=True, kw_only=True):
    """
    What a person asks for a case, a server or an account.

    as_owner: the owner of a connector who asks for what is his own, "" for an operator; the law refuses him all else.
    """

    as_owner: Annotated[str, msgspec.Meta(max_length=80)] = ""


class _CaseAct(_Act, frozen=True, kw_only=True):
    """An act on one case. case: seq of the log record that opened it."""

    server: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
    case: Annotated[int, msgspec.Meta(ge=1)]


class PauseAccount(_Act, frozen=True, kw_only=True, tag="pause.v1"):
    """
    Mail passes and clocks stand, for all servers of an account, from now to the end of the last of *days* UTC days.

    account: the owner of a connector; or a server's id, where no connector names its owner. Today is the first day.
    """

    account: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
    days: Annotated[int, msgspec.Meta(ge=1, le=366)]


class ResumeAccount(_Act, frozen=True, kw_only=True, tag="resume.v1"):
    """End a pause at once; whole UTC days after today come back."""

    account: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class SetExemption(_Act, frozen=True, kw_only=True, tag="exempt.v1"):
    """
    Refuse nothing of a server, a peer or a connector until an instant; None: an exemption is lifted.

    owner: who answers for it.
    """

    kind: Literal["server", "peer", "connector"]
    target: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
    owner: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    until: UtcDatetime | None


class DisputeCase(_CaseAct, frozen=True, kw_only=True, tag="dispute.v1"):
    """Its admin says that the case is wrong: mail passes and its clock stands until an operator decides; once a case."""


class ResolveCase(_CaseAct, frozen=True, kw_only=True, tag="resolve.v1"):
    """An operator decides a dispute (upheld: the case ends; rejected: it runs on), or that a mixed case runs on."""

    outcome: Literal["upheld", "rejected", "runs-on"]


class SignBlocking(_CaseAct, frozen=True, kw_only=True, tag="sign.v1"):
    """An operator signs that a blocking stage may begin. stage: row of the policy's table, from 1."""

    stage: Annotated[int, msgspec.Meta(ge=1, le=50)]


class AcknowledgeNotice(_CaseAct, frozen=True, kw_only=True, tag="acknowledge.v1"):
    """The admin has the notice, however it reached him: as good as delivered, and what is pending is settled."""


class CorrectCase(_CaseAct, frozen=True, kw_only=True, tag="correct.v1"):
    """An operator says that the case should never have been: it ends, and its reading opens nothing until that is lifted."""


class LiftStruck(_Act, frozen=True, kw_only=True, tag="lift-struck.v1"):
    """The readings of a server that were struck (dispute upheld, case corrected) count again from now on."""

    server: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class SetMode(_Act, frozen=True, kw_only=True, tag="mode.v1"):
    """Observe or enforce, for one connector, or ("") for the whole policy; makes a new version of it."""

    connector: Annotated[str, msgspec.Meta(max_length=40)]
    mode: Mode


CaseAct = DisputeCase | ResolveCase | SignBlocking | AcknowledgeNotice | CorrectCase
Act = (
    PauseAccount
    | ResumeAccount
    | SetExemption
    | DisputeCase
    | ResolveCase
    | SignBlocking
    | AcknowledgeNotice
    | CorrectCase
    | LiftStruck
    | SetMode
)
Request = AdoptPolicy | ReportNotice | Act


class SetFreeze(_Request, frozen=True, kw_only=True, tag="set-freeze.v1"):
    """Topic `control`: from now on nothing is slowed or refused, and no case ages, until it is lifted."""

    frozen: bool


class Exemption(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An exemption in force. owner: who answers for it. Only the law ends it, however late it is by an edge's own clock."""

    kind: Literal["server", "peer", "connector"]
    target: str
    owner: str
    until: UtcDatetime


# --- decisions ---------------------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """From this instant of law time on: stage, and the minutes of each hour."""

    since: UtcDatetime
    stage: int
    throttle_minutes_per_hour: int
    block_minutes_per_hour: int


class CaseSchedule(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One case as the edges need it: what it accuses, and its rows, oldest first."""

    product: str
    floor: Floor
    opened_at: UtcDatetime
    enforced: bool
    rows: tuple[Row, ...]


class Struck(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A reading of a server that accuses nobody any more. low, high: its range; None: whatever the build of that product."""

    product: str
    low: Build | None
    high: Build | None

    def covers(self, reading: Reading) -> bool:
        """Whether *reading* is one that was struck."""
        return self.product == reading.product and (
            self.low is None or (self.low, self.high) == (reading.low, reading.high)
        )


class Decision(_Record, frozen=True, kw_only=True, omit_defaults=True, tag="decision.v1"):
    """
    The schedule of one server, key: its id. No case left: released, or expired. seq: the log record that brought it.

    struck: readings that no case may be refused for, whatever its rows say. Left out where there are none.
    """

    server: str
    seq: int
    policy_version: int
    cases: tuple[CaseSchedule, ...]
    struck: tuple[Struck, ...] = ()


class Heartbeat(_Record, frozen=True, kw_only=True, tag="heartbeat.v1"):
    """
    Key `heartbeat`: how far the law has come.

    h: everything seen up to here has been folded. held: how long the law stood still, a running hold included; the row
    in force is the one at h - held. count, digest: of the live table (server keys). frozen: nothing is slowed or refused.
    leader: the instance of the enforcer that wrote it, for people.
    """

    at: UtcDatetime
    h: UtcDatetime
    held: timedelta
    seq: int
    count: int
    digest: str
    policy_digest: str
    frozen: bool
    leader: str = ""


class PolicyRecord(_Record, frozen=True, kw_only=True, omit_defaults=True, tag="policy.v1"):
    """Key `policy`: the policy in force, and the exemptions, by kind and target: what matches one of them is not refused."""

    policy: Policy
    exemptions: tuple[Exemption, ...] = ()


# --- verdicts, edge-reports, contacts, dead-letters --------------------------------------------------------------


class VerdictGiven(_Record, frozen=True, kw_only=True, tag="verdict.v1"):
    """
    A refusal, or (would_be) one that was spared because edge, policy or operator only observe.

    window_from_minute: first minute of the hour of the server's minutes; reply: the line the client got.
    """

    at: UtcDatetime
    edge: str
    queue_id: str
    server: str
    product: str
    shown: str
    action: Literal["defer", "reject"]
    would_be: bool
    spared_why: str = ""
    row: Row
    window_from_minute: int
    reply: str
    heartbeat_seq: int
    decision_seq: int


class EdgeReport(_Record, frozen=True, kw_only=True, tag="edge-report.v1"):
    """Key: the edge. Its counts since start, the digest of its table, the last heartbeat it saw, its version."""

    edge: str
    at: UtcDatetime
    started_at: UtcDatetime
    version: str
    counts: dict[str, int]
    table_count: int
    table_digest: str
    heartbeat_seq: int
    observing: str


class Contact(_Record, frozen=True, kw_only=True, tag="contact.v1"):
    """Key: contact id. An address of a person, nowhere else; erased by a tombstone. Exactly one scope is set."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$(?!\n)")]
    address: Annotated[str, msgspec.Meta(pattern=r"^[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}$(?!\n)")]
    server: str = ""
    connector: str = ""
    language: Literal["en", "de"] = "en"
    zone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"


class DeadLetter(_Record, frozen=True, kw_only=True, tag="dead-letter.v1"):
    """A record nobody can read: where it stood, who could not read it, why, and its bytes (the first 64 KiB, base64)."""

    origin: Origin
    reader: str
    cause: str
    key: bytes
    value: bytes
    bytes_in_all: int


EvidenceRecord = MailEvidence | Mark
SightingRecord = UnpatchedServerSeen | PatchedServerSeen | ServerSeen | Mark
DecisionRecord = Decision | Heartbeat | PolicyRecord
