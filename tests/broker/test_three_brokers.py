"""Three nodes under real services: a node dies, is stopped, two die; nothing is lost, doubled or refused, and it goes on."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it ships no types
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.domain.events import CaseOpened
from shared.messaging import admin, cluster, probe, replicas
from shared.messaging import topics as t
from shared.messaging.cluster_status import look
from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, running
from tests.support import law
from tests.support.flow import Flow, policy
from tests.support.law_check import check_law
from tests.support.topic_io import ROOT, ServiceProcess, read_all, until, write

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

GOES_ON_S = 120.0  # takes 7 to 10 s where the machine has nothing else to do
SILENCE_S = 3.0  # an acknowledged record takes some 10 ms
TRANSACTIONS = "__transaction_state"


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lend three running nodes, started as an operator starts them, and see that no process of them stays."""
    state = tmp_path_factory.mktemp("three")
    said = patchgate(state, "start", "--nodes", "3", "--port", str(probe.free_row(6)))
    assert said.returncode == 0, said.stderr
    yield state
    assert cluster.stop(state)
    assert not [
        p.pid for p in psutil.process_iter(["cmdline"]) if any(str(state) in w for w in p.info["cmdline"] or [])
    ]


def patchgate(state_dir: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `patchgate broker`."""
    command = [sys.executable, "-m", "services.cli", "broker", *arguments, "--state-dir", str(state_dir)]
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PATCHGATE_", "KAFKA_"))}
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=240, check=False)


def seen(state_dir: Path) -> replicas.Replicas:
    """What a node that serves says of all."""
    plan = cluster.remembered(state_dir)
    assert plan is not None
    found = look(plan)
    assert found is not None, "no node answers"
    return found


def leader_of(state_dir: Path, topic: str) -> int:
    """The node that leads partition 0 of *topic* (full name)."""
    return next(one.leader for one in seen(state_dir).partitions if (one.topic, one.number) == (topic, 0))


def end_node(state_dir: Path, number: int, how: signal.Signals) -> None:
    """Signal one node, and wait until it is gone."""
    pid = cluster.status(state_dir).nodes[number - 1].pid
    assert pid is not None
    process = psutil.Process(pid)
    process.send_signal(how)
    process.wait(60)


class Enforcers:
    """One enforcer process, started again when it ends, as a supervisor would. starts: how often."""

    def __init__(self, state_dir: Path, bootstrap: str, prefix: str) -> None:
        self._arguments = (state_dir, bootstrap, prefix)
        self.starts = 0
        self._start()

    def _start(self) -> None:
        state_dir, bootstrap, prefix = self._arguments
        self.process = ServiceProcess(
            "enforcer", state_dir, bootstrap=bootstrap, topic_prefix=prefix, heartbeat_ms="500"
        )
        self.starts += 1

    async def keep(self) -> None:
        """Watch it until cancelled."""
        while True:
            if self.process.has_ended:
                self._start()
            await asyncio.sleep(0.2)

    @property
    def elected(self) -> int:
        """How often it began to lead."""
        return self.process.log.count('"elected"')


@asynccontextmanager
async def services(bootstrap: str, prefix: str, directory: Path) -> AsyncIterator[Enforcers]:
    """Run a detector and an enforcer; afterwards both have ended in order."""
    detector = ServiceProcess("detector", directory / "detector", bootstrap=bootstrap, topic_prefix=prefix)
    enforcers = Enforcers(directory / "enforcer", bootstrap, prefix)
    keeper = asyncio.create_task(enforcers.keep())
    try:
        yield enforcers
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        codes = [await asyncio.to_thread(one.terminate) for one in (enforcers.process, detector)]
    assert codes == [0, 0], detector.log + enforcers.process.log


async def topics_with_one_leader(state_dir: Path, bootstrap: str, prefix: str) -> None:
    """Make the topics, so that the node that coordinates the transactions leads the log as well."""
    async with running(new_producer(bootstrap, transactional_id=f"{prefix}first")):
        pass
    first = leader_of(state_dir, TRANSACTIONS)
    order = [first, *(number for number in (1, 2, 3) if number != first)]
    config = next(topic.config for topic in t.TOPICS if topic.name == t.LOG) | {"min.insync.replicas": "2"}
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        await client.create_topics([NewTopic(prefix + t.LOG, -1, -1, {0: order}, topic_configs=config)])
    finally:
        await client.close()
    await law.eventually(lambda: _is_led(state_dir, prefix + t.LOG), "the log has its leader")
    await admin.apply(bootstrap, prefix, partitions=2)


async def _is_led(state_dir: Path, topic: str) -> bool:
    return any(one.topic == topic and one.leader > 0 for one in seen(state_dir).partitions)


async def goes_on(flow: Flow, since: float) -> None:
    """Wait until ten servers that were first seen after *since* have their decision at the edge."""

    async def ten() -> bool:
        return flow.came_after(since) >= 10

    await until(ten, "decisions come again", timeout_s=GOES_ON_S)


async def test_one_node_may_die_and_with_two_away_nothing_is_lost(state_dir: Path, prefix: str, tmp_path: Path) -> None:
    """Leader killed, back, another stopped, two dead, one back: one whole log, every decision at the edge, no mail refused."""
    plan = cluster.remembered(state_dir)
    assert plan is not None
    bootstrap = plan.bootstrap
    await topics_with_one_leader(state_dir, bootstrap, prefix)
    await write(bootstrap, prefix + t.REQUESTS, [encode(law.adopt(policy(), law.utc_now()))])
    told: list[str] = []
    async with (
        services(bootstrap, prefix, tmp_path) as enforcers,
        Flow(bootstrap, prefix, tmp_path / "edge") as flow,
    ):
        await goes_on(flow, time.monotonic())
        assert await admin.check(bootstrap, prefix, copies=True) == []

        # 1. The node dies that leads the log and coordinates the transactions.
        first = leader_of(state_dir, prefix + t.LOG)
        assert leader_of(state_dir, TRANSACTIONS) == first
        moment = time.monotonic()
        end_node(state_dir, first, signal.SIGKILL)
        await goes_on(flow, moment)
        told.append(f"leader killed: {flow.standstill_s(moment):.1f} s without a decision")
        _assert_only_lacks(state_dir, first)
        assert enforcers.starts == 1, enforcers.process.log  # the same process
        told.append(f"same enforcer, elected {enforcers.elected} times")

        # 2. It comes back, and catches up.
        moment = time.monotonic()
        await asyncio.to_thread(cluster.start, state_dir)
        await asyncio.to_thread(cluster.await_whole, state_dir)
        told.append(f"back and whole after {time.monotonic() - moment:.1f} s")

        # 3. Another one is stopped in order.
        second = leader_of(state_dir, prefix + t.LOG)
        assert second != first
        moment = time.monotonic()
        await asyncio.to_thread(end_node, state_dir, second, signal.SIGTERM)
        await goes_on(flow, moment)
        told.append(f"leader stopped: {flow.standstill_s(moment):.1f} s without a decision")
        assert enforcers.starts == 1, enforcers.process.log

        # 4. A second one dies: nothing is acknowledged any more.
        third = leader_of(state_dir, prefix + t.LOG)
        producer = new_producer(bootstrap)
        async with running(producer):
            await producer.send_and_wait(prefix + t.SIGHTINGS, b"garbage", partition=0)
            moment = time.monotonic()
            end_node(state_dir, third, signal.SIGKILL)
            await _no_answer(producer, prefix + t.SIGHTINGS)
        assert max(flow.arrived.values()) < moment + 1.0

        # 5. One of the two comes back: all goes on.
        await asyncio.to_thread(cluster.start, state_dir, only=[third])
        back = time.monotonic()
        await goes_on(flow, back)
        told.append(f"two dead for {back - moment:.1f} s: {flow.standstill_s(moment):.1f} s without a decision")
        told.append(f"enforcer started {enforcers.starts} times")
        flow.end()
        with suppress(AssertionError):
            await until(lambda: _none_missing(flow), "every server's decision is at the edge", timeout_s=GOES_ON_S)
        assert not flow.missing(), f"{sorted(flow.missing())[:20]} of {len(flow.offered)}: {flow.edge.counts}"
    sys.stdout.write("\n".join(["", *told, ""]))
    await _assert_whole_story(bootstrap, prefix, flow)


def _assert_only_lacks(state_dir: Path, number: int) -> None:
    """One node is told of as dead, every partition lacks its copy, and each can be written."""
    status = cluster.status(state_dir)
    assert (status.answers, status.is_whole, status.unwritable) == (True, False, 0)
    assert status.under_replicated == status.nodes[number - 1].lacks == status.partitions
    assert status.nodes[number - 1].failure is not None
    assert [one.running for one in status.nodes].count(True) == 2


async def _no_answer(producer: AIOKafkaProducer, topic: str) -> None:
    """What is sent now is not acknowledged; it may be later, and is garbage to whoever reads it."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(producer.send_and_wait(topic, b"garbage", partition=0), SILENCE_S)


async def _none_missing(flow: Flow) -> bool:
    return not flow.missing()


async def _assert_whole_story(bootstrap: str, prefix: str, flow: Flow) -> None:
    """The log is whole, each server's case is in it once, the edge holds what the enforcer wrote, and all mail passed."""
    checked = await check_law(bootstrap, prefix)
    opened = [record.event.server for record in checked.log if isinstance(record.event, CaseOpened)]
    assert sorted(opened) == sorted(flow.offered)
    table = flow.edge.decisions.table
    assert (table.count, table.digest) == (checked.heartbeat.count, checked.heartbeat.digest)
    assert len(flow.replies) > 20
    assert {code for code, _ in flow.replies} == {250}
    assert await read_all(bootstrap, prefix + t.VERDICTS) == []


async def test_a_rolling_restart_and_a_lost_disk_are_an_operators_commands(state_dir: Path, prefix: str) -> None:
    """What was acknowledged is there after one node lost all it had; a restart waits until all have all; a moved port is refused."""
    handle = await asyncio.to_thread(cluster.start, state_dir)
    await asyncio.to_thread(cluster.await_whole, state_dir)
    await admin.apply(handle.bootstrap, prefix)
    await write(handle.bootstrap, prefix + t.LOG, [b"kept"])

    end_node(state_dir, 2, signal.SIGKILL)
    refused = await asyncio.to_thread(patchgate, state_dir, "restart", "--node", "1")
    assert refused.returncode == 1
    assert "node 2 is away, and node 1 cannot be spared" in refused.stderr
    assert (await asyncio.to_thread(patchgate, state_dir, "status")).returncode == 1
    await admin.apply(handle.bootstrap, f"{prefix}two-seen.")
    shutil.rmtree(state_dir / "broker" / "node-2" / "data")
    refused = await asyncio.to_thread(patchgate, state_dir, "start")
    assert refused.returncode == 1
    assert "node 2 has lost its data" in refused.stderr
    shutil.rmtree(state_dir / "broker" / "node-2")
    started = await asyncio.to_thread(patchgate, state_dir, "start")
    assert (started.returncode, started.stdout.count("already runs")) == (0, 2), started.stderr
    await asyncio.to_thread(cluster.await_whole, state_dir)
    assert await admin.check(handle.bootstrap, f"{prefix}two-seen.", copies=True) == []

    done = await asyncio.to_thread(patchgate, state_dir, "restart", "--node", "1")
    assert "Node 1 runs again" in done.stdout, done.stderr
    status = await asyncio.to_thread(patchgate, state_dir, "status")
    assert status.returncode == 0
    assert re.search(r"All \d+ partitions have all their copies", status.stdout)
    assert status.stdout.count("leads the controllers") == 1
    moved = await asyncio.to_thread(patchgate, state_dir, "start", "--port", "20000")
    assert "leave out --port" in moved.stderr
    assert [record.value for record in await read_all(handle.bootstrap, prefix + t.LOG)] == [b"kept"]
    assert "which cannot become one" in patchgate(state_dir, "start", "--nodes", "1").stderr


async def test_too_few_copies_are_told_and_hinder_nobody(state_dir: Path, prefix: str) -> None:
    """Topics of one copy on three brokers are as they must be for the enforcer, and a difference each for who asks for copies."""
    handle = await asyncio.to_thread(cluster.start, state_dir)
    await admin.apply(handle.bootstrap, prefix, replication=1)
    assert await admin.check(handle.bootstrap, prefix) == []
    told = await admin.check(handle.bootstrap, prefix, copies=True)
    assert {(one.topic.removeprefix(prefix), one.setting, one.found) for one in told} == {
        (topic.name, "replication", "1") for topic in t.TOPICS
    }
    assert "kafka-reassign-partitions.sh" in str(told[0])
