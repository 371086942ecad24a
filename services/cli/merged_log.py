"""What all services say, in one place: each line with its service in front, to the terminal and to one file of bounded size."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from shared.domain.errors import ConfigError

_WIDTH = 9  # the longest name of a service


class MergedLog:
    """
    `<state_dir>/log/patchgate.log`; at *max_bytes* it becomes `patchgate.log.1`, and the older `.1` is gone.

    show: gets each line as well, as the terminal shall have it. A disk that is full costs lines, never the services.
    """

    def __init__(self, state_dir: Path, show: Callable[[str], None], *, max_bytes: int = 10_000_000) -> None:
        self.path = state_dir / "log" / "patchgate.log"
        self._show = show
        self._max_bytes = max_bytes
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self.path.open("ab", buffering=0)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written: {error}; set PATCHGATE_STATE_DIR to a directory of yours"
            ) from error
        self._size = self.path.stat().st_size
        self._lost = 0

    def write(self, service: str, text: str) -> None:
        """One line of *service*."""
        line = f"{service:<{_WIDTH}} | {text}"
        self._show(line)
        try:
            if self._size >= self._max_bytes:
                self._turn_over()
            if self._lost:
                self._append(f"{'up':<{_WIDTH}} | {self._lost} lines could not be written here")
                self._lost = 0
            self._append(line)
        except OSError:
            self._lost += 1

    def _append(self, line: str) -> None:
        data = line.encode("utf-8", "replace") + b"\n"
        self._file.write(data)
        self._size += len(data)

    def _turn_over(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("ab", buffering=0)
        self._size = 0

    def close(self) -> None:
        """No more lines."""
        self._file.close()


class LineReader:
    """Cuts a child's output into lines; one that is longer than 16 KiB is cut there."""

    LONGEST = 16 * 1024

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        *lines, rest = (self._rest + data).split(b"\n")
        while len(rest) > self.LONGEST:
            lines.append(rest[: self.LONGEST])
            rest = rest[self.LONGEST :]
        self._rest = rest
        for line in lines:
            self._take(line[: self.LONGEST].decode("utf-8", "replace").rstrip())

    def end(self) -> None:
        """No more comes; what is left is a line, too."""
        if self._rest:
            self.feed(b"\n")
