"""The law and its second reading, side by side: `tests/second_law`."""

import multiprocessing
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.second_law.machine import LawMachine
from tests.second_law.run import Failed, run

STEPS = 85_000
SEED = 1

HAPPENED = (
    "log: adopted",
    "log: dropped",
    "log: ended",
    "log: granted",
    "log: hold",
    "log: hold over",
    "log: notice",
    "log: opened",
    "log: released",
    "log: settled",
    "log: stage",
    "log: started",
    "log: stopped",
    "log: acknowledged",
    "log: exempt",
    "log: exempt over",
    "log: held",
    "log: lifted",
    "log: mixed",
    "log: moved",
    "log: pause",
    "log: pause over",
    "log: signed",
    "log: waits",
    "log: went on",
    "twins",
)
"""What a run must have met, or it would say little."""


@pytest.mark.timeout(900)
def test_both_laws_say_the_same_in_lives_of_fixed_seeds() -> None:
    """Sightings, requests, outages and clock steps at random: same log, same decisions, and what must always hold."""
    counts: Counter[str] = Counter()
    for found in run(STEPS, SEED, jobs=min(2, multiprocessing.cpu_count())):
        counts.update(found)
    assert counts["steps"] == STEPS
    assert not [what for what in HAPPENED if not counts[what]]


@pytest.mark.timeout(900)
def test_both_laws_say_the_same_in_whatever_hypothesis_draws() -> None:
    """The machine: more than 15,000 steps."""
    LawMachine.lived.clear()
    plain = settings(
        max_examples=120,
        derandomize=True,
        stateful_step_count=12,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(LawMachine, settings=plain)
    assert LawMachine.lived["steps"] > 15_000


def test_what_differs_is_told_with_seed_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text names the line that sees it again, and the last steps in words."""
    monkeypatch.setattr("tests.second_law.sighting.NEWS_A_HOUR", 1)
    with pytest.raises(Failed, match=r"(?s)LawsDiffer.*--seed \d+ --until \d+\n.*see "):
        list(run(20_000, SEED))
