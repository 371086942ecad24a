"""The stored records of a log, in order: from an export, or from the bus. A reader; nothing can be written through it."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import typer

from services.cli.bus import each, reading
from shared.domain import events as e
from shared.domain.errors import ConfigError, EventSchemaError
from shared.domain.verify import seal
from shared.messaging import topics as t
from shared.runtime.settings import CommonSettings

_LONGEST_LINE = 2_000_000  # as `audit verify` reads

Stored = tuple[e.LogRecord, bytes]


async def records(settings: CommonSettings, file: Path | None) -> AsyncGenerator[Stored, None]:
    """
    Each record with its bytes. Who stops before the end closes it.

    Raises:
        ConfigError: the file cannot be read.
        EventSchemaError: a record cannot be, or an export does not end with its seal.
        TransientError: the broker is not there.
    """
    count = 0
    if file is not None:
        for stored in _of_export(file):
            count += 1
            yield decoded(stored, count), stored
        return
    async with reading(settings) as consumer, aclosing(each(settings, consumer, t.LOG)) as found:
        async for record in found:
            count += 1
            stored = record.value or b""
            yield decoded(stored, count), stored


def decoded(stored: bytes, place: int) -> e.LogRecord:
    """
    A record, read.

    Raises:
        EventSchemaError: it cannot be.
    """
    try:
        return e.decode_log(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventSchemaError(
            f"record {place} of the log cannot be read: damaged, or written by a newer patchgate; `patchgate audit verify` tells more"
        ) from error


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
        BadParameter: it is none, or has no zone.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no instant: write it as 2026-11-24T11:00Z") from error
    if instant.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no zone: write {text}Z for UTC")
    return instant.astimezone(UTC)
