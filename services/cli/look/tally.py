"""
Stored mails counted by who handed them over and what its own lines say: one tally a piece, and tallies add up.

The reader is asked once for lines that differ only in date, queue id and recipient: the answer hangs on none of them.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from services.cli.look.handed import Handed, handed_over, handed_over_by, run_length
from services.cli.look.headers import received_of
from services.cli.look.jsonl import Headers
from services.cli.look.logged import Logged
from services.cli.look.mailbox import HEADER_BYTES_MAX, Block
from services.cli.look.own_line import text_of
from services.cli.look.own_names import Own
from services.cli.look.sources import Trouble
from shared.domain.catalogue import BuildCatalogue
from shared.domain.evidence import OwnRun
from shared.domain.received import read_line, read_own_run

SENDERS_MAX = 50_000
"""Different senders in one tally. At the bound a new one is counted in `beyond` only, unless it shows a product that is judged."""

DAYS_MAX = 400_000
"""Entries (sender, day) in one tally; at the bound a mail counts for its sender without its day."""

PEERS_MAX = 500_000
"""Different peers that are told apart; at the bound the report says "at least"."""

PRODUCTS_MAX = 5_000
"""Different (product, version) in one tally; a further one is counted nowhere but in the mails."""

HOURS_KEPT = 24
"""Distinct hours that are kept of a sender: no policy asks for more before a case opens."""

TROUBLES_MAX = 1_000
"""Troubles that are kept with their place; all are counted."""

_RUNS_KEPT = 65_536


class Named(NamedTuple):
    """What a line names: product, "" for none; the version of one that is not judged, as the line has it."""

    product: str
    version: str
    judged: bool


_NOTHING = Named("", "", judged=False)


class Sender(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who handed mails over, and what they showed. peer "": the own line names no address in a known form."""

    peer: str
    helo: str
    client_name: str
    resolve: str
    run: OwnRun


class Count(msgspec.Struct, array_like=True):
    """
    Mails of one sender.

    first, last: seconds since 1970 UTC, 0 where no date could be read. days: day since 1970 -> mails. hours: distinct
    hours since 1970, HOURS_KEPT at most. hidden: product that a server behind this one shows -> mails.
    """

    mails: int = 0
    first: int = 0
    last: int = 0
    days: dict[int, int] = msgspec.field(default_factory=dict)
    hours: list[int] = msgspec.field(default_factory=list)
    hidden: dict[str, int] = msgspec.field(default_factory=dict)


class Tally(msgspec.Struct, array_like=True):
    """
    What some pieces hold.

    no_received: mails without any such line, as drafts and sent ones. no_lines: mails of logs that tell no such line. own_only: mails that never left the own servers.
    products: what the sender's top line names -> mails; PRODUCTS_MAX at most.
    """

    mails: int = 0
    no_received: int = 0
    no_lines: int = 0
    own_only: int = 0
    cut: int = 0
    beyond: int = 0
    undated: int = 0
    senders: dict[Sender, Count] = msgspec.field(default_factory=dict)
    products: dict[Named, int] = msgspec.field(default_factory=dict)
    peers: set[int] = msgspec.field(default_factory=set)
    day_entries: int = 0
    troubles: list[Trouble] = msgspec.field(default_factory=list)
    troubles_all: int = 0


CUT = f"has a header of more than {HEADER_BYTES_MAX} bytes: what stands beyond is not looked at"

Found = Block | Headers | Logged | Trouble
"""What a door brings."""


