"""
The `Received` values of one mail as it comes in, piece by piece: bytes in, values out, memory bounded.

What counts as the head: lines up to the first empty one. A line that begins with a blank goes on with the one before. Lines end
in LF or CRLF; where no LF comes with the first piece, in CR. Lines that are no header, as the `From ` of a mailbox, are passed.
"""

import re
from collections.abc import Iterable, Iterator

from shared.domain.header_text import RAW_LENGTH_MAX

_KEPT = RAW_LENGTH_MAX  # at each end of a value, so that a longer one is cut as `unfold` cuts it
_RECEIVED = re.compile(rb"received[ \t]*:", re.IGNORECASE)
_BLANK = (b" ", b"\t")


def received_values(pieces: Iterable[bytes]) -> Iterator[str]:
    """
    The values of all `Received` headers, top first, each as soon as its header has ended; the rest of *pieces* is not read.

    A value holds one character a byte, so nothing is lost that is no UTF-8, and no text is refused.
    """
    value: bytearray | None = None
    begun = False
    for line in _lines(pieces):
        if line.startswith(_BLANK) and begun:
            if value is not None:
                _grow(value, b"\n" + line)
            continue
        if value is not None:
            yield value.decode("latin-1")
            value = None
        if not line and begun:
            return
        found = _RECEIVED.match(line)
        if found is not None:
            value = bytearray(line[found.end() :])
        begun = begun or bool(line)
    if value is not None:
        yield value.decode("latin-1")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends; of one above the bound both ends."""
    open_line = bytearray()
    in_cr = None
    for piece in pieces:
        if in_cr is None and piece:
            in_cr = b"\n" not in piece and b"\r" in piece
            piece = piece.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - a mark that some editors put in front
        *ended, rest = (piece.replace(b"\r", b"\n") if in_cr else piece).split(b"\n")
        for line in ended:
            _grow(open_line, line)
            yield bytes(open_line.rstrip(b"\r"))
            open_line.clear()
        _grow(open_line, rest)
    if open_line:
        yield bytes(open_line.rstrip(b"\r"))


def _grow(value: bytearray, more: bytes) -> None:
    value += more
    if len(value) > 2 * _KEPT:
        del value[_KEPT:-_KEPT]
