"""A count that moves on stderr while somebody watches; nothing is drawn elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.cli.common import is_terminal

Tell = Callable[[int], None]

_EVERY_S = 0.2
_WIDTH = 30


@contextmanager
def counting(what: str, *, of: int = 0) -> Iterator[Tell]:
    """Give a function that is told each count, as often as it likes. of: how many there will be; 0: nobody knows."""
    if not is_terminal():
        yield lambda _count: None
        return
    shown_at = 0.0

    def tell(count: int) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= _EVERY_S:
            shown_at = time.monotonic()
            sys.stderr.write(f"\r\x1b[K{_bar(count, of)} {what}")
            sys.stderr.flush()

    try:
        yield tell
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _bar(count: int, of: int) -> str:
    if not of:
        return str(count)
    filled = _WIDTH * count // of
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {count} of {of}"
