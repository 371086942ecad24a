"""Enforcers for tests: in this process, where a test looks inside, or as a process of its own, where it is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.enforcer.app import run
from services.enforcer.progress import Progress, Status
from services.enforcer.settings import EnforcerSettings
from services.enforcer.setup import Setup, Steps, no_steps
from shared.messaging import admin
from shared.messaging import topics as t
from shared.runtime.clock import Clock, SystemClock
from tests.support.law import PARTITIONS, eventually

SESSION_MS = 1_000  # the least that the embedded broker grants without settings for tests
HEARTBEAT_MS = 200


class Enforcer:
    """One that runs in this process; `failed` is what ended it, None while it runs."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.stop = asyncio.Event()
        setup.progress.clear()  # what an earlier one said must not count for this one
        self.task = asyncio.create_task(run(setup, self.stop))

    @property
    def status(self) -> Status | None:
        """What its readiness file says."""
        return read_status(Path(self.setup.settings.state_dir))

    async def leads(self) -> None:
        """Wait until it leads, or raise what ended it."""

        async def leading() -> bool:
            if self.task.done():
                self.task.result()
            return self.status is not None and self.status.leader

        await eventually(leading, "the enforcer leads")

    async def ends(self) -> None:
        """Tell it to stop, and wait; raises what ended it."""
        self.stop.set()
        await asyncio.wait_for(self.task, 30)


def setup_for(
    bootstrap: str,
    prefix: str,
    state_dir: Path,
    *,
    clock: Clock | None = None,
    steps: Steps = no_steps,
    **settings: int,
) -> Setup:
    """The wiring of one enforcer."""
    chosen = {"enforcer_session_timeout_ms": SESSION_MS, "heartbeat_ms": HEARTBEAT_MS, **settings}
    return Setup(
        settings=msgspec.convert(
            {"bootstrap": bootstrap, "topic_prefix": prefix, "state_dir": str(state_dir), **chosen}, EnforcerSettings
        ),
        instance=state_dir.name,
        clock=clock or SystemClock(),
        version="test",
        log=structlog.stdlib.get_logger(),
        progress=Progress(str(state_dir), state_dir.name),
        steps=steps,
    )


@asynccontextmanager
async def enforcer(setup: Setup) -> AsyncIterator[Enforcer]:
    """Run one until the block ends; it leads when the block begins."""
    one = Enforcer(setup)
    try:
        await one.leads()
        yield one
        await one.ends()
    finally:
        if not one.task.done():
            one.task.cancel()
            await asyncio.wait({one.task}, timeout=10)


async def topics(bootstrap: str, prefix: str) -> None:
    """Make the topics."""
    await admin.apply(bootstrap, prefix, partitions=PARTITIONS)


async def recreate(bootstrap: str, prefix: str, topic: str) -> None:
    """Delete a topic and make it anew, as an operator might by mistake; it is there for everybody afterwards."""
    name = prefix + topic
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        await client.delete_topics([name])

        async def made_anew() -> bool:
            config = next(one.config for one in t.TOPICS if one.name == topic)
            response = await client.create_topics([NewTopic(name, 1, 1, topic_configs=dict(config))])
            return all(code == 0 for _, code, *_ in response.topic_errors)

        await eventually(made_anew, f"{topic} is made anew")

        async def seen() -> bool:
            return not await admin.check(bootstrap, prefix)

        await eventually(seen, f"{topic} is there again")
    finally:
        await client.close()


def read_status(state_dir: Path) -> Status | None:
    """What the readiness file in *state_dir* says; None where there is none."""
    path = state_dir / "ready" / "enforcer"
    return msgspec.json.decode(path.read_bytes(), type=Status) if path.exists() else None


def environment(bootstrap: str, prefix: str, state_dir: Path, **more: str) -> dict[str, str]:
    """The environment of an enforcer process."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("PATCHGATE_")},
        "PATCHGATE_BOOTSTRAP": bootstrap,
        "PATCHGATE_TOPIC_PREFIX": prefix,
        "PATCHGATE_STATE_DIR": str(state_dir),
        "PATCHGATE_HEARTBEAT_MS": str(HEARTBEAT_MS),
        "PATCHGATE_ENFORCER_SESSION_TIMEOUT_MS": str(SESSION_MS),
        "PATCHGATE_LOG_JSON": "true",
        **more,
    }


@contextmanager
def process(env: dict[str, str], module: str = "services.enforcer") -> Iterator[subprocess.Popen[str]]:
    """Run an enforcer process; whatever happens, it is gone afterwards."""
    child = subprocess.Popen(
        [sys.executable, "-m", module], env=env, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.communicate(timeout=10)
