"""
Who leads: the owner of the single partition of `requests` in the group `enforcer`.

The group's consumer is used for nothing else: it is paused, and polled only so that the group keeps it. No state is
restored inside a callback, for no heartbeat is sent meanwhile: on the first assignment a task is started. It goes on
through rebalances, in which others come and go: that no two write is the fence's doing, not the group's. A process that
led, and finds that the group has given the partition to another, ends; so does one whose task failed. A predecessor that
does not know of us yet is fenced by the transactional id.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from services.enforcer.commit import FencedError
from services.enforcer.setup import Setup
from shared.domain.errors import TransientError
from shared.messaging import groups
from shared.messaging import topics as t
from shared.messaging.kafka import running

_POLL_MS = 500  # between two signs of progress of a standby
_RESIGN_S = 15.0  # a turn takes fractions of a second; a broker that does not answer, up to 20 s
_ABORT_S = 5.0
_REBALANCE_MS = 30_000  # a member that is alive joins again within its next heartbeat
_HEARTBEAT_MS = 500  # at most so much later than the broker a standby learns that the leader is gone

Lead = Callable[[asyncio.Event], Awaitable[None]]


def sticky() -> type[StickyPartitionAssignor]:
    """
    Sticky, so that a standby that joins does not take over from a leader that is well.

    aiokafka keeps what a member was assigned in the class, so each consumer needs a class of its own.
    """
    return type("Sticky", (StickyPartitionAssignor,), {})


class Election(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Runs *lead* once this process owns the partition; *stand_by* is called now and then while another does."""

    def __init__(self, setup: Setup, lead: Lead, stand_by: Callable[[], None]) -> None:
        self._lead = lead
        self._stand_by = stand_by
        self._log: structlog.stdlib.BoundLogger = setup.log
        self._topic = setup.prefix + t.REQUESTS
        self._assignor = sticky()
        session_ms = setup.settings.enforcer_session_timeout_ms
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=setup.settings.bootstrap,
            client_id=setup.instance,
            group_id=groups.enforcers(setup.prefix),
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(session_ms // 3, _HEARTBEAT_MS),
            rebalance_timeout_ms=_REBALANCE_MS,
            partition_assignment_strategy=(self._assignor,),
        )
        self._term: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._stands_by = self._lost = self._ends = False

    async def run(self, stop: asyncio.Event) -> None:
        """
        Take part until *stop* is set.

        Raises:
            PatchgateError, KafkaError: leading failed; the process must end.
        """
        async with running(self._consumer):
            # Only now: the start of one that has subscribed waits for its first assignment, and would not hear of *stop*.
            self._consumer.subscribe([self._topic], listener=self)
            try:
                await self._watch(stop)
            finally:
                self._ends = True
                await self._resign()
        if self._term is not None:
            self._result(self._term)
        if self._lost:
            raise FencedError(
                "another enforcer was elected, for this one was not heard of for the time of its session: this one ends"
            )

    async def _watch(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        while not stopping.done() and not self._has_failed() and not self._lost:
            poll = asyncio.create_task(self._consumer.getmany(timeout_ms=_POLL_MS))
            others = {stopping} | ({self._term} if self._term is not None else set())
            await asyncio.wait({poll, *others}, return_when=asyncio.FIRST_COMPLETED)
            if not poll.done():  # during a rebalance it ignores its timeout
                poll.cancel()
            with suppress(asyncio.CancelledError):
                await poll  # what it brought is dropped: the leader reads `requests` with a reader of its own
            if self._stands_by:
                self._stand_by()
        stopping.cancel()

    def _has_failed(self) -> bool:
        return self._term is not None and self._term.done()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing yet: most often it is assigned to us again, and if not, `on_partitions_assigned` tells."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Start a term, and nothing more."""
        # aiokafka 0.14 forgets this call. Without it all claims are of one age, and a leader that thaws and joins again
        # could be given the partition of the one that leads by now.
        self._assignor.on_generation_assignment(self._consumer._coordinator.generation)  # noqa: SLF001
        self._consumer.pause(*assigned)
        if self._ends:
            return  # a rebalance between the end of our term and our good-bye
        self._stands_by = not assigned and self._term is None
        self._lost = not assigned and self._term is not None
        if self._stands_by:
            self._log.info("waiting", why="another enforcer leads; this one stands by")
        elif not self._lost and self._term is None:
            self._log.info("elected")
            self._over = asyncio.Event()
            self._term = asyncio.create_task(self._serve(self._over))

    async def _serve(self, over: asyncio.Event) -> None:
        await self._lead(over)

    async def _resign(self) -> None:
        """A term that ended well is forgotten; one that failed, or does not end, stays for `_watch` to find."""
        term = self._term
        if term is None:
            return
        self._over.set()
        _, late = await asyncio.wait({term}, timeout=_RESIGN_S)
        if late:
            term.cancel()
            await asyncio.wait({term}, timeout=_ABORT_S)
        elif not term.cancelled() and term.exception() is None:
            self._term = None

    def _result(self, term: asyncio.Task[None]) -> None:
        if not term.done() or term.cancelled():
            raise TransientError(
                f"the turn in hand did not end within {_RESIGN_S:.0f} s; look at the broker, then start again"
            )
        term.result()
