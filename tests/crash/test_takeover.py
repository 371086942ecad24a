"""Two enforcer processes: whatever becomes of the leader, the standby leads in time, the old one ends, and the log is whole."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from services.enforcer.progress import Status
from shared.domain.records import Heartbeat, Sighting
from shared.domain.state import Position
from shared.messaging import topics as t
from tests.support import enforcers, law
from tests.support.law_check import check_law
from tests.support.proxy import Proxy, proxy

pytestmark = [pytest.mark.broker, pytest.mark.crash]

SESSION_MS = 2_000
IN_TIME_S = SESSION_MS / 1000 + 3.0
STOPPED_IN_TIME_S = SESSION_MS / 1000  # a clean stop tells the group; nobody waits for a session to end
GIVES_UP_S = 75.0  # one that stays cut off: its turn is given up after 30 s, and three clients that cannot say good-bye
SERVERS = 12


class Pair:
    """A leader behind a proxy, and a warm standby beside it, both fed."""

    def __init__(self, bootstrap: str, prefix: str, directory: Path, stack: ExitStack, between: Proxy) -> None:
        self.bootstrap, self.prefix, self.between = bootstrap, prefix, between
        self._directory, self._stack = directory, stack
        self._now = law.utc_now()
        self._sightings = self._all_sightings()
        self.fed = 0

    def start(self, name: str, bootstrap: str) -> subprocess.Popen[str]:
        """An enforcer of that name."""
        env = enforcers.environment(
            bootstrap,
            self.prefix,
            self._directory / name,
            PATCHGATE_ENFORCER_SESSION_TIMEOUT_MS=str(SESSION_MS),
            PATCHGATE_ENFORCER_INSTANCE=name,
        )
        return self._stack.enter_context(enforcers.process(env))

    def status(self, name: str) -> Status:
        """What its readiness file says."""
        return enforcers.read_status(self._directory / name) or Status(leader=False, warm=False)

    async def set_up(self) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
        """The first one leads, the second one is warm and names the first."""
        first = self.start("first", self.between.bootstrap)

        async def leads() -> bool:
            return self.status("first").leader

        await law.eventually(leads, "the first leads")
        await self.feed(SERVERS)
        second = self.start("second", self.bootstrap)

        async def warm() -> bool:
            status = self.status("second")
            return status.warm and status.led_by == "first" and status.seq == (await self.position()).law.seq

        await law.eventually(warm, "the second is warm")
        assert not self.status("second").leader
        return first, second

    async def second_leads(self, since: float) -> float:
        """Wait for it; the seconds since the fault."""
        deadline = since + 60
        while not self.status("second").leader:
            assert time.monotonic() < deadline, "the second does not lead"
            await asyncio.sleep(0.02)
        return time.monotonic() - since

    def _all_sightings(self) -> Iterator[Sighting]:
        for number in range(1_000):
            yield from law.three_hours(self._now, name=f"s{number}.example")

    async def feed(self, servers: int) -> None:
        """Three sightings of each of so many more servers."""
        async with law.feeder(self.bootstrap, self.prefix) as feeder:
            await feeder.feed([next(self._sightings) for _ in range(3 * servers)])
        self.fed += 3 * servers

    async def position(self) -> Position:
        """The newest committed one."""
        table = await law.read_table(self.bootstrap, self.prefix, t.ENFORCER_STATE)
        return msgspec.json.decode(table[t.KEY_POSITION], type=Position)

    async def all_is_read(self) -> None:
        """Wait until whoever leads has taken all that was fed."""

        async def read() -> bool:
            # A commit is answered before its marks stand in every topic: all three must show it.
            position = await self.position()
            if position.offsets[t.SIGHTINGS] != self.fed:
                return False
            log = await law.read_log(self.bootstrap, self.prefix)
            decisions = await law.read_table(self.bootstrap, self.prefix, t.DECISIONS)
            beat = msgspec.json.decode(decisions[t.KEY_HEARTBEAT], type=Heartbeat)
            return log[-1].seq == position.law.seq == beat.seq

        await law.eventually(read, f"{self.fed} sightings are read")

    async def is_whole(self) -> None:
        """Each sighting was taken once, and log, state and decisions tell one story."""
        checked = await check_law(self.bootstrap, self.prefix)
        assert checked.position.counts == {"sightings_news": self.fed}
        assert len(checked.fold.servers) == self.fed // 3
        assert checked.heartbeat.leader == "second"


@pytest.fixture
async def pair(broker_bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[Pair]:
    """Lend the topics and what starts the two."""
    await enforcers.topics(broker_bootstrap, prefix)
    async with proxy(broker_bootstrap) as between:
        with ExitStack() as stack:
            yield Pair(broker_bootstrap, prefix, tmp_path, stack, between)


async def _end_of(child: subprocess.Popen[str], timeout_s: float = 30) -> str:
    """Its last line, once it has ended."""
    _, err = await asyncio.to_thread(child.communicate, None, timeout_s)
    return err.splitlines()[-1]


async def test_a_leader_that_is_killed(pair: Pair) -> None:
    """The standby leads within session time-out and 3 s, and takes what came meanwhile."""
    first, _ = await pair.set_up()
    await pair.feed(3)
    began = time.monotonic()
    first.send_signal(signal.SIGKILL)
    await pair.feed(3)
    took_s = await pair.second_leads(began)
    assert took_s <= IN_TIME_S
    await pair.all_is_read()
    await pair.is_whole()


async def test_a_leader_that_freezes_and_thaws(pair: Pair) -> None:
    """The standby leads in time; the thawed one writes nothing more, and ends with one line and code 1."""
    first, second = await pair.set_up()
    await pair.feed(3)
    began = time.monotonic()
    first.send_signal(signal.SIGSTOP)
    await pair.feed(3)
    took_s = await pair.second_leads(began)
    assert took_s <= IN_TIME_S
    await pair.feed(3)
    await pair.all_is_read()
    first.send_signal(signal.SIGCONT)
    line = await _end_of(first)
    assert first.returncode == 1
    assert line.startswith("patchgate enforcer: another enforcer ")
    await pair.feed(3)
    await pair.all_is_read()
    await pair.is_whole()
    assert second.poll() is None
    assert pair.status("second").leader


async def test_a_leader_that_is_cut_off_and_comes_back(pair: Pair) -> None:
    """The standby leads in time; what the old one still had to send is refused, and it ends with one line and code 1."""
    first, second = await pair.set_up()
    assert pair.between.connections >= 2, "the first does not go through the proxy"
    await pair.feed(3)
    began = time.monotonic()
    pair.between.cut()
    await pair.feed(3)
    took_s = await pair.second_leads(began)
    assert took_s <= IN_TIME_S
    await pair.all_is_read()
    pair.between.mend()
    line = await _end_of(first)
    assert first.returncode == 1
    assert line.startswith("patchgate enforcer: another enforcer ")
    await pair.feed(3)
    await pair.all_is_read()
    await pair.is_whole()
    assert second.poll() is None


async def test_a_leader_that_stays_cut_off(pair: Pair) -> None:
    """Nobody can tell it that another leads, so it gives up by itself, with one line and code 1."""
    first, _ = await pair.set_up()
    began = time.monotonic()
    pair.between.cut()
    took_s = await pair.second_leads(began)
    assert took_s <= IN_TIME_S
    line = await _end_of(first, GIVES_UP_S)
    assert first.returncode == 1
    assert line.startswith("patchgate enforcer: ")
    await pair.feed(3)
    await pair.all_is_read()
    await pair.is_whole()


async def test_a_leader_that_is_stopped(pair: Pair) -> None:
    """It ends its turn, says good-bye, and ends with code 0; the standby leads long before a session could have ended."""
    first, _ = await pair.set_up()
    await pair.feed(3)
    began = time.monotonic()
    first.send_signal(signal.SIGTERM)
    took_s = await pair.second_leads(began)
    assert took_s <= STOPPED_IN_TIME_S
    await _end_of(first)
    assert first.returncode == 0
    await pair.feed(3)
    await pair.all_is_read()
    await pair.is_whole()
