"""
The inputs, decided one by one: decode, mark or decide, count. No Kafka and no clock of its own.

Of a sighting that only repeats what is on record, which most do, no more is read than tells that (`repeats.py`).

What cannot be read, or cannot be decided, becomes a dead letter and the loop goes on; unless something was written of it
already, for then the state is not what the log says, and the process must end.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from services.enforcer.partitions import Partitions
from shared.domain.errors import InvariantError, RecordSchemaError
from shared.domain.fold import Fold, Written
from shared.domain.records import DeadLetter, Mark, Origin
from shared.domain.repeats import glimpse
from shared.domain.state import Position, least_mark, note_mark
from shared.messaging import topics as t
from shared.messaging.codec import Stored, dead_letter, decode

MAX_INPUT_BYTES = 400_000
"""A policy that is asked for stands twice in its log record, which must stay below what the bus takes (900,000)."""

Blind = Callable[[datetime], bool]


class Inputs:
    """
    Decides inputs on a fold, and keeps what `position` says beside the law: offsets, marks, counts.

    prefix: of the topics. blind: whether H, being where it is, lags too far.
    """

    def __init__(
        self,
        fold: Fold,
        *,
        prefix: str,
        offsets: dict[str, int],
        marks: tuple[datetime | None, ...] = (),
        counts: dict[str, int] | None = None,
        blind: Blind,
    ) -> None:
        self.fold = fold
        self.offsets = dict(offsets)
        self.marks = marks
        self.counts = dict(counts or {})
        self.letters: list[DeadLetter] = []
        self._partitions = Partitions(len(marks))
        self._prefix = prefix
        self._blind = blind
        self._sightings = prefix + t.SIGHTINGS
        self._moved = True  # whether something may be due that was not: marks and what is written move the law

    def position(self) -> Position:
        """How far they have come."""
        return Position(offsets=dict(self.offsets), law=self.fold.law, marks=self.marks, counts=dict(self.counts))

    def decide(self, records: Iterable[Stored], *, at: datetime) -> list[Written]:
        """What follows from *records* in their order, and from the time until *at*."""
        # First the time: a hold must begin from H as it stood, before marks move it on.
        written = self.tick(at)
        for record in records:
            if not self._repeats(record, at, written):
                written += self._one(record, at)
        return written + self.tick(at)

    def take_letters(self) -> list[DeadLetter]:
        """The dead letters since the last call."""
        letters, self.letters = self.letters, []
        return letters

    def tick(self, at: datetime) -> list[Written]:
        """What is due."""
        self._moved = False
        return self.fold.tick(at=at, blind=self._blind(self.fold.law.h))

    def count(self, what: str) -> None:
        """One more of *what*, since ever."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def _repeats(self, record: Stored, at: datetime, written: list[Written]) -> bool:
        """Whether it is a sighting that is surely no news; then it is counted, and done with. What is due comes first."""
        value = record.value
        if record.topic != self._sightings or value is None or len(value) > MAX_INPUT_BYTES:
            return False
        seen = glimpse(value)
        if seen is None or seen.facts is None:
            return False
        if self._moved:
            written += self.tick(at)
        if not self.fold.repeats(seen, at=at):
            return False
        self.offsets[t.SIGHTINGS] = record.offset + 1
        self.count("sightings_no_news")
        return True

    def _one(self, record: Stored, at: datetime) -> list[Written]:
        topic = record.topic.removeprefix(self._prefix)
        self.offsets[topic] = record.offset + 1
        size = len(record.value or b"")
        if size > MAX_INPUT_BYTES:
            return self._refuse(record, f"{size} bytes; {MAX_INPUT_BYTES} is the bound of an input")
        try:
            message = decode(topic, record.value)
        except RecordSchemaError as error:
            return self._refuse(record, str(error))
        if isinstance(message, Mark):
            if message.partition >= message.of:
                return self._refuse(record, f"a mark of partition {message.partition} of {message.of}")
            self._note(message, at)
            return []
        written = self.tick(at) if self._moved else []
        seq = self.fold.law.seq
        try:
            taken = self.fold.take(message, Origin(topic=topic, partition=0, offset=record.offset), at=at)
        except InvariantError:
            raise
        except Exception as error:  # whatever a hostile value brings about must not stop the law for all others
            if self.fold.law.seq != seq:
                raise
            return written + self._refuse(record, f"cannot be decided: {type(error).__name__}: {error}")
        self._moved = bool(taken) and self.fold.is_due()  # H stands where it was
        self._count_taken(topic, news=bool(taken))
        return written + taken

    def _note(self, mark: Mark, at: datetime) -> None:
        # A mark of the future would let its partition never hold H back again.
        self._moved = True
        number = self._partitions.note(mark.of, at)
        self.marks = note_mark(self.marks, mark.partition, mark.of, min(mark.at, at))[:number]
        self.count("marks")
        h = least_mark(self.marks)
        if h is not None:
            self.fold.advance(h, at=at)

    def _count_taken(self, topic: str, *, news: bool) -> None:
        if topic == t.SIGHTINGS:
            self.count("sightings_news" if news else "sightings_no_news")
        else:
            self.count("requests")

    def _refuse(self, record: Stored, cause: str) -> list[Written]:
        self.letters.append(dead_letter(record, reader="enforcer", cause=cause))
        self.count("dead_letters")
        return []


def lost(topic: str, position: int, begin: int) -> DeadLetter:
    """The alarm that records were deleted before they were read. topic: full name."""
    return DeadLetter(
        origin=Origin(topic=topic, partition=0, offset=position),
        reader="enforcer",
        cause=f"evidence-lost: offsets {position} to {begin - 1} were deleted before they were read",
        key=b"",
        value=b"",
        bytes_in_all=0,
    )
