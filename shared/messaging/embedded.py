"""
The embedded broker: a real Apache Kafka as one process of this machine, started and ended by us.

`start`, `stop` and `status` are all that most callers need; who supervises the process itself calls `prepare`, `spawn` and
`wait_ready` in this order. Everything lies below the given state directory (kafka_node.py tells what), so several brokers
can run side by side with a directory and a port each. A process is taken for ours only if its command line ends with this
directory's server.properties; no other is ever signalled. A start that fails leaves no process behind.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec
import psutil  # type: ignore[import-untyped] # it ships no types

from shared.messaging import jars, probe
from shared.messaging import kafka_node as node
from shared.messaging.jars import BrokerError, Progress, no_progress

__all__ = [
    "BrokerError",
    "BrokerHandle",
    "BrokerStatus",
    "Launch",
    "prepare",
    "spawn",
    "start",
    "status",
    "stop",
    "wait_ready",
]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 19092  # not 9092: that is where somebody's own Kafka is
START_TIMEOUT_S = 60.0  # takes 2 s; after a kill with much data Kafka first checks its segments
STOP_TIMEOUT_S = 30.0  # takes 1 s; what is cut off after that is repaired at the next start
_KILL_TIMEOUT_S = 10.0  # SIGKILL is obeyed at once unless the disk hangs
_POLL_S = 0.05
_TAIL_BYTES = 64_000  # of the log, to find why a start failed

# Processes that this process started, so that they can be reaped; one entry a broker, removed by `stop`.
_children: dict[int, subprocess.Popen[bytes]] = {}


class Launch(msgspec.Struct, frozen=True):
    """How to run a prepared broker in the foreground: good until the state directory or the port changes hands."""

    argv: list[str]
    env: dict[str, str]
    bootstrap: str
    directory: node.Directory


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


class _PidRecord(msgspec.Struct, frozen=True):
    pid: int
    bootstrap: str


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
    with _exclusive(directory, timeout_s):
        running = _find(directory)
        if running is not None:
            return _join(directory, running, timeout_s)
        launch = prepare(state_dir, port=port, host=host, settings=settings, progress=progress)
        progress("starting Kafka", 0, 1)
        process = spawn(launch)
        wait_ready(launch, process, timeout_s=timeout_s)
        progress("starting Kafka", 1, 1)
        return BrokerHandle(process.pid, launch.bootstrap, directory.log, was_running=False)


def _join(directory: node.Directory, running: _PidRecord, timeout_s: float) -> BrokerHandle:
    if not probe.await_answer(running.bootstrap, lambda: _find(directory) is not None, timeout_s):
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
    node.create(directory)
    node.check_space(directory)
    node.java()
    env = node.environment(jars.ensure(progress=progress))
    probe.check_free(host, port)
    controller_port = probe.free_port()
    node.write_settings(directory, host=host, port=port, controller_port=controller_port, overrides=settings or {})
    progress("checking the data", 0, 1)
    node.check_or_format(directory, env)
    progress("checking the data", 1, 1)
    argv = node.server_command(directory)
    return Launch(argv, env, probe.address(host, port), directory)


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """
    Run a prepared broker in its own session (Ctrl-C reaches it only through `stop`) and note its pid.

    Raises:
        BrokerError: Java or the directory cannot be used.
    """
    directory = launch.directory
    try:
        with directory.out.open("wb") as out:
            process = _popen(launch, out)
        try:
            _write_pid(directory, _PidRecord(process.pid, launch.bootstrap))
        except OSError:
            process.kill()
            process.wait(_KILL_TIMEOUT_S)
            raise
    except OSError as error:
        raise node.unusable(directory, error) from error
    _children[process.pid] = process
    return process


def _popen(launch: Launch, out: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own Java and paths
        launch.argv,
        env=launch.env,
        cwd=launch.directory.root,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        start_new_session=True,
    )


def wait_ready(launch: Launch, process: subprocess.Popen[bytes], *, timeout_s: float = START_TIMEOUT_S) -> None:
    """
    Wait until a spawned broker serves; on failure, and on Ctrl-C, end it.

    Raises:
        BrokerError: it ended by itself, or did not answer in time.
    """
    ready = False
    try:
        ready = probe.await_answer(launch.bootstrap, lambda: process.poll() is None, timeout_s)
    finally:
        exit_code = process.poll()
        if not ready:
            process.kill()
            process.wait(_KILL_TIMEOUT_S)
            _forget(launch.directory, process.pid)
    if not ready:
        what = (
            f"did not answer within {timeout_s:.0f} s and was ended"
            if exit_code is None
            else f"ended with code {exit_code}"
        )
        raise BrokerError(
            f"Kafka {what}: {_reason(launch.directory)} (more in {launch.directory.log} and {launch.directory.out})"
        )


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
    with _exclusive(directory, timeout_s):
        running = _find(directory)
        if running is not None:
            _end(running.pid, timeout_s)
        _forget(directory, running.pid if running else None)
    return running is not None


def _end(pid: int, timeout_s: float) -> None:
    """Signal by psutil, which refuses when the pid has meanwhile gone to another process."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        try:
            process.terminate()
            with suppress(psutil.TimeoutExpired):
                process.wait(timeout_s)
                return
            process.kill()
            process.wait(_KILL_TIMEOUT_S)
        except (psutil.AccessDenied, psutil.TimeoutExpired) as error:
            raise BrokerError(
                f"the broker (process {pid}) cannot be ended: {error}; end it as its owner or as root"
            ) from error


