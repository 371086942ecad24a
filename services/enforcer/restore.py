"""
Where the last leader stopped: the state read back, or, where that is lost or behind, folded from the log.

The log is the truth. `enforcer-state` is as good as the log only if its position names the log's newest record; with an
older position, or none, or a record that cannot be read, the state is folded anew. A log that ends before the position is
a loss of truth, and refused.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared.domain.accounts import Account
from shared.domain.errors import ConfigError, EventSchemaError, RecordSchemaError
from shared.domain.events import LogRecord, chain, decode_log
from shared.domain.fold import RULES, Fold, encode_server
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.records import Exemption, PolicyRecord
from shared.domain.reprieves import Reprieves
from shared.domain.servers import Servers
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.messaging.kafka import read_to_end

_YIELD_EVERY = 500  # records folded between two chances for the group's heartbeats: about 25 ms
_FIRST_WINDOW = 16  # offsets looked at from the end of the log for its newest record; aborted ones can stand there
_SAMPLE_EVERY = 64  # stored servers of which one is encoded again
_WAIT_MS = 100  # a fetch that brings only aborted records tells nothing, and is waited for so long


_POSITION = msgspec.json.Decoder(Position)


class StoredState(msgspec.Struct, kw_only=True):
    """
    What `enforcer-state` holds. unreadable: by key, why a record cannot be used.

    encoded_alike: whether this code would store the same bytes of a server, as far as a sample tells; where it would not, their
    digest is not that of this code.
    """

    position: Position | None = None
    policy: Policy | None = None
    servers: Servers = msgspec.field(default_factory=Servers)
    requests: dict[str, datetime] = {}
    accounts: dict[str, Account] = {}
    exemptions: tuple[Exemption, ...] = ()
    unreadable: dict[bytes, str] = {}
    encoded_alike: bool = True

    @property
    def keys(self) -> set[bytes]:
        """All live keys."""
        known = {name.encode() for name in self.servers} | {t.KEY_REQUEST_PREFIX + r.encode() for r in self.requests}
        known |= {t.KEY_ACCOUNT_PREFIX + name.encode() for name in self.accounts}
        reserved = {t.KEY_POSITION: self.position, t.KEY_POLICY: self.policy}
        return known | {key for key, value in reserved.items() if value is not None} | self.unreadable.keys()

    def note(self, key: bytes, value: bytes | None) -> None:
        """One record of the topic; one that cannot be read is remembered as such, until a readable one takes its place."""
        if self.unreadable:
            self.unreadable.pop(key, None)
        try:
            self.take(key, value)
        except RecordSchemaError as error:
            self.unreadable[key] = str(error)

    def take(self, key: bytes, value: bytes | None) -> None:
        """One record of the topic. Raises RecordSchemaError."""
        if value is None:
            self._forget(key)
            return
        try:
            if key == t.KEY_POSITION:
                self.position = _POSITION.decode(value)
            elif key == t.KEY_POLICY:
                self.policy, self.exemptions = _policy_of(value)
                self.servers.look(self.policy)
            elif key.startswith(t.KEY_REQUEST_PREFIX):
                self.requests[_rest(key, t.KEY_REQUEST_PREFIX)] = msgspec.json.decode(value, type=datetime)
            elif key.startswith(t.KEY_ACCOUNT_PREFIX):
                self.accounts[_rest(key, t.KEY_ACCOUNT_PREFIX)] = msgspec.json.decode(value, type=Account)
            else:
                self._take_server(key.decode(), value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RecordSchemaError(f"the key {key[:80]!r} of enforcer-state cannot be read: {error}") from error

    def _take_server(self, name: str, value: bytes) -> None:
        server = self.servers.put_stored(name, value)
        if server.server != name:
            self.servers.remove(name)
            raise RecordSchemaError(f"the key {name[:80]!r} of enforcer-state holds another server")
        if len(self.servers) % _SAMPLE_EVERY == 1 and encode_server(server) != value:
            self.encoded_alike = False

    def _forget(self, key: bytes) -> None:
        if key.startswith(t.KEY_REQUEST_PREFIX):
            self.requests.pop(_rest(key, t.KEY_REQUEST_PREFIX), None)
        if key.startswith(t.KEY_ACCOUNT_PREFIX):
            self.accounts.pop(_rest(key, t.KEY_ACCOUNT_PREFIX), None)
        self.servers.remove(key.decode(errors="replace"))


class Restored(msgspec.Struct, kw_only=True):
    """
    Where to go on from. rebuilt: why the state was folded from the log, "" if it was read back.

    offsets: next of each input topic (no prefix). state_keys: what `enforcer-state` held where it is written anew.
    """

    fold: Fold
    offsets: dict[str, int]
    marks: tuple[datetime | None, ...] = ()
    counts: dict[str, int]
    state_keys: set[bytes] = set()
    rebuilt: str = ""


def _policy_of(value: bytes) -> tuple[Policy, tuple[Exemption, ...]]:
    record = decode(t.DECISIONS, value)
    if not isinstance(record, PolicyRecord):
        raise RecordSchemaError("the key policy of enforcer-state holds no policy")
    return record.policy, record.exemptions


def _rest(key: bytes, prefix: bytes) -> str:
    return key.removeprefix(prefix).decode(errors="replace")


async def restore(stored: StoredState, reader: AIOKafkaConsumer, prefix: str) -> Restored:
    """
    The newest state: *stored*, or, where that is not the log's, the log folded. The reader is assigned elsewhere afterwards.

    Raises:
        ConfigError: the log ends before the position, or newer rules wrote it; says what to do.
        EventSchemaError: the log cannot be read.
        VersionGap: the log's chain is broken.
    """
    tip = await read_tip(reader, TopicPartition(prefix + t.LOG, 0))
    why = why_rebuild(stored, tip)
    if why:
        restored = await _fold_log(reader, TopicPartition(prefix + t.LOG, 0), why, stored.keys)
    else:
        restored = await _read_back(stored)
    if not restored.fold.is_empty and restored.fold.law.rules > RULES:
        raise ConfigError(
            f"the log was written by rules {restored.fold.law.rules}, and this patchgate has rules {RULES}: start the newer one"
        )
    return restored


async def read_tip(reader: AIOKafkaConsumer, log: TopicPartition) -> tuple[int, str]:
    """The seq of the newest record of the log and its hash; (0, "") while the log is empty."""
    reader.assign([log])
    begin, end = (await reader.beginning_offsets([log]))[log], (await reader.end_offsets([log]))[log]
    window = _FIRST_WINDOW
    while True:
        start = max(begin, end - window)
        newest = [record async for record in _read_span(reader, log, start, end)][-1:]
        if newest:
            return _decoded(newest[0]).seq, chain(newest[0].value)
        if start == begin:
            return 0, ""
        window *= _FIRST_WINDOW


async def _read_span(
    reader: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int
) -> AsyncIterator[ConsumerRecord]:
    reader.seek(partition, start)
    while await reader.position(partition) < end:
        for record in (await reader.getmany(partition, timeout_ms=_WAIT_MS)).get(partition, []):
            yield record


def why_rebuild(stored: StoredState, tip: tuple[int, str]) -> str:
    """Why the log must be folded anew; "" where the stored state is the log's."""
    seq, head = tip
    law = stored.position.law if stored.position else None
    if law is not None and law.seq > seq:
        raise ConfigError(
            f"enforcer-state speaks of log record {law.seq}, and the log ends at {seq}: records of the log are lost; "
            "restore the broker's data, or begin anew under another PATCHGATE_TOPIC_PREFIX"
        )
    if stored.unreadable:
        return next(iter(stored.unreadable.values()))
    if law is None or stored.policy is None:
        return "enforcer-state has no position" if seq else "the log is empty"
    if law.seq < seq:
        return f"enforcer-state ends at log record {law.seq}, the log at {seq}"
    if law.head != head:
        raise ConfigError(
            f"log record {seq} is not the one that enforcer-state speaks of: run `patchgate audit verify`, and restore the broker's data"
        )
    return ""


