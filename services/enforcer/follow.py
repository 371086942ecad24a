"""
What the last leader left, followed: `enforcer-state` whole, and of `decisions` the shares and the newest heartbeat.

Every enforcer follows from its start on, read_committed. Who is elected reads the last bit once the predecessor is fenced,
and takes the copy up; a standby so has nothing left to read but what came within its last poll. A copy is bounded by one
state: each record takes the place of the one before it. What makes a copy doubtful makes it be read anew: a topic that
ends before the place read up to, or an hour without having come to the end, after which deletions may be gone.
"""

import asyncio
import gc
import time
from contextlib import suppress

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.enforcer.restore import StoredState
from services.enforcer.setup import Setup
from shared.domain.errors import TransientError
from shared.domain.fold import digest_of
from shared.domain.records import Heartbeat
from shared.messaging import groups
from shared.messaging import topics as t
from shared.messaging.kafka import new_reader, running

_FETCH_BYTES = 4 << 20  # of a partition; more brings nothing, for decoding takes longer than fetching
_IDLE_MS = 500  # an empty fetch waits so long at the broker: a standby costs the broker two questions a second
_POLL_MS = 100
_TAKEN = 5_000  # records of what was fetched; more than that is fetched only where they compress well
_BATCH = 500  # records between two chances for the group's heartbeats: about 25 ms
_LOOK_S = 1.0
_ANSWER_S = 5.0
_LEVEL_S = 3600.0  # deletions stay in a compacted topic for 24 h (`delete.retention.ms`)
_BACK_OFF_S = 1.0


class _DoubtfulError(Exception):
    """The copy may not be what the topics say, and is read anew."""


class Copy:
    """What the topics say, as far as they have been read."""

    def __init__(self) -> None:
        self.state = StoredState()
        self.shares: dict[bytes, int] = {}
        self.heartbeat = b""

    def take(self, topic: str, key: bytes, value: bytes | None) -> None:
        """One record. topic: without prefix."""
        if topic == t.DECISIONS:
            self._take_share(key, value)
        else:
            self.state.note(key, value)

    def _take_share(self, key: bytes, value: bytes | None) -> None:
        if key == t.KEY_HEARTBEAT:
            self.heartbeat = value or b""
        if value:
            self.shares[key] = digest_of(key.decode(errors="replace"), value)
        else:
            self.shares.pop(key, None)

    @property
    def seq(self) -> int:
        """The newest record of the log that the state holds; 0 before there is a position."""
        return self.state.position.law.seq if self.state.position else 0

    @property
    def led_by(self) -> str:
        """The instance that wrote the newest heartbeat; "" where there is none, or it cannot be read."""
        with suppress(msgspec.MsgspecError):
            return msgspec.json.decode(self.heartbeat, type=Heartbeat).leader
        return ""


