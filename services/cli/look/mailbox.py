"""
Header blocks out of mailboxes and single mails, by bytes: bodies are skipped, not read.

A message of an mbox starts at a `From ` line at the start or behind an empty line, if the line ends like one
and a header follows: a body that quotes such lines badly starts no message. Where one surely begins all the same, as behind a mail
that breaks off, it is told and passed over. A header block above HEADER_BYTES_MAX is cut there.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from services.cli.look.sources import CR_ALONE, UNREADABLE, Piece, Trouble, open_plain, reason_of

HEADER_BYTES_MAX = 1_000_000
"""Of one mail; real ones are below 100 kB. What stands beyond is not looked at, and the mail is counted as cut."""

READ_BYTES = 4_000_000  # of a packed or piped mailbox at a time

# `From sender Mon Nov  2 10:11:12 2026`, with or without a zone; senders may be odd, dates are not.
FROM_LINE = re.compile(
    rb"From [^\r\n]{0,500}?\d\d:\d\d(?::\d\d)?[^\r\n]{0,40}(?:\r?\n|\r)(?=[!-9;-~]{1,76}[ \t]*:|>From )"
)
# The same where no message may begin: only as servers write it, before a line that they put on top of a mail.
_MISPLACED = re.compile(
    rb"From \S{1,320} +[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:[\w+-]{1,10} )?\d{4}\r?\n"
    rb"(?=(?:Return-Path|Received|Delivered-To|X-Original-To|Envelope-to)[ \t]*:)"
)
_FRONT = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*>?")  # of a mailbox: what some programs put there
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
    found = next_message(buffer, start, end)
    if start == 0 and (found is None or found.start() != _front_of(buffer)):
        yield Trouble(f"{path}, byte 0", "begins with no mail: what stands before the first one is passed over")
    while found is not None:
        at, head = found.span()
        place = f"{path}, byte {base + at}"
        if found.re is _MISPLACED or buffer[head - 1] == _CR:
            yield Trouble(place, CR_ALONE if buffer[head - 1] == _CR else _NO_PLACE)
            found = next_message(buffer, head, end)
            continue
        block, after = block_at(buffer, head, place)
        inner = _message_inside(block.headers)
        if inner is None:
            if after == len(buffer) and not block.cut:
                yield Trouble(place, "ends in the middle of its header: what is there of it counts")
            yield block
            found = next_message(buffer, after, end)
            continue
        yield Block(block.headers[: inner.start()], place, cut=False)
        if inner.re is _MISPLACED:
            yield Trouble(f"{path}, byte {base + head + inner.start()}", _NO_PLACE)
            found = next_message(buffer, after, end)
        else:
            yield Trouble(place, "breaks off in its header, and another mail begins there: both count")
            found = FROM_LINE.match(
                buffer, head + inner.start()
            )  # ours even behind *end*: who begins there looks for an empty line


_CR = ord("\r")
_NO_PLACE = "another mail begins in the midst of one that breaks off: it is passed over"


def _front_of(buffer: bytes) -> int:
    """Where the first message of a mailbox should begin."""
    found = _FRONT.match(buffer)
    return found.end() if found else 0


def _message_inside(headers: bytes) -> re.Match[bytes] | None:
    """The `From ` line of another message in a header block, as behind one that was not written to its end; no header begins so."""
    at = headers.find(b"From ")
    while at >= 0:
        begins_line = headers[at - 1 : at] == b"\n"
        found = FROM_LINE.match(headers, at) if begins_line else _MISPLACED.match(headers, at)
        if found is not None:
            return found
        at = headers.find(b"From ", at + 1)
    return None


def next_message(buffer: bytes, start: int, end: int) -> re.Match[bytes] | None:
    """The first `From ` line that stands at *start* or later, before *end*, and begins a message, or should not stand there."""
    if start == 0 and (first := FROM_LINE.match(buffer, _front_of(buffer))):
        return first
    at = start
    while (begins := buffer.find(b"From ", at, end + 4)) >= 0:
        found = _from_line_at(buffer, begins)
        if found is not None:
            return found
        at = begins + 1
    return None


def _from_line_at(buffer: bytes, begins: int) -> re.Match[bytes] | None:
    """The `From ` line at *begins*: behind an empty line any, else one that only a server writes, if it is not quoted."""
    if buffer[begins - 2 : begins] == b"\n\n" or buffer[begins - 3 : begins] == b"\n\r\n":
        return FROM_LINE.match(buffer, begins)
    return None if buffer[begins - 1 : begins] == b">" else _MISPLACED.match(buffer, begins)


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