async def _read_back(stored: StoredState) -> Restored:
    if stored.position is None or stored.policy is None:  # cannot happen: `why_rebuild` told so
        raise ConfigError("enforcer-state has no position")
    fold = Fold(stored.policy, stored.position.law)

    def take_up() -> None:
        if not stored.encoded_alike:
            for name in stored.servers:
                stored.servers.put(name, stored.servers[name])
        fold.restore(stored.servers, stored.requests, Reprieves(stored.accounts, stored.exemptions))
        fold.digest()  # now, for all, and not at the first checkpoint in the middle of the loop

    await asyncio.to_thread(take_up)  # seconds for a million servers; the group's heartbeats go on meanwhile
    return Restored(
        fold=fold,
        offsets=stored.position.offsets,
        marks=stored.position.marks,
        counts=stored.position.counts,
    )


async def _fold_log(reader: AIOKafkaConsumer, log: TopicPartition, why: str, keys: set[bytes]) -> Restored:
    """
    The whole log, evolved. Marks are unknown: H stands until each partition is marked again.

    An input goes on behind the last record of its topic that the log names. What came after it and was no news is read
    once more, and is no news again.
    """
    fold = Fold(parse_policy(shipped_policy_text()))
    offsets = dict.fromkeys(t.INPUTS, 0)
    async for stored in _unhurried(read_to_end(reader, [log], batch_timeout_ms=_WAIT_MS)):
        record = _decoded(stored)
        fold.apply(record, stored.value)
        if record.cause is not None:
            offsets[record.cause.topic] = record.cause.offset + 1
    fold.take_changed()
    fold.reprieves.take_changed()
    await asyncio.to_thread(fold.digest)
    return Restored(fold=fold, offsets=offsets, counts={}, state_keys=keys, rebuilt=why)


