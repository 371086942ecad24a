"""
The log: what the enforcer accepted, and what followed from it. The one truth, kept for ever.

Events are past tense and carry all that `evolve` needs, so that it has no rule in it. An input's event comes first and has
its origin in `cause`, as have its consequences; what merely fell due has none.
"""

from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec

from shared.domain import events_acts
from shared.domain.evidence import Facts, Reading, UtcDatetime
from shared.domain.floors import Floor
from shared.domain.policy import Policy, Tie
from shared.domain.records import Act, AdoptPolicy, Origin, ReportNotice, Row, SetFreeze, SetMode, Struck

# What acts bring, and that a case moves, stands in a module of its own, and is known by this one's name like all other events.
BlockingSigned = events_acts.BlockingSigned
CaseHeld = events_acts.CaseHeld
CaseHoldReason = events_acts.CaseHoldReason
CaseMoved = events_acts.CaseMoved
Exempted = events_acts.Exempted
ExemptionEnded = events_acts.ExemptionEnded
NoticeAcknowledged = events_acts.NoticeAcknowledged
PauseBegan = events_acts.PauseBegan
PauseEnded = events_acts.PauseEnded
ReadingsLifted = events_acts.ReadingsLifted

NoticeKind = Literal["opening", "before-throttling", "stage", "before-blocking", "release"]
HoldReason = Literal["blind", "freeze"]


