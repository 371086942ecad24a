"""Many worlds, one after another or on several processes, and what they counted together."""

import gc
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.model.world import World

WORLD_STEPS = 2500
"""Steps of one world: some five to seven weeks, in which cases open, are blocked, released and come back."""


class Failed(AssertionError):
    """A world in which something did not hold; the text tells how to see it again."""


def run_world(seed: int, steps: int) -> Counter[str]:
    """
    One world of *steps* steps; gives what it counted.

    Raises:
        Failed: something did not hold.
    """
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder))
        with world.time.installed():
            try:
                for _ in range(steps):
                    world.step()
            except Exception as error:
                raise Failed(f"{type(error).__name__}: {error}\n{describe(world)}") from error
    gc.collect()  # what a world leaves is much, and little of it is the collector's to count
    world.counts["steps"] = steps
    world.counts["cold starts"] = sum(edge.cold_starts for edge in world.edges)
    world.counts["readings from the beginning"] = sum(edge.loads for edge in world.edges)
    world.counts["records missed"] = sum(edge.missed for edge in world.edges)
    world.counts["minutes of the world"] = world.time.now // 60
    return world.counts


def run(steps: int, seed: int, *, jobs: int = 1) -> Iterator[Counter[str]]:
    """*steps* steps in worlds of seeds *seed*, *seed* + 1 and so on; gives each world's counts as they come."""
    lengths = [WORLD_STEPS] * (steps // WORLD_STEPS) + [steps % WORLD_STEPS]
    worlds = [(seed + number, length) for number, length in enumerate(lengths) if length]
    if jobs == 1:
        for world_seed, length in worlds:
            yield run_world(world_seed, length)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(run_world, *zip(*worlds, strict=True))
        except Failed:
            pool.shutdown(cancel_futures=True)
            raise


def describe(world: World) -> str:
    """What a failure must tell: how to see it again, and what happened last."""
    last = "\n".join(world.actions)
    return f"seed {world.seed}, step {world.steps}; again: python -m tests.model --seed {world.seed} --until {world.steps}\n{last}"
