"""A turn without a broker: what is written when, and that a send that failed is never committed."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced

from services.enforcer.books import Books, Outgoing
from services.enforcer.commit import Committer, FencedError
from services.enforcer.inputs import Inputs
from services.enforcer.setup import Setup, Step
from services.enforcer.turns import Blindness, Turns
from shared.domain.errors import ConfigError, TransientError
from shared.domain.fold import Fold
from shared.domain.records import SetExemption
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support import enforcers, law
from tests.support.scenario import SERVER, START, policy_for


class _Clock:
    """Stands at START until it is moved; real time goes by the system's."""

    scaled = True

    def __init__(self) -> None:
        self.utc = START
        self.off = timedelta()

    def now(self) -> datetime:
        """The law's clock."""
        return self.utc

    def real_now(self) -> datetime:
        """Real time, or what a wrong clock takes for it."""
        return datetime.now(UTC) + self.off

    def real_age(self, instant: datetime) -> timedelta:
        """As if one second of real time were one of this clock's."""
        return self.utc - instant


class _Appended(NamedTuple):
    timestamp: int
    offset: int


class _Producer:
    """Takes records as a transactional producer does; fails as it is told."""

    def __init__(self) -> None:
        self.committed: list[list[Outgoing]] = []
        self.aborted = 0
        self.fail: dict[str, KafkaError] = {}
        self.offset = 0
        self._open: list[Outgoing] = []

    def transaction(self) -> "_Producer":
        """A transaction is the producer itself."""
        return self

    async def __aenter__(self) -> None:
        self._open = []

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.committed.append(self._open)
        else:
            self.aborted += 1

    def create_batch(self) -> "_Batch":
        """A batch that is full after three records."""
        return _Batch()

    async def send_batch(self, batch: "_Batch", topic: str, *, partition: int) -> "asyncio.Future[_Appended]":
        """The answer comes a moment later, as a broker's does."""
        assert partition == 0
        assert batch.records, "an empty batch"
        await asyncio.sleep(0)  # here others get their turn, as with the real one
        future: asyncio.Future[_Appended] = asyncio.get_running_loop().create_future()
        name = topic.removeprefix("p.")
        self._open += [Outgoing(name, key, value) for key, value in batch.records]
        asyncio.get_running_loop().call_soon(self._answer, name, future)
        return future

    def _answer(self, topic: str, future: "asyncio.Future[_Appended]") -> None:
        if topic in self.fail:
            future.set_exception(self.fail[topic])
        else:
            self.offset += 1
            future.set_result(_Appended(int(datetime.now(UTC).timestamp() * 1000), self.offset))


class _Batch:
    """Takes three records."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None]] = []

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None) -> object | None:
        """None where it is full."""
        assert timestamp is None, "no service sets record timestamps"
        if len(self.records) == 3:
            return None
        self.records.append((key, value))
        return object()


class _Reader:
    """Hands out what it was given, once."""

    def __init__(self) -> None:
        self.next: list[Any] = []

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
        """Everything, at once."""
        assert 0 <= timeout_ms <= 250
        assert len(self.next) <= max_records
        records, self.next = self.next, []
        by_partition: dict[Any, list[Any]] = {}
        for record in records:
            by_partition.setdefault((record.topic, 0), []).append(record)
        return by_partition


class _Record(NamedTuple):
    topic: str
    offset: int
    value: bytes
    partition: int = 0
    key: bytes | None = None


class Bench:
    """Turns with a fake reader and a fake producer."""

    def __init__(self, tmp_path: Path, heartbeat_ms: int = 60_000) -> None:
        self.clock = _Clock()
        self.steps: list[Step] = []
        self.setup: Setup = enforcers.setup_for(
            "nowhere:1", "p.", tmp_path, clock=self.clock, steps=self.steps.append, heartbeat_ms=heartbeat_ms
        )
        self.setup.progress.clear()
        self.producer, self.reader = _Producer(), _Reader()
        self.fold = Fold(policy_for())
        self.inputs = Inputs(
            self.fold,
            prefix="p.",
            offsets=dict.fromkeys(t.INPUTS, 0),
            blind=Blindness(self.clock, 3600),
        )
        self.turns = Turns(self.setup, self.reader, Committer(self.setup, self.producer), self.inputs, Books())

    async def begin(self) -> None:
        """The first commit of a leader."""
        await self.turns.commit(self.fold.begin(at=START, version="test"), START)
        self.steps.clear()

    def give(self, topic: str, *values: msgspec.Struct) -> None:
        """Let the next poll bring *values*."""
        self.reader.next += [_Record("p." + topic, index, encode(value)) for index, value in enumerate(values)]

    @property
    def last(self) -> list[tuple[str, bytes | None]]:
        """Topics and keys of the last transaction."""
        return [(record.topic, record.key) for record in self.producer.committed[-1]]

    def of(self, topic: str) -> list[bytes | None]:
        """Keys of the last transaction's records of *topic*."""
        return [record.key for record in self.producer.committed[-1] if record.topic == topic]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Lend a bench."""
    return Bench(tmp_path)


HEARTBEAT = (t.DECISIONS, t.KEY_HEARTBEAT)
POSITION = (t.ENFORCER_STATE, t.KEY_POSITION)


async def test_the_steps_of_a_turn_come_in_order(bench: Bench) -> None:
    """Poll, decide, begin, send, commit, show: the order that the crash tests and the page go by."""
    await bench.begin()
    bench.give(t.SIGHTINGS, law.sighting(START))
    await bench.turns.turn()
    assert bench.steps == list(Step)


async def test_the_heartbeat_is_last_and_comes_with_what_changed(bench: Bench) -> None:
    """A changed decision is told at once, behind it; what changes no decision waits for the heartbeat's time."""
    await bench.begin()
    assert bench.of(t.DECISIONS)[-1] == t.KEY_HEARTBEAT
    bench.give(t.SIGHTINGS, law.sighting(START))
    await bench.turns.turn()
    assert HEARTBEAT not in bench.last
    assert bench.of(t.ENFORCER_STATE)[-1] == t.KEY_POSITION
    bench.give(t.SIGHTINGS, *law.three_hours(START - timedelta(hours=1)))
    await bench.turns.turn()
    assert bench.of(t.DECISIONS) == [SERVER.encode(), t.KEY_HEARTBEAT]
    assert bench.of(t.ENFORCER_STATE) == [SERVER.encode(), t.KEY_POSITION]