class _Event(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """Base of all events: immutable, with its tag in `type`."""


class PlannedNotice(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A notice that will fall due at an instant of law time. stage: the stage it announces or tells of."""

    kind: NoticeKind
    since: UtcDatetime
    stage: int


class Plan(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    The way of a case from its day 0. rows: granted. blocking: rows that wait until they may be granted. notices: in order.

    All instants are law time.
    """

    rows: tuple[Row, ...]
    blocking: tuple[Row, ...] = ()
    notices: tuple[PlannedNotice, ...] = ()


# --- inputs ------------------------------------------------------------------------------------------------------


class RulesAdopted(_Event, frozen=True, kw_only=True, tag="rules-adopted.v1"):
    """An epoch: from here on this code's rules decide. `audit verify` decides again where they are its own."""

    rules: int
    version: str


class PolicyAdopted(_Event, frozen=True, kw_only=True, tag="policy-adopted.v1"):
    """A policy came into force; request: who asked, for it or for one mode (None: the one shipped, on an empty log)."""

    policy: Policy
    request: AdoptPolicy | SetMode | None = None


class Hour(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """A UTC hour (since 1970) in which a reading of *product* below the floor was seen, and the record that says so."""

    hour: int
    seq: int
    product: str


class ServerSighted(_Event, frozen=True, kw_only=True, tag="server-sighted.v1"):
    """
    A sighting that is news. news: why. below: below the floor. hours: all that count for opening from here on.

    matches: every id that the message matches; server is the best of them. at_law: the law time it counts at.
    cured_at: readings of the product that were seen up to then accuse the server of nothing from here on. kept: whether the
    reading is kept as what accuses, as it is since rules 3.
    """

    server: str
    connector: str
    tie: Tie
    matches: tuple[str, ...]
    facts: Facts
    reading: Reading
    evidence: Origin
    news: tuple[str, ...]
    below: bool
    at_law: UtcDatetime
    hours: tuple[Hour, ...]
    cured_at: UtcDatetime | None = None
    kept: bool = False


class RequestDecided(_Event, frozen=True, kw_only=True, tag="request-decided.v1"):
    """A readable request and its outcome; a policy that is asked for stands in `policy-adopted`, refused ones here."""

    request: AdoptPolicy | ReportNotice | SetFreeze | Act
    outcome: Literal["done", "no effect", "refused"]
    reason: str


class HoldBegan(_Event, frozen=True, kw_only=True, tag="hold-began.v1"):
    """The law stands still since H. blind: H lagged by more than blind_after; freeze: somebody asked (the request)."""

    reason: HoldReason
    since: UtcDatetime


class HoldEnded(_Event, frozen=True, kw_only=True, tag="hold-ended.v1"):
    """
    A reason to stand still is gone; held: all time that the law has stood still so far, other reasons included.

    at_law: the law time at which it stood.
    """

    reason: HoldReason
    held: timedelta
    at_law: UtcDatetime | None = None


# --- consequences ------------------------------------------------------------------------------------------------


class AccusationDropped(_Event, frozen=True, kw_only=True, tag="accusation-dropped.v1"):
    """A message that matches this id, too, proved itself patched: what counts for opening, and was seen before, counts no more."""

    server: str
    product: str
    seen_at: UtcDatetime | None = None


class CaseOpened(_Event, frozen=True, kw_only=True, tag="case-opened.v1"):
    """
    A case at day 0, or later (inherited: the clock that it begins with). peer: as in `clock-stopped.v1`.

    throttled: of that clock, the time in rows that slow mail and block none. evidence: seqs of the sightings in distinct hours that opened it.
    """

    server: str
    product: str
    floor: Floor
    connector: str
    enforced: bool
    evidence: tuple[int, ...]
    plan: Plan
    peer: str = ""
    inherited: timedelta = timedelta()
    throttled: timedelta = timedelta()


class ClockStarted(_Event, frozen=True, kw_only=True, tag="clock-started.v1"):
    """From observe, or exempt, to enforce: the case begins at day 0."""

    server: str
    product: str
    plan: Plan


class ClockStopped(_Event, frozen=True, kw_only=True, tag="clock-stopped.v1"):
    """From enforce to observe, or exempt: the case stands at day 0 again. peer: the exempt one from which its server was seen."""

    server: str
    product: str
    plan: Plan
    peer: str = ""


class StageEntered(_Event, frozen=True, kw_only=True, tag="stage-entered.v1"):
    """A row of the case came into force."""

    server: str
    product: str
    stage: int
    throttle_minutes_per_hour: int
    block_minutes_per_hour: int


class BlockingGranted(_Event, frozen=True, kw_only=True, tag="blocking-granted.v1"):
    """
    Blocking rows may come: what the policy asks for first is there. rows: in law time, with their notices.

    rest: rows that go on waiting, for each needs a signature of its own. newly: the first of the case; counts for the cap.
    """

    server: str
    product: str
    rows: tuple[Row, ...]
    notices: tuple[PlannedNotice, ...]
    rest: tuple[Row, ...] = ()
    newly: bool = False


class BlockingWaits(_Event, frozen=True, kw_only=True, tag="blocking-waits.v1"):
    """
    All that blocking needs is there, but for room: the cap of the UTC day is reached. The case has a place in the queue, from 1.

    since: law time at which it fell due first; until: law time at which it is asked again, the beginning of *day* (UTC).
    """

    server: str
    product: str
    since: UtcDatetime
    until: UtcDatetime
    day: date
    place: int


class NoticeDue(_Event, frozen=True, kw_only=True, tag="notice-due.v1"):
    """
    A notice is to be sent: all that it needs is here, but for the address. notice: its id.

    rows, blocking: the schedule as dates that people expect (UTC: law time + what was held so far); blocking: not before.
    again: law time at which the same kind falls due once more unless a notice is delivered before.
    """

    notice: str
    kind: NoticeKind
    stage: int
    server: str
    connector: str
    product: str
    floor: Floor
    opened_at: UtcDatetime
    rows: tuple[Row, ...]
    blocking: tuple[Row, ...]
    line: str
    line_seen_at: UtcDatetime
    line_edge: str
    again: UtcDatetime | None = None


class CaseWentOn(_Event, frozen=True, kw_only=True, tag="case-went-on.v1"):
    """A reason to hold a case is gone. plan: its way of before, later by as long as it was held; None: it is held or observed yet."""

    server: str
    product: str
    reason: CaseHoldReason
    plan: Plan | None


class NoticeSettled(_Event, frozen=True, kw_only=True, tag="notice-settled.v1"):
    """What became of a notice. at_law: when, in law time."""

    server: str
    product: str
    notice: str
    outcome: Literal["delivered", "failed", "lapsed", "no-contact"]
    at_law: UtcDatetime


class CaseReleased(_Event, frozen=True, kw_only=True, tag="case-released.v1"):
    """
    A cure was seen: all is lifted at once. ends_at: law time at which the case ends. cure: the reading; by: its server.

    clock, at_law: what a relapse inherits, and the law time of the release; None: nothing. throttled: as in `case-opened.v1`.
    """

    server: str
    product: str
    cure: Reading
    by: str
    seen_at: UtcDatetime
    ends_at: UtcDatetime
    clock: timedelta | None = None
    at_law: UtcDatetime | None = None
    throttled: timedelta = timedelta()


class CaseMixed(_Event, frozen=True, kw_only=True, tag="case-mixed.v1"):
    """A released case was seen below its floor again: it is open as before, with the clock that it was released with."""

    server: str
    product: str
    plan: Plan
    inherited: timedelta
    throttled: timedelta = timedelta()


class CaseEnded(_Event, frozen=True, kw_only=True, tag="case-ended.v1"):
    """
    The case is over: its time after release is up, (expired) its server was not seen any more, or an operator said so (why).

    struck: the reading that opens nothing from now on.
    """

    server: str
    product: str
    expired: bool
    why: Literal["", "upheld", "corrected"] = ""
    struck: Struck | None = None


class Checkpoint(_Event, frozen=True, kw_only=True, tag="checkpoint.v1"):
    """The digests of the state at this point, for the audit: of all servers, and of pauses and exemptions ("" where there are none)."""

    servers: int
    digest: str
    reprieves: str = ""


Event = (
    RulesAdopted
    | PolicyAdopted
    | ServerSighted
    | RequestDecided
    | HoldBegan
    | HoldEnded
    | PauseBegan
    | PauseEnded
    | Exempted
    | ExemptionEnded
    | AccusationDropped
    | CaseOpened
    | ClockStarted
    | ClockStopped
    | CaseHeld
    | CaseWentOn
    | StageEntered
    | BlockingGranted
    | BlockingWaits
    | BlockingSigned
    | NoticeDue
    | NoticeSettled
    | NoticeAcknowledged
    | ReadingsLifted
    | CaseReleased
    | CaseMixed
    | CaseMoved
    | CaseEnded
    | Checkpoint
)


class LogRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    One record of the log.

    seq: from 1, without a gap. at: when written. due: the instant (UTC) that brought a consequence, else None.
    h: up to where everything seen had been folded. prev: SHA-256 of the stored bytes before it, hex ("" for the first).
    cause: the input record it came from.
    """

    seq: int
    at: UtcDatetime
    due: UtcDatetime | None
    h: UtcDatetime
    prev: str
    cause: Origin | None
    event: Event


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(LogRecord)


def encode_log(record: LogRecord) -> bytes:
    """The bytes of *record* as stored; the chain is over them."""
    return _ENCODER.encode(record)


def decode_log(stored: bytes) -> LogRecord:
    """
    Read stored bytes.

    Raises:
        msgspec.MsgspecError: they are no log record of this version.
    """
    return _DECODER.decode(stored)


def chain(stored: bytes) -> str:
    """What the next record's `prev` must be."""
    return sha256(stored).hexdigest()


def hour_of(instant: UtcDatetime) -> int:
    """The UTC hour, counted from 1970."""
    since = instant - _EPOCH
    return since.days * 24 + since.seconds // 3600


def day_of(instant: UtcDatetime) -> date:
    """The UTC day."""
    return instant.date()
