"""The leader's work, in numbered steps: fence the predecessor, take up the state, heal the tables, then turn after turn."""

import asyncio
from itertools import islice

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.enforcer.books import Books, whole_state
from services.enforcer.commit import Committer
from services.enforcer.inputs import Inputs, lost
from services.enforcer.restore import Restored, check_offsets, read_shares, restore
from services.enforcer.setup import Setup
from services.enforcer.turns import FETCH_BYTES, Blindness, Turns
from shared.messaging import topics as t
from shared.messaging.kafka import new_producer, new_reader, running

_HEAL_RECORDS = 5_000  # a transaction while healing: a fraction of a second, where 30 s are allowed

Gone = dict[str, tuple[int, int]]


async def lead(setup: Setup, stop: asyncio.Event) -> None:
    """
    Lead until *stop* is set; the turn in hand ends first. Makes its own clients, and leaves none behind.

    Raises:
        PatchgateError: the process must end; the text says why and what to do.
        KafkaError: likewise; the broker did not do what it was asked.
    """
    bootstrap = setup.settings.bootstrap
    producer = new_producer(bootstrap, transactional_id=setup.prefix + "enforcer")
    reader = new_reader(bootstrap, fetch_bytes=FETCH_BYTES)
    # 1. Starting the producer fences the predecessor, and waits until what it left open is aborted.
    async with running(producer), running(reader):
        turns = await _take_up(setup, reader, Committer(setup, producer))
        while not stop.is_set():
            await turns.turn()


async def _take_up(setup: Setup, reader: AIOKafkaConsumer, committer: Committer) -> Turns:
    # 2. The state: read back, or folded from the log.
    restored = await restore(reader, setup.prefix)
    fold = restored.fold
    # 3. The position against what the inputs hold.
    gone = await check_offsets(reader, setup.prefix, restored.offsets, fresh=fold.is_empty)
    # 4. The tables, made what the state says.
    books = Books(fold.requests)
    healed = await _heal(setup, reader, committer, restored, books)
    setup.log.info("restored", rebuilt=restored.rebuilt, healed=healed, servers=len(fold.servers))
    # 5. On an empty log the rules and the shipped policy; else nothing but a position and a heartbeat.
    at = setup.clock.now()
    if not fold.is_empty:
        at = max(at, fold.law.at)
    inputs = _inputs(
        setup, restored, gone, Blindness(setup.clock, setup.settings.blind_after_s, until=at if gone else None)
    )
    turns = Turns(setup, reader, committer, inputs, books)
    await turns.commit(fold.begin(at=at, version=setup.version), at)
    # 6. The inputs, from the position on.
    turns.assign()
    setup.log.info("ready", leader=True, seq=fold.law.seq, h=fold.law.h.isoformat(), offsets=restored.offsets)
    return turns


async def _heal(setup: Setup, reader: AIOKafkaConsumer, committer: Committer, restored: Restored, books: Books) -> int:
    """In transactions of their own, without a position: after a crash in between the next start heals the rest."""
    found = await read_shares(reader, TopicPartition(setup.prefix + t.DECISIONS, 0))
    records = books.heal_decisions(restored.fold, found)
    if restored.rebuilt:
        records += whole_state(restored.fold, restored.state_keys)
    rest = iter(records)
    while chunk := list(islice(rest, _HEAL_RECORDS)):
        await committer.commit(chunk)
    return len(records)


def _inputs(setup: Setup, restored: Restored, gone: Gone, blind: Blindness) -> Inputs:
    inputs = Inputs(
        restored.fold,
        prefix=setup.prefix,
        offsets=restored.offsets,
        marks=restored.marks,
        counts=restored.counts,
        blind=blind,
    )
    for topic, (position, begin) in gone.items():
        setup.log.error("evidence_lost", topic=topic, position=position, begin=begin)
        inputs.letters.append(lost(setup.prefix + topic, position, begin))
        inputs.count("evidence_lost")
    return inputs
