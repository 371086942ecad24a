"""The stored records of a log, in order: from an export, or from the bus. A reader; nothing can be written through it."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import typer

from services.cli.bus import each, reading
from shared.domain import events as e
from shared.domain.errors import ConfigError, EventSchemaError, VersionGap
from shared.domain.verify import seal
from shared.messaging import topics as t
from shared.runtime.settings import CommonSettings

_LONGEST_LINE = 2_000_000  # as `audit verify` reads

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Stored = tuple[e.LogRecord, bytes]


class _Link(msgspec.Struct, frozen=True):
    """What chains a record to the one before it; the rest is not even read."""

    seq: int
    prev: str


_LINK = msgspec.json.Decoder(_Link)


class _Chain:
    """The hash chain alone, from the first record on."""

    def __init__(self) -> None:
        self.count, self.head = 0, ""

    def take(self, stored: bytes, link: e.LogRecord | _Link) -> None:
        """
        The next record.

        Raises:
            VersionGap: it does not follow the one before it.
        """
        self.count += 1
        if (link.seq, link.prev) != (self.count, self.head):
            raise VersionGap(
                f"record {self.count} of the log does not follow the one before it: one of the two was changed, or one is missing,"
                " doubled or out of place; `patchgate audit verify` tells more"
            )
        self.head = e.chain(stored)


async def records(
    settings: CommonSettings, file: Path | None, *, until: datetime | None = None
) -> AsyncGenerator[Stored, None]:
    """
    Each record with its bytes, its place in the chain checked; until: only those that were written by then.

    Behind *until* an export is read on to its seal, the chain alone, and the bus by one record: it proves the last one.
    Who stops before the end closes it.

    Raises:
        ConfigError: the file cannot be read.
        EventSchemaError: a record cannot be, or an export does not end with its seal.
        VersionGap: a record does not follow the one before it.
        TransientError: the broker is not there.
    """
    chain, within = _Chain(), True
    async with aclosing(_stored(settings, file)) as log:
        async for stored in log:
            if not within:
                chain.take(stored, _link(stored, chain.count + 1))
                continue
            record = decoded(stored, chain.count + 1)
            chain.take(stored, record)
            within = until is None or record.at <= until
            if within:
                yield record, stored
            elif file is None:
                return


async def _stored(settings: CommonSettings, file: Path | None) -> AsyncGenerator[bytes, None]:
    if file is not None:
        for stored in _of_export(file):
            yield stored
        return
    async with reading(settings) as consumer, aclosing(each(settings, consumer, t.LOG)) as found:
        async for record in found:
            yield record.value or b""


def decoded(stored: bytes, place: int) -> e.LogRecord:
    """
    A record, read.

    Raises:
        EventSchemaError: it cannot be.
    """
    try:
        return e.decode_log(stored)
    except _UNREADABLE as error:
        raise _unreadable(place) from error


def _link(stored: bytes, place: int) -> _Link:
    try:
        return _LINK.decode(stored)
    except _UNREADABLE as error:
        raise _unreadable(place) from error


def _unreadable(place: int) -> EventSchemaError:
    return EventSchemaError(
        f"record {place} of the log cannot be read: damaged, or written by a newer patchgate; `patchgate audit verify` tells more"
    )


def _of_export(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as content:
            yield from _lines(content, file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error


def _lines(content: BinaryIO, file: Path) -> Iterator[bytes]:
    """All but the last line, which must be the seal of those above."""
    count, last, before = 0, b"", b""
    while line := content.readline(_LONGEST_LINE):
        if last:
            before = last.removesuffix(b"\n")
            count += 1
            yield before
        last = line
    if last != seal(count, e.chain(before) if count else "") + b"\n":
        raise EventSchemaError(
            f"{file} does not end with the seal of its {count} records: it was cut off or changed; `patchgate audit verify {file}` tells where"
        )


def instant_of(text: str) -> datetime:
    """
    An instant from the command line.

    Raises:
        BadParameter: it is none, has no zone, or is none in UTC.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no instant: write it as 2026-11-24T11:00Z") from error
    if instant.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no zone: write {_with_time(text)}Z for UTC")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:  # of the first and the last day that there are
        raise typer.BadParameter(f"{text!r} lies beyond the calendar in UTC: write it as 2026-11-24T11:00Z") from error


def _with_time(text: str) -> str:
    """A day alone takes no zone: with its first minute it does."""
    try:
        return f"{date.fromisoformat(text)}T00:00"
    except ValueError:
        return text
