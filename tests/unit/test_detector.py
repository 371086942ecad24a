"""The detector without Kafka: which sighting a line makes, and the numbered steps of a batch."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaConnectionError, KafkaTimeoutError

from services.detector.core import Reader
from services.detector.handlers import BatchHandler
from services.detector.outlet import TRIES, KafkaOutlet, Letter
from shared.domain import records as r
from shared.domain.catalogue import load_catalogue
from shared.domain.errors import TransientError
from shared.domain.evidence import Facts
from shared.messaging import codec

PREFIX = "t."
ORIGIN = r.Origin(topic="mail-evidence", partition=2, offset=7)
NAME = "ex.alt.example"


def _line(build: str, *, what: str = "Microsoft SMTP Server") -> str:
    number = f" id {build}" if build else ""
    return f"from pc ([10.0.0.5]) by {NAME} ([10.0.0.2]) with {what}{number}; Tue, 24 Nov 2026 08:00:00 +0000"


def _facts(*lines: str, seen_at: datetime = datetime(2026, 9, 20, 23, 30, tzinfo=UTC), name: str = NAME) -> Facts:
    return Facts(
        peer="192.0.2.7",
        helo=NAME,
        client_name="",
        client_resolve="failed",
        tls_name="",
        name=name,
        own_lines=lines,
        seen_at=seen_at,
        edge="mx1",
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (_line("15.1.2507.39"), r.UnpatchedServerSeen),  # Exchange 2016 CU23 Apr24HU: a year and a half behind
        (_line("", what="mapi"), r.UnpatchedServerSeen),  # Exchange 2007: shows no build, and has no updates any more
        (_line("8.3.83.6"), r.UnpatchedServerSeen),
        (_line("15.0.1497.42"), r.UnpatchedServerSeen),  # Exchange 2013: over whatever the line hides
        (_line("15.2.2562.49"), r.PatchedServerSeen),  # Exchange SE Sep26SU, the newest of that day
        (_line("15.2.2562.45"), r.UnpatchedServerSeen),  # Jul26SU: Aug26SU is missing
        (_line("15.2.2562.999"), r.ServerSeen),  # newer than the catalogue
        (_line("15.2.700.1"), r.ServerSeen),  # a branch that no list has
        (_line("15.20.8000.1"), r.ServerSeen),  # Exchange Online's numbers under another name
        ("from a by b with ESMTP id 4; Tue, 24 Nov 2026 08:00:00 +0000", r.ServerSeen),
        ("\x00\xff )( by", r.ServerSeen),
    ],
)
def test_which_sighting_a_line_makes(line: str, kind: type) -> None:
    """The catalogue's answer on that day decides between unpatched, patched and cannot tell."""
    sighting = Reader(load_catalogue()).sighting_of(_facts(line), ORIGIN)

    assert type(sighting) is kind
    assert sighting.origin == ORIGIN
    assert sighting.facts.own_lines == (line,)


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        (datetime(2026, 9, 7, 23, 59, tzinfo=UTC), r.PatchedServerSeen),
        (datetime(2026, 9, 8, 0, 0, tzinfo=UTC), r.UnpatchedServerSeen),
        (datetime.fromisoformat("2026-09-08T01:00:00+02:00"), r.PatchedServerSeen),
    ],
)
def test_the_utc_day_of_the_mail_counts(day: datetime, kind: type) -> None:
    """Exchange SE Aug26SU is patched until the UTC day on which Sep26SU came out, whatever zone the facts are in."""
    assert type(Reader(load_catalogue()).sighting_of(_facts(_line("15.2.2562.46"), seen_at=day), ORIGIN)) is kind


def test_a_range_that_reaches_the_newest_update_cannot_be_told() -> None:
    """An SMTP line of Exchange 2016 CU21 can hide the update of the day: the installed build may lack it or not."""
    facts = _facts(_line("15.1.2308.8"), seen_at=datetime(2021, 8, 1, tzinfo=UTC))
    sighting = Reader(load_catalogue()).sighting_of(facts, ORIGIN)
    assert type(sighting) is r.ServerSeen
    assert sighting.reading is not None
    assert sighting.reading.low != sighting.reading.high


def test_a_product_in_its_paid_programme_can_be_patched() -> None:
    """Exchange 2019 with the programme's newest update lacks nothing until the programme ends."""
    reader, line = Reader(load_catalogue()), _line("15.2.1748.53")
    assert (
        type(reader.sighting_of(_facts(line, seen_at=datetime(2026, 10, 31, tzinfo=UTC)), ORIGIN))
        is r.PatchedServerSeen
    )
    assert (
        type(reader.sighting_of(_facts(line, seen_at=datetime(2026, 11, 1, tzinfo=UTC)), ORIGIN))
        is r.UnpatchedServerSeen
    )


@dataclass
class _Record:
    offset: int
    value: bytes | None
    partition: int = 0
    topic: str = PREFIX + "mail-evidence"
    key: bytes | None = b"192.0.2.7"


