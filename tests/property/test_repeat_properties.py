"""Repeats are told without deciding them: with that and without, the same records make the same log, byte for byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.enforcer.inputs import Inputs
from shared.domain.build import Build
from shared.domain.floors import FloorWave
from shared.domain.fold import Fold
from shared.domain.policy import Policy
from shared.domain.repeats import Glimpse
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support import law
from tests.support.acts import ANY, any_act
from tests.support.scenario import (
    E2007,
    E2016,
    FLOOR_2016,
    NAME,
    START,
    policy_for,
    reading,
    stored_servers,
    taken_over,
)

NEWEST_2016 = Build(15, 1, 2507, 75)
READINGS = (
    reading(),
    reading(),  # most sightings say the same
    reading(build=FLOOR_2016),
    reading(build=NEWEST_2016),
    reading(build=Build(15, 1, 2507, 6), high=FLOOR_2016),
    reading(E2007, None),
)
WHO: tuple[dict[str, Any], ...] = (
    {},  # by HELO
    {"client_name": NAME, "client_resolve": "ok"},  # verified, and by HELO
    {"peer": "198.51.100.7"},  # by connector, and by HELO
    {"peer": "198.51.100.7", "imported": True},
    {"client_resolve": "tempfail"},
    {"helo": "other.example"},  # untied
)


@dataclass
class Record:
    """As Kafka's client hands it over."""

    topic: str
    offset: int
    value: bytes | None
    partition: int = 0
    key: bytes | None = None


class Deciding(Fold):
    """A fold that knows no repeats: all is decided."""

    def repeats(self, glimpse: Glimpse, *, at: Any) -> bool:
        """Never."""
        _ = glimpse, at
        return False


class Counting(Fold):
    """The fold as it is, with a count of what it told without deciding."""

    told = 0

    def repeats(self, glimpse: Glimpse, *, at: Any) -> bool:
        """As it is."""
        told = super().repeats(glimpse, at=at)
        Counting.told += told
        return told


Terms = Literal["as shipped", "higher tomorrow", "lower", "renamed"]


def _policy(version: int, mode: str, terms: Terms) -> Policy:
    """A policy, as shipped, or with one more floor (from START's tomorrow, or long ago), or with the internet renamed."""
    plain = policy_for(mode, version)
    if terms == "renamed":
        internet, *others = plain.connectors
        return msgspec.structs.replace(plain, connectors=(msgspec.structs.replace(internet, name="wan"), *others))
    if terms == "as shipped":
        return plain
    effective, least = (1, NEWEST_2016) if terms == "higher tomorrow" else (0, Build(15, 1, 2507, 6))
    day = (START + timedelta(days=effective)).date()
    wave = FloorWave(product=E2016, effective=day, builds=(least,), source="test")
    return msgspec.structs.replace(plain, floors=(*plain.floors, wave))


sightings = st.tuples(
    st.just("see"),
    st.sampled_from(READINGS),
    st.sampled_from(WHO),
    st.sampled_from([0, 0, 0, 0, 1, 3, 25, 80, -2]),  # hours that it is late; -2: of the future
)
steps = st.one_of(
    sightings,
    sightings,
    sightings,
    st.tuples(st.just("pass"), st.sampled_from([1, 20, 60, 60, 300, 1440, 60 * 24 * 40])),  # minutes
    st.tuples(st.just("marks")),
    st.tuples(st.just("adopt"), st.sampled_from(["observe", "enforce"]), st.sampled_from(get_args(Terms))),
    st.tuples(st.just("freeze"), st.booleans()),
    st.tuples(st.just("act"), st.sampled_from(ANY), st.integers(0, 1000)),
    st.tuples(st.just("turn")),
    st.tuples(st.just("restart")),
)


class Enforcer:
    """The inputs of one enforcer; `restart` goes on from its state."""

    def __init__(self, kind: type[Fold]) -> None:
        self.kind = kind
        self.now = START
        self.blind_after = timedelta(hours=1)
        self.log: list[bytes] = []
        self.inputs = self._over(kind(policy_for()))
        self.inputs.fold.begin(at=START, version="test")

    def _over(self, fold: Fold, counts: dict[str, int] | None = None) -> Inputs:
        return Inputs(
            fold,
            prefix="p.",
            offsets={},
            counts=counts,
            blind=lambda h: self.now - h > self.blind_after,
        )

    def restart(self) -> None:
        """Take up what was stored."""
        old = self.inputs
        fold = self.kind(old.fold.policy, old.fold.law)
        fold.restore(stored_servers(old.fold.servers), old.fold.requests, taken_over(old.fold.reprieves))
        marks = old.marks
        self.inputs = self._over(fold, old.counts)
        self.inputs.marks = marks

    def act(self, number: int, what: str, which: int) -> Record:
        """An act about what is there now, handed in with the next turn."""
        asked = any_act(self.inputs.fold, what, which, id=f"act-{number:06}", who="ops", why="test", made_at=self.now)
        return Record("p." + t.REQUESTS, number, encode(asked))

    def turn(self, records: list[Record]) -> None:
        """Decide them at once."""
        self.log += [stored for _, stored in self.inputs.decide(records, at=self.now)]


