"""Kill -9 at each numbered step of a turn; afterwards a separate check refolds the log and compares everything."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from services.enforcer.setup import Step
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support import enforcers, law
from tests.support.law_check import check_law

pytestmark = [pytest.mark.broker, pytest.mark.crash]

SERVERS = 30
PACE_S = 0.04  # between two batches, so that there are many turns to be killed in


def _batches(now: datetime) -> Iterator[list[tuple[str, bytes]]]:
    """What comes in while the enforcer dies: three hours of each server, doubles, marks, a request, a freeze, garbage."""
    yield [(t.REQUESTS, encode(law.adopt(law.enforced(), now)))]
    for number in range(SERVERS):
        three = law.three_hours(now, name=f"s{number}.example")
        batch = [
            (t.SIGHTINGS, encode(one)) for one in [*three, three[0], *law.marks(now + timedelta(milliseconds=number))]
        ]
        if number % 10 == 0:
            frozen = law.freeze(now, f"freeze-{number:05}", frozen=number % 20 == 0)
            batch += [(t.SIGHTINGS, b"garbage"), (t.CONTROL, encode(frozen))]
        yield batch


async def _feed_while_it_dies(
    child: subprocess.Popen[str], state_dir: Path, feeder: law.Feeder, batches: Iterator[list[tuple[str, bytes]]]
) -> None:
    """Half of the batches, one a turn or so, from when it leads; it may die before that."""

    async def leads_or_is_dead() -> bool:
        status = enforcers.read_status(state_dir)
        return child.poll() is not None or (status is not None and status.leader)

    await law.eventually(leads_or_is_dead, "it leads, or is dead")
    for batch in islice(batches, SERVERS // 2):
        await feeder.feed_raw(batch)
        try:
            await asyncio.to_thread(child.wait, PACE_S)
        except subprocess.TimeoutExpired:
            continue
        return
    await asyncio.to_thread(child.wait, 20)


async def _all_read(bootstrap: str, prefix: str, ends: dict[str, int]) -> bool:
    table = await law.read_table(bootstrap, prefix, t.ENFORCER_STATE)
    value = table.get(t.KEY_POSITION)
    return value is not None and msgspec.json.decode(value, type=Position).offsets == ends


@pytest.mark.parametrize(
    ("step", "nth", "delay_s"),
    [
        pytest.param(Step.BEGUN, 1, 0.0, id="first-transaction-begun"),
        pytest.param(Step.SENT, 1, 0.0, id="first-transaction-sent"),
        pytest.param(Step.COMMITTED, 1, 0.0, id="first-transaction-committed"),
        pytest.param(Step.POLLED, 8, 0.0, id="1-polled"),
        pytest.param(Step.DECIDED, 8, 0.0, id="2-decided"),
        pytest.param(Step.BEGUN, 8, 0.0, id="3-begun"),
        pytest.param(Step.SENT, 8, 0.0, id="4-sent"),
        pytest.param(Step.SENT, 8, 0.001, id="commit-in-flight-1ms"),
        pytest.param(Step.SENT, 8, 0.003, id="commit-in-flight-3ms"),
        pytest.param(Step.COMMITTED, 8, 0.0, id="5-committed"),
        pytest.param(Step.SHOWN, 8, 0.0, id="6-shown"),
    ],
)
async def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(
    broker_bootstrap: str, prefix: str, tmp_path: Path, step: Step, nth: int, delay_s: float
) -> None:
    """Killed, started again, finished: one whole log, each input taken once, state and decisions as the log folds."""
    await enforcers.topics(broker_bootstrap, prefix)
    now = law.utc_now()
    all_batches = list(_batches(now))
    batches = iter(all_batches)
    env = enforcers.environment(broker_bootstrap, prefix, tmp_path)
    crash = {"CRASH_AT": f"{int(step)}:{nth}", "CRASH_DELAY_S": str(delay_s)}
    async with law.feeder(broker_bootstrap, prefix) as feeder:
        with enforcers.process(env | crash, "tests.support.enforcer_crash") as child:
            await _feed_while_it_dies(child, tmp_path, feeder, batches)
        assert child.returncode == -signal.SIGKILL
        for batch in batches:
            await feeder.feed_raw(batch)
    fed = [record for batch in all_batches for record in batch]
    ends = {topic: sum(to == topic for to, _ in fed) for topic in t.INPUTS}
    with enforcers.process(env) as successor:
        await law.eventually(lambda: _all_read(broker_bootstrap, prefix, ends), f"all is read: {ends}")
        successor.send_signal(signal.SIGTERM)
        _, err = await asyncio.to_thread(successor.communicate, None, 20)
    assert successor.returncode == 0, err
    checked = await check_law(broker_bootstrap, prefix)
    _assert_complete(checked.position.counts)
    letters = await law.read_topic(broker_bootstrap, prefix, t.DEAD_LETTERS)
    assert len(letters) == 3
    assert sum(type(record.event).__name__ == "CaseOpened" for record in checked.log) == SERVERS


def _assert_complete(counts: dict[str, int]) -> None:
    """Each input was counted once: the counts are part of the transaction, too."""
    assert counts == {
        "requests": 1 + 3,
        "sightings_news": 3 * SERVERS,
        "sightings_no_news": SERVERS,
        "marks": 2 * SERVERS,
        "dead_letters": 3,
    }
