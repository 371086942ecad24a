"""Many lives of one seed."""

import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator

from tests.second_law.life import STEP_BYTES, Life

STEPS_A_LIFE = 600
LIVES_A_TWIN = 5
LIVES_HELPED = 3


class Failed(AssertionError):
    """Something did not hold; the text says how to see it again."""


def run(steps: int, seed: int, jobs: int = 1) -> Iterator[Counter[str]]:
    """Lives of *seed* and those after it, until there were so many steps; in *jobs* processes."""
    lengths = [min(STEPS_A_LIFE, steps - done) for done in range(0, steps, STEPS_A_LIFE)]
    lives = [(seed + number, length) for number, length in enumerate(lengths)]
    if jobs == 1:
        yield from map(_run_life, lives)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(_run_life, lives)


def _run_life(life: tuple[int, int]) -> Counter[str]:
    return run_life(*life)


def run_life(seed: int, steps: int) -> Counter[str]:
    """The life of one seed."""
    drawn = random.Random(seed)  # noqa: S311  (a test's)
    shape = bytes(drawn.choice((0, 0, drawn.randrange(256))) for _ in range(3)) + bytes((seed % 4,))
    life = Life(shape)
    try:
        life.live(drawn.randbytes(STEP_BYTES * steps))
        if seed % LIVES_A_TWIN == 0:
            life.twin(drawn)
            life.counts["twins"] += 1
        if seed % LIVES_HELPED == 0:
            life.helped(drawn)
    except Exception as error:
        last = "\n".join(life.words)
        raise Failed(
            f"{type(error).__name__}: {error}\nshape {shape!r} --seed {seed} --until {life.steps}\n{last}"
        ) from error
    life.counts.update(life.pair.kinds)
    life.counts["steps"] += life.steps
    return life.counts