async def test_the_heartbeat_comes_with_an_exemption(bench: Bench) -> None:
    """It changes no decision and not the policy, and edges and the audit find it at a heartbeat's seq all the same."""
    await bench.begin()
    until = START + timedelta(days=1)
    asked = {"id": "exempt-0001", "who": "ops", "why": "test", "made_at": START, "owner": "ops"}
    bench.give(t.REQUESTS, SetExemption(**asked, kind="peer", target="192.0.2.7", until=until))  # type: ignore[arg-type]
    await bench.turns.turn()
    assert bench.of(t.DECISIONS) == [t.KEY_POLICY, t.KEY_HEARTBEAT]


async def test_a_topics_records_are_sent_in_order_however_many_batches_they_fill(bench: Bench) -> None:
    """Each batch is full before the next begins, and none is empty."""
    await bench.begin()
    bench.give(t.SIGHTINGS, *[law.sighting(START, name=f"ex{number}.alt.example") for number in range(7)])
    await bench.turns.turn()
    logged = [msgspec.json.decode(r.value or b"")["seq"] for r in bench.producer.committed[-1] if r.topic == t.LOG]
    assert logged == list(range(3, 3 + len(logged)))
    assert len(logged) >= 7


async def test_an_idle_turn_writes_nothing_until_the_heartbeat_is_due(tmp_path: Path) -> None:
    """Then the position and the heartbeat, and nothing else."""
    idle = Bench(tmp_path)
    await idle.begin()
    await idle.turns.turn()
    assert len(idle.producer.committed) == 1
    assert idle.steps == [Step.POLLED, Step.DECIDED]
    due = Bench(tmp_path, heartbeat_ms=0)
    await due.begin()
    await due.turns.turn()
    assert due.last == [POSITION, HEARTBEAT]


async def test_controls_are_decided_before_requests_and_sightings(bench: Bench) -> None:
    """A freeze that waits with others is the first to be decided."""
    await bench.begin()
    bench.give(t.SIGHTINGS, law.sighting(START))
    bench.give(t.REQUESTS, law.adopt(law.enforced(), START))
    bench.give(t.CONTROL, law.freeze(START, "freeze-00001", frozen=True))
    await bench.turns.turn()
    logged = [
        msgspec.json.decode(r.value or b"")["event"]["type"] for r in bench.producer.committed[-1] if r.topic == t.LOG
    ]
    assert logged == ["request-decided.v1", "hold-began.v1", "policy-adopted.v1", "server-sighted.v1"]


async def test_dead_letters_stand_in_the_same_transaction_as_the_position(bench: Bench) -> None:
    """Set aside and passed over at once, or not at all."""
    await bench.begin()
    bench.reader.next = [_Record("p.sightings", 0, b"garbage")]
    await bench.turns.turn()
    assert bench.last == [POSITION, (t.DEAD_LETTERS, None)]


async def test_a_failed_send_is_never_committed(bench: Bench) -> None:
    """The answers are waited for inside the transaction; one that is an error aborts it."""
    await bench.begin()
    bench.producer.fail[t.LOG] = MessageSizeTooLargeError()
    bench.give(t.SIGHTINGS, law.sighting(START))
    with pytest.raises(MessageSizeTooLargeError):
        await bench.turns.turn()
    assert len(bench.producer.committed) == 1
    assert bench.producer.aborted == 1
    assert Step.SENT not in bench.steps


