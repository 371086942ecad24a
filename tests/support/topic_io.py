"""What tests of services need of a bus: topics made, records written and read as bytes, and services as real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from shared.messaging.kafka import new_producer, new_reader, partitions_of, read_to_end, running

ROOT = Path(__file__).parents[2]
WAIT_S = 30.0


async def write(
    bootstrap: str, topic: str, values: Iterable[bytes], *, partition: int = 0, key: bytes | None = None
) -> list[int]:
    """Write *values* in order, and return their offsets once all are acknowledged."""
    producer = new_producer(bootstrap)
    async with running(producer):
        sent = [await producer.send(topic, value, key=key, partition=partition) for value in values]
        return [(await future).offset for future in sent]


async def read_all(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Every committed record of *topic* up to its end."""
    reader: AIOKafkaConsumer = new_reader(bootstrap)
    async with running(reader):
        return [record async for record in read_to_end(reader, await partitions_of(reader, topic))]


async def until(condition: Callable[[], Awaitable[bool]], what: str, *, timeout_s: float = WAIT_S) -> None:
    """Wait for *condition*, asked ten times a second; fail with *what* after *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        await asyncio.sleep(0.1)


class ServiceProcess:
    """A service as it really runs: `python -m services.NAME`, its settings in the environment, its log in a file."""

    def __init__(self, name: str, state_dir: Path, **settings: str) -> None:
        environment = {f"PATCHGATE_{key.upper()}": value for key, value in settings.items()}
        state_dir.mkdir(parents=True, exist_ok=True)
        self.ready_file = state_dir / "ready" / name
        self.log_file = state_dir / f"{name}.log"
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"],
                cwd=ROOT,
                env={**os.environ, **environment, "PATCHGATE_STATE_DIR": str(state_dir), "PATCHGATE_LOG_JSON": "true"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Wait until it says that it is ready."""

        async def is_ready() -> bool:
            assert self._process.poll() is None, f"ended with {self._process.returncode}: {self.log}"
            return self.ready_file.exists()

        await until(is_ready, f"{self.ready_file.name} ready")

    @property
    def log(self) -> str:
        """What it wrote."""
        return self.log_file.read_text()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait(WAIT_S)

    def terminate(self) -> int:
        """Ask it to end; its exit code. Does nothing more where it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(WAIT_S)

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    async def ended(self) -> int:
        """Wait for it to end by itself; its exit code."""

        async def has_ended() -> bool:
            return self._process.poll() is not None

        await until(has_ended, "the end of the process")
        return int(self._process.returncode)
