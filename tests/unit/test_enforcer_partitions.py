"""How many partitions are believed, and what a mark of none of them does to H."""

from datetime import datetime, timedelta

from services.enforcer.inputs import Inputs
from services.enforcer.partitions import SAID_FOR, Partitions
from shared.domain.fold import Fold
from shared.domain.records import Mark
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support import law
from tests.support.edge import StoredRecord
from tests.support.scenario import START, policy_for

MINUTE = timedelta(minutes=1)


class SightingRecord(StoredRecord):
    """A record of `sightings`."""

    topic: str = t.SIGHTINGS
    partition: int = 0


def inputs() -> Inputs:
    """Inputs of an enforcer that has just begun."""
    fold = Fold(policy_for())
    fold.begin(at=START, version="test")
    return Inputs(fold, prefix="", offsets=dict.fromkeys(t.INPUTS, 0), blind=lambda _: False)


def take(taker: Inputs, marks: list[Mark], at: datetime) -> datetime:
    """Take *marks* at *at*; gives H."""
    taker.decide([SightingRecord(None, encode(mark)) for mark in marks], at=at)
    return taker.fold.law.h


def test_a_mark_of_ten_thousand_partitions_holds_h_back_for_an_hour_and_not_for_ever() -> None:
    """While it is believed nothing falls due; when all marks have said two for over an hour, two is believed."""
    taker = inputs()
    forged = Mark(edge="mx9", at=START, partition=1, of=10_000)
    assert take(taker, [*law.marks(START), forged], START) == START
    for minutes, h in ((1, 0), (60, 0), (61, 0), (62, 62)):
        at = START + minutes * MINUTE
        assert take(taker, law.marks(at), at) == START + h * MINUTE
    assert len(taker.marks) == 2


def test_an_edge_that_has_not_heard_of_a_new_partition_does_not_let_h_run_ahead() -> None:
    """While one edge says three, two marked partitions are not enough, however often another says two."""
    taker = inputs()
    for minute in range(0, 200, 10):
        at = START + minute * MINUTE
        knows = Mark(edge="mx2", at=at, partition=0, of=3)
        assert take(taker, [knows, *law.marks(at)], at) == START
    at = START + 200 * MINUTE
    assert take(taker, law.marks(at, partitions=3), at) == at


def test_a_mark_of_a_partition_that_it_says_is_not_there_is_set_aside() -> None:
    """It would make the table of marks as long as its number; it becomes a dead letter."""
    taker = inputs()
    take(taker, [Mark(edge="mx9", at=START, partition=10**9, of=2)], START)
    assert (len(taker.marks), taker.counts) == (0, {"dead_letters": 1})


def test_what_a_position_knew_is_believed_for_an_hour_after_the_restart() -> None:
    """Four partitions were known; marks of two let H stand until nobody has said four for an hour."""
    partitions = Partitions(4)
    assert partitions.note(2, START) == 4
    assert partitions.note(2, START + SAID_FOR) == 4
    assert partitions.note(2, START + SAID_FOR + MINUTE) == 2


def test_a_silence_makes_nobody_believe_less() -> None:
    """An hour counts from the first mark that says less, not from the last one that said more."""
    partitions = Partitions(0)
    assert partitions.note(4, START) == 4
    assert partitions.note(2, START + 10 * SAID_FOR) == 4
    assert partitions.note(3, START + 11 * SAID_FOR) == 4
    assert partitions.note(2, START + 11 * SAID_FOR + MINUTE) == 3


def test_more_is_believed_at_once() -> None:
    """And the hour of those who say less begins anew."""
    partitions = Partitions(2)
    assert partitions.note(1, START) == 2
    assert partitions.note(2, START + SAID_FOR) == 2
    assert partitions.note(1, START + SAID_FOR + MINUTE) == 2
    assert partitions.note(5, START + SAID_FOR + MINUTE) == 5