class Teller:
    """Counts the mails of one piece."""

    def __init__(self, own: Own, catalogue: BuildCatalogue) -> None:
        self.tally = Tally()
        self._own = own
        self._run_of = lru_cache(_RUNS_KEPT)(lambda lines: _run_of(lines, catalogue))

    def trouble(self, trouble: Trouble) -> None:
        """Note what could not be read."""
        note_trouble(self.tally, trouble)

    def told(self, found: Found) -> None:
        """Count what a door brought."""
        if isinstance(found, Block):
            self.mail(received_of(found.headers))
            if found.cut:
                self.tally.cut += 1
                self.trouble(Trouble(found.place, CUT))
        elif isinstance(found, Headers):
            self.mail(found.received)
        elif isinstance(found, Logged):
            self.logged(found)
        else:
            self.trouble(found)

    def mail(self, received: Sequence[bytes]) -> None:
        """Count one stored mail by its `Received` values, top first; the top one is the receiver's."""
        self.tally.mails += 1
        if not received:
            self.tally.no_received += 1
            return
        self._count(handed_over(received, self._own))

    def logged(self, mail: Logged) -> None:
        """Count one mail of a log."""
        self.tally.mails += 1
        handed = handed_over_by(mail, self._own)
        self.tally.no_lines += handed is not None and mail.received is None
        self._count(handed)

    def _count(self, handed: Handed | None) -> None:
        tally = self.tally
        if handed is None:
            tally.own_only += 1
            return
        by, lines = handed.by, handed.lines
        length = run_length(lines)
        run = self._run_of(tuple(lines[:length]))
        named = product_of(lines[0]) if lines else _NOTHING
        if named in tally.products or len(tally.products) < PRODUCTS_MAX:
            tally.products[named] = tally.products.get(named, 0) + 1
        if by and len(tally.peers) < PEERS_MAX:
            tally.peers.add(_mark_of(by.peer))
        sender = Sender(by.peer, by.helo, by.client_name, by.resolve, run) if by else Sender("", "", "", "unknown", run)
        count = self._count_of(sender)
        if count is not None:
            self._note(count, handed.seconds)
            _note_hidden(count, lines[length:])

    def _count_of(self, sender: Sender) -> Count | None:
        senders = self.tally.senders
        count = senders.get(sender)
        if count is None:
            if len(senders) >= SENDERS_MAX and sender.run.reading is None:
                self.tally.beyond += 1
                return None
            count = senders[sender] = Count()
        return count

    def _note(self, count: Count, seconds: int | None) -> None:
        count.mails += 1
        if seconds is None:
            self.tally.undated += 1
            return
        if count.first == 0 or seconds < count.first:
            count.first = seconds
        count.last = max(count.last, seconds)
        _note_hour(count, seconds // 3_600)
        day = seconds // 86_400
        if day in count.days:
            count.days[day] += 1
        elif self.tally.day_entries < DAYS_MAX:
            count.days[day] = 1
            self.tally.day_entries += 1


def _note_hidden(count: Count, deeper: Sequence[bytes]) -> None:
    """Products of servers behind this one, as hints: those lines came as content of the mail."""
    for line in deeper[:_HIDDEN_LINES]:
        named = product_of(line)
        if named.judged:
            if named.product in count.hidden or len(count.hidden) < _HIDDEN_PRODUCTS:
                count.hidden[named.product] = count.hidden.get(named.product, 0) + 1
            return


_HIDDEN_LINES = 4
_HIDDEN_PRODUCTS = 8


def note_trouble(tally: Tally, trouble: Trouble) -> None:
    """Count what could not be read, and keep the first of it, in text that any screen and file can take."""
    tally.troubles_all += 1
    if len(tally.troubles) < TROUBLES_MAX:
        tally.troubles.append(Trouble(_plain(trouble.place), _plain(trouble.why)))


def _plain(text: str) -> str:
    """Names of files can hold anything: what is not printable, and no UTF-8, is written as its code."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def add(whole: Tally, one: Tally) -> None:
    """Add *one* to *whole*, within the same bounds."""
    for name in ("mails", "no_received", "no_lines", "own_only", "cut", "beyond", "undated", "troubles_all"):
        setattr(whole, name, getattr(whole, name) + getattr(one, name))
    whole.troubles += one.troubles[: TROUBLES_MAX - len(whole.troubles)]
    for product, mails in one.products.items():
        whole.products[product] = whole.products.get(product, 0) + mails
    whole.peers |= one.peers
    for sender, count in one.senders.items():
        _add(whole, sender, count)


def _add(whole: Tally, sender: Sender, count: Count) -> None:
    into = whole.senders.get(sender)
    if into is None:
        if len(whole.senders) >= SENDERS_MAX and sender.run.reading is None:
            whole.beyond += count.mails
            return
        into = whole.senders[sender] = Count()
    into.mails += count.mails
    into.last = max(into.last, count.last)
    into.first = min(into.first or count.first, count.first or into.first)
    for day, mails in count.days.items():
        if day in into.days:
            into.days[day] += mails
        elif whole.day_entries < DAYS_MAX:
            into.days[day] = mails
            whole.day_entries += 1
    for hour in count.hours:
        _note_hour(into, hour)
    for product, mails in count.hidden.items():
        if product in into.hidden or len(into.hidden) < _HIDDEN_PRODUCTS:
            into.hidden[product] = into.hidden.get(product, 0) + mails


@lru_cache(_RUNS_KEPT)
def _mark_of(peer: str) -> int:
    """64 bits that stand for a peer, the same in every process."""
    return int.from_bytes(blake2b(peer.encode(), digest_size=8).digest(), "big")


def _note_hour(count: Count, hour: int) -> None:
    if len(count.hours) < HOURS_KEPT and hour not in count.hours:
        count.hours.append(hour)


@lru_cache(_RUNS_KEPT)
def product_of(line: bytes) -> Named:
    """What a `normal` line names."""
    read = read_line(text_of(line))
    if read.product is None:
        return _NOTHING
    return Named(read.product, "" if read.judged else read.version, read.judged)


def _run_of(lines: tuple[bytes, ...], catalogue: BuildCatalogue) -> OwnRun:
    run = read_own_run([text_of(line) for line in lines], catalogue)
    return msgspec.structs.replace(run, lines=run.lines[:1])
