"""Faults that strike the broker, what is written on it, and what an edge keeps for the time without it."""

import asyncio
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random

import msgspec
from aiokafka.errors import ProducerFenced

from services.edge import coldstart
from shared.domain.records import Heartbeat
from shared.messaging import topics as t
from shared.messaging.codec import decode, encode
from tests.faults import bus
from tests.faults.disk import Filler
from tests.faults.fault import FaultError, Inject
from tests.faults.processes import Service
from tests.faults.truth import STALE_AFTER_S
from tests.faults.world import DELETE_RETENTION_MS, PREFIX, World, until

_DIES_S = 20.0
_STARTS_S = 30.0
_CLEANED_S = 90.0  # Kafka's cleaner comes when it comes
_EVIDENCE_KEPT = 1000
"""Records a partition of `mail-evidence` that a detector without offsets reads again; the campaign's retention."""


async def restarted(world: World, _rng: Random) -> None:
    """The broker is stopped in order, and started."""
    await world.broker.stop()
    await world.broker.start()


async def killed(world: World, _rng: Random) -> None:
    """SIGKILL of the broker; it is started again at once."""
    await world.broker.kill()
    await world.broker.start()


def away(shortest_s: float, longest_s: float) -> Inject:
    """No broker for some seconds, killed or stopped."""

    async def inject(world: World, rng: Random) -> None:
        seconds, hard = rng.uniform(shortest_s, longest_s), rng.random() < 0.5
        world.drawn(f"{'killed' if hard else 'stopped'}, {seconds:.1f} s")
        await (world.broker.kill() if hard else world.broker.stop())
        await asyncio.sleep(seconds)
        await world.broker.start()

    return inject


async def frozen(world: World, rng: Random) -> None:
    """SIGSTOP of the broker for some seconds: connections stay, nothing answers."""
    seconds = rng.uniform(1.0, 4.0)
    world.drawn(f"{seconds:.1f} s")
    world.broker.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        world.broker.thaw()


async def disk_full(world: World, rng: Random) -> None:
    """Not a byte is left on the broker's disk, for a while; then there is room again, and the broker is started."""
    seconds = rng.uniform(0.5, 2.0)
    world.drawn(f"{seconds:.1f} s beyond the broker's end")
    filler = Filler(world.disk)
    try:
        await asyncio.to_thread(filler.fill)
        if not await world.broker.gone(_DIES_S):
            await world.broker.kill()
        await asyncio.sleep(seconds)
    finally:
        filler.free()
    await world.broker.start()


# --- transactions, groups, topics ----------------------------------------------------------------------------------


async def impostor(world: World, rng: Random) -> None:
    """Somebody else with the enforcer's transactional id begins, writes garbage into the enforcer's topics, and goes."""
    topics = rng.sample((t.LOG, t.DECISIONS, t.ENFORCER_STATE), rng.randint(1, 3))
    world.drawn(", ".join(topics))
    leader = await world.leader()
    life = leader.life  # it may be fenced, end and be started again before our own transaction is done
    records: dict[str, tuple[bytes | None, bytes]] = {
        PREFIX + topic: (b"stranger.example", b"garbage") for topic in topics
    }
    with suppress(ProducerFenced):  # the next leader may be quicker than we are
        await bus.leave_open(world.bootstrap, PREFIX + "enforcer", 30.0, records)
    if not await leader.has_died(_DIES_S, life=life):
        raise FaultError(f"{leader.name} goes on though another one has its transactional id")


async def left_open(world: World, rng: Random) -> None:
    """A stranger's transaction is left open until it times out: what stands behind it waits so long."""
    topics = rng.sample((t.MAIL_EVIDENCE, t.SIGHTINGS, t.DECISIONS, t.ENFORCER_STATE, t.LOG), rng.randint(1, 5))
    seconds = rng.uniform(1.0, 3.0)
    world.drawn(f"{', '.join(topics)}, {seconds:.1f} s")
    records: dict[str, tuple[bytes | None, bytes]] = {
        PREFIX + topic: (b"stranger.example", b"garbage") for topic in topics
    }
    await bus.leave_open(world.bootstrap, f"stranger-{rng.random()}", seconds, records)


async def offsets_deleted(world: World, rng: Random) -> None:
    """A group's offsets are gone, as after a week of silence: its service is down, the group is deleted, it starts again."""
    kind = rng.choice(("detector", "enforcer", "notifier"))
    world.drawn(kind)
    if kind == "detector":
        await bus.trim(world.bootstrap, PREFIX + t.MAIL_EVIDENCE, _EVIDENCE_KEPT)
    for service in world.of(kind):
        service.kill(hold=True)
    try:
        await bus.delete_group(world.bootstrap, PREFIX + kind)
    finally:
        for service in world.of(kind):
            service.start()


