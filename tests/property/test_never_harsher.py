"""The random world of `tests/model`: no edge is ever harsher than the policy was within the last `stale_after`."""

import multiprocessing
from collections import Counter

import pytest

from tests.model.run import Failed, run, run_world
from tests.model.world import World

STEPS = 100_000
SEED = 1

HAPPENED = (
    "outage of bus",
    "outage of enforcer",
    "outage of part0",
    "edge cut off",
    "edge's clock",
    "enforcer's clock",
    "freeze asked",
    "unfreeze asked",
    "local file",
    "cold starts",
    "readings from the beginning",
    "reading broke off",
    "records missed",
    "compaction",
    "imported",
    "broken mark",
    "HoldBegan",
    "HoldEnded",
    "PolicyAdopted",
    "CaseOpened",
    "CaseReleased",
    "CaseEnded",
    "BlockingGranted",
    "ClockStarted",
    "ClockStopped",
    "AccusationDropped",
    "probes: defer",
    "probes: reject",
    "probes: refused by the file of a start without the bus",
    "minutes counted",
    "passed, sampled: pass_observing",
    "passed, sampled: pass_no_verdict_possible",
)
"""What a run must have met, or it would say little."""


@pytest.mark.timeout(900)
def test_in_a_random_world_no_edge_is_harsher_than_the_policy() -> None:
    """Outages, holds, freezes, wrong clocks, policies that come and go, old files: each verdict is one that the policy allowed."""
    counts: Counter[str] = Counter()
    for found in run(STEPS, SEED, jobs=min(2, multiprocessing.cpu_count())):
        counts.update(found)
    assert counts["steps"] == STEPS
    assert not [what for what in HAPPENED if not counts[what]]
    # Neither all refused nor all passed: of the edges' minutes some hundredths had a refusal.
    assert 0.02 < counts["edge minutes with a refusal"] / counts["edge minutes"] < 0.5


def test_a_world_is_the_same_for_the_same_seed() -> None:
    """A failure replays: all counts agree, and those of another seed do not."""
    assert run_world(7, 300) == run_world(7, 300) != run_world(8, 300)


def test_what_does_not_hold_is_told_with_seed_step_and_last_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text names the line that sees it again."""

    def broken(world: World) -> None:
        world.steps += 1
        world.actions.append("the sky fell")
        raise AssertionError("harsher")

    monkeypatch.setattr(World, "step", broken)
    with pytest.raises(Failed, match=r"(?s)harsher.*--seed 7 --until 1\nthe sky fell"):
        run_world(7, 10)
