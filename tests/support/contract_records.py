"""Real records of every kind, made by the parts that write them: fold, books, detector, edge, codec."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

import msgspec

from services.detector.core import Reader
from services.edge.core import Exemptions, decide, see
from services.enforcer.books import Books, request_record, state_of
from shared.domain.catalogue import load_catalogue
from shared.domain.fold import CHECKPOINT_EVERY
from shared.domain.policy import Caps, Protected
from shared.domain.records import (
    Act,
    AdoptPolicy,
    Contact,
    EdgeReport,
    Mark,
    Origin,
    PolicyRecord,
    SetFreeze,
    SignBlocking,
)
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.messaging.codec import dead_letter, encode
from tests.support.acts import acts_story
from tests.support.decisions import NOON, decision, line_2007, line_of, table_of
from tests.support.edge import message
from tests.support.scenario import FLOOR_2016, SERVER, START, World, policy_for, reading


class Stored(NamedTuple):
    """A record as it stands in a topic (name without prefix)."""

    topic: str
    key: bytes | None
    value: bytes


_OF_A_KIND = 20


@cache
def real_records() -> tuple[Stored, ...]:
    """Records of all topics, 20 of a kind at most; every kind is among them, and every event of the log."""
    counts: Counter[object] = Counter()
    kept = []
    for stored in (*_by_edge_and_detector(), *_by_people(), *_by_the_queue(), *_by_acts(), *_by_the_law()):
        value = msgspec.json.decode(stored.value)
        kind = (
            (value.get("type", ("server" in value, "account" in value)), value.get("event", {}).get("type"))
            if isinstance(value, dict)
            else ()
        )
        counts[stored.topic, kind] += 1
        if counts[stored.topic, kind] <= _OF_A_KIND:
            kept.append(stored)
    return tuple(kept)


# --- edge, detector, people ------------------------------------------------------------------------------------------


def _by_edge_and_detector() -> Iterator[Stored]:
    catalogue = load_catalogue()
    reader, origin = Reader(catalogue), Origin(topic=t.MAIL_EVIDENCE, partition=0, offset=7)
    mark = encode(Mark(edge="mx1", at=NOON, partition=1, of=4))
    for line in (line_of(), line_of("15.02.2562.053"), line_2007(), "from a by b with ESMTP; x"):
        seen = see(message(line), catalogue, now=NOON, edge="mx1")
        evidence = {"type": "mail-evidence.v1", "facts": seen.facts}
        yield Stored(t.MAIL_EVIDENCE, seen.facts.peer.encode(), msgspec.json.encode(evidence))
        yield Stored(t.SIGHTINGS, seen.facts.name.encode(), encode(reader.sighting_of(seen.facts, origin)))
    yield Stored(t.MAIL_EVIDENCE, None, mark)
    yield Stored(t.SIGHTINGS, None, mark)
    yield from _verdicts()
    report = EdgeReport(
        edge="mx1",
        at=NOON,
        started_at=START,
        version="0.1.0",
        counts={"pass_auth": 3},
        table_count=1,
        table_digest="0" * 32,
        heartbeat_seq=9,
        observing="",
    )
    yield Stored(t.EDGE_REPORTS, b"mx1", encode(report))
    yield Stored(t.DEAD_LETTERS, None, encode(dead_letter(_Torn(), reader="detector", cause="no JSON")))


def _verdicts() -> Iterator[Stored]:
    for observing in ("", "frozen"):
        asked = message(line_of())
        seen = see(asked, load_catalogue(), now=NOON, edge="mx1")
        outcome = decide(
            seen, asked, table_of([decision(block=60)]), now=NOON, observing=observing, exempt=Exemptions()
        )
        assert outcome.record is not None
        yield Stored(t.VERDICTS, outcome.record.server.encode(), encode(outcome.record))


def _by_people() -> Iterator[Stored]:
    ask = {"id": "request-01", "who": "ops", "why": "a test", "made_at": NOON}
    world = World()
    yield Stored(
        t.REQUESTS,
        None,
        encode(msgspec.convert({**ask, "type": "adopt-policy.v1", "policy": policy_for()}, AdoptPolicy)),
    )
    yield Stored(t.REQUESTS, None, encode(world.report("4-1", SERVER)))
    yield Stored(
        t.CONTROL, t.KEY_FREEZE, encode(SetFreeze(frozen=True, id="freeze-01", who="ops", why="", made_at=NOON))
    )
    yield Stored(t.CONTACTS, b"it", encode(Contact(id="it", address="it@branch.example", server=SERVER)))


class _Torn:
    topic = "patchgate.mail-evidence"
    partition = 0
    offset = 7
    key: bytes | None = b"192.0.2.9"
    value: bytes | None = b'{"type":"mail-ev\xff'


# --- the law ---------------------------------------------------------------------------------------------------------


def _by_the_queue() -> Iterator[Stored]:
    """Two cases, one of which is signed and waits for the cap."""
    world = World(policy_for(caps=Caps(newly_blocked_per_day=1, newly_blocked_percent_of_open_cases=0)))
    for name in ("ahead.example", "wait.example"):
        world.open_case(name=name, helo=name)
        world.ask_of_case(SignBlocking, f"{name}@192.0.2.7", stage=5)
    while not len(world.fold.queue):
        world.see(name="wait.example", helo="wait.example")
        world.see(name="ahead.example", helo="ahead.example")
        world.pass_time(timedelta(days=1), step=timedelta(hours=6))
    yield from _books_of(world, Books(), world.now)
    kinds = ("BlockingWaits", "BlockingSigned", "BlockingGranted")
    for record, stored in world.log:
        if type(record.event).__name__ in kinds:
            yield Stored(t.LOG, None, stored)


def _by_the_law() -> Iterator[Stored]:
    world, books = World(policy_for("observe")), Books()
    yield from _books_of(world, books, START)
    for told in _story(world):
        yield from _books_of(world, books, told)
    for _, stored in world.log:
        yield Stored(t.LOG, None, stored)


def _by_acts() -> Iterator[Stored]:
    told: list[Stored] = []
    books = Books()
    world = acts_story(lambda world: told.extend(_books_of(world, books, world.now)))
    yield from told
    for record, stored in world.log:
        yield Stored(t.LOG, None, stored)
        asked = getattr(record.event, "request", None)
        if isinstance(asked, Act):
            yield Stored(t.REQUESTS, None, encode(asked))


def _story(world: World) -> Iterator[datetime]:
    """A case from its opening in observe to its end, and what else there is; told after each chapter."""
    cured = reading(build=FLOOR_2016)
    world.open_case()
    clinics = Protected(title="Clinics", domains=("clinic.example",), connectors=("branch",))
    world.adopt(policy_for("enforce", version=2, protected=(clinics,)), "adopt-0002")
    yield world.now
    for _ in range(14):
        world.pass_time(timedelta(days=7), step=timedelta(days=1))
        yield world.now  # with notices that are due
        world.settle()
        world.see()
        yield world.now
    world.freeze("freeze-01", frozen=True)
    world.pass_time(timedelta(hours=30))
    yield world.now
    world.freeze("freeze-02", frozen=False)
    world.adopt(policy_for("observe", version=3), "adopt-0003")
    world.see(cured)
    yield world.now
    world.pass_time(timedelta(days=3))
    world.see(name="other.example")
    world.see(cured, name="other.example")
    yield world.now
    for number in range(CHECKPOINT_EVERY):  # no effect, and on record all the same
        world.freeze(f"again-{number:04d}", frozen=False)
    yield world.now


def _books_of(world: World, books: Books, at: datetime) -> Iterator[Stored]:
    """What the enforcer would write beside the log."""
    fold = world.fold
    for one in books.changes(fold, []):
        if one.value:
            yield Stored(one.topic, one.key, one.value)
    policy = encode(PolicyRecord(policy=fold.policy, exemptions=fold.reprieves.in_force()))
    yield Stored(t.DECISIONS, t.KEY_POLICY, policy)
    yield Stored(t.ENFORCER_STATE, t.KEY_POLICY, policy)
    beat = books.heartbeat(fold, at=at, policy_digest=fold.policy.digest)
    yield Stored(t.DECISIONS, t.KEY_HEARTBEAT, encode(beat))
    offsets = dict.fromkeys(t.INPUTS, 3)
    position = Position(offsets=offsets, law=fold.law, marks=(None, at), counts={"marks": 2})
    yield Stored(t.ENFORCER_STATE, t.KEY_POSITION, encode(position))
    asked = request_record("freeze-01", at)
    yield Stored(asked.topic, asked.key, asked.value or b"")
    for server in list(fold.servers.values())[:3]:
        state = state_of(server)
        yield Stored(state.topic, state.key, state.value or b"")
