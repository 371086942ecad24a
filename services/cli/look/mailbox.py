"""
Header blocks out of mailboxes and single mails, by bytes: bodies are skipped, not read.

A message of an mbox starts at a `From ` line at the start or behind an empty line, if the line ends like one
and a header follows: a body that quotes such lines badly starts no message. A header block above HEADER_BYTES_MAX is cut there.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from services.cli.look.sources import UNREADABLE, Piece, Trouble, open_plain, reason_of

HEADER_BYTES_MAX = 1_000_000
"""Of one mail; real ones are below 100 kB. What stands beyond is not looked at, and the mail is counted as cut."""

READ_BYTES = 4_000_000  # of a packed or piped mailbox at a time

# `From sender Mon Nov  2 10:11:12 2026`, with or without a zone; senders may be odd, dates are not.
FROM_LINE = re.compile(rb"From [^\r\n]{0,500}?\d\d:\d\d(?::\d\d)?[^\r\n]{0,40}\r?\n(?=[!-9;-~]{1,76}[ \t]*:|>From )")
_BLOCK_END = re.compile(rb"\r?\n\r?\n|\r\r")

_FROM_BYTES_MAX = 1_000  # of a `From ` line; FROM_LINE takes less
_OVERLAP = 3  # bytes before a start that tell whether the line before it is empty


class Block(NamedTuple):
    """One mail's headers. place: file and byte of its start; cut: there was more than is here."""

    headers: bytes
    place: str
    cut: bool


def blocks_of(piece: Piece) -> Iterator[Block | Trouble]:
    """The header blocks of a piece of kind `mbox` or `mail`. Of many mails one that cannot be read is told, and the others go on."""
    if piece.kind != "mail":
        with open_plain(piece.paths[0]) as stream:
            yield from stream_blocks(stream, piece.paths[0], piece.start, piece.end or None)
        return
    for path in piece.paths:
        try:
            yield _mail(path)
        except UNREADABLE as error:
            yield Trouble(path, f"cannot be read: {reason_of(error)}")


def _mail(path: str) -> Block:
    with open_plain(path) as stream:
        first = stream.read(65_536)
        found = _BLOCK_END.search(first)
        while found is None and len(first) < HEADER_BYTES_MAX and (more := stream.read(65_536)):
            first += more
            found = _BLOCK_END.search(first, len(first) - len(more) - 3)
    end = found.start() if found else len(first)
    return Block(first[:end], path, cut=found is None and len(first) >= HEADER_BYTES_MAX)


def stream_blocks(stream: BinaryIO, path: str, start: int = 0, end: int | None = None) -> Iterator[Block | Trouble]:
    """
    The header blocks of the messages of an mbox that begin at bytes *start* to *end*, to its last one where that is None.

    Read from front to back: memory is bounded by READ_BYTES and a header, and a mailbox that shrinks meanwhile just ends.
    """
    base = max(0, start - _OVERLAP)
    if base:
        stream.seek(base)
    held, first, more = b"", start - base, True
    while True:
        added = stream.read(READ_BYTES)
        more = bool(added)
        held += added
        # A start whose header may go on behind what is here waits for the rest.
        ready = len(held) - HEADER_BYTES_MAX - _FROM_BYTES_MAX if more else len(held)
        stop = ready if end is None else min(ready, end - base)
        last = not more or stop < ready
        if last or ready > _OVERLAP:
            yield from _blocks_in(held, path, first, stop, base=base)
        if last:
            return
        if ready > _OVERLAP:
            base += ready - _OVERLAP
            held, first = held[ready - _OVERLAP :], _OVERLAP


def _blocks_in(buffer: bytes, path: str, start: int, end: int, *, base: int) -> Iterator[Block | Trouble]:
    at = next_message(buffer, start, end)
    while at is not None:
        head = buffer.find(b"\n", at) + 1
        place = f"{path}, byte {base + at}"
        block, after = block_at(buffer, head, place)
        inner = _message_inside(block.headers)
        if inner is None:
            if after == len(buffer) and not block.cut:
                yield Trouble(place, "ends in the middle of its header: what is there of it counts")
            yield block
            at = next_message(buffer, after, end)
        else:
            yield Trouble(place, "breaks off in its header, and another mail begins there: both count")
            yield Block(block.headers[:inner], place, cut=False)
            at = head + inner + 1  # ours even behind *end*: who begins there looks for an empty line before it


def _message_inside(headers: bytes) -> int | None:
    """Where another message begins in a header block, as behind one that was not written to its end; no header begins so."""
    at = headers.find(b"\nFrom ")
    while at >= 0 and not FROM_LINE.match(headers, at + 1):
        at = headers.find(b"\nFrom ", at + 1)
    return None if at < 0 else at


def next_message(buffer: bytes, start: int, end: int) -> int | None:
    """Where the first message begins whose `From ` line stands at *start* or later, before *end*."""
    if start == 0 and FROM_LINE.match(buffer, 0):
        return 0
    at = max(start - 1, 0)
    while True:
        at = buffer.find(b"\nFrom", at, end + 3)  # without the blank: a search goes by the last byte, and `m` is rarer
        if at < 0:
            return None
        begins = at + 1
        empty_before = buffer[at - 1 : at] == b"\n" or buffer[at - 2 : at] == b"\n\r"
        if empty_before and FROM_LINE.match(buffer, begins):
            return begins
        at = begins


def block_at(buffer: bytes, head: int, place: str) -> tuple[Block, int]:
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
