"""Mails that are already there as evidence for the bus: what an edge would have seen of each, marked as imported. No clock of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from services.cli.look.handed import Handed, handed_over, handed_over_by, run_length
from services.cli.look.headers import received_of
from services.cli.look.jsonl import Headers
from services.cli.look.logged import Logged
from services.cli.look.mailbox import Block
from services.cli.look.own_line import Handover, by_of, normal, text_of
from services.cli.look.own_names import Own
from services.cli.look.sources import Trouble
from services.cli.look.tally import Found, Tally, note_trouble
from shared.domain.catalogue import BuildCatalogue
from shared.domain.evidence import Reading
from shared.domain.received import read_own_run
from shared.domain.records import MailEvidence
from shared.domain.stored import Client, imported_facts

ORIGIN = "import"
"""What stands for the edge in imported evidence."""

KEYS_MAX = 200_000
"""Records that are remembered as made; at the bound the oldest is forgotten, and made once more, which is harmless."""

CLOCK_OFF_S = 3_600
"""Seconds that the clock of an own server may have been ahead of this machine's."""

_RUNS_KEPT = 16_384

_Key = tuple[str, str, Reading, bool, bool, int]


class Made(msgspec.Struct):
    """
    What became of the mails. own: they never left the own servers, or have no `Received` line.

    not_ours: the line on top is of none of the own servers, so nobody vouches for who handed it over, and when.
    nothing_judged: no product that is judged, or nobody who handed it over is told. undated: without a day, or with one that is
    still to come, they count for none. repeated: the hour has such a record already. products: of the records.
    """

    mails: int = 0
    own: int = 0
    not_ours: int = 0
    nothing_judged: int = 0
    undated: int = 0
    repeated: int = 0
    records: int = 0
    products: dict[str, int] = msgspec.field(default_factory=dict)


class Maker:
    """
    Makes the records of one import, one for each peer, name, reading and hour; ties count as by an edge.

    now: no record is dated later; what is of more than CLOCK_OFF_S later is undated.
    """

    def __init__(self, own: Own, catalogue: BuildCatalogue, now: datetime) -> None:
        self.made = Made()
        self.troubles = Tally()
        self._own = own
        self._now = now
        self._catalogue = catalogue
        self._keys: dict[_Key, None] = {}
        self._run_of = lru_cache(_RUNS_KEPT)(lambda lines: read_own_run([text_of(line) for line in lines], catalogue))

    def record_of(self, found: Found) -> MailEvidence | None:
        """The record of what a door brought; None for one that makes none, which is counted."""
        if isinstance(found, Trouble):
            note_trouble(self.troubles, found)
            return None
        self.made.mails += 1
        received = _received_of(found)
        if received and by_of(normal(received[0])) not in self._own.names:
            self.made.not_ours += 1
            return None
        handed = self._handed(found, received)
        if handed is None:
            self.made.own += 1
            return None
        length = run_length(handed.lines)
        reading = self._run_of(tuple(handed.lines[:length])).reading
        if reading is None or handed.by is None:
            self.made.nothing_judged += 1
            return None
        if handed.seconds is None or handed.seconds > self._now.timestamp() + CLOCK_OFF_S:
            self.made.undated += 1
            return None
        return self._new(handed.by, handed.received[:length], reading, handed.seconds)

    def _handed(self, found: Block | Headers | Logged, received: Sequence[bytes]) -> Handed | None:
        if isinstance(found, Logged):
            return handed_over_by(found, self._own)
        return handed_over(received, self._own) if received else None

    def _new(self, by: Handover, received: Sequence[bytes], reading: Reading, seconds: int) -> MailEvidence | None:
        run = read_own_run([text_of(value) for value in received], self._catalogue)
        confirmed = by.resolve == "ok" and by.client_name == run.name
        key = (by.peer, run.name, reading, by.helo == run.name, confirmed, seconds // _HOUR_S)
        if key in self._keys:
            self.made.repeated += 1
            return None
        if len(self._keys) >= KEYS_MAX:
            del self._keys[next(iter(self._keys))]
        self._keys[key] = None
        self.made.records += 1
        self.made.products[reading.product] = self.made.products.get(reading.product, 0) + 1
        client = Client(address=by.address, helo=by.helo, name=by.client_name, resolve=by.resolve)
        seen_at = min(datetime.fromtimestamp(seconds, UTC), self._now)
        return MailEvidence(facts=imported_facts(client, run, seen_at=seen_at, origin=ORIGIN))


def _received_of(found: Block | Headers | Logged) -> Sequence[bytes]:
    """The values of a stored mail, top first; none for one of a log, whose server is known without."""
    if isinstance(found, Logged):
        return ()
    return received_of(found.headers) if isinstance(found, Block) else found.received


_HOUR_S = 3_600
