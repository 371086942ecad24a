"""A small disk for the broker, so that it can be filled: a tmpfs of its own. Mounting one needs root and Linux."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_MB = 640
"""Kafka starts with 256 MB free; a campaign of 2,000 faults writes some tens of MB."""
_BLOCK = b"\0" * (1 << 20)


def why_not_here() -> str:
    """Why no small disk can be had here; "" if one can."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        return "a small disk of its own needs root (to mount a tmpfs)"
    return ""


@contextmanager
def small_disk(where: Path) -> Iterator[bool]:
    """Mount one at *where*, and see it gone; False, and a plain directory, where that is not possible."""
    where.mkdir(parents=True, exist_ok=True)
    mounted = not why_not_here() and _run(
        "mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "tmpfs", str(where)
    )
    try:
        yield mounted
    finally:
        if mounted and not _run("umount", str(where)):
            _run("umount", "--lazy", str(where))


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Filler:
    """A file that takes all that is left of a disk."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "filler"

    def fill(self) -> None:
        """Until not a byte is left."""
        with self._file.open("wb", buffering=0) as file:
            size = len(_BLOCK)
            while size:
                try:
                    file.write(_BLOCK[:size])
                except OSError:
                    size //= 2  # ever smaller blocks, to the last byte

    def free(self) -> None:
        """Give it all back."""
        self._file.unlink(missing_ok=True)
