"""
What is new this UTC hour: the first of each evidence key is published, and at most 16 new names a peer.

A key is remembered as published only after Kafka's answer; until then it is on its way, and is not offered twice. What
could not be published is forgotten, so that the next message publishes it.
"""

from datetime import datetime
from typing import Literal

from services.edge.core import EvidenceKey

NAMES_PER_PEER = 16
"""Names of one peer in one hour that no decision knows; design: one address must not fill the law with names."""

KEYS_MAX = 200_000
"""Keys remembered as published. At the bound the oldest is forgotten: it is then published once more, which is harmless."""

PEERS_MAX = 100_000
"""Peers whose names are counted. At the bound counting starts anew: a peer may then show 16 names more."""

Answer = Literal["publish", "known", "too_many_names"]


class Novelty:
    """One hour's memory; it starts empty with each hour of the clock that dates the evidence."""

    def __init__(self) -> None:
        self._hour = ""
        self._published: dict[EvidenceKey, None] = {}
        self._under_way: set[EvidenceKey] = set()
        self._names: dict[str, set[str]] = {}

    def ask(self, key: EvidenceKey, now: datetime, *, known_server: bool) -> Answer:
        """
        Whether to publish what *key* stands for; "publish" puts it under way, until `published` or `lost`.

        known_server: a decision knows the server; its name needs no place among the 16.
        """
        self._turn_to(f"{now:%Y-%m-%dT%H}")
        if key in self._published or key in self._under_way:
            return "known"
        if not known_server and not self._has_place(key):
            return "too_many_names"
        self._under_way.add(key)
        return "publish"

    def published(self, key: EvidenceKey) -> None:
        """Kafka has it."""
        if key not in self._under_way:
            return  # offered in an hour that has passed
        self._under_way.discard(key)
        if len(self._published) >= KEYS_MAX:
            del self._published[next(iter(self._published))]
        self._published[key] = None

    def lost(self, key: EvidenceKey) -> None:
        """It could not be kept; the next message that shows the same is published."""
        self._under_way.discard(key)

    def _turn_to(self, hour: str) -> None:
        if hour != self._hour:
            self._hour = hour
            self._published.clear()
            self._under_way.clear()
            self._names.clear()

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