def status(state_dir: Path) -> BrokerStatus:
    """
    Look at the broker of *state_dir*; changes nothing.

    Raises:
        BrokerError: the directory cannot be read.
    """
    directory = node.Directory.below(state_dir)
    try:
        running = _find(directory)
        crashed = running is None and directory.pid_file.exists()
        failure = _reason(directory) if crashed else None
        data_bytes = _bytes_below(directory.data)
    except OSError as error:
        raise node.unusable(directory, error) from error
    return BrokerStatus(
        running=running is not None,
        answers=running is not None and probe.answers(running.bootstrap),
        pid=running.pid if running else None,
        bootstrap=running.bootstrap if running else None,
        resident_bytes=_resident_bytes(running.pid) if running else 0,
        data_bytes=data_bytes,
        data_dir=directory.data,
        log_path=directory.log,
        failure=failure,
    )


@contextmanager
def _exclusive(directory: node.Directory, timeout_s: float) -> Iterator[None]:
    """Let one start or stop of a directory run at a time; the system lifts the lock when its holder dies."""
    deadline = time.monotonic() + timeout_s
    try:
        lock = os.open(directory.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise node.unusable(directory, error) from error
    try:
        while not _locked(lock):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"another start or stop of the broker in {directory.root} is under way for over {timeout_s:.0f} s: wait for it, or end it"
                )
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _find(directory: node.Directory) -> _PidRecord | None:
    """Find the running process of this directory; a stale or foreign pid is none."""
    with suppress(FileNotFoundError, msgspec.DecodeError, psutil.NoSuchProcess, psutil.AccessDenied):
        record = msgspec.json.decode(directory.pid_file.read_bytes(), type=_PidRecord)
        process = psutil.Process(record.pid)
        ours = process.status() != psutil.STATUS_ZOMBIE and process.cmdline()[-1:] == [str(directory.properties)]
        return record if ours else None
    return None


def _write_pid(directory: node.Directory, record: _PidRecord) -> None:
    fresh = directory.pid_file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(record))
    fresh.replace(directory.pid_file)


def _forget(directory: node.Directory, pid: int | None) -> None:
    child = _children.pop(pid, None) if pid else None
    if child is not None:
        child.wait(_KILL_TIMEOUT_S)
    directory.pid_file.unlink(missing_ok=True)


def _bytes_below(path: Path) -> int:
    """Add up what files really occupy: Kafka lays its index files ahead, with holes."""
    total = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):  # Kafka deletes old segments meanwhile
            total += file.stat().st_blocks * 512
    return total


def _resident_bytes(pid: int) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _reason(directory: node.Directory) -> str:
    """Say why the process ended, from what it wrote last."""
    texts = []
    for file in (directory.log, directory.out):
        with suppress(FileNotFoundError):
            texts.append(file.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace"))
    return node.reason_in("\n".join(texts))
