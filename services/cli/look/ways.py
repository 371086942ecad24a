"""
What mails have in common that differ in date, queue id and recipient alone: read once, and remembered within bounds.

The reading hangs on none of the three. A process keeps what it has read from piece to piece.
"""

from functools import lru_cache
from typing import NamedTuple

import msgspec

from services.cli.look.handed import border, run_length
from services.cli.look.own_line import LINES_KEPT, Handover, text_of
from services.cli.look.own_names import Own
from shared.domain.catalogue import BuildCatalogue
from shared.domain.evidence import OwnRun
from shared.domain.received import read_line, read_own_run

WAYS_KEPT = 16_384
"""Ways of mails that are remembered, some 20 MB of them; the one not met for longest is read again."""

_HIDDEN_LINES = 4


class Named(NamedTuple):
    """What a line names: product, "" for none; the version of one that is not judged, as the line has it."""

    product: str
    version: str
    judged: bool


_NOTHING = Named("", "", judged=False)


class Sender(msgspec.Struct, frozen=True, array_like=True, gc=False, cache_hash=True):
    """Who handed mails over, and what they showed. peer "": the own line names no address in a known form."""

    peer: str
    helo: str
    client_name: str
    resolve: str
    run: OwnRun


class Way(NamedTuple):
    """
    What mails that differ in date, queue id and recipient alone have in common.

    named: what the sender's newest line names; hidden: a product of a server behind the sender, "" for none.
    """

    sender: Sender
    named: Named
    hidden: str


class Ways:
    """Reads the lines of mails, all in `normal` form."""

    def __init__(self, own: Own, catalogue: BuildCatalogue) -> None:
        self._own = own
        self._catalogue = catalogue
        self.of = lru_cache(WAYS_KEPT)(self._of)
        self.of_stored = lru_cache(WAYS_KEPT)(self._of_stored)

    def _of_stored(self, lines: tuple[bytes, ...]) -> tuple[int, Way] | None:
        """The index of the last own line, and the way; None for a mail that never left the own servers."""
        found = border(lines, self._own)
        return None if found is None else (found[0], self.of(found[1], lines[found[0] + 1 :]))

    def _of(self, by: Handover | None, lines: tuple[bytes, ...]) -> Way:
        """The way of a mail that *by* handed over with *lines*, top first."""
        length = run_length(lines)
        run = read_own_run([text_of(line) for line in lines[:length]], self._catalogue)
        run = msgspec.structs.replace(run, lines=run.lines[:1])
        sender = Sender(by.peer, by.helo, by.client_name, by.resolve, run) if by else Sender("", "", "", "unknown", run)
        judged = (named.product for line in lines[length:][:_HIDDEN_LINES] if (named := product_of(line)).judged)
        return Way(sender, product_of(lines[0]) if lines else _NOTHING, next(judged, ""))


@lru_cache(2)
def ways_for(own: Own, catalogue: BuildCatalogue) -> Ways:
    """The ways for these own servers; a process has one at a time."""
    return Ways(own, catalogue)


@lru_cache(LINES_KEPT)
def product_of(line: bytes) -> Named:
    """What a `normal` line names."""
    read = read_line(text_of(line))
    if read.product is None:
        return _NOTHING
    return Named(read.product, "" if read.judged else read.version, read.judged)
