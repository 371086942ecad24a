"""The state that the log folds into: the law's globals, and one record a server. Frozen; `evolve.py` makes the next."""

from datetime import date, datetime, timedelta

import msgspec

from shared.domain.events import CaseHoldReason, Hour, NoticeKind, PlannedNotice
from shared.domain.evidence import Reading, UtcDatetime
from shared.domain.floors import Floor, Standing
from shared.domain.policy import Tie
from shared.domain.records import CaseSchedule, Decision, Row, Struck


class PendingNotice(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A notice that is due and not settled."""

    notice: str
    kind: NoticeKind
    due_at: UtcDatetime


class Waiting(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """In the queue of the cap. since: law time at which it fell due first; until: when it is asked again. place: as it was told."""

    since: UtcDatetime
    until: UtcDatetime
    place: int


class Signed(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """
    An operator signed that a blocking stage may begin; at_law: when, in law time.

    beside: the server was protected, so it was asked for beside the notice, and never stands for one.
    """

    stage: int
    at_law: UtcDatetime
    beside: bool = False


class CaseHold(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """
    A reason for which a case is held, since when, and until when at most (law time; None: until somebody says so).

    ends: of a pause, the midnight (UTC) at which its account's ends.
    """

    reason: CaseHoldReason
    since: UtcDatetime
    until: UtcDatetime | None = None
    ends: UtcDatetime | None = None


class Kept(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The way of a case that is held, as it stood when that began (since, law time); the fields are the case's own."""

    since: UtcDatetime
    rows: tuple[Row, ...]
    entered: int
    blocking: tuple[Row, ...] = ()
    planned: tuple[PlannedNotice, ...] = ()


class Past(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """
    What a released case leaves behind. clock: as it stood. released_law: law time. cured_at: when the cure was seen.

    floor: what it was about; a build that met it owes nothing of that clock to a higher floor. throttled: as of a case.
    """

    floor: Floor
    clock: timedelta
    released_law: UtcDatetime
    cured_at: UtcDatetime
    throttled: timedelta = timedelta()


class Cured(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Readings of a product that were seen up to this instant accuse nobody: it was seen patched then, or later."""

    product: str
    seen_at: UtcDatetime


class Moved(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where a case went. case: its number, the seq of the record that opened it."""

    case: int
    server: str


class Case(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """
    One case, from its opening until it ends. All `_law` instants are law time.

    rows: granted, oldest first; entered: how many of them have begun. blocking: rows that wait for their grant.
    planned: notices still to come, in order. ordinal: how many notices fell due. delivered_law: the last delivered one.
    inherited: the clock that it began with; throttled: of that, the time in rows that slow mail and block none. past: set by a release, if a relapse can inherit. mixed: opened again after a release.
    waits: set while the cap of the day lets it not be blocked. signed: the stages that operators signed.
    holds: why it is held. kept: its way of before while it is held; an observed case may have holds, and keeps nothing.
    disputed: whether it ever was. exempt_peer: the exempt peer for which its clock stands, "" for none.
    """

    product: str
    floor: Floor
    opened_at: UtcDatetime
    opened_seq: int
    evidence: tuple[int, ...]
    enforced: bool
    rows: tuple[Row, ...]
    entered: int = 1
    blocking: tuple[Row, ...] = ()
    planned: tuple[PlannedNotice, ...] = ()
    pending: tuple[PendingNotice, ...] = ()
    ordinal: int = 0
    delivered_law: UtcDatetime | None = None
    released_at: UtcDatetime | None = None
    ends_law: UtcDatetime | None = None
    waits: Waiting | None = None
    signed: tuple[Signed, ...] = ()
    inherited: timedelta | None = None
    throttled: timedelta | None = None
    past: Past | None = None
    mixed: bool = False
    holds: tuple[CaseHold, ...] = ()
    kept: Kept | None = None
    disputed: bool = False
    exempt_peer: str = ""

    def signed_at(self, stage: int) -> datetime | None:
        """The law time at which *stage* was signed; None where it was not."""
        return next((one.at_law for one in self.signed if one.stage == stage), None)

    def signed_instead(self, stage: int) -> datetime | None:
        """The law time at which *stage* was signed instead of a notice; None where it was not, or beside one."""
        return next((one.at_law for one in self.signed if one.stage == stage and not one.beside), None)

    def held_for(self, reason: CaseHoldReason) -> CaseHold | None:
        """Its hold for *reason*, if there is one."""
        return next((hold for hold in self.holds if hold.reason == reason), None)


class Below(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """
    The newest evidence of one product below the floor: line, when and where seen, its record; at_law: law time it counts at.

    reading: what it showed; None in what was stored before rules 3.
    """

    product: str
    line: str
    seen_at: UtcDatetime
    edge: str
    seq: int
    at_law: UtcDatetime
    reading: Reading | None = None


class Server(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """
    What is known of one server id. Defaults are left out of its bytes, so that a later field changes no old digest.

    hours: those of readings below the floor that count for opening. below: the newest evidence of each product, by product.
    struck: readings of it that count no more. past: what released cases left behind. cured: what accuses nobody any more, by product. moved: cases that went to another id, the newest 16. changed_seq: the record that last changed what its decision says (0: it never had a case). news_hour, news: the UTC
    hour (since 1970) of its newest sighting on record, and how many of that hour are.
    """

    server: str
    connector: str
    tie: Tie
    first_seen: UtcDatetime
    last_seen: UtcDatetime
    reading: Reading
    matches: tuple[str, ...]
    hours: tuple[Hour, ...] = ()
    below: tuple[Below, ...] = ()
    cases: tuple[Case, ...] = ()
    changed_seq: int = 0
    policy_version: int = 0
    news_hour: int = 0
    news: int = 0
    struck: tuple[Struck, ...] = ()
    past: tuple[Past, ...] = ()
    moved: tuple[Moved, ...] = ()
    cured: tuple[Cured, ...] = ()

    def case_of(self, product: str) -> Case | None:
        """The case about *product*, if one is alive."""
        for case in self.cases:  # a loop, for this is asked several times of each server at a start
            if case.product == product:
                return case
        return None

    def past_of(self, product: str) -> Past | None:
        """What the last case about *product* left behind."""
        return next((past for past in self.past if past.floor.product == product), None)

    def cured_at(self, product: str) -> datetime | None:
        """Up to when readings of *product* accuse it of nothing; None where it was not seen patched, as far as is on record."""
        return next((cured.seen_at for cured in self.cured if cured.product == product), None)

    def strikes(self, reading: Reading) -> bool:
        """Whether *reading* of it was struck."""
        return any(struck.covers(reading) for struck in self.struck)

    def below_of(self, product: str) -> Below | None:
        """The newest evidence of *product* below the floor, if there is any."""
        for below in self.below:
            if below.product == product:
                return below
        return None

    def accused_of(self, product: str) -> Reading | None:
        """The newest reading of *product* that accused it; None where it is not on record."""
        below = self.below_of(product)
        if below is not None and below.reading is None and self.reading.product == product:
            return self.reading  # before rules 3 what accused was not kept, and mostly it is the newest
        return below.reading if below else None

    def is_narrowed(self, product: str, floor: Floor | None) -> bool:
        """Whether its enforced case about *product* rests on a reading that *floor* does not call below it."""
        case, accused = self.case_of(product), self.accused_of(product)
        if case is None or not case.enforced or case.released_at is not None or accused is None or floor is None:
            return False
        return floor.standing(accused) is not Standing.BELOW


class Law(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    The globals of the fold. head: hash of the newest record. held: ended holds only; hold_since: H when the running one began.

    stood_at: the law time at which it last stood still (None: it never did since rules 3).
    new_names_on, new_names: names first seen outside connectors on that UTC day. since_checkpoint: records since the last.
    newly_blocked_on, newly_blocked: cases that got their first blocking row on that UTC day.
    """

    seq: int
    head: str
    at: UtcDatetime
    h: UtcDatetime
    held: timedelta = timedelta()
    hold_since: UtcDatetime | None = None
    blind: bool = False
    frozen: bool = False
    rules: int = 0
    policy_version: int = 0
    new_names_on: date | None = None
    new_names: int = 0
    since_checkpoint: int = 0
    stood_at: UtcDatetime | None = None
    newly_blocked_on: date | None = None
    newly_blocked: int = 0

    @property
    def held_so_far(self) -> timedelta:
        """How long the law has stood still, the running hold included."""
        return self.held + (self.h - self.hold_since if self.hold_since is not None else timedelta())

    @property
    def now(self) -> datetime:
        """Law time: H - held. It stands still while a hold runs."""
        return self.h - self.held_so_far

    def of_utc(self, instant: datetime) -> datetime:
        """
        The law time at which something seen at *instant* counts: now, or as much later as it was seen behind H.

        Never earlier than now: what comes late makes no case older. While a hold runs it is now: the time since does not count.
        """
        if self.hold_since is not None:
            return self.now
        return self.now + max(timedelta(), instant - self.h)

    def law_of(self, utc: datetime) -> datetime:
        """The law time at which H came to *utc*, where no hold runs; of an instant at which the law stood still, that at which it stood."""
        law = utc - self.held
        return law if self.stood_at is None else max(law, self.stood_at)

    def utc_of(self, law: datetime) -> datetime:
        """The UTC instant at which law time *law* is, or is expected to be, reached if nothing more is held."""
        return law + self.held_so_far


class Position(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    How far the enforcer has come: the one place to start from, written in the same transaction as what it brought.

    offsets: input topic (no prefix) -> next offset of its partition 0. marks: of each partition of `mail-evidence`, the newest
    mark of any edge; None where there was none yet. counts: inputs that were no news, dead letters, and so on, since ever.
    """

    offsets: dict[str, int]
    law: Law
    marks: tuple[UtcDatetime | None, ...]
    counts: dict[str, int]


def note_mark(marks: tuple[datetime | None, ...], partition: int, of: int, at: datetime) -> tuple[datetime | None, ...]:
    """*marks* with one more mark; partitions that were added since are unmarked, and hold H back until they are marked."""
    widened = marks + (None,) * (max(of, partition + 1) - len(marks))
    newest = widened[partition]
    newer = at if newest is None else max(newest, at)
    return (*widened[:partition], newer, *widened[partition + 1 :])


def least_mark(marks: tuple[datetime | None, ...]) -> datetime | None:
    """H by the marks: the least over all partitions; None while one is unmarked."""
    known = [mark for mark in marks if mark is not None]
    return min(known) if known and len(known) == len(marks) else None


def decision_of(server: Server) -> Decision | None:
    """What the edges are told of *server*; None if it never had a case. Released cases are left out: nothing holds them."""
    if not server.changed_seq:
        return None
    return Decision(
        server=server.server,
        seq=server.changed_seq,
        policy_version=server.policy_version,
        cases=tuple(
            CaseSchedule(
                product=case.product,
                floor=case.floor,
                opened_at=case.opened_at,
                enforced=case.enforced,
                rows=case.rows,
            )
            for case in server.cases
            if case.released_at is None
        ),
        struck=server.struck,
    )