class _Consumer:
    """Notes what is committed; owns some partitions."""

    def __init__(self, *partitions: int, fails: bool = False) -> None:
        self.partitions = partitions
        self.fails = fails
        self.committed: list[dict[int, int]] = []

    def assignment(self) -> Iterable[TopicPartition]:
        return {TopicPartition(PREFIX + "mail-evidence", number) for number in self.partitions}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.fails:
            raise CommitFailedError
        self.committed.append({tp.partition: offset for tp, offset in offsets.items()})


class _Outlet:
    """Notes what is delivered, delivery by delivery; can refuse from the nth on."""

    def __init__(self, *, refuses_from: int = 99) -> None:
        self.refuses_from = refuses_from
        self.deliveries: list[list[Letter]] = []

    async def deliver(self, letters: Sequence[Letter]) -> None:
        if len(self.deliveries) + 1 >= self.refuses_from:
            raise TransientError("no Kafka")
        self.deliveries.append(list(letters))


def _handler(outlet: _Outlet) -> BatchHandler:
    return BatchHandler(PREFIX, Reader(load_catalogue()), outlet, structlog.get_logger())


def _evidence(text: str = "15.1.2507.39", name: str = NAME) -> bytes:
    return codec.encode(r.MailEvidence(facts=_facts(_line(text), name=name)))


def _mark(partition: int = 0) -> bytes:
    return codec.encode(r.Mark(edge="mx1", at=datetime(2026, 9, 20, tzinfo=UTC), partition=partition, of=2))


def _tags(letters: Iterable[Letter]) -> list[str]:
    return [codec.decode(letter.topic.removeprefix(PREFIX), letter.value).__class__.__name__ for letter in letters]


async def test_marks_are_sent_only_behind_acknowledged_evidence() -> None:
    """A batch becomes two deliveries: all evidence, and when that is acknowledged the marks; then the commit."""
    outlet, consumer = _Outlet(), _Consumer(0, 1)
    batch = [_Record(4, _mark()), _Record(5, _evidence()), _Record(6, _mark()), _Record(9, _evidence(), partition=1)]

    await _handler(outlet).handle(batch, consumer)

    assert [_tags(letters) for letters in outlet.deliveries] == [["UnpatchedServerSeen"] * 2, ["Mark", "Mark"]]
    assert consumer.committed == [{0: 7, 1: 10}]
    sighting = codec.decode("sightings", outlet.deliveries[0][0].value)
    assert sighting.origin == r.Origin(topic="mail-evidence", partition=0, offset=5)
    assert outlet.deliveries[0][0].key == NAME.encode()


async def test_without_a_name_the_peer_is_the_key() -> None:
    """Evidence that names no host is keyed by who connected."""
    outlet = _Outlet()
    await _handler(outlet).handle([_Record(0, _evidence(name=""))], _Consumer(0))
    assert outlet.deliveries[0][0].key == b"192.0.2.7"


@pytest.mark.parametrize("refuses_from", [1, 2])
async def test_what_kafka_does_not_take_is_not_committed(refuses_from: int) -> None:
    """A refused delivery, of evidence or of marks, raises and commits nothing; no mark goes out behind lost evidence."""
    outlet, consumer = _Outlet(refuses_from=refuses_from), _Consumer(0)

    with pytest.raises(TransientError):
        await _handler(outlet).handle([_Record(0, _evidence()), _Record(1, _mark())], consumer)

    assert not consumer.committed
    assert "Mark" not in [tag for letters in outlet.deliveries for tag in _tags(letters)]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        None,
        b"\xff\xfe",
        b'{"type":"mail-evidence.v1"}',
        b'{"type":"mail-evidence.v9","facts":{}}',
        b"[" * 200_000,
        _evidence().replace(b"2026-09-20T23:30:00Z", b"2026-09-20T23:30:00"),
    ],
)
async def test_an_unreadable_record_becomes_a_dead_letter(value: bytes | None) -> None:
    """It is kept aside with its place and its cause, what follows is handled, and the offset moves past it."""
    outlet, consumer = _Outlet(), _Consumer(0)
    handler = _handler(outlet)

    await handler.handle([_Record(0, value), _Record(1, _evidence()), _Record(2, _mark())], consumer)

    assert [_tags(letters) for letters in outlet.deliveries] == [["DeadLetter", "UnpatchedServerSeen"], ["Mark"]]
    letter = codec.decode("dead-letters", outlet.deliveries[0][0].value)
    assert (letter.origin.offset, letter.reader, letter.value) == (0, "detector", (value or b"")[: 64 * 1024])
    assert letter.cause
    assert handler.counts["dead_letters"] == 1
    assert consumer.committed == [{0: 3}]


