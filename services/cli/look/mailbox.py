"""
Header blocks out of mailboxes and single mails, by bytes: bodies are skipped, not read.

A message of an mbox starts at a `From ` line at the start or behind an empty line, if the line ends like one
and a header follows: a body that quotes such lines badly starts no message. A header block above HEADER_BYTES_MAX is cut there.
"""

import mmap
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from services.cli.look.sources import Piece, Trouble, open_plain

HEADER_BYTES_MAX = 1_000_000
"""Of one mail; real ones are below 100 kB. What stands beyond is not looked at, and the mail is counted as cut."""

READ_BYTES = 4_000_000  # of a packed or piped mailbox at a time

# `From sender Mon Nov  2 10:11:12 2026`, with or without a zone; senders may be odd, dates are not.
FROM_LINE = re.compile(rb"From [^\r\n]{0,500}?\d\d:\d\d(?::\d\d)?[^\r\n]{0,40}\r?\n(?=[!-9;-~]{1,76}[ \t]*:|>From )")
_BLOCK_END = re.compile(rb"\r?\n\r?\n|\r\r")

_FROM_BYTES_MAX = 1_000  # of a `From ` line; FROM_LINE takes less
_OVERLAP = 3  # bytes before a start that tell whether the line before it is empty

Buffer = bytes | mmap.mmap


class Block(NamedTuple):
    """One mail's headers. place: file and byte of its start; cut: there was more than is here."""

    headers: bytes
    place: str
    cut: bool


def blocks_of(piece: Piece) -> Iterator[Block | Trouble]:
    """The header blocks of a piece of kind `mbox` or `mail`."""
    if piece.kind == "mail":
        for path in piece.paths:
            yield from _mail(path)
    elif piece.end:
        yield from _mapped(piece.paths[0], piece.start, piece.end)
    else:
        with open_plain(piece.paths[0]) as stream:
            yield from stream_blocks(stream, piece.paths[0])


def _mail(path: str) -> Iterator[Block | Trouble]:
    with open_plain(path) as stream:
        first = stream.read(65_536)
        found = _BLOCK_END.search(first)
        while found is None and len(first) < HEADER_BYTES_MAX and (more := stream.read(65_536)):
            first += more
            found = _BLOCK_END.search(first, len(first) - len(more) - 3)
    end = found.start() if found else len(first)
    yield Block(first[:end], path, cut=found is None and len(first) >= HEADER_BYTES_MAX)


def _mapped(path: str, start: int, end: int) -> Iterator[Block | Trouble]:
    """Messages that start in bytes *start* to *end* of a plain mbox."""
    with (
        open(path, "rb") as stream,  # noqa: PTH123
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        yield from _blocks_in(mapped, path, start, end, base=0)


def _blocks_in(buffer: Buffer, path: str, start: int, end: int, *, base: int) -> Iterator[Block]:
    at = next_message(buffer, start, end)
    while at is not None:
        head = buffer.find(b"\n", at) + 1
        block, after = block_at(buffer, head, f"{path}, byte {base + at}")
        yield block
        at = next_message(buffer, after, end)


def next_message(buffer: Buffer, start: int, end: int) -> int | None:
    """Where the first message begins whose `From ` line stands at *start* or later, before *end*."""
    if start == 0 and FROM_LINE.match(buffer, 0):
        return 0
    at = max(start - 1, 0)
    while True:
        at = buffer.find(b"\nFrom ", at, end + 4)
        if at < 0:
            return None
        begins = at + 1
        empty_before = buffer[at - 1 : at] == b"\n" or buffer[at - 2 : at] == b"\n\r"
        if empty_before and FROM_LINE.match(buffer, begins):
            return begins
        at = begins


def block_at(buffer: Buffer, head: int, place: str) -> tuple[Block, int]:
    """The header block that begins at *head*, and where to look on."""
    limit = head + HEADER_BYTES_MAX
    end = buffer.find(b"\n\n", head, limit)
    crlf = buffer.find(b"\n\r\n", head, end if end >= 0 else limit)
    if crlf >= 0:
        end = crlf
    if end < 0:
        end = min(limit, len(buffer))
        return Block(buffer[head:end], place, cut=end == limit), end
    return Block(buffer[head:end], place, cut=False), end


def stream_blocks(stream: BinaryIO, path: str) -> Iterator[Block | Trouble]:
    """The header blocks of an mbox that can only be read from front to back; memory is bounded by READ_BYTES and a header."""
    held, base, more = b"", 0, True
    while more:
        added = stream.read(READ_BYTES)
        more = bool(added)
        held += added
        # A start whose header may go on behind what is here waits for the rest.
        ready = len(held) - HEADER_BYTES_MAX - _FROM_BYTES_MAX if more else len(held)
        if ready > _OVERLAP:
            yield from _blocks_in(held, path, _OVERLAP if base else 0, ready, base=base)
            base += ready - _OVERLAP
            held = held[ready - _OVERLAP :]
