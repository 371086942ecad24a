"""Detectors as real processes against a real Kafka: order behind marks, rebalances, dead letters, a broker that is away."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.detector.app import run
from services.detector.outlet import KafkaOutlet
from services.detector.settings import DetectorSettings
from shared.domain import records as r
from shared.domain.errors import TransientError
from shared.domain.evidence import Facts
from shared.messaging import admin, codec
from shared.messaging.kafka import new_producer, running
from tests.support.topic_io import ServiceProcess, read_all, until, write

pytestmark = pytest.mark.broker

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
PARTITIONS = 4
LINE = "from pc ([10.0.0.5]) by ex.alt.example ([10.0.0.2]) with Microsoft SMTP Server id 15.1.2507.39; Tue, 24 Nov 2026 08:00:00 +0000"
Starter = Callable[[str], ServiceProcess]


def _evidence(number: int) -> bytes:
    facts = Facts(
        peer="192.0.2.7",
        helo="ex.alt.example",
        client_name="",
        client_resolve="failed",
        tls_name="",
        name="ex.alt.example",
        own_lines=(LINE,),
        seen_at=START + timedelta(seconds=number),
        edge="mx1",
    )
    return codec.encode(r.MailEvidence(facts=facts))


def _mark(number: int, partition: int) -> bytes:
    return codec.encode(r.Mark(edge="mx1", at=START + timedelta(seconds=number), partition=partition, of=PARTITIONS))


@pytest.fixture
async def topics(broker_bootstrap: str, prefix: str) -> str:
    """Make the topics, and lend their prefix."""
    await admin.apply(broker_bootstrap, prefix, partitions=PARTITIONS)
    return prefix


@pytest.fixture
async def start(broker_bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[Starter]:
    """Lend a starter of detectors by name; all are ended at the end."""
    started: list[ServiceProcess] = []

    def one(name: str) -> ServiceProcess:
        process = ServiceProcess(
            "detector",
            tmp_path / name,
            bootstrap=broker_bootstrap,
            topic_prefix=prefix,
            detector_session_timeout_ms="1500",
        )
        started.append(process)
        return process

    yield one
    for process in started:
        process.terminate()


def _decoded(topic: str, values: list[bytes | None]) -> list[object]:
    return [codec.decode(topic, value) for value in values]


async def _sightings(bootstrap: str, prefix: str) -> list[object]:
    records = await read_all(bootstrap, prefix + "sightings")
    return _decoded("sightings", [record.value for record in records])


async def _committed(bootstrap: str, prefix: str) -> dict[int, int | None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=prefix + "detector", enable_auto_commit=False)
    async with running(consumer):
        partitions = [TopicPartition(prefix + "mail-evidence", number) for number in range(PARTITIONS)]
        return {tp.partition: await consumer.committed(tp) for tp in partitions}


def _assert_marks_behind_evidence(sightings: list[object]) -> None:
    """For each partition: when a mark passes, every piece of evidence before it has passed."""
    seen: defaultdict[int, set[int]] = defaultdict(set)
    for record in sightings:
        if isinstance(record, r.Mark):
            number = int((record.at - START).total_seconds())
            missing = set(range(number)) - seen[record.partition]
            assert not missing, (
                f"mark {number} of partition {record.partition} stands before evidence {sorted(missing)[:5]}"
            )
        else:
            assert isinstance(record, r.UnpatchedServerSeen)
            seen[record.origin.partition].add(int((record.facts.seen_at - START).total_seconds()))


async def test_evidence_becomes_sightings_with_marks_behind(broker_bootstrap: str, topics: str, start: Starter) -> None:
    """What the edges wrote while no detector ran is read from the beginning, in order, and committed to its end."""
    for partition in range(PARTITIONS):
        values = [_evidence(number) for number in range(20)] + [_mark(20, partition)]
        await write(broker_bootstrap, topics + "mail-evidence", values, partition=partition)
    detector = start("one")
    await detector.ready()

    async def all_marks() -> bool:
        return sum(isinstance(s, r.Mark) for s in await _sightings(broker_bootstrap, topics)) == PARTITIONS

    await until(all_marks, "the four marks")
    sightings = await _sightings(broker_bootstrap, topics)
    assert len(sightings) == PARTITIONS * 21
    _assert_marks_behind_evidence(sightings)
    assert detector.terminate() == 0
    assert await _committed(broker_bootstrap, topics) == dict.fromkeys(range(PARTITIONS), 21)
    assert not await read_all(broker_bootstrap, topics + "dead-letters")


async def test_a_restart_goes_on_where_it_was(broker_bootstrap: str, topics: str, start: Starter) -> None:
    """After a clean stop nothing is read twice."""
    await write(broker_bootstrap, topics + "mail-evidence", [_evidence(0), _mark(1, 0)])
    first = start("one")
    await _await_count(broker_bootstrap, topics, 2)
    assert first.terminate() == 0
    await write(broker_bootstrap, topics + "mail-evidence", [_evidence(1), _mark(2, 0)])
    start("one")
    await _await_count(broker_bootstrap, topics, 4)
    _assert_marks_behind_evidence(await _sightings(broker_bootstrap, topics))


async def _await_count(bootstrap: str, prefix: str, count: int) -> None:
    async def enough() -> bool:
        return len(await _sightings(bootstrap, prefix)) >= count

    await until(enough, f"{count} sightings and marks")
    assert len(await _sightings(bootstrap, prefix)) == count


async def test_unreadable_records_are_kept_aside(broker_bootstrap: str, topics: str, start: Starter) -> None:
    """Garbage, an empty value and a header that is not text stop nothing: dead letters, and what follows is read."""
    topic = topics + "mail-evidence"
    producer = new_producer(broker_bootstrap)
    async with running(producer):
        await producer.send_and_wait(topic, b"\xff\x00garbage", partition=1)
        await producer.send_and_wait(topic, None, key=b"k", partition=1)
        await producer.send_and_wait(topic, _evidence(0), partition=1, headers=[("x", b"\xff\xfe")])
        await producer.send_and_wait(topic, _mark(1, 1), partition=1)
    start("one")
    await _await_count(broker_bootstrap, topics, 2)
    _assert_marks_behind_evidence(await _sightings(broker_bootstrap, topics))
    dead = await read_all(broker_bootstrap, topics + "dead-letters")
    letters = [codec.decode("dead-letters", record.value) for record in dead]
    assert [(letter.origin.partition, letter.origin.offset) for letter in letters] == [(1, 0), (1, 1)]
    assert letters[0].value == b"\xff\x00garbage"


async def test_nothing_is_lost_when_detectors_come_and_are_killed(
    broker_bootstrap: str, topics: str, start: Starter
) -> None:
    """While edges write on, detectors join and are killed: every evidence arrives, and no mark runs ahead of it."""
    rounds, topic = 400, topics + "mail-evidence"
    producer = new_producer(broker_bootstrap)

    async def write_on() -> None:
        for number in range(rounds):
            for partition in range(PARTITIONS):
                await producer.send(topic, _evidence(number), partition=partition)
                if number % 5 == 4:
                    await producer.send(topic, _mark(number + 1, partition), partition=partition)
            await asyncio.sleep(0.05)
        await producer.flush()

    async with running(producer):
        first = start("one")
        await first.ready()
        writing = asyncio.create_task(write_on())
        second = start("two")
        await second.ready()
        await _await_both_work(second)
        first.kill()
        third = start("three")
        await third.ready()
        second.kill()
        await writing

    async def last_marks() -> bool:
        found = [s for s in await _sightings(broker_bootstrap, topics) if isinstance(s, r.Mark)]
        last = {s.partition for s in found if s.at == START + timedelta(seconds=rounds)}
        return len(last) == PARTITIONS

    await until(last_marks, "the last mark of each partition", timeout_s=60)
    sightings = await _sightings(broker_bootstrap, topics)
    _assert_marks_behind_evidence(sightings)
    origins = {(s.origin.partition, s.origin.offset) for s in sightings if isinstance(s, r.UnpatchedServerSeen)}
    assert len(origins) == rounds * PARTITIONS
    assert third.terminate() == 0


async def _await_both_work(newcomer: ServiceProcess) -> None:
    """Wait until the group has given the newcomer some of the partitions."""

    async def has_some() -> bool:
        lines = [line for line in newcomer.log.splitlines() if "partitions_assigned" in line]
        return bool(lines) and '"partitions": []' not in lines[-1]

    await until(has_some, "partitions for the second detector")


async def test_missing_topics_are_one_clear_line(prefix: str, start: Starter) -> None:
    """Nothing is created by itself: the detector says which topic is missing and what to run, and exits 1."""
    detector = start("one")
    assert await detector.ended() == 1
    last = detector.log.splitlines()[-1]
    assert prefix + "mail-evidence" in last
    assert "patchgate topics apply" in last


async def test_a_handler_that_cannot_send_ends_the_detector(
    broker_bootstrap: str, topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastStream would swallow it and go on with the next batch: instead the run fails, and nothing is committed."""

    async def refuse(_: KafkaOutlet, _letters: object) -> None:
        raise TransientError("Kafka took nothing")

    monkeypatch.setattr(KafkaOutlet, "deliver", refuse)
    await write(broker_bootstrap, topics + "mail-evidence", [_evidence(0), _mark(1, 0)])
    settings = DetectorSettings(bootstrap=broker_bootstrap, topic_prefix=topics, state_dir=str(tmp_path))

    with pytest.raises(TransientError, match="took nothing"):
        await asyncio.wait_for(run(settings, log=structlog.get_logger(), stopping=asyncio.Event()), 30)

    assert await _committed(broker_bootstrap, topics) == dict.fromkeys(range(PARTITIONS))


async def test_without_a_broker_it_waits_and_says_so(tmp_path: Path) -> None:
    """Where nobody listens the detector says so in one line, waits, and ends in order when told."""
    detector = ServiceProcess("detector", tmp_path, bootstrap="127.0.0.1:1", topic_prefix="t.")

    async def says_so() -> bool:
        return "no Kafka answers at 127.0.0.1:1" in detector.log

    await until(says_so, "it says that it waits")
    assert detector.terminate() == 0
    assert "Traceback" not in detector.log