async def test_our_own_fault_on_one_record_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record on which the reading itself fails is kept aside, so that nobody can stop the law with one mail."""
    outlet, consumer = _Outlet(), _Consumer(0)
    handler = _handler(outlet)
    read = handler._reader.sighting_of

    def fail_once(facts: Facts, origin: r.Origin) -> r.Sighting:
        if origin.offset == 0:
            raise RecursionError
        return read(facts, origin)

    monkeypatch.setattr(handler._reader, "sighting_of", fail_once)
    await handler.handle([_Record(0, _evidence()), _Record(1, _evidence())], consumer)

    assert _tags(outlet.deliveries[0]) == ["DeadLetter", "UnpatchedServerSeen"]
    assert consumer.committed == [{0: 2}]


async def test_evidence_too_large_for_a_sighting_is_kept_aside() -> None:
    """A sighting is larger than its evidence; where that passes the bus's bound there is a dead letter, and no loop."""
    outlet = _Outlet()
    huge = codec.encode(r.MailEvidence(facts=_facts(_line("15.1.2507.39"), "x" * (codec.MAX_RECORD_BYTES - 800))))
    await _handler(outlet).handle([_Record(0, huge)], _Consumer(0))
    assert _tags(outlet.deliveries[0]) == ["DeadLetter"]


async def test_records_of_partitions_that_are_gone_are_dropped() -> None:
    """After a rebalance the new owner reads them; only what is ours is sent and committed."""
    outlet, consumer = _Outlet(), _Consumer(1)
    handler = _handler(outlet)

    await handler.handle([_Record(0, _evidence()), _Record(1, _mark()), _Record(5, _evidence(), partition=1)], consumer)

    assert [_tags(letters) for letters in outlet.deliveries] == [["UnpatchedServerSeen"]]
    assert consumer.committed == [{1: 6}]
    assert handler.counts["dropped"] == 2


async def test_a_commit_that_fails_is_no_failure_of_the_batch() -> None:
    """The partition has gone to somebody who reads it again; the detector goes on, and counts."""
    handler = _handler(_Outlet())
    await handler.handle([_Record(0, _evidence())], _Consumer(0, fails=True))
    assert handler.counts["commits_failed"] == 1


async def test_partitions_lost_while_sending_are_not_committed() -> None:
    """What was taken away during a batch is left to its new owner: committing it would be refused for all."""
    consumer = _Consumer(0, 1)

    class _Losing(_Outlet):
        async def deliver(self, letters: Sequence[Letter]) -> None:
            await super().deliver(letters)
            consumer.partitions = (1,)

    await _handler(_Losing()).handle([_Record(0, _evidence()), _Record(0, _evidence(), partition=1)], consumer)
    assert consumer.committed == [{1: 1}]


async def test_long_batches_let_the_event_loop_breathe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats share the loop: a batch of 500 gives way again and again."""
    pauses: list[float] = []

    async def sleep(delay: float) -> None:
        pauses.append(delay)

    monkeypatch.setattr("asyncio.sleep", sleep)
    await _handler(_Outlet()).handle([_Record(number, _mark()) for number in range(500)], _Consumer(0))
    assert len(pauses) == 10


class _Producer:
    """An aiokafka producer as far as the outlet uses it: acknowledges, or fails as it was told."""

    def __init__(self, *, start_fails: bool = False, send_fails: bool = False, ack_fails: bool = False) -> None:
        self.start_fails, self.send_fails, self.ack_fails = start_fails, send_fails, ack_fails
        self.sent: list[bytes] = []
        self.stopped = False

    async def start(self) -> None:
        if self.start_fails:
            raise KafkaConnectionError

    async def send(self, _topic: str, value: bytes, *, key: bytes | None, partition: int) -> "asyncio.Future[None]":
        del key, partition
        if self.send_fails:
            raise KafkaTimeoutError
        self.sent.append(value)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.ack_fails and len(self.sent) == 1:
            acknowledged.set_exception(KafkaTimeoutError())
        else:
            acknowledged.set_result(None)
        return acknowledged

    async def stop(self) -> None:
        self.stopped = True


def _outlet_with(producers: list[_Producer], monkeypatch: pytest.MonkeyPatch) -> KafkaOutlet:
    left = iter(producers)
    monkeypatch.setattr("shared.messaging.kafka.new_producer", lambda _: next(left))
    return KafkaOutlet("127.0.0.1:1", structlog.get_logger(), backoff_first_s=0.001)


async def test_a_failed_send_is_tried_again_as_a_whole_by_a_new_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer is spoilt after a failure; all letters go again, so that none is missing, and it is not used again."""
    producers = [
        _Producer(start_fails=True),
        _Producer(send_fails=True),
        _Producer(ack_fails=True),
        good := _Producer(),
    ]
    outlet = _outlet_with(producers, monkeypatch)

    await outlet.deliver([Letter("t.sightings", None, b"1"), Letter("t.sightings", None, b"2")])
    await outlet.deliver([Letter("t.sightings", None, b"3")])

    assert good.sent == [b"1", b"2", b"3"]
    assert [producer.stopped for producer in producers] == [True, True, True, False]
    await outlet.stop()
    assert good.stopped


async def test_after_all_tries_the_operator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tries are bounded; then the batch is given back, and the process ends."""
    producers = [_Producer(ack_fails=True) for _ in range(TRIES + 1)]
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1 took no records in 5 tries \(KafkaTimeoutError\)"):
        await _outlet_with(producers, monkeypatch).deliver([Letter("t.sightings", None, b"1")])
    assert sum(bool(producer.sent) for producer in producers) == TRIES
