"""Inputs decided one by one: what is read, counted, set aside, and when the process must stop instead."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import pytest

from services.enforcer.inputs import MAX_INPUT_BYTES, Inputs, lost
from shared.domain.errors import InvariantError
from shared.domain.fold import Fold, Input, Written
from shared.domain.records import Mark, Origin
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support import law
from tests.support.scenario import SERVER, START, policy_for

PREFIX = "p."


@dataclass
class Stored:
    """A record as Kafka's client hands it over."""

    topic: str
    offset: int
    value: bytes | None
    partition: int = 0
    key: bytes | None = None


def _never_blind(_: datetime) -> bool:
    return False


def _inputs(fold: Fold | None = None, blind: Callable[[datetime], bool] = _never_blind) -> Inputs:
    fold = fold or Fold(policy_for())
    fold.begin(at=START, version="test")
    return Inputs(fold, prefix=PREFIX, offsets=dict.fromkeys(t.INPUTS, 0), blind=blind)


def _records(*values: msgspec.Struct | bytes | None, topic: str = t.SIGHTINGS) -> list[Stored]:
    """Stored records of one topic, from offset 10 on."""
    return [
        Stored(PREFIX + topic, 10 + index, encode(value) if isinstance(value, msgspec.Struct) else value)
        for index, value in enumerate(values)
    ]


def _kinds(written: list[Written]) -> list[str]:
    return [type(record.event).__name__ for record, _ in written]


def test_an_input_is_the_cause_of_what_follows_from_it() -> None:
    """News carries its origin without the prefix, and the position moves behind the last record."""
    inputs = _inputs()
    written = inputs.decide(_records(*law.three_hours(START)), at=START)
    assert _kinds(written) == ["ServerSighted"] * 3 + ["CaseOpened", "NoticeDue"]
    assert [record.cause.offset if record.cause else None for record, _ in written] == [10, 11, 12, 12, None]
    assert written[0][0].cause == Origin(topic=t.SIGHTINGS, partition=0, offset=10)
    assert inputs.position().offsets == {t.SIGHTINGS: 13, t.REQUESTS: 0, t.CONTROL: 0}
    assert inputs.position().law == inputs.fold.law


def test_what_is_no_news_is_counted_and_moves_the_position() -> None:
    """A doubled sighting writes nothing, and is not read again."""
    inputs = _inputs()
    one = law.sighting(START)
    inputs.decide(_records(one), at=START)
    assert inputs.decide(_records(b"", one)[1:], at=START) == []
    assert inputs.position().counts == {"sightings_news": 1, "sightings_no_news": 1}
    assert inputs.position().offsets[t.SIGHTINGS] == 12


def test_h_moves_when_all_partitions_are_marked() -> None:
    """H is the least of the newest marks, and waits for each partition's first."""
    inputs = _inputs()
    later, latest = START + timedelta(hours=1), START + timedelta(hours=2)
    first, second = law.marks(later)
    inputs.decide(_records(first), at=latest)
    assert inputs.fold.law.h == START
    inputs.decide(_records(msgspec.structs.replace(second, at=latest)), at=latest)
    assert inputs.fold.law.h == later


def test_a_mark_of_the_future_lets_no_partition_off() -> None:
    """A mark beyond the enforcer's clock counts as of now: the next hour must be marked again."""
    inputs = _inputs()
    inputs.decide(_records(*law.marks(START + timedelta(days=300))), at=START)
    assert inputs.position().marks == (START, START)
    later = START + timedelta(hours=1)
    inputs.decide(_records(law.marks(later)[0]), at=later)
    assert inputs.fold.law.h == START


def test_a_hold_begins_from_h_as_it_stood() -> None:
    """After a long silence the first turn brings marks at once: the time in between is held all the same."""
    inputs = _inputs(blind=lambda h: h < START + timedelta(days=2))
    back = START + timedelta(days=3)
    written = inputs.decide(_records(*law.marks(back)), at=back)
    assert _kinds(written) == ["HoldBegan", "HoldEnded"]
    assert inputs.fold.law.held == timedelta(days=3)
    assert inputs.fold.law.now == START


def test_what_is_due_is_written_before_the_next_input() -> None:
    """A mark between two sightings brings a stage; it is logged between them."""
    inputs = _inputs()
    inputs.decide(_records(*law.three_hours(START), *law.marks(START)), at=START)
    late = START + timedelta(days=31)
    values = (*law.marks(late), law.sighting(late, name="other.example"))
    kinds = _kinds(inputs.decide(_records(*values), at=late))
    assert kinds.index("StageEntered") < kinds.index("ServerSighted")


