"""
The audit of a log, from its stored bytes alone. Pure; one record at a time, so that a log of any length can be checked.

For each record: (a) its seq and its hash follow the record before it; (b) the state that it folds to has the digest of the
next checkpoint; (c) it is what this code's rules decide: what fell due is decided again from the state at the record's H,
an input's events from the input that stands in the first of them. (c) is left out, and said so, where another epoch's rules
decided. Taken as given, since the log cannot hold them: the first policy, and that H lagged (holds for `blind`), which must
only fit the state.

No chain protects its own last link, so an export ends with a seal: the count of records and the hash of the last one.
Whoever noted an earlier head can also tell that nobody wrote the whole chain anew.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime

import msgspec

from shared.domain import events as e
from shared.domain.decide import decide_blind
from shared.domain.errors import EventSchemaError, PatchgateError
from shared.domain.fold import CHECKPOINT_EVERY, RULES, Fold, Input
from shared.domain.policy import parse_policy, shipped_policy_text
from shared.domain.records import Origin, ServerSeen

# What a damaged or forged record can bring about in the rules: dates beyond the calendar, addresses that are none.
_BROKEN = (PatchgateError, ValueError, ArithmeticError, LookupError)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_SHOWN = 80
_WITHOUT_NOTED = "no record has the noted head {}: the log was cut off before it or written anew, or is another one"


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """From first_seq on, *rules* decided, in patchgate *version*. decided_again: whether they are this code's own."""

    first_seq: int
    rules: int
    version: str
    decided_again: bool


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an audit found.

    records: how many are right, from the first on. first_wrong_seq: the first that is not; None where none is. what: why not ok.
    decided_again, taken_as_given, other_rules: of the right ones; they add up to records, checkpoints apart. Those of other
    rules were not decided again.
    digest: of the state they fold to; head: hash of the last of them, to be noted and asked for at the next audit.
    noted_head_seq: of which record the head is that was asked for; None where nobody asked, or none has it.
    """

    ok: bool
    records: int
    first_wrong_seq: int | None
    what: str
    epochs: tuple[Epoch, ...]
    decided_again: int
    taken_as_given: int
    other_rules: int
    checkpoints: int
    servers: int
    digest: str
    head: str
    noted_head_seq: int | None = None


class Seal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="log-export-end.v1"):
    """The last line of an export: how many records stand above, and the hash of the last one's bytes."""

    records: int
    head: str


class _Wrong(PatchgateError):
    """A record is not what it must be; the text says how."""


class _Step(msgspec.Struct, frozen=True):
    """What is written at once: the events decided again, and what their records have in common."""

    record: e.LogRecord
    due: datetime | None
    rest: deque[e.Event]