class Follower:
    """
    Keeps a copy up to date, until it is handed over. `start` must be called inside a running loop.

    read_last: records that were still to be read when it was asked for.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._partitions = [TopicPartition(setup.prefix + topic, 0) for topic in (t.ENFORCER_STATE, t.DECISIONS)]
        self._copy = Copy()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stands_by = False
        self._show_failed = False
        self.read_last = 0
        self._begin_anew()

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Follow no longer; whatever it was doing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def tell(self) -> None:
        """
        Say in the readiness file, and for the status service, that this one stands by, and how far it has followed.

        Raises:
            PatchgateError, KafkaError: following has failed; the process must end.
        """
        self._stands_by = True
        if self._task is not None and self._task.done():
            self._task.result()
        self.setup.progress.waiting(led_by=self._copy.led_by, warm=self._warm, seq=self._copy.seq, behind=self._behind)

    async def hand_over(self) -> Copy:
        """
        The copy, read to the end that the topics have now. To be called once the predecessor is fenced.

        Raises:
            KafkaError: the broker did not answer as it should; the process must end.
        """
        self._wanted.set()
        if self._task is None:  # cannot happen: `app.run` starts it first
            raise TransientError("the state is not followed")
        await self._task
        copy, self._copy = self._copy, Copy()
        return copy

    # -- the task ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        reader = new_reader(
            self.setup.settings.bootstrap,
            group=groups.standby(self.setup.prefix, self.setup.instance),
            fetch_bytes=_FETCH_BYTES,
            idle_ms=_IDLE_MS,
        )
        async with running(reader):
            while not self._wanted.is_set():
                try:
                    await self._follow(reader)
                except (KafkaError, _DoubtfulError) as error:
                    self._begun = False
                    self.setup.log.warning("following_anew", cause=f"{type(error).__name__}: {error}"[:300])
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_BACK_OFF_S):
                            await self._wanted.wait()
            await self._read_to_end(reader)

    def _begin_anew(self) -> None:
        self._copy = Copy()
        self._begun = self._warm = self._unknown = False
        self._behind: int | None = None
        self._level_s = self._looked_s = time.monotonic()
        self._ends: dict[TopicPartition, int] = {}

    async def _follow(self, reader: AIOKafkaConsumer) -> None:
        await self._rewind(reader)
        while not self._wanted.is_set():
            await self._read(reader, _POLL_MS)
            if time.monotonic() - self._looked_s > _LOOK_S:
                await self._look(reader)

    async def _rewind(self, reader: AIOKafkaConsumer) -> None:
        self._begin_anew()
        reader.assign(self._partitions)
        await reader.seek_to_beginning(*self._partitions)
        self._begun = True

    async def _read(self, reader: AIOKafkaConsumer, timeout_ms: int) -> None:
        # Most often all that was fetched, so that the next fetch is under way while this is worked on.
        got = await reader.getmany(timeout_ms=0 if self._unknown else timeout_ms, max_records=_TAKEN)
        for partition, records in got.items():
            self.read_last += len(records)
            topic = partition.topic.removeprefix(self.setup.prefix)
            for first in range(0, len(records), _BATCH):
                for record in records[first : first + _BATCH]:
                    self._copy.take(topic, record.key or b"", record.value or None)
                await asyncio.sleep(0)
        if self._warm or not got:  # terms that came with a new policy; a start has other things to do first
            self._unknown = self._copy.state.servers.work_out(_BATCH)
        if got and not self._warm:
            # What was just read stays. Without this the collector walks all of it again and again: two thirds of the time.
            gc.freeze()
        await asyncio.sleep(0)

    async def _look(self, reader: AIOKafkaConsumer) -> None:
        """How far the copy is. Raises _DoubtfulError where it can no longer be relied on."""
        self._looked_s = time.monotonic()
        try:
            async with asyncio.timeout(_ANSWER_S):
                ends = await reader.end_offsets(self._partitions)
        except TimeoutError:
            return  # the broker is away: nothing is known, and nothing follows from it
        positions = {partition: await reader.position(partition) for partition in self._partitions}
        if any(positions[partition] > end for partition, end in ends.items()):
            raise _DoubtfulError("a topic ends before the place up to which it was read: it was made anew")
        self._behind = sum(ends[partition] - positions[partition] for partition in self._partitions)
        # Under load there is always a record more: whoever has read what stood there at the last look is level.
        if self._ends and all(positions[partition] >= end for partition, end in self._ends.items()):
            self._warm, self._level_s = True, self._looked_s
        elif self._looked_s - self._level_s > _LEVEL_S:
            raise _DoubtfulError(f"the end was not reached for {_LEVEL_S:.0f} s: deletions may have been missed")
        self._ends = ends
        if self._stands_by:
            await self._show(reader, positions[self._partitions[0]], self._behind)

    async def _show(self, reader: AIOKafkaConsumer, position: int, behind: int) -> None:
        """For the status service. That it fails changes nothing here, and is told once."""
        says = groups.StandbySays(warm=self._warm, seq=self._copy.seq, behind=behind)
        told = (position, msgspec.json.encode(says).decode())
        try:
            async with asyncio.timeout(_ANSWER_S):
                await reader.commit({self._partitions[0]: told})
        except (KafkaError, TimeoutError) as error:
            if not self._show_failed:
                self.setup.log.warning("standby_not_shown", cause=f"{type(error).__name__}: {error}"[:300])
            self._show_failed = True

    async def _read_to_end(self, reader: AIOKafkaConsumer) -> None:
        if not self._begun:
            await self._rewind(reader)
        ends = await reader.end_offsets(self._partitions)
        if any([await reader.position(partition) > end for partition, end in ends.items()]):
            await self._rewind(reader)
        self.read_last = 0
        while any([await reader.position(partition) < end for partition, end in ends.items()]):
            await self._read(reader, _POLL_MS)
