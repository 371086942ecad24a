"""
Turn after turn: poll, decide, commit, show. The steps are numbered as in `docs/architecture/enforcer.md`.

The fold in memory runs ahead of the commit by one turn. Nobody ever sees it there: what is published is what was
committed, and a commit that fails ends the process, whose successor starts from what was committed.
"""

import gc
import time
from datetime import datetime, timedelta
from math import ceil

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from services.enforcer.books import Books, Outgoing
from services.enforcer.commit import Committer
from services.enforcer.inputs import Inputs
from services.enforcer.setup import Setup, Step
from shared.domain import events as e
from shared.domain.fold import Written
from shared.domain.records import Heartbeat
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.runtime.clock import Clock

MAX_WAIT_S = 0.25
"""An idle turn takes so long at most, since a stop waits for the turn in hand."""

FETCH_BYTES = 8 << 20
"""What one fetch of an input may bring: some thousand sightings, so that a commit is worth its round trips."""

MAX_RECORDS_A_TURN = 10_000
"""A turn decides no more, however small they are: a second of work, where a transaction may last 30 s; the rest waits."""

_CLOCK_SET_S = 1.0  # NTP slews by 0.5 ms a second; more than this was set, or the machine slept

_READ_ORDER = (t.CONTROL, t.REQUESTS, t.SIGHTINGS)  # a freeze first, and people before machines
_EXEMPTIONS = (e.Exempted, e.ExemptionEnded)  # edges read them with the policy, whose digest does not change with them
_QUIET = (e.ServerSighted, e.AccusationDropped, e.Checkpoint)  # counted, not told one by one


class Blindness:
    """
    Whether H lags too far, in real time.

    until: after evidence was lost the law stands still until H has come to this instant, however little it lags.
    """

    def __init__(self, clock: Clock, after_s: int, *, until: datetime | None = None) -> None:
        self._clock = clock
        self._after = timedelta(seconds=after_s)
        self._until = until

    def __call__(self, h: datetime) -> bool:
        """Whether the law must stand still with H where it is."""
        if self._until is not None and h < self._until:
            return True
        self._until = None
        return self._clock.real_age(h) > self._after


class Turns:
    """One leader's loop. The reader must be assigned to the inputs by `assign` before the first turn."""

    def __init__(
        self, setup: Setup, reader: AIOKafkaConsumer, committer: Committer, inputs: Inputs, books: Books
    ) -> None:
        self._setup = setup
        self._reader = reader
        self._committer = committer
        self._inputs = inputs
        self._books = books
        self._partitions = [TopicPartition(setup.prefix + topic, 0) for topic in _READ_ORDER]
        self._policy_digest = ""
        self._told: tuple[int, str, str, bool] | None = None
        self._next_heartbeat_s = 0.0
        self._real_ahead_s = 0.0

    def assign(self) -> None:
        """Read the inputs, from the position on."""
        # What was restored stays: without this the collector would look at all of it again and again.
        gc.collect()
        gc.freeze()
        self._reader.assign(self._partitions)
        for partition in self._partitions:
            self._reader.seek(partition, self._inputs.offsets[partition.topic.removeprefix(self._setup.prefix)])

    async def turn(self) -> None:
        """
        One turn: at most what one fetch of each input brought, and MAX_RECORDS_A_TURN.

        Raises:
            PatchgateError, KafkaError: the process must end.
        """
        steps = self._setup.steps
        records = await self._poll()
        steps(Step.POLLED)
        at = self._setup.clock.now()
        self._watch_clock()  # behind it: what is set in between did not date it
        written = self._inputs.decide(records, at=at)
        steps(Step.DECIDED)
        if records or written or time.monotonic() >= self._next_heartbeat_s:
            await self.commit(written, at)
            steps(Step.SHOWN)

    def _watch_clock(self) -> None:
        """A clock that was set since the last heartbeat must pass its guard before it dates anything: let one be due."""
        if abs(self._ahead_s() - self._real_ahead_s) > _CLOCK_SET_S:
            self._next_heartbeat_s = 0.0

    def _ahead_s(self) -> float:
        """Real time less the time that this machine counts by itself: the same as long as nobody sets the clock."""
        return self._setup.clock.real_now().timestamp() - time.monotonic()

    async def _poll(self) -> list[ConsumerRecord]:
        wait_s = min(MAX_WAIT_S, max(0.0, self._next_heartbeat_s - time.monotonic()))
        got = await self._reader.getmany(timeout_ms=ceil(wait_s * 1000), max_records=MAX_RECORDS_A_TURN)
        return [record for partition in self._partitions for record in got.get(partition, [])]

    async def commit(self, written: list[Written], at: datetime) -> None:
        """Write what was decided, with the position, and the heartbeat last; then tell of it."""
        records = self._records(written, at)
        ahead_s = (
            self._ahead_s()
        )  # before the guard looks: what is set behind it, while this is committed, is not missed
        await self._committer.commit(records)
        self._tell(written)
        if records[-1].key == t.KEY_HEARTBEAT:
            law = self._inputs.fold.law
            self._real_ahead_s = ahead_s
            self._next_heartbeat_s = time.monotonic() + self._setup.settings.heartbeat_ms / 1000
            self._setup.progress.leading(law.seq, law.h)

    def _records(self, written: list[Written], at: datetime) -> list[Outgoing]:
        fold = self._inputs.fold
        records = self._books.changes(fold, written)
        records.append(Outgoing(t.ENFORCER_STATE, t.KEY_POSITION, encode(self._inputs.position())))
        records += [Outgoing(t.DEAD_LETTERS, None, encode(letter)) for letter in self._inputs.take_letters()]
        if not self._policy_digest or any(isinstance(record.event, e.PolicyAdopted) for record, _ in written):
            self._policy_digest = fold.policy.digest
        heartbeat = self._books.heartbeat(fold, at=at, policy_digest=self._policy_digest)
        news = self._is_news(heartbeat) or any(isinstance(record.event, _EXEMPTIONS) for record, _ in written)
        if news or time.monotonic() >= self._next_heartbeat_s:
            records.append(Outgoing(t.DECISIONS, t.KEY_HEARTBEAT, encode(heartbeat)))
        return records

    def _is_news(self, heartbeat: Heartbeat) -> bool:
        """A change of the table, the policy or the freeze is told at once; that time goes on can wait."""
        told = (heartbeat.count, heartbeat.digest, heartbeat.policy_digest, heartbeat.frozen)
        news = told != self._told
        self._told = told
        return news

    def _tell(self, written: list[Written]) -> None:
        for record, _ in written:
            event = record.event
            if isinstance(event, _QUIET):
                continue
            server = getattr(event, "server", "")
            kind = str(event.__struct_config__.tag)
            self._setup.log.info(
                "decided", seq=record.seq, kind=kind, server=server, outcome=getattr(event, "outcome", "")
            )