class Audit:
    """
    Checks stored records as they come: `take` each, then `report`.

    fold: the state that the records so far make. Memory: the state, and the consequences of one input.
    noted: the head of an earlier audit, which the log must come by; "" for none.
    """

    def __init__(self, *, noted: str = "") -> None:
        self.fold = Fold(parse_policy(shipped_policy_text()))
        self._step: _Step | None = None
        self._inputs: dict[tuple[str, int], int] = {}
        self._epochs: list[Epoch] = []
        self._counts = dict.fromkeys(("decided", "given", "other", "checkpoints"), 0)
        self._wrong, self._record_wrong = "", True
        self._noted = noted
        self._noted_seq: int | None = None

    @property
    def seq(self) -> int:
        """The seq of the last right record; 0 before the first."""
        return 0 if self.fold.is_empty else self.fold.law.seq

    def take(self, stored: bytes) -> bool:
        """Check the next record's bytes. False once something is wrong: the rest is not looked at."""
        if self._wrong:
            return False
        try:
            record = _read(stored)
            if record.seq != self.seq + 1:
                raise _Wrong(f"it says seq {record.seq}: a record is missing, doubled or out of place")
            counted = self._check(record)
            self.fold.apply(record, stored)
        except _BROKEN as error:
            self._wrong = str(error) or type(error).__name__
            return False
        if self.fold.law.head == self._noted:
            self._noted_seq = record.seq
        self._counts[counted] += 1
        return True

    def refuse(self, what: str, *, record: bool = True) -> None:
        """
        Something is wrong behind the last right record: the report says so, if nothing was wrong before.

        record: whether it is the next record that is wrong or missing; else all that are there are right.
        """
        if not self._wrong:
            self._wrong, self._record_wrong = what, record

    def report(self) -> VerifyReport:
        """What was found."""
        if self._step and self._step.rest:
            self.refuse(f"the log ends where {_tag(self._step.rest[0])} must follow")
        if not self.seq:
            self.refuse("there is no record", record=False)
        if self._noted and self._noted_seq is None:
            self.refuse(_WITHOUT_NOTED.format(self._noted), record=False)
        counts = self._counts
        return VerifyReport(
            ok=not self._wrong,
            records=self.seq,
            first_wrong_seq=self.seq + 1 if self._wrong and self._record_wrong else None,
            what=self._wrong,
            epochs=tuple(self._epochs),
            decided_again=counts["decided"],
            taken_as_given=counts["given"],
            other_rules=counts["other"],
            checkpoints=counts["checkpoints"],
            servers=len(self.fold.servers),
            digest=self.fold.digest(),
            head=self.fold.law.head if self.seq else "",
            noted_head_seq=self._noted_seq,
        )

    # -- one record -------------------------------------------------------------------------------------------------

    def _check(self, record: e.LogRecord) -> str:
        """Check *record* against the state before it; returns how it counts."""
        if record.prev != (self.fold.law.head if self.seq else ""):
            raise _Wrong(f"its hash of the record before does not fit: record {self.seq} or this one was changed")
        if self._step and self._step.rest:
            return self._go_on(self._step, record)
        event = record.event
        if self.seq <= 1 or isinstance(event, e.RulesAdopted):
            return self._begin(record)
        if isinstance(event, e.Checkpoint):
            self._check_digest(event)
        if self.fold.law.rules != RULES:
            return "checkpoints" if isinstance(event, e.Checkpoint) else "other"
        self._move_time(record)
        if isinstance(event, e.Checkpoint):
            return self._check_place(record)
        if isinstance(event, e.HoldBegan | e.HoldEnded) and record.cause is None:
            return self._observe(record)
        self._step = self._decide(record)
        return self._go_on(self._step, record)

    def _begin(self, record: e.LogRecord) -> str:
        event = record.event
        rules = 0 if self.fold.is_empty else self.fold.law.rules
        if isinstance(event, e.RulesAdopted) and event.rules > rules and record.cause is None and self.seq != 1:
            again = event.rules == RULES
            self._epochs.append(
                Epoch(first_seq=record.seq, rules=event.rules, version=event.version, decided_again=again)
            )
            return "given"
        if self.seq == 1 and isinstance(event, e.PolicyAdopted) and event.request is None and record.cause is None:
            return "given"
        raise _Wrong(f"{_tag(event)} cannot stand here: a log begins with its rules and a policy, and rules only rise")

    def _move_time(self, record: e.LogRecord) -> None:
        before = self.fold.law
        self.fold.advance(record.h, at=record.at)
        if (self.fold.law.h, self.fold.law.at) != (record.h, record.at):
            raise _Wrong(
                f"its at ({record.at}) or h ({record.h}) goes back behind {before.at} or {before.h}, or h lies after at"
            )

    def _check_digest(self, event: e.Checkpoint) -> None:
        if event != self.fold.checkpoint():
            raise _Wrong("the state that the records fold to has another digest than this checkpoint")

    def _check_place(self, record: e.LogRecord) -> str:
        if not self._checkpoint_due() or self.fold.first_due() or record.cause or record.due:
            raise _Wrong("no checkpoint was due here")
        return "checkpoints"

    def _checkpoint_due(self) -> bool:
        return self.fold.law.since_checkpoint >= CHECKPOINT_EVERY

    def _observe(self, record: e.LogRecord) -> str:
        """That H lagged is the enforcer's observation; what it writes of it follows from the state."""
        fitting = decide_blind(self.fold.law, blind=not self.fold.law.blind)
        if record.due is not None or [record.event] != fitting:
            raise _Wrong(f"this hold does not fit the state: {_difference(record.event, fitting[0])}")
        return "given"

    # -- deciding again ---------------------------------------------------------------------------------------------

    def _decide(self, record: e.LogRecord) -> _Step:
        """What must be written from *record* on, decided from the state before it."""
        first = self.fold.first_due()
        if record.cause is None:
            if first is None:
                raise _Wrong(f"{_tag(record.event)} has no cause, and nothing was due by then")
            return _Step(record, first[0], deque(first[1]))
        if first is not None or self._checkpoint_due():
            missing = _tag(first[1][0]) if first else "a checkpoint"
            raise _Wrong(f"{missing} was due before this input was decided, and is not written")
        self._note_input(record.cause)
        events = self.fold.decide(_input_of(record.event), at=record.at)
        if not events:
            raise _Wrong(f"decided again, the input of {_tag(record.event)} is no news: nothing would be written")
        return _Step(record, None, deque(events))

    def _note_input(self, cause: Origin) -> None:
        place = (cause.topic, cause.partition)
        if cause.offset <= self._inputs.get(place, -1):
            raise _Wrong(f"the input at offset {cause.offset} of {cause.topic} was decided before")
        self._inputs[place] = cause.offset

    def _go_on(self, step: _Step, record: e.LogRecord) -> str:
        decided = step.rest.popleft()
        if record.event != decided:
            raise _Wrong(f"decided again, it differs: {_difference(record.event, decided)}")
        first = step.record
        written = (record.cause, record.at, record.h, record.due)
        if written != (first.cause, first.at, first.h, step.due):
            raise _Wrong(f"its cause, at, h or due differ from what brought {_tag(decided)}: due must be {step.due}")
        return "decided"


