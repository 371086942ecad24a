"""
What is new this UTC hour: the first of each evidence key is published, of at most 16 new names a peer, 16 pieces a name.

Beyond its 16 pieces a name may still say that it is cured: once for each way that it is tied to its peer, and again after
every piece that was none. So a sender that shows another build with each mail fills nothing, and no cure is lost by it.

A key is remembered as published only after Kafka's answer; until then it is on its way, and is not offered twice. What
could not be published is forgotten, so that the next message publishes it.
"""

from datetime import datetime
from typing import Literal

from services.edge.core import EvidenceKey

NAMES_PER_PEER = 16
"""Names of one peer in one hour that no decision knows; design: one address must not fill the law with names."""

PIECES_PER_NAME = 16
"""Pieces of evidence of one peer and name in one hour; a server shows one or two, and as many again when it is patched."""

CURES_PER_NAME = 16
"""Cures beyond these pieces since the last that was none: more ways to be tied than one server has."""

KEYS_MAX = 200_000
"""Keys remembered as published. At the bound the oldest is forgotten: it is then published once more, which is harmless."""

PEERS_MAX = 100_000
"""Peers whose names are counted. At the bound counting starts anew: a peer may then show 16 names more."""

PIECES_MAX = 200_000
"""Names whose pieces are counted. At the bound counting starts anew: a name may then show 16 pieces more."""

Answer = Literal["publish", "known", "too_many_names", "too_many_pieces"]


class _Pieces:
    """What one name of a peer has shown this hour. cured: the proofs whose newest published piece is a cure."""

    __slots__ = ("count", "cured")

    def __init__(self) -> None:
        self.count = 0
        self.cured: set[EvidenceKey] = set()


class Novelty:
    """One hour's memory; it starts empty with each hour of the clock that dates the evidence."""

    def __init__(self) -> None:
        self._hour: datetime | None = None
        self._published: dict[EvidenceKey, None] = {}
        self._under_way: dict[EvidenceKey, bool] = {}  # whether it took one of its name's places
        self._names: dict[str, set[str]] = {}
        self._pieces: dict[tuple[str, str], _Pieces] = {}

    def knows(self, key: EvidenceKey, now: datetime) -> bool:
        """Whether *key* was published in the hour of *now*, or is on its way."""
        self._turn_to(now)
        return key in self._published or key in self._under_way

    def ask(self, key: EvidenceKey, now: datetime, *, known_server: bool, cure: bool = False) -> Answer:
        """
        Whether to publish what *key* stands for; "publish" puts it under way, until `published` or `lost`.

        known_server: a decision knows the server; its name needs no place among the 16. cure: it may end a case.
        """
        if self.knows(key, now):
            return "known"
        if not known_server and not self._has_place(key):
            return "too_many_names"
        pieces = self._pieces_of(key)
        takes_place = pieces.count < PIECES_PER_NAME
        if not takes_place and not (cure and _has_cure_left(pieces, key)):
            return "too_many_pieces"
        pieces.count += takes_place
        if cure:
            pieces.cured.add(_proof(key))
        else:
            pieces.cured.clear()
        self._under_way[key] = takes_place
        return "publish"

    def published(self, key: EvidenceKey) -> None:
        """Kafka has it."""
        if self._under_way.pop(key, None) is None:
            return  # offered in an hour that has passed
        if len(self._published) >= KEYS_MAX:
            del self._published[next(iter(self._published))]
        self._published[key] = None

    def lost(self, key: EvidenceKey) -> None:
        """It could not be kept; the next message that shows the same is published."""
        took_place = self._under_way.pop(key, None)
        pieces = self._pieces.get((key.peer, key.name))
        if took_place is None or pieces is None:
            return
        pieces.count = max(0, pieces.count - took_place)  # counting may have started anew since
        pieces.cured.discard(_proof(key))

    def _turn_to(self, now: datetime) -> None:
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour = hour
            self._published.clear()
            self._under_way.clear()
            self._names.clear()
            self._pieces.clear()

    def _has_place(self, key: EvidenceKey) -> bool:
        names = self._names.get(key.peer)
        if names is None:
            if len(self._names) >= PEERS_MAX:
                self._names.clear()
            names = self._names[key.peer] = set()
        if key.name in names:
            return True
        if len(names) >= NAMES_PER_PEER:
            return False
        names.add(key.name)
        return True

    def _pieces_of(self, key: EvidenceKey) -> _Pieces:
        found = self._pieces.get((key.peer, key.name))
        if found is None:
            if len(self._pieces) >= PIECES_MAX:
                self._pieces.clear()
            found = self._pieces[key.peer, key.name] = _Pieces()
        return found


def _proof(key: EvidenceKey) -> EvidenceKey:
    """*key* without its range: the product, and by what the name is tied to the peer."""
    return key._replace(low=None, high=None)


def _has_cure_left(pieces: _Pieces, key: EvidenceKey) -> bool:
    return len(pieces.cured) < CURES_PER_NAME and _proof(key) not in pieces.cured
