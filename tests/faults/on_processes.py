"""Faults that strike services: killed, frozen, stopped, their clock moved."""

import asyncio
import time
from random import Random

from services.enforcer.setup import Step
from tests.faults.fault import FaultError, Inject
from tests.faults.processes import Service
from tests.faults.world import World, until

DIES_S = 15.0
_MINUTES_10, _DAYS_40 = 600.0, 40 * 86_400.0


def killed_behind(step: Step) -> Inject:
    """SIGKILL of the leader when *step* of its nth turn from now on is done."""

    async def inject(world: World, rng: Random) -> None:
        nth = rng.randint(1, 4)
        # Behind the sends, now and then a moment later: then the commit is in flight.
        delay_s = rng.choice((0.0, 0.001, 0.003)) if step is Step.SENT else 0.0
        world.drawn(f"turn {nth}" + (f", {delay_s * 1000:g} ms later" if delay_s else ""))
        leader = await world.leader()
        asked = leader.hands / "crash.new"
        asked.write_text(f"{int(step)}:{nth}:{delay_s}")
        asked.rename(leader.hands / "crash")  # at once, for it may look just now
        await _must_end(leader, "though it was to be killed at a step")

    return inject


async def _must_end(service: Service, why: str) -> None:
    if not await service.has_died(DIES_S):
        raise FaultError(f"{service.name} still runs after {DIES_S:.0f} s, {why}")


async def leader_killed(world: World, rng: Random) -> None:
    """SIGKILL of the leader, at any moment."""
    await asyncio.sleep(rng.uniform(0.0, 0.2))
    leader = await world.leader()
    world.drawn(leader.name)
    leader.kill()


async def standby_killed(world: World, rng: Random) -> None:
    """SIGKILL of an enforcer that does not lead; the leader, where there is no other."""
    leader = await world.leader()
    others = [one for one in world.of("enforcer") if one is not leader] or [leader]
    chosen = rng.choice(others)
    world.drawn(chosen.name)
    chosen.kill()


def killed(kind: str) -> Inject:
    """SIGKILL of one service of *kind*."""

    async def inject(world: World, rng: Random) -> None:
        chosen = rng.choice(world.of(kind))
        world.drawn(chosen.name)
        chosen.kill()

    return inject


async def all_killed(world: World, rng: Random) -> None:
    """SIGKILL of every service, in any order: the machine's power, but for the broker."""
    order = rng.sample(world.services, len(world.services))
    world.drawn(", ".join(service.name for service in order))
    for service in order:
        service.kill()


async def leader_stopped(world: World, _rng: Random) -> None:
    """SIGTERM of the leader; it must end in order, and is started again."""
    leader = await world.leader()
    world.drawn(leader.name)
    code = await leader.stop(hold=True)
    leader.start()
    if code:
        raise FaultError(f"{leader.name} ended with {code} when told to stop")


def frozen(kind: str, shortest_s: float, longest_s: float) -> Inject:
    """SIGSTOP of one service of *kind* (of the enforcers: the leader) for some seconds, then SIGCONT."""

    async def inject(world: World, rng: Random) -> None:
        seconds = rng.uniform(shortest_s, longest_s)
        chosen = await world.leader() if kind == "enforcer" else rng.choice(world.of(kind))
        world.drawn(f"{chosen.name}, {seconds:.1f} s")
        chosen.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            chosen.thaw()

    return inject


# --- clocks --------------------------------------------------------------------------------------------------------


def _skew(rng: Random, least_s: float) -> float:
    return rng.choice((-1, 1)) * least_s * rng.uniform(1.0, 1.2)


def leader_clock_off(least_s: float) -> Inject:
    """The leader's clock jumps; it must end before a wrong date becomes law, and cannot lead until it is set right."""

    async def inject(world: World, rng: Random) -> None:
        skew_s = _skew(rng, least_s)
        leader = await world.leader()
        world.drawn(f"{leader.name}, {skew_s:+.0f} s")
        (leader.hands / "skew").write_text(str(skew_s))
        try:
            await _must_end(leader, f"though its clock is {skew_s:+.0f} s off")
            await asyncio.sleep(rng.uniform(0.0, 1.5))
        finally:
            (leader.hands / "skew").unlink()

    return inject


def edge_clock_off(least_s: float) -> Inject:
    """An edge's clock jumps; it must only observe from the next heartbeat on, until it is set right."""

    async def inject(world: World, rng: Random) -> None:
        skew_s = _skew(rng, least_s)
        edge = rng.choice(world.of("edge"))
        world.drawn(f"{edge.name}, {skew_s:+.0f} s")
        began = time.time()
        (edge.hands / "skew").write_text(str(skew_s))
        try:
            await until(lambda: _observes(world, edge.name, began), f"{edge.name} says that it only observes", DIES_S)
            await asyncio.sleep(rng.uniform(0.5, 2.5))
        finally:
            world.skewed.append((edge.name, began, time.time()))  # set right, it is believed at once
            (edge.hands / "skew").unlink()

    return inject


def _observes(world: World, edge: str, since: float) -> bool:
    at, report = world.watch.reports.get(edge, (0.0, None))
    return report is not None and at > since and bool(report.observing)


LEADER_CLOCK_10_MINUTES = leader_clock_off(_MINUTES_10)
LEADER_CLOCK_40_DAYS = leader_clock_off(_DAYS_40)
EDGE_CLOCK_10_MINUTES = edge_clock_off(_MINUTES_10)
EDGE_CLOCK_40_DAYS = edge_clock_off(_DAYS_40)
