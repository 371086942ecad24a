"""The hypothesis machine: a policy's shape, then stretches of life; both laws must agree after each step of them."""

import random
from collections import Counter
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.second_law.life import STEP_BYTES, Life

STEPS_A_STRETCH = 100
stretches = st.binary(min_size=STEP_BYTES, max_size=STEP_BYTES * STEPS_A_STRETCH)
byte = st.integers(0, 255)


class LawMachine(RuleBasedStateMachine):
    """One life. lived: what all machines of a run counted."""

    lived: ClassVar[Counter[str]] = Counter()

    @initialize(shape=st.binary(min_size=4, max_size=4))
    def begins(self, shape: bytes) -> None:
        """An empty log under some policy."""
        self.life = Life(shape)

    @rule(steps=stretches)
    def live(self, steps: bytes) -> None:
        """Whatever the bytes say."""
        self.life.live(steps)

    @rule(seed=st.integers(0, 2**32), steps=st.integers(1, STEPS_A_STRETCH))
    def live_at_random(self, seed: int, steps: int) -> None:
        """A stretch with all kinds of steps in it, which short bytes seldom are."""
        self.life.live(random.Random(seed).randbytes(STEP_BYTES * steps))  # noqa: S311  (a test's)

    @rule(hours=byte)
    def age(self, hours: int) -> None:
        """Days of somebody who is seen daily, and told: so that cases come to block."""
        for _ in range(hours % 16):
            self.life.live(bytes((0, 6, 0, 1, 100, 0, 0, 0, 190, 0, 0, 0)))

    @rule(seed=st.integers(0, 2**32))
    def twin(self, seed: int) -> None:
        """Ticked and cut elsewhere, it is the same."""
        self.life.twin(random.Random(seed))  # noqa: S311  (a test's)

    def teardown(self) -> None:
        """Count what was lived."""
        if hasattr(self, "life"):
            self.lived.update(self.life.counts)
            self.lived.update(self.life.pair.kinds)
            self.lived["steps"] += self.life.steps
