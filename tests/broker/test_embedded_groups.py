"""The embedded broker and its groups: a start is done when they are served, and is made again where Kafka lost them."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import psutil  # type: ignore[import-untyped] # it ships no types
import pytest

from shared.messaging import embedded, probe
from shared.messaging.kafka_node import Directory

pytestmark = pytest.mark.broker

# After a kill Kafka takes the node back only when its old session is over: by default 9 s.
QUICK = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "1000"}


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A state directory whose broker is ended."""
    yield tmp_path
    embedded.stop(tmp_path)


async def _commit(bootstrap: str) -> None:
    """Some group commits an offset, so that there is a topic of them."""
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id="some", enable_auto_commit=False)
    await consumer.start()
    try:
        where = aiokafka.TopicPartition("__consumer_offsets", 0)
        consumer.assign([where])
        await consumer.commit({where: 1})
    finally:
        await consumer.stop()


def _with_groups(state_dir: Path) -> int:
    """A broker that served a group and was killed; its port."""
    port = probe.free_port()
    handle = embedded.start(state_dir, port=port, settings=QUICK)
    asyncio.run(_commit(handle.bootstrap))
    os.kill(handle.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(handle.pid)], timeout=10)
    return port


def test_a_start_after_a_kill_is_done_when_groups_can_commit(state_dir: Path) -> None:
    """A new node has no groups, and waits for none."""
    assert not Directory.below(state_dir).has_groups
    port = _with_groups(state_dir)
    assert Directory.below(state_dir).has_groups
    handle = embedded.start(state_dir, port=port, settings=QUICK)
    assert probe.commits(handle.bootstrap, "some") == 0


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_where_kafka_lost_its_groups_it_is_started_again_twice_at_most(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """Stopped in order each time; after the third start the text says what is wrong, and no process is left."""
    port = _with_groups(state_dir)
    found = iter([False] * lost + [True])
    monkeypatch.setattr(probe, "await_groups", lambda *_: next(found))
    if lost < 3:
        handle = embedded.start(state_dir, port=port, settings=QUICK)
        assert embedded.status(state_dir).pid == handle.pid
        assert next(found, "all asked") == "all asked"
    else:
        with pytest.raises(embedded.GroupsLostError, match="lost its groups"):
            embedded.start(state_dir, port=port, settings=QUICK)
        assert not embedded.status(state_dir).running


@pytest.mark.parametrize(
    ("codes", "served"),
    [
        ([0], True),
        ([14, 14, 16, 15, 14, 0], True),
        ([3], True),
        ([15], False),
        ([14, 16], False),
        ([None, 0], True),
    ],
)
def test_groups_are_lost_where_kafka_neither_serves_nor_loads_them(codes: list[int | None], served: bool) -> None:
    """The last answer is given again and again; None: the connection is closed. Any other refusal is for others to tell."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer, args=(server, codes), daemon=True).start()
        bootstrap = f"127.0.0.1:{server.getsockname()[1]}"
        assert probe.await_groups(bootstrap, lambda: True, lost_after_s=0.5) is served


def test_a_node_that_ends_meanwhile_did_not_lose_its_groups() -> None:
    """Why it ended is told by who waits for it."""
    assert probe.await_groups(f"127.0.0.1:{probe.free_port()}", lambda: False)


def _answer(server: socket.socket, codes: list[int | None]) -> None:
    given = list(codes)
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            code = given.pop(0) if len(given) > 1 else given[0]
            if code is not None:
                connection.sendall(b"\0\0\0\x0a" + bytes(8) + code.to_bytes(2, "big"))
