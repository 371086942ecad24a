"""
The reader: tables from their beginning, the log from its tail, then all of it as it comes.

1. Connect, find the ends. 2. Read up to them into a new view. 3. Show that view instead of the last one. 4. Follow.
Every PROBE_S the ends are asked for again: a fetch of a broker that is gone just stays empty, so only this tells silence
from idleness. What goes wrong leads back to 1 with back-off; the last view stays on show, and says how old it is.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.status.settings import StatusSettings
from services.status.view import TOPICS, Board, View
from shared.domain.errors import RecordSchemaError, TransientError
from shared.messaging import kafka
from shared.messaging import topics as t
from shared.runtime.clock import Clock
from shared.runtime.readiness import ReadyFile

LOG_TAIL = 200_000
"""Records of the log that are read at start, at most; older ones are in the log and in no timeline here."""
PROBE_S = 1.0
STALLED_S = 30.0
"""Records wait and none comes for so long: the reader connects anew; and readyz answers 503 where the state shown is so old."""

_ANSWER_S = 5.0  # an answer takes milliseconds; a broker that is gone gives none
_BATCH = 2000  # records between two chances for others on this event loop: about 20 ms
_FETCH_MS = 200
_BACK_OFF_S = (0.2, 5.0)
_AWAY = (KafkaError, TransientError, OSError)


class Reader:
    """One task that keeps a board's view up to date."""

    def __init__(
        self,
        settings: StatusSettings,
        clock: Clock,
        board: Board,
        log: structlog.stdlib.BoundLogger,
        *,
        log_tail: int = LOG_TAIL,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._board = board
        self._log = log
        self._log_tail = log_tail
        self._ready_file = ReadyFile(settings.state_dir, "status")

    async def run(self) -> None:
        """Read until cancelled. Only what should never happen comes out as an exception."""
        self._ready_file.clear()
        wait_s = _BACK_OFF_S[0]
        while True:
            shown = self._board.view
            try:
                await self._read_anew()
            except _AWAY as error:
                self._board.reader.trouble = f"{type(error).__name__}: {error}"[:300]
                self._log.warning("reading-stopped", cause=self._board.reader.trouble, again_in_s=wait_s)
            if self._board.view is not shown:
                wait_s = _BACK_OFF_S[0]
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _BACK_OFF_S[1])

    async def _read_anew(self) -> None:
        async with kafka.running(consumer := kafka.new_reader(self._settings.bootstrap)):
            partitions = [await self._partition(consumer, topic) for topic in TOPICS]
            ends = await self._seek(consumer, partitions)
            await self._follow(consumer, partitions, ends)

    async def _partition(self, consumer: AIOKafkaConsumer, topic: str) -> TopicPartition:
        found = await kafka.partitions_of(consumer, self._settings.topic_prefix + topic)
        return found[0]

    async def _seek(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Tables are read whole, of the log the tail. Returns the ends to read to."""
        consumer.assign(partitions)
        begins = await _answer(consumer.beginning_offsets(partitions))
        ends = await _answer(consumer.end_offsets(partitions))
        for partition in partitions:
            start = begins[partition]
            if partition.topic == self._settings.topic_prefix + t.LOG:
                start = max(start, ends[partition] - self._log_tail)
            consumer.seek(partition, start)
        return ends

    async def _follow(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], ends: dict[TopicPartition, int]
    ) -> None:
        view = View(self._board.decided)
        probe = _Probe(consumer, partitions)
        while True:
            batches = await consumer.getmany(timeout_ms=_FETCH_MS, max_records=_BATCH)
            for partition, records in batches.items():
                self._take(view, partition, records)
            if not view.loaded and await probe.has_reached(ends):
                view.loaded = True
                self._show(view)
            if probe.is_time:
                await self._probe(probe, view)

    def _take(self, view: View, partition: TopicPartition, records: list[kafka.Record]) -> None:
        topic = partition.topic.removeprefix(self._settings.topic_prefix)
        for record in records:
            try:
                view.take(topic, record.key, record.value, datetime.fromtimestamp(record.timestamp / 1000, UTC))
            except RecordSchemaError as error:
                self._log.error("unreadable-record", topic=topic, offset=record.offset, cause=str(error)[:300])

    def _show(self, view: View) -> None:
        self._board.view = view
        self._board.reader.progress = self._clock.real_now()
        self._log.info("ready", servers=len(view.servers), table=view.table.count, timeline_entries=len(view.timelines))

    async def _probe(self, probe: "_Probe", view: View) -> None:
        await probe.look()
        if probe.still_s > STALLED_S:
            raise TransientError(f"no record for {probe.still_s:.0f} s though there are some; connecting anew")
        state = self._board.reader
        state.lag = {tp.topic.removeprefix(self._settings.topic_prefix): lag for tp, lag in probe.lag.items()}
        if self._board.view is not view:
            state.trouble = "reading everything anew"
        elif probe.still_s == 0:
            state.trouble, state.progress = "", self._clock.real_now()
            self._ready_file.touch()


async def _answer(asked: Coroutine[None, None, dict[TopicPartition, int]]) -> dict[TopicPartition, int]:
    try:
        # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes together with the answer, and this would read for ever.
        async with asyncio.timeout(_ANSWER_S):
            return await asked
    except TimeoutError as error:
        raise TransientError(f"the broker has not answered for {_ANSWER_S:.0f} s") from error


class _Probe:
    """Asks the broker for the ends, and compares them with how far the consumer is. still_s: for how long nothing moved."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._now = asyncio.get_running_loop().time
        self._looked_at = 0.0
        self._moved_at = self._now()
        self._positions: dict[TopicPartition, int] = {}
        self.lag: dict[TopicPartition, int] = {}
        self.still_s = 0.0

    @property
    def is_time(self) -> bool:
        return self._now() - self._looked_at > PROBE_S

    async def has_reached(self, ends: dict[TopicPartition, int]) -> bool:
        return all([await self._consumer.position(tp) >= end for tp, end in ends.items()])

    async def look(self) -> None:
        """Note the lag, and whether records came since the last look, or there are none left to read."""
        ends = await _answer(self._consumer.end_offsets(self._partitions))
        positions = {tp: await self._consumer.position(tp) for tp in self._partitions}
        self.lag = {tp: max(0, ends[tp] - positions[tp]) for tp in self._partitions}
        self._looked_at = self._now()
        if positions != self._positions or not any(self.lag.values()):
            self._moved_at = self._looked_at
        self._positions = positions
        self.still_s = self._looked_at - self._moved_at