def _live(kind: type[Fold], life: Sequence[Any]) -> Enforcer:
    one = Enforcer(kind)
    waiting: list[Record] = []
    version = 1
    for number, (what, *more) in enumerate(life):
        if what == "see":
            seen_at = one.now - timedelta(hours=more[2])
            waiting.append(Record("p." + t.SIGHTINGS, number, encode(law.sighting(seen_at, more[0], **more[1]))))
        elif what == "marks":
            waiting += [Record("p." + t.SIGHTINGS, number, encode(mark)) for mark in law.marks(one.now)]
        elif what == "adopt":
            version += 1
            asked = law.adopt(_policy(version, more[0], more[1]), one.now, f"request-{number:04}")
            waiting.append(Record("p." + t.REQUESTS, number, encode(asked)))
        elif what == "freeze":
            asked_freeze = law.freeze(one.now, f"freeze-{number:04}", frozen=more[0])
            waiting.append(Record("p." + t.CONTROL, number, encode(asked_freeze)))
        else:
            one.turn(waiting)
            waiting = [one.act(number, *more)] if what == "act" else []
            if what == "pass":
                one.now += timedelta(minutes=more[0])
            elif what == "restart":
                one.restart()
            elif what == "patience":
                one.blind_after = timedelta(days=100)
    one.turn(waiting)
    return one


def _same(life: Sequence[Any]) -> None:
    told, decided = _live(Counting, life), _live(Deciding, life)
    assert told.inputs.fold.reprieves.digest() == decided.inputs.fold.reprieves.digest()
    assert told.log == decided.log
    assert told.inputs.fold.digest() == decided.inputs.fold.digest()
    assert told.inputs.position() == decided.inputs.position()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=10, max_size=60))
def test_what_is_told_without_deciding_is_what_deciding_tells(life: list[Any]) -> None:
    """Log, state and counts are the same, whatever was seen, adopted, frozen or restarted in between."""
    _same(life)


OLD, PATCHED = reading(), reading(build=FLOOR_2016)
VERIFIED: dict[str, Any] = {"client_name": NAME, "client_resolve": "ok"}
HOUR, DAY, MARKS = ("pass", 60), ("pass", 1440), ("marks",)
OPEN: list[Any] = [("see", OLD, {}, 2), ("see", OLD, {}, 1), ("see", OLD, {}, 0)]


@pytest.mark.parametrize(
    "life",
    [
        [
            ("see", PATCHED, VERIFIED, 0),
            ("see", PATCHED, VERIFIED, 0),
            ("see", OLD, {}, 0),
            ("see", PATCHED, VERIFIED, 0),
        ],
        [*OPEN, ("see", OLD, {}, 0), DAY, MARKS, ("see", OLD, {}, 0), ("see", OLD, {}, 0)],
        [("see", OLD, {}, 0), ("see", OLD, {}, 0), HOUR, MARKS, ("see", OLD, {}, 0), ("see", OLD, {}, 0)],
        [("see", OLD, {}, 0), ("see", OLD, {}, 0), ("see", OLD, {}, 25)],
        [
            ("see", PATCHED, {}, 0),
            ("see", PATCHED, {}, 0),
            ("adopt", "enforce", "higher tomorrow"),
            ("turn",),
            DAY,
            ("see", PATCHED, {}, 0),
        ],
        [
            ("adopt", "enforce", "higher tomorrow"),
            ("see", PATCHED, {}, 0),
            ("see", PATCHED, {}, 0),
            DAY,
            ("see", PATCHED, {}, 0),
        ],
        [("see", OLD, {}, 0), ("see", OLD, {}, 0), ("see", PATCHED, {}, 0), ("see", OLD, {}, 0)],
        [("see", OLD, {}, 0), ("see", OLD, {}, 0), ("adopt", "enforce", "lower"), ("turn",), ("see", OLD, {}, 0)],
        [("see", OLD, {}, 0), ("see", OLD, {}, 0), ("adopt", "enforce", "renamed"), ("turn",), ("see", OLD, {}, 0)],
        [("patience",), *OPEN, MARKS, ("see", OLD, {}, 0), ("pass", 60 * 24 * 60), MARKS, ("see", OLD, {}, 24 * 60)],
        [*OPEN, ("see", OLD, {}, 0), ("see", PATCHED, {}, 0), ("see", PATCHED, {}, 0), ("see", PATCHED, {}, 0)],
        [("see", OLD, {}, 1), ("see", PATCHED, VERIFIED, 0), ("see", OLD, VERIFIED, 1), ("see", PATCHED, VERIFIED, 0)],
        [("see", OLD, VERIFIED, 0), ("see", OLD, VERIFIED, 0), ("see", OLD, {"peer": "198.51.100.7"}, 0)],
        [("see", PATCHED, {}, 0), ("see", OLD, {}, 1), ("restart",), ("see", PATCHED, {}, 0), ("see", PATCHED, {}, 0)],
    ],
)
def test_lives_in_which_a_repeat_would_be_wrong(life: list[Any]) -> None:
    """Another id is accused, a day or an hour begins, a floor takes effect, a case expires meanwhile, a cure counts."""
    _same(life)


def test_repeats_are_told() -> None:
    """The lives above do have repeats: of five sightings alike, the last three are told, of an old server and a new one."""
    for what in (reading(), reading(build=FLOOR_2016), reading(build=Build(15, 1, 2507, 6), high=FLOOR_2016)):
        before = Counting.told
        see: tuple[Any, ...] = ("see", what, {}, 0)
        _live(Counting, [see, see, see, see, see])
        assert Counting.told - before >= 3
