"""Mails counted by who handed them over and what its own lines say: one tally a piece, and tallies add up."""

import time
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import msgspec

from services.cli.look.handed import LINES_LOOKED_AT, handed_over_by
from services.cli.look.headers import received_of, seconds_of
from services.cli.look.jsonl import Headers
from services.cli.look.logged import Logged
from services.cli.look.mailbox import HEADER_BYTES_MAX, Block
from services.cli.look.own_line import LINES_KEPT, normal
from services.cli.look.own_names import Own
from services.cli.look.sources import Trouble
from services.cli.look.ways import Named, Sender, Way, ways_for
from shared.domain.catalogue import BuildCatalogue

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
    undated: mails whose date cannot be read, or is still to come; they count without their day. products: what the sender's
    top line names -> mails; PRODUCTS_MAX at most.
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
        self._latest = time.time() + _CLOCK_OFF_S
        self._own = own
        self._ways = ways_for(own, catalogue)

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
        found = self._ways.of_stored(tuple([normal(value) for value in received[:LINES_LOOKED_AT]]))
        if found is None:
            self.tally.own_only += 1
            return
        last_own, way = found
        self._count(way, seconds_of(received[last_own]))

    def logged(self, mail: Logged) -> None:
        """Count one mail of a log."""
        self.tally.mails += 1
        handed = handed_over_by(mail, self._own)
        if handed is None:
            self.tally.own_only += 1
            return
        self.tally.no_lines += mail.received is None
        self._count(self._ways.of(handed.by, tuple(handed.lines)), handed.seconds)

    def _count(self, way: Way, seconds: int | None) -> None:
        tally = self.tally
        mails = tally.products.get(way.named, 0)
        if mails or len(tally.products) < PRODUCTS_MAX:
            tally.products[way.named] = mails + 1
        count = self._count_of(way.sender)
        if count is None:
            return
        self._note(count, seconds)
        if way.hidden and (way.hidden in count.hidden or len(count.hidden) < _HIDDEN_PRODUCTS):
            count.hidden[way.hidden] = count.hidden.get(way.hidden, 0) + 1

    def _count_of(self, sender: Sender) -> Count | None:
        senders = self.tally.senders
        count = senders.get(sender)
        if count is None:
            if sender.peer and len(self.tally.peers) < PEERS_MAX:
                self.tally.peers.add(_mark_of(sender.peer))
            if len(senders) >= SENDERS_MAX and sender.run.reading is None:
                self.tally.beyond += 1
                return None
            count = senders[sender] = Count()
        return count

    def _note(self, count: Count, seconds: int | None) -> None:
        count.mails += 1
        if seconds is None or seconds > self._latest:
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


_HIDDEN_PRODUCTS = 8
_CLOCK_OFF_S = 86_400  # a mail from later than that ahead has a wrong date, and would pass for the newest of all


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


@lru_cache(LINES_KEPT)
def _mark_of(peer: str) -> int:
    """64 bits that stand for a peer, the same in every process."""
    return int.from_bytes(blake2b(peer.encode(), digest_size=8).digest(), "big")


def _note_hour(count: Count, hour: int) -> None:
    if len(count.hours) < HOURS_KEPT and hour not in count.hours:
        count.hours.append(hour)
