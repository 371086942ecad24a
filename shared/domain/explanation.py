"""
What an explanation of one server holds: JSON-able, made by `explain.py`, read by the pages, the API and the CLI.

Builds are texts as people write them, unpadded. Instants are UTC; those still to come are expected ones: when they come
if the law is not held before. `seq` numbers are records of the log.
"""

from typing import Literal

import msgspec

from shared.domain.events import CaseHoldReason, NoticeKind
from shared.domain.evidence import UtcDatetime
from shared.domain.policy import Tie
from shared.domain.records import Exemption

CaseState = Literal["observed", "held", "reported", "throttled", "blocked-partly", "blocked", "released"]
"""
What a case does to its server's mail, by the row in force: observed: nothing, the policy only watches, or it is exempt.
held: nothing, its clock stands. reported: nothing yet.
throttled: deferred in some minutes. blocked-partly: refused in some. blocked: refused in all. released: lifted.
"""

ServerState = Literal[
    "no-case", "counting", "released", "observed", "held", "reported", "throttled", "blocked-partly", "blocked"
]
"""The state of the mildest living case, which is the one that holds; counting: readings below the floor, but no case yet."""


class ReadingShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    The newest reading. shown: the build that the lines show, "" where they show none. update: what that build is called.

    low, high: between which builds the installed one must lie, "" where no build is shown; reason, because: why.
    """

    product: str
    shown: str
    update: str
    low: str
    high: str
    form: str
    reason: str
    because: str


class Lacks(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the catalogue says on that day: security updates that are missing for sure, holes that are open for sure.

    rollups: whether the updates are update rollups, of which not each brings security fixes; all are counted.
    """

    security_updates: int
    holes: int
    holes_exploited: int
    support_ended: str
    rollups: bool = False


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The newest evidence below the floor: the line as it stood (redacted), when and by which edge it was seen."""

    line: str
    seen_at: UtcDatetime
    edge: str
    seq: int


class LawShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    How far the law has come. now: law time. held: seconds it stood still, a running hold included.

    standing_still: why it stands still now; "" when it does not.
    """

    now: UtcDatetime
    h: UtcDatetime
    held_s: float
    standing_still: Literal["", "freeze", "blind"]
    seq: int
    policy_version: int


class VerdictNow(msgspec.Struct, frozen=True, kw_only=True):
    """What an edge says now to a message that shows what the newest one showed. reply: the line, "" when accepted."""

    action: Literal["accept", "defer", "reject"]
    why: str
    reply: str


class FloorShown(msgspec.Struct, frozen=True, kw_only=True):
    """The floor of the case: the least build of each branch, or (whole_product) none is acceptable."""

    builds: tuple[str, ...]
    whole_product: bool


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes of the hour, from_minute included, until_minute not (1 to 60)."""

    action: Literal["defer", "reject"]
    from_minute: int
    until_minute: int


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """This UTC hour's minutes. start_minute: where they begin; they wrap inside the hour, so there may be three spans."""

    hour: UtcDatetime
    start_minute: int
    spans: tuple[Span, ...]


class RowShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    One row of the schedule. since: UTC; of a row that waits for its grant, the earliest possible.

    exact: False where `since` has passed and may have been earlier, for the law was held at times; the log has the instant.
    """

    stage: int
    since: UtcDatetime
    exact: bool
    throttle_minutes_per_hour: int
    block_minutes_per_hour: int
    granted: bool
    begun: bool
    in_force: bool


class NoticeShown(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that is due and not settled (pending), or still to come."""

    kind: NoticeKind
    at: UtcDatetime
    pending: bool
    notice: str = ""


class NoticesShown(msgspec.Struct, frozen=True, kw_only=True):
    """fell_due: how many so far. delivered_at: of the newest delivered one (at the latest: earlier if the law was held since). open: pending ones, then those to come."""

    fell_due: int
    delivered_at: UtcDatetime | None
    open: tuple[NoticeShown, ...]


class HeldShown(msgspec.Struct, frozen=True, kw_only=True):
    """Why a case is held. until: when that ends by itself, at the latest; None: when somebody says so."""

    reason: CaseHoldReason
    since: UtcDatetime
    until: UtcDatetime | None


class CaseShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    One case. accuses: of what, in words. row: in force at law time, None when released. window: None where it takes no mail.

    blocking_waits_for: in words, "" when nothing waits. next_row: the row that follows. remedy: what ends it, in words.
    patch_exists: False where only another server helps. opened_seq, evidence_seqs: records of the log. held: why it is held.
    inherited_s: seconds on the clock that it began with, of an earlier case or of itself before its release; None: it began at
    day 0. mixed: it was released once, and then seen below its floor again.
    """

    product: str
    accuses: str
    floor: FloorShown
    state: CaseState
    enforced: bool
    stage: int
    stages: int
    row: RowShown | None
    window: Window | None
    rows: tuple[RowShown, ...]
    next_row: RowShown | None
    blocking_waits_for: str
    notices: NoticesShown
    opened_at: UtcDatetime
    released_at: UtcDatetime | None
    ends_at: UtcDatetime | None
    expires_at: UtcDatetime | None
    remedy: str
    patch_exists: bool
    opened_seq: int
    evidence_seqs: tuple[int, ...]
    held: tuple[HeldShown, ...] = ()
    inherited_s: float | None = None
    mixed: bool = False


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """What falls due next by itself, and when at the earliest. event: its tag in the log."""

    at: UtcDatetime
    event: str
    what: str


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """Readings below the floor that have not opened a case yet: distinct UTC hours so far, and how many it takes."""

    product: str
    hours: int
    needed: int
    seqs: tuple[int, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that is known of one server, and what follows from it. at: the instant it was made for; gives the window's hour.

    exempt: the exemptions that its newest message matches, by kind and target.
    """

    server: str
    at: UtcDatetime
    state: ServerState
    connector: str
    tie: Tie
    tie_means: str
    matches: tuple[str, ...]
    first_seen: UtcDatetime
    last_seen: UtcDatetime
    reading: ReadingShown
    lacks: Lacks
    evidence: Evidence | None
    counting: tuple[Counting, ...]
    cases: tuple[CaseShown, ...]
    verdict: VerdictNow
    next_step: NextStep | None
    law: LawShown
    exempt: tuple[Exemption, ...] = ()


TIE_MEANS: dict[Tie, str] = {
    "connector": "it connected from an address range, or with a verified TLS name, of connector {connector}",
    "verified": "the name in its lines is the client name that DNS confirmed",
    "helo": "the name in its lines is the one it gave in HELO from that address",
    "domain": "the name in its lines lies in the domain of the name it gave in HELO, or that DNS confirmed",
    "untied": "nothing ties the name in its lines to the address it came from",
}

REASON_MEANS = {
    "exact": "such a line shows the build that is installed",
    "newer-than-data": "the build is newer than the catalogue, so nothing is held against it",
    "unlisted-branch": "the catalogue does not list this cumulative update",
    "no-build-shown": "this product's lines show no build",
    "smtp-lags-2013": "an SMTP line of Exchange 2013 may lag behind the installed build, up to the last update of that cumulative update",
    "smtp-lags-cu": "an SMTP line of that time may lag behind the installed build, up to the last update of that cumulative update",
    "cu-base-pickup": "mail from the Pickup folder shows the bare cumulative update until an update repairs it, so a later build may be installed",
    "mapi-below-base": "the line shows less than the cumulative update itself, so it tells the cumulative update only",
    "unlisted-update": "no list has this number; the installed build may be the next listed one",
}
"""In words, each reason code of a range; docs/architecture/reading.md tells where each was seen."""
