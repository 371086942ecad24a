"""
The law without Kafka.

Sightings from their bytes through the enforcer's inputs and the fold on one core. News: three sightings of each server in
three hours, the last of which opens a case. No news: the same again. Memory is what a new process grows by while it folds
all of that of a million servers, with the books that the enforcer keeps of what it wrote.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.fresh import fresh
from bench.machine import resident_bytes
from bench.table import Row, Tell, rounds, single
from bench.world import PATCHED, opening, policy, sighting_of
from services.enforcer.books import Books
from services.enforcer.inputs import Inputs
from shared.domain.fold import Fold
from shared.domain.records import Sighting
from shared.domain.state import decision_of
from shared.messaging.codec import decode, encode
from shared.messaging.topics import SIGHTINGS

_ROUNDS = 5
_MILLION = 1_000_000
_A_TURN = 1_000  # servers


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    many, few = (_MILLION // 100, 500) if quick else (_MILLION, 5_000)
    tell("speed")
    news, repeats, decoding = [], [], []
    for _ in range(_ROUNDS):
        one_news, one_repeats, one_decoding = fresh(_rates, few)
        news.append(one_news)
        repeats.append(one_repeats)
        decoding.append(one_decoding)
    tell(f"memory with {many:,} servers, some minutes")
    grown, on_log, in_decisions = fresh(_sizes, many)
    once, once_on_log = fresh(_sizes_seen_once, many)
    return [
        rounds("news, sightings a second", news),
        rounds("no news, sightings a second", repeats),
        rounds("decoding a whole sighting, a second", decoding),
        single(
            "memory for servers with a case, GB",
            grown / 1e9,
            2,
            note=f"{many:,} servers",
            target="under 1",
            reached=grown < 1e9,
        ),
        single("memory for servers seen once and patched, GB", once / 1e9, 2, note=f"{many:,} servers"),
        single("memory, bytes a server with a case", grown / many),
        single("memory, bytes a server seen once and patched", once / many),
        single(
            "log, bytes a server with a case", on_log / many, note="its three sightings, its case, its first notice"
        ),
        single("log, bytes a server seen once", once_on_log / many),
        single(
            "decisions, bytes a server with a case",
            in_decisions / many,
            note="value without key; a server without a case has none",
        ),
    ]


def _began(at: datetime) -> Fold:
    fold = Fold(policy())
    fold.begin(at=at, version="bench")
    return fold


@dataclass
class _Stored:
    """A record as Kafka's client hands it over."""

    topic: str
    offset: int
    value: bytes | None
    partition: int = 0
    key: bytes | None = None


def _never_blind(_: datetime) -> bool:
    return False


class _Enforcer:
    """The enforcer but for Kafka: inputs, fold and books."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.fold = _began(at)
        self.inputs = Inputs(self.fold, prefix="", offsets={}, blind=_never_blind)
        self.books = Books()

    def turn(self, stored: list[_Stored]) -> int:
        """Decide and book *stored*; gives the bytes for the log."""
        written = self.inputs.decide(stored, at=self.at)
        self.books.changes(self.fold, written)
        return sum(len(of_it) for _, of_it in written)


def _records(sightings: Iterable[Sighting]) -> list[_Stored]:
    return [_Stored(SIGHTINGS, offset, encode(one)) for offset, one in enumerate(sightings)]


def _rates(servers: int) -> tuple[float, float, float]:
    at = datetime.now(UTC)
    inputs = _Enforcer(at).inputs
    hours = [at - timedelta(hours=back) for back in (2, 1, 0)]
    stored = _records(sighting_of(number, hour) for hour in hours for number in range(servers))
    began = time.perf_counter()
    for record in stored:
        decode(SIGHTINGS, record.value)
    decoding = time.perf_counter() - began
    news, repeats = _decide_s(inputs, stored, at), _decide_s(inputs, stored, at)
    return len(stored) / news, len(stored) / repeats, len(stored) / decoding


def _decide_s(inputs: Inputs, stored: list[_Stored], at: datetime) -> float:
    began = time.perf_counter()
    inputs.decide(stored, at=at)
    return time.perf_counter() - began


def _sizes(servers: int) -> tuple[int, int, int]:
    """Bytes in memory, on the log and in decisions, of all servers together."""
    at = datetime.now(UTC)
    one = _Enforcer(at)
    on_log = one.turn(_records(opening(0, at)))  # what is made once is made before memory is looked at
    before = resident_bytes()
    for first in range(1, servers, _A_TURN):
        some = range(first, min(servers, first + _A_TURN))
        on_log += one.turn(_records(sighting for number in some for sighting in opening(number, at)))
        _tell_how_far(some.stop, servers)
    grown = resident_bytes() - before
    in_decisions = sum(len(encode(it)) for server in one.fold.servers.values() if (it := decision_of(server)))
    return grown, on_log, in_decisions


def _sizes_seen_once(servers: int) -> tuple[int, int]:
    """Bytes in memory and on the log of servers that are patched, and have no case."""
    at = datetime.now(UTC)
    one = _Enforcer(at)
    on_log = one.turn(_records([sighting_of(0, at, PATCHED)]))
    before = resident_bytes()
    for first in range(1, servers, _A_TURN):
        some = range(first, min(servers, first + _A_TURN))
        on_log += one.turn(_records(sighting_of(number, at, PATCHED) for number in some))
        _tell_how_far(some.stop, servers)
    return resident_bytes() - before, on_log


def _tell_how_far(done: int, servers: int) -> None:
    if done % 100_000 < _A_TURN:
        print(f"  {done:,} of {servers:,} servers", file=sys.stderr, flush=True)
