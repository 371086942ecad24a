"""
The embedded broker: a real Apache Kafka as one process of this machine, started and ended by us.

`start`, `stop` and `status` are all that most callers need; who supervises the process itself calls `prepare`, `spawn` and
`wait_ready` in this order. Everything lies below the given state directory (kafka_node.py tells what), so several brokers
can run side by side with a directory and a port each. A process is taken for ours only if its command line ends with this
directory's server.properties; no other is ever signalled. A start that fails leaves no process behind.
"""

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from shared.messaging import jars, node_data, node_process, probe
from shared.messaging import kafka_node as node
from shared.messaging.jars import BrokerError, Progress, no_progress
from shared.messaging.kafka_node import DEFAULT_HOST, DEFAULT_PORT
from shared.messaging.node_process import (
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    GroupsLostError,
    Launch,
    PidRecord,
    spawn,
    wait_ready,
)

__all__ = [
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "START_TIMEOUT_S",
    "STOP_TIMEOUT_S",
    "BrokerError",
    "BrokerHandle",
    "BrokerStatus",
    "GroupsLostError",
    "Launch",
    "prepare",
    "spawn",
    "start",
    "status",
    "stop",
    "wait_ready",
]

_STARTS_FOR_GROUPS = 3


class BrokerHandle(msgspec.Struct, frozen=True):
    """A broker that runs and answers."""

    pid: int
    bootstrap: str
    log_path: Path
    was_running: bool


class BrokerStatus(msgspec.Struct, frozen=True):
    """What can be seen of a state directory's broker from outside."""

    running: bool
    answers: bool
    pid: int | None
    bootstrap: str | None
    resident_bytes: int
    data_bytes: int
    data_dir: Path
    log_path: Path
    failure: str | None
    """Why it is gone though nobody stopped it, as far as its log tells."""


def start(
    state_dir: Path,
    *,
    port: int = DEFAULT_PORT,
    host: str = DEFAULT_HOST,
    settings: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    timeout_s: float = START_TIMEOUT_S,
) -> BrokerHandle:
    """
    Start the broker of *state_dir*, or find it running, and wait until it answers.

    Args:
        state_dir: its data lie in `broker/` below.
        port: where it listens on *host*; a broker that already runs keeps its own.
        host: an address of this machine that clients can use as it stands. There is no authentication.
        settings: Kafka settings that go before ours.
        progress: told each step.
        timeout_s: bound of the wait for the answer, and for another start or stop to end.

    Raises:
        BrokerError: it cannot run; the text says why and what to do. No process is left.
    """
    directory = node.Directory.below(state_dir)
    node.create(directory)
    with node_process.exclusive(directory, timeout_s):
        running = node_process.find(directory)
        if running is not None:
            return _join(directory, running, timeout_s)
        launch = prepare(state_dir, port=port, host=host, settings=settings, progress=progress)
        progress("starting Kafka", 0, 1)
        process = _spawn_until_ready(launch, timeout_s)
        progress("starting Kafka", 1, 1)
        return BrokerHandle(process.pid, launch.bootstrap, directory.log, was_running=False)


def _spawn_until_ready(launch: Launch, timeout_s: float) -> subprocess.Popen[bytes]:
    """Kafka may lose its groups while it loads them after an unclean end; the next start, after a clean one, reads them anew."""
    for _ in range(_STARTS_FOR_GROUPS - 1):
        process = spawn(launch)
        with suppress(GroupsLostError):
            wait_ready(launch, process, timeout_s=timeout_s)
            return process
    process = spawn(launch)
    wait_ready(launch, process, timeout_s=timeout_s)
    return process


def _join(directory: node.Directory, running: PidRecord, timeout_s: float) -> BrokerHandle:
    if not probe.await_answer(running.bootstrap, lambda: node_process.find(directory) is not None, timeout_s):
        raise BrokerError(
            f"process {running.pid} is this directory's broker but does not answer at {running.bootstrap}: `patchgate broker stop`, then start again"
        )
    return BrokerHandle(running.pid, running.bootstrap, directory.log, was_running=True)


def prepare(
    state_dir: Path,
    *,
    port: int = DEFAULT_PORT,
    host: str = DEFAULT_HOST,
    settings: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> Launch:
    """
    Bring everything to the point where running one command is left: jars, Java, settings, formatted data.

    Raises:
        BrokerError: as `start`.
    """
    directory = node.Directory.below(state_dir)
    node.check_single(directory)
    node.create(directory)
    node.check_space(directory)
    node.java()
    env = node.environment(jars.ensure(progress=progress))
    probe.check_free(host, port)
    member = node.Member(node.NODE_ID, host, port, probe.free_row(1))
    node.write_settings(directory, member, [member], settings or {})
    progress("checking the data", 0, 1)
    node_data.check_or_format(directory, env)
    progress("checking the data", 1, 1)
    argv = node.server_command(directory)
    return Launch(argv, env, probe.address(host, port), directory)


def stop(state_dir: Path, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """
    End the broker of *state_dir*: SIGTERM, and SIGKILL when it has not ended within *timeout_s*.

    Returns:
        False if none was running.

    Raises:
        BrokerError: it cannot be ended.
    """
    directory = node.Directory.below(state_dir)
    if not directory.root.exists():
        return False
    with node_process.exclusive(directory, timeout_s):
        running = node_process.find(directory)
        if running is not None:
            node_process.end([running.pid], timeout_s)
        node_process.forget(directory, running.pid if running else None)
    return running is not None


def status(state_dir: Path) -> BrokerStatus:
    """
    Look at the broker of *state_dir*; changes nothing.

    Raises:
        BrokerError: the directory cannot be read.
    """
    directory = node.Directory.below(state_dir)
    try:
        running = node_process.find(directory)
        crashed = running is None and directory.pid_file.exists()
        failure = node_process.reason(directory) if crashed else None
        data_bytes = node_process.bytes_below(directory.data)
    except OSError as error:
        raise node.unusable(directory, error) from error
    return BrokerStatus(
        running=running is not None,
        answers=running is not None and probe.answers(running.bootstrap),
        pid=running.pid if running else None,
        bootstrap=running.bootstrap if running else None,
        resident_bytes=node_process.resident_bytes(running.pid) if running else 0,
        data_bytes=data_bytes,
        data_dir=directory.data,
        log_path=directory.log,
        failure=failure,
    )