@pytest.mark.parametrize(
    "value",
    [b"", None, b"\xff", b"{}", b'{"type":"mark.v1"}', encode(Mark(edge="e", at=START, partition=0, of=1))[:-1]],
)
def test_what_cannot_be_read_is_set_aside(value: bytes | None) -> None:
    """The dead letter names topic, offset and cause; the next record is taken."""
    inputs = _inputs()
    written = inputs.decide(_records(value, law.sighting(START)), at=START)
    assert _kinds(written) == ["ServerSighted"]
    (letter,) = inputs.take_letters()
    assert letter.origin == Origin(topic=PREFIX + t.SIGHTINGS, partition=0, offset=10)
    assert "not a record of sightings" in letter.cause
    assert (letter.value, inputs.counts["dead_letters"]) == (value or b"", 1)
    assert inputs.take_letters() == []


def test_an_input_too_large_for_the_log_is_set_aside_unread() -> None:
    """What could not be written back to the log must not be decided: it would stop every start."""
    inputs = _inputs()
    request = encode(law.adopt(law.enforced(), START))
    padded = request + b" " * (MAX_INPUT_BYTES + 1 - len(request))
    assert inputs.decide(_records(padded, topic=t.REQUESTS), at=START) == []
    (letter,) = inputs.take_letters()
    assert f"{MAX_INPUT_BYTES} is the bound" in letter.cause
    assert _kinds(inputs.decide(_records(padded[:-1], topic=t.REQUESTS), at=START)) == ["PolicyAdopted"]


class _Failing(Fold):
    """Fails on sightings of `bad.example`: before anything is written, or behind it."""

    def __init__(self, error: Exception, *, behind: bool) -> None:
        super().__init__(policy_for())
        self._error = error
        self._behind = behind

    def take(self, message: Input, cause: Origin, *, at: datetime) -> list[Written]:
        """As the fold, but for one name."""
        bad = getattr(message, "facts", None) is not None and message.facts.name == "bad.example"  # type: ignore[union-attr]  # sightings have them
        if bad and not self._behind:
            raise self._error
        taken = super().take(message, cause, at=at)
        if bad:
            raise self._error
        return taken


def test_what_cannot_be_decided_is_set_aside() -> None:
    """An error nobody thought of, before anything is written: an alarm, and all others get their law."""
    inputs = _inputs(_Failing(OverflowError("year 10000"), behind=False))
    bad = law.sighting(START, name="bad.example")
    written = inputs.decide(_records(bad, law.sighting(START)), at=START)
    assert _kinds(written) == ["ServerSighted"]
    assert list(inputs.fold.servers) == [SERVER]
    (letter,) = inputs.take_letters()
    assert letter.cause == "cannot be decided: OverflowError: year 10000"


@pytest.mark.parametrize(
    ("error", "behind"), [(OverflowError("x"), True), (InvariantError("x"), False), (InvariantError("x"), True)]
)
def test_a_state_that_may_be_wrong_stops_the_process(error: Exception, *, behind: bool) -> None:
    """Once something was written, or where we ourselves are wrong, nothing may be set aside."""
    inputs = _inputs(_Failing(error, behind=behind))
    with pytest.raises(type(error)):
        inputs.decide(_records(law.sighting(START, name="bad.example")), at=START)


def test_any_turns_make_the_same_log() -> None:
    """Inputs in one turn or each in its own: the same records, but for nothing."""
    values: list[msgspec.Struct | bytes] = [
        *law.three_hours(START),
        *law.marks(START),
        b"garbage",
        law.sighting(START, name="other.example"),
        *law.three_hours(START),
    ]
    whole, single = _inputs(), _inputs()
    at_once = whole.decide(_records(*values), at=START)
    one_by_one = [written for record in _records(*values) for written in single.decide([record], at=START)]
    assert at_once == one_by_one
    assert whole.position() == single.position()


def test_the_alarm_of_lost_evidence_tells_which_offsets() -> None:
    """Its dead letter has the first lost offset as origin."""
    letter = lost("p.sightings", 5, 9)
    assert letter.origin.offset == 5
    assert "offsets 5 to 8 were deleted" in letter.cause


def test_a_repeat_over_the_bound_is_set_aside_like_any_other() -> None:
    """Though nothing of it would have to be read."""
    inputs = _inputs()
    one = encode(law.sighting(START))
    assert inputs.decide(_records(one, one, one + b" " * MAX_INPUT_BYTES), at=START) != []
    assert inputs.position().counts == {"sightings_news": 1, "sightings_no_news": 1, "dead_letters": 1}


def test_what_a_repeat_holds_besides_is_not_read() -> None:
    """Where the same broken part stands in news, the record is set aside."""
    inputs = _inputs()
    one = encode(law.sighting(START))
    broken = one.replace(b'"edge":"mx1"', b'"edge":7')
    inputs.decide(_records(one, broken), at=START)
    assert inputs.position().counts == {"sightings_news": 1, "sightings_no_news": 1}
    inputs.decide(_records(broken.replace(b"ex07", b"ex08")), at=START)
    assert inputs.position().counts["dead_letters"] == 1
