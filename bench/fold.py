"""
The law without Kafka.

Sightings through the fold on one core, decoded from their bytes before the clock starts unless it says otherwise, each
with the tick before it as in the enforcer. News: three sightings of each server in three hours, the last of which opens
a case. No news: the same again. Memory is what a new process grows by while it decodes and folds all of that; the
figures for a million servers are reckoned from it, not measured.
"""

import time
from datetime import UTC, datetime, timedelta
from statistics import median

from bench.fresh import fresh
from bench.machine import resident_bytes
from bench.table import Row, Tell, rounds, single
from bench.world import PATCHED, SERVERS, opening, policy, sighting_of
from shared.domain.fold import Fold
from shared.domain.records import Origin, Sighting
from shared.domain.state import decision_of
from shared.messaging.codec import decode, encode
from shared.messaging.topics import SIGHTINGS

_ROUNDS = 5
_MILLION = 1_000_000


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    many, few = (SERVERS // 10, 500) if quick else (SERVERS, 5_000)
    tell("speed")
    news, repeats, decoding = [], [], []
    for _ in range(_ROUNDS):
        one_news, one_repeats, one_decoding = fresh(_rates, few)
        news.append(one_news)
        repeats.append(one_repeats)
        decoding.append(one_decoding)
    tell(f"memory with {many:,} servers")
    grown, on_log, in_decisions = fresh(_sizes, many)
    once, once_on_log = fresh(_sizes_seen_once, many)
    a_million = grown / many * _MILLION
    repeat_whole = 1 / (1 / median(repeats) + 1 / median(decoding))
    return [
        rounds("news, sightings a second", news),
        rounds("no news, sightings a second", repeats),
        rounds("decoding a sighting, a second", decoding),
        single("no news with decoding, a second", repeat_whole, note="by the two medians"),
        single("memory, bytes a server with a case", grown / many, note=f"{many:,} servers"),
        single(
            "memory for a million such servers, GB",
            a_million / 1e9,
            2,
            note=f"from {many:,}",
            target="under 1",
            reached=a_million < 1e9,
        ),
        single("memory, bytes a server seen once and patched", once / many, note=f"{many:,} servers"),
        single("memory for a million such servers, GB", once / many / 1e3, 2, note=f"from {many:,}"),
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


def _rates(servers: int) -> tuple[float, float, float]:
    at = datetime.now(UTC)
    fold = _began(at)
    stored = [
        encode(one)
        for back in (2, 1, 0)
        for number in range(servers)
        for one in (sighting_of(number, at - timedelta(hours=back)),)
    ]
    began = time.perf_counter()
    sightings: list[Sighting] = [decode(SIGHTINGS, value) for value in stored]
    decoding = time.perf_counter() - began
    return (
        len(stored) / _take_s(fold, sightings, at),
        len(stored) / _take_s(fold, sightings, at),
        len(stored) / decoding,
    )


def _take_s(fold: Fold, sightings: list[Sighting], at: datetime) -> float:
    cause = Origin(topic="sightings", partition=0, offset=0)
    began = time.perf_counter()
    for sighting in sightings:
        fold.tick(at=at, blind=False)
        fold.take(sighting, cause, at=at)
    return time.perf_counter() - began


def _sizes(servers: int) -> tuple[int, int, int]:
    """Bytes in memory, on the log and in decisions, of all servers together."""
    at = datetime.now(UTC)
    fold = _began(at)
    on_log = 0
    cause = Origin(topic="sightings", partition=0, offset=0)
    _ = list(opening(0, at))  # what is made once is made before memory is looked at
    before = resident_bytes()
    for number in range(servers):
        for sighting in opening(number, at):
            written = fold.tick(at=at, blind=False)
            written += fold.take(decode(SIGHTINGS, encode(sighting)), cause, at=at)
            on_log += sum(len(stored) for _, stored in written)
    on_log += sum(len(stored) for _, stored in fold.tick(at=at, blind=False))
    grown = resident_bytes() - before
    in_decisions = sum(len(encode(one)) for server in fold.servers.values() if (one := decision_of(server)))
    return grown, on_log, in_decisions


def _sizes_seen_once(servers: int) -> tuple[int, int]:
    """Bytes in memory and on the log of servers that are patched, and have no case."""
    at = datetime.now(UTC)
    fold = _began(at)
    on_log = 0
    cause = Origin(topic="sightings", partition=0, offset=0)
    _ = sighting_of(0, at, PATCHED)
    before = resident_bytes()
    for number in range(servers):
        written = fold.take(decode(SIGHTINGS, encode(sighting_of(number, at, PATCHED))), cause, at=at)
        on_log += sum(len(stored) for _, stored in written)
    return resident_bytes() - before, on_log