def _decoded(stored: ConsumerRecord) -> LogRecord:
    try:
        return decode_log(stored.value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EventSchemaError(
            f"offset {stored.offset} of the log cannot be read: {error}; start the patchgate that wrote it, or restore the log"
        ) from error


async def check_offsets(
    reader: AIOKafkaConsumer, prefix: str, offsets: dict[str, int], *, fresh: bool
) -> dict[str, tuple[int, int]]:
    """
    Compare *offsets* with what the input topics hold. fresh: the log is empty, so inputs begin where their topic does.

    Returns:
        For each topic (no prefix) whose position was deleted: the position, and the topic's start. Offsets are moved there.

    Raises:
        ConfigError: a position lies above its topic's end.
    """
    partitions = {TopicPartition(prefix + topic, 0): topic for topic in t.INPUTS}
    begins, ends = await reader.beginning_offsets(list(partitions)), await reader.end_offsets(list(partitions))
    gone = {}
    for partition, topic in partitions.items():
        position = offsets.setdefault(topic, 0)
        if position > ends[partition]:
            raise ConfigError(
                f"{topic} was read up to offset {position}, and ends at {ends[partition]}: it is not the topic that was read; "
                "restore the broker's data, or begin anew under another PATCHGATE_TOPIC_PREFIX"
            )
        if position < begins[partition]:
            offsets[topic] = begins[partition]
            if not fresh:
                gone[topic] = (position, begins[partition])
    return gone


async def _unhurried(records: AsyncIterator[ConsumerRecord]) -> AsyncIterator[ConsumerRecord]:
    """The same records, with a pause now and then in which the rest of the process gets its turn."""
    count = 0
    async for record in records:
        yield record
        count += 1
        if count % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