async def decisions_recreated(world: World, _rng: Random) -> None:
    """`decisions` is deleted and made again, empty, while everything runs."""
    more = {"delete.retention.ms": str(DELETE_RETENTION_MS)}
    await bus.make_anew(world.bootstrap, PREFIX, t.DECISIONS, more)
    world.watch.forget_decisions()


async def edge_past_retention(world: World, rng: Random) -> None:
    """
    An edge is away while a key is deleted and the deletion itself is cleaned away: it never hears of it.

    The key is a stranger's: somebody wrote a decision that blocks an innocent server; the next leader deletes it.
    """
    edge = rng.choice(world.of("edge"))
    world.drawn(edge.name)
    topic, key = PREFIX + t.DECISIONS, f"innocent-{rng.randint(0, 10**6)}.example"
    await bus.write_as_stranger(world.bootstrap, topic, key)
    await until(lambda: _has_noticed(world, edge.name), f"{edge.name} sees a stranger's decision", _DIES_S)
    edge.freeze()
    try:
        (await world.leader()).kill()
        await bus.set_config(world.bootstrap, PREFIX, t.DECISIONS, {"segment.ms": "100", "delete.retention.ms": "100"})
        deadline = time.monotonic() + _CLEANED_S
        while await bus.holds_key(world.bootstrap, topic, key.encode()):
            if time.monotonic() > deadline:
                raise FaultError("the deletion of a stranger's decision was not cleaned away in time")
            await asyncio.sleep(0.2)
    finally:
        edge.thaw()
        more = {"delete.retention.ms": str(DELETE_RETENTION_MS)}
        await bus.set_config(world.bootstrap, PREFIX, t.DECISIONS, more)


def _has_noticed(world: World, edge: str) -> bool:
    _, report = world.watch.reports.get(edge, (0.0, None))
    return report is not None and "differs" in report.observing


# --- a start without the broker --------------------------------------------------------------------------------------


def cold_start(damage: str) -> Inject:
    """An edge starts while the broker is away, from a file that is `good`, `torn` or `old`; then the broker comes back."""

    async def inject(world: World, rng: Random) -> None:
        edge = rng.choice(world.of("edge"))
        file = edge.state_dir / f"edge-{edge.name}.cold"
        await edge.stop(hold=True)
        world.drawn(f"{edge.name}, {_spoil(file, damage, rng, world)}")
        await world.broker.kill()
        try:
            said = edge.log_file.stat().st_size
            edge.start()
            await until(lambda: edge.ready_since(0.0), f"{edge.name} starts without the broker", _STARTS_S)
            await _must_judge(world, edge, said, by_file=damage == "good")
        finally:
            await world.broker.start()

    return inject


def _spoil(file: Path, damage: str, rng: Random, world: World) -> str:
    stored = file.read_bytes()
    if damage == "torn":
        end = rng.randrange(len(stored))
        file.write_bytes(stored[:end])
        return f"torn at byte {end} of {len(stored)}"
    if damage == "old":
        file.write_bytes(_aged(stored, world))
        return "of before stale_after"
    return "good"


def _aged(stored: bytes, world: World) -> bytes:
    """The file as it would be if its heartbeat were a minute older than may be obeyed."""
    content = msgspec.json.decode(stored.partition(b"\n")[2], type=coldstart.ColdStart)
    records = []
    for key, value in content.records:
        if key == t.KEY_HEARTBEAT:
            beat = decode(t.DECISIONS, value)
            assert isinstance(beat, Heartbeat)
            h = world.truth.utc(world.truth.real(beat.h) - STALE_AFTER_S - 60)
            records.append((key, encode(msgspec.structs.replace(beat, h=h))))
        else:
            records.append((key, value))
    body = msgspec.json.encode(msgspec.structs.replace(content, records=tuple(records)))
    return sha256(body).hexdigest().encode() + b"\n" + body


async def _must_judge(world: World, edge: Service, said: int, *, by_file: bool) -> None:
    """Every old server's mail passes where there is no file to go by; with one, its log says so, behind the *said* bytes of before."""
    for sender in list(world.population.live):
        answer = await world.traffic.ask(edge.name, world.population.letter(sender, plain=True))
        if answer.outcome != "accept" and not by_file:
            raise FaultError(f"{edge.name} has no table to go by, and answered {answer.outcome}: {answer.text}")
    # Not the log's end alone: on a slow machine hundreds of verdicts stand behind that line.
    if by_file and b'"event": "cold-start"' not in edge.log_file.read_bytes()[said:]:
        raise FaultError(f"{edge.name} has a good file, and did not start from it")