async def test_a_fence_is_told_as_what_it_is(bench: Bench) -> None:
    """Another leads: one sentence, and no second try."""
    await bench.begin()
    bench.producer.fail[t.ENFORCER_STATE] = ProducerFenced()
    bench.give(t.SIGHTINGS, law.sighting(START))
    with pytest.raises(FencedError, match="another enforcer has taken over"):
        await bench.turns.turn()


@pytest.mark.parametrize(("off_s", "wrong"), [(-301, True), (-290, False), (290, False), (301, True)])
async def test_a_clock_off_by_more_than_the_guard_commits_nothing(tmp_path: Path, off_s: int, *, wrong: bool) -> None:
    """Either way off: the heartbeat's append time is the broker's clock, and the turn is aborted."""
    bench = Bench(tmp_path)
    bench.clock.off = timedelta(seconds=off_s)
    if not wrong:
        await bench.begin()
        return
    with pytest.raises(ConfigError, match="set both by NTP"):
        await bench.begin()
    assert bench.producer.committed == []


async def test_a_clock_that_is_set_between_two_heartbeats_dates_nothing(bench: Bench) -> None:
    """The next turn that writes anything brings a heartbeat, and so the guard, however far off the next one is."""
    await bench.begin()
    committed = len(bench.producer.committed)
    bench.clock.off = timedelta(days=40)
    with pytest.raises(ConfigError, match="set both by NTP"):
        await bench.turns.turn()
    assert len(bench.producer.committed) == committed


async def test_a_clock_that_is_set_while_a_heartbeat_is_committed_dates_nothing(bench: Bench) -> None:
    """The guard has looked, and the commit goes on: the next turn that writes anything knows that the clock was set since."""
    ends = bench.producer.__aexit__

    async def sets_the_clock(*error: Any) -> None:
        bench.clock.off = timedelta(days=40)
        await ends(*error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Producer, "__aexit__", lambda _self, *error: sets_the_clock(*error))
        await bench.begin()
    committed = len(bench.producer.committed)
    with pytest.raises(ConfigError, match="set both by NTP"):
        await bench.turns.turn()
    assert len(bench.producer.committed) == committed


async def test_a_clock_that_is_set_right_is_looked_at_once(bench: Bench) -> None:
    """Within the guard it goes on, and its heartbeats come at their time again."""
    await bench.begin()
    committed = len(bench.producer.committed)
    bench.clock.off = timedelta(seconds=100)
    await bench.turns.turn()
    await bench.turns.turn()
    assert len(bench.producer.committed) == committed + 1


async def test_decisions_made_anew_end_the_leader(tmp_path: Path) -> None:
    """A heartbeat whose offset does not grow lies in another topic, which holds nothing else: only a start writes it whole."""
    bench = Bench(tmp_path, heartbeat_ms=0)
    await bench.begin()
    committed = len(bench.producer.committed)
    bench.producer.offset = 0
    with pytest.raises(TransientError, match="decisions was made anew"):
        await bench.turns.turn()
    assert len(bench.producer.committed) == committed


async def test_the_readiness_file_tells_who_leads_and_how_far(bench: Bench, tmp_path: Path) -> None:
    """It moves on with the heartbeat; a standby's says who leads, that it is warm, and how far it has followed."""
    assert enforcers.read_status(tmp_path) is None
    bench.setup.progress.waiting(led_by="other", warm=True, seq=7, behind=3)
    assert (status := enforcers.read_status(tmp_path)) is not None
    assert (status.leader, status.led_by, status.warm, status.seq, status.behind) == (False, "other", True, 7, 3)
    await bench.begin()
    assert (status := enforcers.read_status(tmp_path)) is not None
    assert (status.leader, status.seq, status.h) == (True, 2, START)
    assert status.led_by == status.instance == tmp_path.name


def test_blind_is_a_matter_of_real_time() -> None:
    """Blind once H is over an hour old, and not a moment before."""
    clock = _Clock()
    blind = Blindness(clock, 3600)
    clock.utc = START + timedelta(hours=1)
    assert not blind(START)
    clock.utc += timedelta(seconds=1)
    assert blind(START)


def test_after_lost_evidence_it_is_blind_until_h_has_caught_up() -> None:
    """However little H lags, it must first come to the instant of the start; from then on the usual bound holds."""
    clock = _Clock()
    clock.utc = START + timedelta(minutes=10)
    blind = Blindness(clock, 3600, until=clock.utc)
    assert blind(START)
    assert blind(START + timedelta(minutes=9))
    assert not blind(START + timedelta(minutes=10))
    assert not blind(START)  # caught up once is caught up


def test_a_readiness_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The line names the file and the setting."""
    (tmp_path / "ready").write_text("a file")
    setup = enforcers.setup_for("nowhere:1", "p.", tmp_path)
    with pytest.raises(ConfigError, match="PATCHGATE_STATE_DIR"):
        setup.progress.clear()
    with pytest.raises(ConfigError, match="PATCHGATE_STATE_DIR"):
        setup.progress.waiting(led_by="", warm=False, seq=0, behind=None)
