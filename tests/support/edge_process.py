"""A real edge as its own process, and the topics that it needs, written by hand."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.messaging.kafka import new_producer, new_reader, partitions_of, read_to_end, running
from shared.messaging.topics import CONTROL, DECISIONS, EDGE_REPORTS, MAIL_EVIDENCE, TOPICS, VERDICTS

ROOT = Path(__file__).parents[2]
START_S = 30
STOP_S = 30
PARTITIONS = 3


async def make_topics(bootstrap: str, prefix: str, **decisions_config: str) -> None:
    """Create what an edge reads and writes, as `topics.py` says."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = [topic for topic in TOPICS if topic.name in {CONTROL, DECISIONS, EDGE_REPORTS, MAIL_EVIDENCE, VERDICTS}]
        await admin.create_topics(
            [
                NewTopic(
                    prefix + topic.name,
                    PARTITIONS if topic.spread else 1,
                    1,
                    topic_configs=topic.config | (decisions_config if topic.name == DECISIONS else {}),
                )
                for topic in wanted
            ]
        )
    finally:
        await admin.close()


async def write(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Write *records* to a topic of one partition, in order."""
    producer: AIOKafkaProducer = new_producer(bootstrap)
    async with running(producer):
        for key, value in records:
            await producer.send_and_wait(topic, value, key=key, partition=0)


async def read_all(bootstrap: str, topic: str) -> list[tuple[int, bytes | None, bytes]]:
    """Read a whole topic: partition, key, value of each record, in the order of each partition."""
    consumer = new_reader(bootstrap)
    async with running(consumer):
        partitions = await partitions_of(consumer, topic)
        return [(one.partition, one.key, one.value) async for one in read_to_end(consumer, partitions)]


async def until(what: str, condition: object, timeout_s: float = 20.0) -> None:
    """Wait until *condition* (a function, or one that gives an awaitable) holds."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        found = condition()  # type: ignore[operator]  # a function of either kind
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert asyncio.get_running_loop().time() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.05)


@contextmanager
def edge_process(state_dir: Path, settings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m services.edge`, ready when entered; ended by its own pid, and its end must be clean."""
    log = state_dir / "edge.log"
    state_dir.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "PATCHGATE_STATE_DIR": str(state_dir), "PATCHGATE_LOG_JSON": "true", **settings}
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "-m", "services.edge"], cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        asyncio.run(until_ready(process, state_dir, log))
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
            raise


async def until_ready(process: subprocess.Popen[bytes], state_dir: Path, log: Path) -> None:
    """Wait for the readiness file."""
    ready = state_dir / "ready" / "edge"

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        return ready.exists()

    await until("the edge is ready", is_ready, START_S)
