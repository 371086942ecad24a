"""
The campaign's own reader of what was written: it follows the topics, and folds and audits the log as it comes.

It shares `evolve` and the rules with the enforcer, and nothing of how the enforcer reads, commits or restores. Each record
is looked at once, so the cost of a check does not grow with the log.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from shared.domain import events as e
from shared.domain.fold import digest_of, encode_server
from shared.domain.records import EdgeReport, Heartbeat, Origin
from shared.domain.state import decision_of
from shared.domain.verify import Audit
from shared.messaging import topics as t
from shared.messaging.codec import decode, encode
from shared.messaging.kafka import new_reader, running
from tests.faults.truth import Beat, Truth

FOLLOWED = (t.LOG, t.ENFORCER_STATE, t.DECISIONS, t.EDGE_REPORTS)
_POLL_MS = 200
_RETRY_S = 0.2
_DIGESTS_KEPT = 2000
_AHEAD_S = 2.0
"""Real seconds by which the log's clock may be ahead of ours: both read one machine's."""


class Watch:
    """
    Follows until cancelled. violations: what was found wrong, each with its place; taken by `take_violations`.

    state, decisions: the live keys of the two tables; expected_state, expected_decisions: what the refolded log makes of
    them. reports: of each edge, with its time (Unix seconds). digests: of the newest heartbeats, by their seq.
    """

    def __init__(self, bootstrap: str, prefix: str, truth: Truth) -> None:
        self._bootstrap = bootstrap
        self._partitions = {TopicPartition(prefix + name, 0): name for name in FOLLOWED}
        self._positions = dict.fromkeys(self._partitions, 0)
        self._consumer: AIOKafkaConsumer | None = None
        self._truth = truth
        self.audit = Audit()
        self.violations: list[str] = []
        self.state: dict[bytes, bytes] = {}
        self.decisions: dict[bytes, bytes] = {}
        self.expected_state: dict[bytes, bytes] = {}
        self.expected_decisions: dict[bytes, bytes] = {}
        self.heartbeat: Heartbeat | None = None
        self.digests: OrderedDict[int, tuple[int, str]] = OrderedDict()
        self.reports: dict[str, tuple[float, EdgeReport]] = {}
        self.events: Counter[str] = Counter()
        self._digest = 0
        self._causes: set[tuple[str, int]] = set()
        self._last_cause: Origin | None = None
        self._log_at = datetime.min.replace(tzinfo=UTC)

    async def run(self) -> None:
        """Follow, whatever the broker does."""
        while True:
            try:
                consumer = new_reader(self._bootstrap)
                async with running(consumer):
                    await self._follow(consumer)
            except (KafkaError, OSError) as error:
                del error  # the broker is away, or a topic is being made anew: that is what the campaign does
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign(list(self._partitions))
        begins = await consumer.beginning_offsets(list(self._partitions))
        ends = await consumer.end_offsets(list(self._partitions))
        for partition, name in self._partitions.items():
            position = self._positions[partition]
            if position > ends[partition] and name == t.LOG:
                self.violations.append(f"the log ends at offset {ends[partition]}, and was read up to {position}")
            if not begins[partition] <= position <= ends[partition]:
                self._positions[partition] = begins[partition]
            consumer.seek(partition, self._positions[partition])
        self._consumer = consumer
        while self._consumer is consumer:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    self._take(record)

    def forget_decisions(self) -> None:
        """The topic `decisions` was deleted: read it from its beginning, as a new one."""
        self.decisions.clear()
        for partition, name in self._partitions.items():
            if name == t.DECISIONS:
                self._positions[partition] = 0
        self._consumer = None  # `_follow` begins anew

    def take_violations(self) -> list[str]:
        """What was found since the last call."""
        taken, self.violations = self.violations, []
        return taken

    # -- one record ---------------------------------------------------------------------------------------------------

    def _take(self, record: ConsumerRecord) -> None:
        partition = TopicPartition(record.topic, record.partition)
        if record.offset < self._positions[partition]:
            return
        self._positions[partition] = record.offset + 1
        name = self._partitions[partition]
        if name == t.LOG:
            self._take_log(record.value)
        elif name == t.ENFORCER_STATE:
            _put(self.state, record)
        elif name == t.DECISIONS:
            _put(self.decisions, record)
            if record.key == t.KEY_HEARTBEAT and record.value:
                self._take_beat(record)
        elif record.value:
            report = decode(t.EDGE_REPORTS, record.value)
            self.reports[report.edge] = (record.timestamp / 1000, report)

    def _take_log(self, stored: bytes) -> None:
        if not self.audit.take(stored):
            self.violations += [] if self.violations else [f"the log does not hold: {self.audit.report().what}"]
            return
        record = e.decode_log(stored)
        self._check_order(record)
        self.events[type(record.event).__name__] += 1
        fold = self.audit.fold
        for name in fold.take_changed():
            server = fold.servers[name]
            self.expected_state[name.encode()] = encode_server(server)
            decision = decision_of(server)
            if decision is not None:
                self._expect(name, encode(decision))
                self._truth.note_decision(record.seq, decision)

    def _expect(self, name: str, value: bytes) -> None:
        """The refolded table has this decision now; its digest moves with it."""
        old = self.expected_decisions.get(name.encode())
        share = digest_of(name, value) - (digest_of(name, old) if old is not None else 0)
        self._digest = (self._digest + share) % (1 << 128)
        self.expected_decisions[name.encode()] = value

    @property
    def expected_digest(self) -> tuple[int, str]:
        """Count and digest of the refolded table."""
        return len(self.expected_decisions), f"{self._digest:032x}"

    def _check_order(self, record: e.LogRecord) -> None:
        """Time never goes back and never runs ahead; an input's records stand together and no input comes twice."""
        if record.at < self._log_at:
            self.violations.append(f"log record {record.seq} is dated {record.at}, behind the one before it")
        self._log_at = record.at
        ahead = self._truth.real(record.at) - time.time()
        if ahead > _AHEAD_S:
            self.violations.append(
                f"log record {record.seq} is dated {ahead:.0f} real s ahead: a wrong clock became law"
            )
        cause = record.cause
        if cause is not None and cause != self._last_cause:
            if (cause.topic, cause.offset) in self._causes:
                self.violations.append(f"log record {record.seq}: input {cause.topic} {cause.offset} was taken twice")
            self._causes.add((cause.topic, cause.offset))
        self._last_cause = cause

    def _take_beat(self, record: ConsumerRecord) -> None:
        beat = decode(t.DECISIONS, record.value)
        assert isinstance(beat, Heartbeat)
        self.heartbeat = beat
        self._truth.note_beat(
            Beat(
                at=record.timestamp / 1000,
                h_at=self._truth.real(beat.h),
                seq=beat.seq,
                law_now=beat.h - beat.held,
                frozen=beat.frozen,
            )
        )
        self.digests[beat.seq] = (beat.count, beat.digest)
        while len(self.digests) > _DIGESTS_KEPT:
            self.digests.popitem(last=False)


def _put(table: dict[bytes, bytes], record: ConsumerRecord) -> None:
    if record.value:
        table[record.key] = record.value
    else:
        table.pop(record.key, None)


def request_ids(watch: Watch) -> dict[bytes, bytes]:
    """What `enforcer-state` must hold of requests."""
    return {
        t.KEY_REQUEST_PREFIX + known.encode(): msgspec.json.encode(at)
        for known, at in watch.audit.fold.requests.items()
    }
