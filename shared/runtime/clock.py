"""
The clock of all services: real time, or, for demo and tests, a scaled one that all services read from one file.

A scaled clock is a list of (real instant, UTC, rate): from that real instant on, UTC runs `rate` times as fast. Lines are
appended about a second ahead, so that all readers know of a change before it comes. What the law dates is UTC; heartbeats,
time-outs, blind_after, stale_after, the clock guard and back-off are real time.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

from shared.domain.errors import ConfigError

_REREAD_S = 0.05  # how often the file is looked at: well below the second by which a line is written ahead
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """UTC for what is dated, real time for what is waited for."""

    def now(self) -> datetime:
        """The UTC that the law dates by."""
        ...

    def real_now(self) -> datetime:
        """Real UTC."""
        ...

    def real_age(self, instant: datetime) -> timedelta:
        """How long ago, in real time, *instant* (of `now`) was; negative when it is still to come."""
        ...

    @property
    def scaled(self) -> bool:
        """Whether this is not the real time."""
        ...


class SystemClock:
    """Real time."""

    scaled = False

    def now(self) -> datetime:
        """The system's UTC."""
        return datetime.now(UTC)

    def real_now(self) -> datetime:
        """The same."""
        return datetime.now(UTC)

    def real_age(self, instant: datetime) -> timedelta:
        """How long ago *instant* was."""
        return datetime.now(UTC) - instant


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """From *real* on, the clock shows *utc* and runs *rate* times as fast as real time; 0 stands still."""

    real: Annotated[datetime, msgspec.Meta(tz=True)]
    utc: Annotated[datetime, msgspec.Meta(tz=True)]
    rate: Annotated[float, msgspec.Meta(ge=0)]


class ScaledClock:
    """A clock that reads its segments from a file, newest last; bounded by what one demo appends."""

    scaled = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = 0.0
        self._size = -1
        self._segments: list[Segment] = []
        self._reread()
        if not self._segments:
            raise ConfigError(f"the clock file {path} holds no line; write one first, or unset PATCHGATE_CLOCK_FILE")

    def now(self) -> datetime:
        """The scaled UTC."""
        self._reread()
        real = datetime.now(UTC)
        segment = next((s for s in reversed(self._segments) if s.real <= real), self._segments[0])
        return segment.utc + (real - segment.real) * segment.rate

    def real_now(self) -> datetime:
        """Real UTC."""
        return datetime.now(UTC)

    def real_age(self, instant: datetime) -> timedelta:
        """How long ago, in real time, the clock showed *instant*; where it stood still, the end of the stand."""
        self._reread()
        real = datetime.now(UTC)
        for segment in reversed([s for s in self._segments if s.real <= real] or self._segments[:1]):
            if instant >= segment.utc:
                if segment.rate == 0:
                    return real - segment.real
                return real - (segment.real + (instant - segment.utc) / segment.rate)
        return real - self._segments[0].real

    def _reread(self) -> None:
        moment = time.monotonic()
        if moment - self._read_at < _REREAD_S:
            return
        self._read_at = moment
        try:
            stored = self._path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"the clock file {self._path} cannot be read: {error}; unset PATCHGATE_CLOCK_FILE for real time"
            ) from error
        if len(stored) == self._size:
            return
        self._size = len(stored)
        whole_lines = stored[: stored.rfind(b"\n") + 1].splitlines()
        self._segments = [msgspec.json.decode(line, type=Segment) for line in whole_lines]


def append_segment(path: Path, *, rate: float, ahead: timedelta = timedelta(seconds=1)) -> Segment:
    """Let the clock of *path* run at *rate* from *ahead* of now on; its UTC goes on without a jump. Returns the new line."""
    lines = [msgspec.json.decode(line, type=Segment) for line in path.read_bytes().splitlines()]
    real = datetime.now(UTC) + ahead
    last = lines[-1]
    utc = last.utc + max(timedelta(), real - last.real) * last.rate
    return _append(path, Segment(real=max(real, last.real), utc=utc, rate=rate))


def begin_scaled(path: Path, *, utc: datetime, rate: float) -> Segment:
    """Write the first line of a scaled clock: it shows *utc* now."""
    path.write_bytes(b"")
    return _append(path, Segment(real=datetime.now(UTC), utc=utc, rate=rate))


def _append(path: Path, segment: Segment) -> Segment:
    with path.open("ab") as file:
        file.write(msgspec.json.encode(segment) + b"\n")
    return segment


def boot_id() -> str:
    """Which boot of this machine its monotonic time counts from; "" where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def open_clock(clock_file: str) -> Clock:
    """The clock that the settings name: "" is real time, else a scaled clock's file."""
    return ScaledClock(Path(clock_file)) if clock_file else SystemClock()
