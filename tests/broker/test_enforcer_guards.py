"""What the enforcer finds out about its clock and its topics while it leads, and not only when it starts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.enforcer.setup import Setup
from shared.domain.errors import ConfigError, TransientError
from shared.messaging import topics as t
from shared.runtime.clock import SystemClock
from tests.faults.bus import make_anew
from tests.support import enforcers, law
from tests.support.law_check import check_law

pytestmark = pytest.mark.broker


@pytest.fixture
async def make(broker_bootstrap: str, prefix: str, tmp_path: Path) -> Callable[..., Setup]:
    """Make the topics, and lend a way to wire enforcers of this test."""
    await enforcers.topics(broker_bootstrap, prefix)

    def wired(name: str = "a", **more: object) -> Setup:
        return enforcers.setup_for(broker_bootstrap, prefix, tmp_path / name, **more)  # type: ignore[arg-type]  # passed on

    return wired


async def _fails(one: enforcers.Enforcer) -> BaseException | None:
    """What ended it by itself."""

    async def ended() -> bool:
        return one.task.done()

    await law.eventually(ended, "the enforcer ends by itself")
    return one.task.exception()


async def test_decisions_made_anew_under_a_leader_end_it_and_the_next_one_writes_them(
    make: Callable[..., Setup],
) -> None:
    """Edges of an empty table observe for ever unless somebody writes the whole of it: the leader must notice, and restart."""
    setup = make()
    async with law.feeder(setup.settings.bootstrap, setup.prefix) as feeder:
        one = enforcers.Enforcer(setup)
        await one.leads()
        now = law.utc_now()
        await feeder.feed([law.adopt(law.enforced(), now), *law.three_hours(now), *law.marks(now)])

        async def decided() -> bool:
            return len(await law.read_table(setup.settings.bootstrap, setup.prefix, t.DECISIONS)) == 3

        await law.eventually(decided, "heartbeat, policy and one decision")
    await make_anew(setup.settings.bootstrap, setup.prefix, t.DECISIONS, {})
    failed = await _fails(one)
    assert isinstance(failed, TransientError)
    assert "decisions was made anew" in str(failed)
    async with enforcers.enforcer(make("b")):
        pass
    assert (await check_law(setup.settings.bootstrap, setup.prefix)).heartbeat.count == 1


class JumpingClock(SystemClock):
    """The system's clock, until it is set wrong."""

    off = timedelta()

    def now(self) -> datetime:
        """The wrong time."""
        return datetime.now(UTC) + self.off

    def real_now(self) -> datetime:
        """Likewise."""
        return self.now()


@pytest.mark.parametrize("off", [timedelta(days=40), timedelta(minutes=-10)], ids=str)
async def test_a_clock_that_jumps_between_two_heartbeats_dates_nothing(
    make: Callable[..., Setup], off: timedelta
) -> None:
    """What comes in behind the jump is not committed with a wrong date, however far off the next heartbeat is."""
    clock = JumpingClock()
    setup = make(clock=clock, heartbeat_ms=60_000)
    one = enforcers.Enforcer(setup)
    await one.leads()
    clock.off = off
    async with law.feeder(setup.settings.bootstrap, setup.prefix) as feeder:
        await feeder.feed([law.sighting(law.utc_now()), *law.marks(law.utc_now())])
    failed = await _fails(one)
    assert isinstance(failed, ConfigError)
    assert "s off the broker's" in str(failed)
    law_now = (await check_law(setup.settings.bootstrap, setup.prefix)).position.law
    assert law_now.at <= law.utc_now()
    assert law_now.seq == 2, "rules and shipped policy, and nothing of the sighting"