def verify_export(lines: Iterable[bytes], *, noted: str = "") -> VerifyReport:
    """Audit an export from its *lines*, each with its line end. noted: as `Audit` takes it."""
    audit = Audit(noted=noted)
    last = b""
    for line in lines:
        if last and not audit.take(last.removesuffix(b"\n")):
            return audit.report()
        last = line
    _check_seal(audit, last)
    return audit.report()


def _check_seal(audit: Audit, last: bytes) -> None:
    """Whether *last*, the last line, is the seal of what *audit* took."""
    expected = seal(audit.seq, audit.fold.law.head if audit.seq else "") + b"\n"
    if last == expected or not last:
        return
    if (audit.seq and expected.startswith(last)) or (_is_record(last) and audit.take(last.removesuffix(b"\n"))):
        audit.refuse(
            f"the export does not end with its seal: the {audit.seq} records that are there are right, and others may have been"
            " cut off behind them; export it again",
            record=False,
        )
    audit.refuse(_without_seal(last, audit.seq))


def _is_record(line: bytes) -> bool:
    try:
        e.decode_log(line)
    except _UNREADABLE:
        return False
    return True


def seal(records: int, head: str) -> bytes:
    """The last line of an export, without its line end."""
    return msgspec.json.encode(Seal(records=records, head=head))


def _without_seal(last: bytes, seq: int) -> str:
    try:
        read = msgspec.json.decode(last, type=Seal)
    except _UNREADABLE:
        return "the export does not end with its seal: it was cut off, or its end was changed"
    if read.records != seq:
        return (
            f"the seal speaks of {read.records} records, and {seq} stand above it: the end is missing, or was changed"
        )
    return f"the seal does not fit: record {seq} or the seal was changed"


def _read(stored: bytes) -> e.LogRecord:
    try:
        return e.decode_log(stored)
    except _UNREADABLE as error:
        raise EventSchemaError(
            f"cannot be read: damaged, or written by a newer patchgate (then audit with that one): {error}"
        ) from error


def _input_of(event: e.Event) -> Input:
    """The input that stands in the first event of what it brought."""
    match event:
        case e.ServerSighted():
            return ServerSeen(facts=event.facts, reading=event.reading, origin=event.evidence)
        case e.RequestDecided():
            return event.request
        case e.PolicyAdopted() if event.request is not None:
            return event.request
        case _:
            raise _Wrong(f"{_tag(event)} has a cause, and cannot be the first record of an input")


def _tag(event: e.Event) -> str:
    return str(event.__struct_config__.tag)


def _difference(written: e.Event, decided: e.Event) -> str:
    """The first field that differs, both values cut short."""
    if type(written) is not type(decided):
        return f"{_tag(written)} is written, {_tag(decided)} decided"
    field = next(name for name in written.__struct_fields__ if getattr(written, name) != getattr(decided, name))
    old, new = _short(getattr(written, field)), _short(getattr(decided, field))
    return f"{field} of {_tag(written)} is written as {old}, decided as {new}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
