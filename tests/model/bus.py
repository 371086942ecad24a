"""The bus of the model: topics of one partition, in order, compacted at times. No Kafka; what it keeps is what Kafka keeps."""

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from tests.support.scenario import START


class StoredRecord(msgspec.Struct):
    """As a consumer hands it over. timestamp: append time, ms; turn: of the enforcer that wrote it; what: what it holds (both the model's own)."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    turn: int = 0
    what: object = None
    partition: int = 0


_START_MS = int(START.timestamp()) * 1000


class Topic:
    """One partition; offsets never come again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.records: list[StoredRecord] = []
        self.end = 0

    def append(self, key: bytes | None, value: bytes | None, *, at: int, turn: int = 0, what: object = None) -> None:
        """One more record, at *at* (seconds since `START`) by the broker's clock, which is right."""
        self.records.append(StoredRecord(self.name, self.end, key, value, _START_MS + at * 1000, turn, what))
        self.end += 1

    def since(self, offset: int) -> list[StoredRecord]:
        """All that is kept from *offset* on."""
        return self.records[bisect_left(self.records, offset, key=lambda record: record.offset) :]

    def compact(self, *, keep_from: int) -> None:
        """Of the records before *keep_from* only the newest of each key stays, if no newer one stands in the topic."""
        newest = {record.key: record.offset for record in self.records}
        self.records = [r for r in self.records if r.offset >= keep_from or newest[r.key] == r.offset]

    def forget_before(self, offset: int) -> None:
        """Retention: all readers are past *offset*."""
        self.records = self.since(offset)


def of_turns(records: Iterable[StoredRecord]) -> int:
    """The newest turn among *records*."""
    return max((record.turn for record in records), default=-1)
