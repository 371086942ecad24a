"""`patchgate read`: what the `Received` lines of one mail say, as JSON for other programs."""

import os
import sys
from collections.abc import Iterator

import msgspec
import typer

from shared.domain.build import Build
from shared.domain.catalogue import BuildCatalogue, load_catalogue
from shared.domain.mail_head import received_values
from shared.domain.received import read_line, reading_of

_PIECE_BYTES = 65_536


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """
    One `Received` line. index: 0 is the top one. host: who wrote it.

    build: as the line has it, without zero padding where it is of an Exchange. range: the least and the highest build that
    may be installed, None where nothing is judged. reason: see docs/architecture/reading.md.
    """

    index: int
    host: str
    product: str | None
    generation: str
    build: str | None
    range: tuple[str, str] | None
    form: str
    reason: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("read", help=_HELP)(read)


_HELP = """Read one mail, or its headers, from stdin: one JSON line a Received line, top first.

Each has index, host, product, generation, build, range, form and reason; docs/architecture/reading.md explains the reasons.
The head ends at the first empty line. Of a mailbox only the first mail is read: give the mails one by one."""


def read() -> None:
    """Print what each line says, as soon as it has come in."""
    catalogue = load_catalogue()
    pieces = _pieces()
    write = sys.stdout.buffer.write
    for index, value in enumerate(received_values(pieces)):
        write(msgspec.json.encode(line_of(index, value, catalogue)) + b"\n")
    sys.stdout.buffer.flush()
    for _ in pieces:  # the body: who writes it would be told of a broken pipe
        pass


def line_of(index: int, value: str, catalogue: BuildCatalogue) -> Line:
    """What one value says."""
    line = read_line(value)
    reading = reading_of(line, catalogue)
    ends: tuple[Build, Build] | None = None
    if reading is not None and reading.low is not None and reading.high is not None:
        ends = reading.low, reading.high
    return Line(
        index=index,
        host=line.name,
        product=line.product,
        generation=line.generation,
        build=line.build or None,
        range=(str(ends[0]), str(ends[1])) if ends else None,
        form=line.form,
        reason=line.reason if reading is None else reading.reason,
    )


def _pieces() -> Iterator[bytes]:
    while piece := os.read(sys.stdin.fileno(), _PIECE_BYTES):
        yield piece
