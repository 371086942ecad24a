"""
One node's process: started, found again by its pid file, ended, and why it ended by itself.

A process is taken for ours only if its command line ends with this directory's server.properties; no other is ever
signalled. embedded.py runs one node with it, cluster.py three.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec
import psutil  # type: ignore[import-untyped] # it ships no types

from shared.messaging import kafka_node as node
from shared.messaging import node_data, probe
from shared.messaging.jars import BrokerError

START_TIMEOUT_S = 60.0  # takes 2 s; after a kill with much data Kafka first checks its segments
STOP_TIMEOUT_S = 30.0  # takes 1 s; what is cut off after that is repaired at the next start
_KILL_TIMEOUT_S = 10.0  # SIGKILL is obeyed at once unless the disk hangs
_POLL_S = 0.05
_TAIL_BYTES = 64_000  # of the log, to find why a start failed

# Processes that this process started, so that they can be reaped; one entry a node, removed by `forget`.
_children: dict[int, subprocess.Popen[bytes]] = {}


class Launch(msgspec.Struct, frozen=True):
    """How to run a prepared node in the foreground: good until the state directory or the port changes hands."""

    argv: list[str]
    env: dict[str, str]
    bootstrap: str
    directory: node.Directory


class GroupsLostError(BrokerError):
    """Kafka's group coordinator gave up while it loaded the groups; nothing is lost on the disk."""


class PidRecord(msgspec.Struct, frozen=True):
    """What the pid file holds."""

    pid: int
    bootstrap: str


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
            _write_pid(directory, PidRecord(process.pid, launch.bootstrap))
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
    Wait until a spawned broker serves, and its groups too where it has any; on failure, and on Ctrl-C, end it.

    Raises:
        GroupsLostError: it serves, but no group: another start reads them anew.
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
            forget(launch.directory, process.pid)
    if not ready:
        what = (
            f"did not answer within {timeout_s:.0f} s and was ended"
            if exit_code is None
            else f"ended with code {exit_code}"
        )
        raise BrokerError(
            f"Kafka {what}: {reason(launch.directory)} (more in {launch.directory.log} and {launch.directory.out})"
        )
    if launch.directory.has_groups and not probe.await_groups(launch.bootstrap, lambda: process.poll() is None):
        end([process.pid], STOP_TIMEOUT_S)
        process.wait(_KILL_TIMEOUT_S)
        forget(launch.directory, process.pid)
        raise GroupsLostError(
            f"Kafka serves, but lost its groups while it loaded them: start it again ({launch.directory.log})"
        )


def end(pids: Iterable[int], timeout_s: float) -> None:
    """
    End processes of ours, all at once: SIGTERM, and SIGKILL for what has not ended within *timeout_s*.

    By psutil, which refuses to signal when a pid has meanwhile gone to another process.

    Raises:
        BrokerError: one cannot be ended.
    """
    processes = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _signal(processes, "terminate")
    alive = _alive_after(processes, timeout_s)
    _signal(alive, "kill")
    alive = _alive_after(alive, _KILL_TIMEOUT_S)
    if alive:
        raise _cannot_end(alive[0].pid, "it does not obey SIGKILL")


def _alive_after(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Which of them have not ended within *timeout_s*. One that waits for its parent to reap it has."""
    deadline = time.monotonic() + timeout_s
    while True:
        _, processes = psutil.wait_procs(processes, _POLL_S)
        processes = [process for process in processes if not _is_zombie(process)]
        if not processes or time.monotonic() > deadline:
            return processes


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _signal(processes: Iterable[psutil.Process], how: str) -> None:
    for process in processes:
        try:
            getattr(process, how)()
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise _cannot_end(process.pid, str(error)) from error


def _cannot_end(pid: int, why: str) -> BrokerError:
    return BrokerError(f"the broker (process {pid}) cannot be ended: {why}; end it as its owner or as root")


@contextmanager
def exclusive(directory: node.Directory, timeout_s: float) -> Iterator[None]:
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


def find(directory: node.Directory) -> PidRecord | None:
    """Find the running process of this directory; a stale or foreign pid is none."""
    with suppress(FileNotFoundError, msgspec.DecodeError, psutil.NoSuchProcess, psutil.AccessDenied):
        record = msgspec.json.decode(directory.pid_file.read_bytes(), type=PidRecord)
        process = psutil.Process(record.pid)
        ours = process.status() != psutil.STATUS_ZOMBIE and process.cmdline()[-1:] == [str(directory.properties)]
        return record if ours else None
    return None


def _write_pid(directory: node.Directory, record: PidRecord) -> None:
    fresh = directory.pid_file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(record))
    fresh.replace(directory.pid_file)


def forget(directory: node.Directory, pid: int | None) -> None:
    """Reap the ended process, if it was a child of ours, and remove its pid file."""
    child = _children.pop(pid, None) if pid else None
    if child is not None:
        child.wait(_KILL_TIMEOUT_S)
    directory.pid_file.unlink(missing_ok=True)


def bytes_below(path: Path) -> int:
    """Add up what files really occupy: Kafka lays its index files ahead, with holes."""
    total = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):  # Kafka deletes old segments meanwhile
            total += file.stat().st_blocks * 512
    return total


def resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 where it is gone."""
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def reason(directory: node.Directory) -> str:
    """Say why the process ended, from what it wrote last."""
    texts = []
    for file in (directory.log, directory.out):
        with suppress(FileNotFoundError):
            texts.append(file.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace"))
    return node_data.reason_in("\n".join(texts))
