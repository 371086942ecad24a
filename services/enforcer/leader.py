"""The leader's work, in numbered steps: fence the predecessor, take up the state, heal the tables, then turn after turn."""

import asyncio
import gc
from collections.abc import Coroutine
from itertools import islice

from aiokafka import AIOKafkaConsumer

from services.enforcer.books import Books, whole_state
from services.enforcer.commit import Committer
from services.enforcer.follow import Follower
from services.enforcer.inputs import Inputs, lost
from services.enforcer.restore import Restored, check_offsets, restore
from services.enforcer.setup import Setup
from services.enforcer.turns import FETCH_BYTES, Blindness, Turns
from shared.domain.errors import TransientError
from shared.messaging.kafka import new_producer, new_reader, running

_HEAL_RECORDS = 5_000  # a transaction while healing: a fraction of a second, where 30 s are allowed

_CANCELS, _CANCEL_S = 3, 1.0
_TURN_S = 30.0  # the broker gives up a transaction after as long (`transaction_timeout_ms`): what comes later is fenced

Gone = dict[str, tuple[int, int]]


async def lead(setup: Setup, follower: Follower, stop: asyncio.Event) -> None:
    """
    Lead until *stop* is set; the turn in hand ends first. Makes its own clients, and leaves none behind.

    follower: has the state, or as much of it as there was time to read.

    Raises:
        PatchgateError: the process must end; the text says why and what to do.
        KafkaError: likewise; the broker did not do what it was asked.
    """
    bootstrap = setup.settings.bootstrap
    producer = new_producer(bootstrap, transactional_id=setup.prefix + "enforcer")
    reader = new_reader(bootstrap, fetch_bytes=FETCH_BYTES)
    # 1. Starting the producer fences the predecessor, and waits until what it left open is aborted.
    async with running(producer), running(reader):
        turns = await _take_up(setup, follower, reader, Committer(setup, producer))
        gc.freeze()  # the state stays: the collector need not walk it again and again
        while not stop.is_set():
            await _bounded(turns.turn())


async def _bounded(turn: Coroutine[None, None, None]) -> None:
    """A leader that is cut off must not wait for ever to write what nobody would take from it any more."""
    task = asyncio.ensure_future(turn)
    done, _ = await asyncio.wait({task}, timeout=_TURN_S)
    if done:
        task.result()
        return
    for _ in range(_CANCELS):  # the first one makes it abort its transaction, for which it waits again
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_S)
    raise TransientError(
        f"the broker has not answered for {_TURN_S:.0f} s, and another enforcer may have taken over: this one ends; nothing is lost"
    )


async def _take_up(setup: Setup, follower: Follower, reader: AIOKafkaConsumer, committer: Committer) -> Turns:
    # 2. The state: the copy read to its end, or, where that is not the log's, folded from the log.
    copy = await follower.hand_over()
    restored = await restore(copy.state, reader, setup.prefix)
    fold = restored.fold
    # 3. The position against what the inputs hold.
    gone = await check_offsets(reader, setup.prefix, restored.offsets, fresh=fold.is_empty)
    # 4. The tables, made what the state says.
    books = Books(fold.requests, leader=setup.instance)
    healed = await _heal(committer, restored, books, copy.shares)
    setup.log.info(
        "restored",
        rebuilt=restored.rebuilt,
        healed=healed,
        servers=len(fold.servers),
        read_last=follower.read_last,
    )
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


async def _heal(committer: Committer, restored: Restored, books: Books, found: dict[bytes, int]) -> int:
    """In transactions of their own, without a position: after a crash in between the next start heals the rest."""
    # In a thread, for a million servers take seconds, and the group's heartbeats must go on meanwhile.
    records = await asyncio.to_thread(books.heal_decisions, restored.fold, found)
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
