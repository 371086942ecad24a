"""Mails as JSON lines: one object a line with `received`, a list of whole header lines, top first. What exports and archives give."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from services.cli.look.sources import Piece, Trouble, open_plain

LINE_BYTES_MAX = 4_000_000
"""Of one object; a longer line is told and skipped."""

_NAME = "received:"


class Exported(msgspec.Struct):
    """Of each object only this is read."""

    received: list[str]


class Headers(NamedTuple):
    """The `Received` values of one mail, top first."""

    received: list[bytes]


_DECODER = msgspec.json.Decoder(Exported)


def mails_of(piece: Piece) -> Iterator[Headers | Trouble]:
    """The mails of a piece of kind `jsonl`."""
    path = piece.paths[0]
    with open_plain(path) as stream:
        number = 0
        while line := stream.readline(LINE_BYTES_MAX):
            number += 1
            if not line.endswith(b"\n") and len(line) == LINE_BYTES_MAX:
                yield Trouble(f"{path}, line {number}", f"is longer than {LINE_BYTES_MAX} bytes")
                while line and not line.endswith(b"\n"):
                    line = stream.readline(LINE_BYTES_MAX)
            elif line.strip():
                yield _mail(line, f"{path}, line {number}")


def _mail(line: bytes, place: str) -> Headers | Trouble:
    try:
        exported = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Trouble(place, f"is no JSON object with a list `received`: {error}")
    return Headers([_value(text) for text in exported.received])


def _value(text: str) -> bytes:
    """The value, whether or not the name stands before it."""
    value = text[len(_NAME) :] if text[: len(_NAME)].lower() == _NAME else text
    return value.encode("utf-8", "replace")
