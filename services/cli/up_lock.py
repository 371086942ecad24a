"""One `patchgate up` a state directory: a lock that the kernel lifts when its holder dies, and a note of who holds it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped] # it ships no types

from shared.domain.errors import ConfigError

_POLL_S = 0.1
_SLACK_S = 1.0  # between what two readings of a process's start may differ


class Holder(msgspec.Struct, frozen=True):
    """The process that holds the lock. started: its start as the system tells it, so that a pid used again is no match."""

    pid: int
    started: float

    def process(self) -> "psutil.Process | None":
        """The process, if it is still that one."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) < _SLACK_S:
                return process
        return None


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """
    Hold the lock of *state_dir*.

    Raises:
        ConfigError: another process holds it, or the directory cannot be written.
    """
    lock = _open(state_dir)
    try:
        if not _try(lock):
            holder = holder_of(state_dir)
            who = f"process {holder.pid}" if holder else "another process"
            raise ConfigError(f"patchgate is up already in {state_dir} ({who}): `patchgate down` ends it")
        note = _note(state_dir)
        note.write_bytes(msgspec.json.encode(Holder(os.getpid(), psutil.Process().create_time())))
        yield
        note.unlink(missing_ok=True)
    finally:
        os.close(lock)


def is_held(state_dir: Path) -> bool:
    """Whether somebody holds the lock."""
    if not state_dir.exists():
        return False
    lock = _open(state_dir)
    try:
        return not _try(lock)
    finally:
        os.close(lock)


def await_free(state_dir: Path, within_s: float) -> bool:
    """Wait until nobody holds it; False at the bound."""
    deadline = time.monotonic() + within_s
    while is_held(state_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def holder_of(state_dir: Path) -> Holder | None:
    """Who holds it, as far as the note tells."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(_note(state_dir).read_bytes(), type=Holder)
    return None


def _note(state_dir: Path) -> Path:
    return state_dir / "up.pid"


def _open(state_dir: Path) -> int:
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        return os.open(state_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{state_dir} cannot be used: {error}; set PATCHGATE_STATE_DIR to a directory of yours"
        ) from error


def _try(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
