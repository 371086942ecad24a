"""Status against a real Kafka: what a fold wrote is served, followed, and still served when Kafka is away."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from services.status.app import build_app
from services.status.publisher import KafkaPublisher
from services.status.reader import Reader
from services.status.settings import StatusSettings
from services.status.view import Board, View
from shared.domain.catalogue import load_catalogue
from shared.domain.fold import encode_server
from shared.messaging import admin, embedded, probe
from shared.messaging import topics as t
from shared.messaging.kafka import new_producer, running
from shared.runtime.clock import SystemClock
from tests.support.scenario import SERVER, World
from tests.support.status_state import Record, edge_report, records_of
from tests.support.topic_io import ServiceProcess, until

pytestmark = pytest.mark.broker
PARTITIONS = 2


class LateClock(SystemClock):
    """Real time, and as much later as a test says: so nobody has to wait for ages to pass."""

    later = timedelta()

    def real_now(self) -> datetime:
        """Real UTC, later."""
        return datetime.now(UTC) + self.later


class Status:
    """Reader and pages in this process."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        state_dir: Path,
        *,
        log_tail: int = 1000,
        board: Board | None = None,
        status_tokens: str = "",
    ) -> None:
        self.clock = LateClock()
        self.board = board or Board()
        settings = StatusSettings(
            bootstrap=bootstrap, topic_prefix=prefix, state_dir=str(state_dir), status_tokens=status_tokens
        )
        self.ready_file = state_dir / "ready" / "status"
        self.reader = Reader(settings, self.clock, self.board, structlog.stdlib.get_logger(), log_tail=log_tail)
        self.publisher = KafkaPublisher(bootstrap, prefix)
        app = build_app(self.board, settings, load_catalogue(), clock=self.clock, publisher=self.publisher)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://status")

    async def shows_seq(self, seq: int) -> None:
        """Wait until the state of that record is on show."""

        async def there() -> bool:
            view = self.board.view
            return view is not None and view.position is not None and view.position.law.seq >= seq

        await until(there, f"seq {seq} on show; {self.board.reader.trouble}")

    async def json(self, path: str, status: int = 200) -> dict[str, Any]:
        """The answer to a GET."""
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def status(
    bootstrap: str,
    prefix: str,
    state_dir: Path,
    *,
    log_tail: int = 1000,
    board: Board | None = None,
    status_tokens: str = "",
) -> AsyncIterator[Status]:
    """Run it; a reader that failed fails the test."""
    made = Status(bootstrap, prefix, state_dir, log_tail=log_tail, board=board, status_tokens=status_tokens)
    reading = asyncio.create_task(made.reader.run())
    try:
        async with made.client:
            yield made
    finally:
        assert not reading.done(), "the reader ended by itself"
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await made.publisher.stop()


async def write(bootstrap: str, prefix: str, records: Iterable[Record], *, commit: bool = True) -> None:
    """Write *records* in one transaction, as the enforcer does; or take it back."""
    producer = new_producer(bootstrap, transactional_id=f"{prefix}test")
    async with running(producer):
        await producer.begin_transaction()
        for topic, key, value in records:
            await producer.send(prefix + topic, value, key=key, partition=0)
        await producer.flush()
        await (producer.commit_transaction() if commit else producer.abort_transaction())


def world_now() -> World:
    """A case opened just now, so that H is young in real time."""
    world = World(at=datetime.now(UTC) - timedelta(hours=3))
    world.open_case()
    return world


@pytest.fixture
async def topics(broker_bootstrap: str, prefix: str) -> str:
    """The topics of this test, by their prefix."""
    await admin.apply(broker_bootstrap, prefix, PARTITIONS)
    return prefix


async def test_what_a_fold_wrote_is_served_and_followed(broker_bootstrap: str, topics: str, tmp_path: Path) -> None:
    """List, explanation with timeline, readiness; then the next transaction shows by itself."""
    world = world_now()
    await write(broker_bootstrap, topics, [*records_of(world), edge_report(world)])
    async with status(broker_bootstrap, topics, tmp_path) as made:
        await made.shows_seq(world.fold.law.seq)
        report = await made.json(f"/servers/{SERVER}")
        assert [event["kind"] for event in report["timeline"]][3] == "case-opened.v1"
        written = len(world.log)
        world.settle()
        await write(broker_bootstrap, topics, records_of(world, since=written))
        await made.shows_seq(world.fold.law.seq)
        report = await made.json(f"/servers/{SERVER}")
        assert report["timeline"][-1]["kind"] == "notice-settled.v1"

        async def ready() -> bool:
            return made.ready_file.exists() and (await made.client.get("/readyz")).status_code == 200

        await until(ready, "ready")
        ready_now = await made.json("/readyz")
        assert (ready_now["table_agrees"], ready_now["servers"]) == (True, 1)
        assert ready_now["lag"] == dict.fromkeys((t.ENFORCER_STATE, t.DECISIONS, t.EDGE_REPORTS, t.LOG), 0)


class WatchedBoard(Board):
    """Notes how many servers each view holds when it is put on show."""

    def __init__(self) -> None:
        self.shown: list[int] = []
        super().__init__()

    def __setattr__(self, name: str, value: object) -> None:
        """Note views."""
        if isinstance(value, View):
            self.shown.append(len(value.servers))
        super().__setattr__(name, value)


async def test_a_view_is_shown_only_when_it_is_whole(broker_bootstrap: str, topics: str, tmp_path: Path) -> None:
    """More records than one fetch brings: no half-read list is ever on show."""
    world = world_now()
    one = encode_server(world.fold.servers[SERVER])
    many: list[Record] = [
        (t.ENFORCER_STATE, name.encode(), one.replace(SERVER.encode(), name.encode()))
        for name in (f"ex{number}.example@192.0.2.7" for number in range(5000))
    ]
    await write(broker_bootstrap, topics, [*many, *records_of(world)])
    board = WatchedBoard()
    async with status(broker_bootstrap, topics, tmp_path, board=board) as made:
        await made.shows_seq(world.fold.law.seq)
    assert board.shown == [5001]


async def test_what_was_taken_back_is_not_shown(broker_bootstrap: str, topics: str, tmp_path: Path) -> None:
    """Records of an aborted transaction are never seen, and do not keep the reader from the end."""
    world = world_now()
    await write(broker_bootstrap, topics, records_of(world))
    seq = world.fold.law.seq
    world.see(name="other.example", helo="other.example")
    await write(broker_bootstrap, topics, records_of(world), commit=False)
    async with status(broker_bootstrap, topics, tmp_path) as made:
        await made.shows_seq(seq)
        assert made.board.view is not None
        assert list(made.board.view.servers) == [SERVER]


async def test_unreadable_records_hide_nothing(broker_bootstrap: str, topics: str, tmp_path: Path) -> None:
    """On each topic one record that nobody can read: counted, and everything else is there."""
    world = world_now()
    bad: list[Record] = [
        (topic, b"bad.example", b"\xff{") for topic in (t.ENFORCER_STATE, t.DECISIONS, t.EDGE_REPORTS, t.LOG)
    ]
    await write(broker_bootstrap, topics, [*bad, *records_of(world), *bad])
    async with status(broker_bootstrap, topics, tmp_path) as made:
        await made.shows_seq(world.fold.law.seq)
        assert (await made.json("/servers"))["total"] == 1
        assert (await made.json("/readyz"))["unreadable_records"] == 8


async def test_of_a_long_log_only_the_tail_is_read(broker_bootstrap: str, topics: str, tmp_path: Path) -> None:
    """The explanation is whole, the timeline holds the newest only."""
    world = world_now()
    await write(broker_bootstrap, topics, records_of(world))
    async with status(
        broker_bootstrap, topics, tmp_path, log_tail=3
    ) as made:  # two records and the transaction's marker
        await made.shows_seq(world.fold.law.seq)
        report = await made.json(f"/servers/{SERVER}")
    assert [event["seq"] for event in report["timeline"]] == [world.fold.law.seq - 1, world.fold.law.seq]
    assert len(report["explanation"]["cases"]) == 1


async def test_topics_that_are_not_there_yet_are_waited_for(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """It says which one is missing and what to run, and reads once it is there."""
    async with status(broker_bootstrap, prefix, tmp_path) as made:

        async def told() -> bool:
            return "topics apply" in str(await made.json("/readyz", 503))

        await until(told, "the missing topic named")
        await admin.apply(broker_bootstrap, prefix, PARTITIONS)
        world = world_now()
        await write(broker_bootstrap, prefix, records_of(world))
        await made.shows_seq(world.fold.law.seq)


async def test_with_kafka_away_the_last_state_stays_and_says_its_age(prefix: str, tmp_path: Path) -> None:
    """Stopped: pages answer as before, readyz turns 503 with the age; started again: news show."""
    state_dir, port = tmp_path / "kafka", probe.free_port()
    bootstrap = (await asyncio.to_thread(embedded.start, state_dir, port=port)).bootstrap
    try:
        await admin.apply(bootstrap, prefix, PARTITIONS)
        world = world_now()
        await write(bootstrap, prefix, records_of(world))
        async with status(bootstrap, prefix, tmp_path) as made:
            await made.shows_seq(world.fold.law.seq)
            await asyncio.to_thread(embedded.stop, state_dir)

            async def away() -> bool:
                return bool(made.board.reader.trouble)

            await until(away, "the reader notices")
            made.clock.later = timedelta(seconds=31)
            assert (await made.json("/servers"))["total"] == 1
            (reason,) = (await made.json("/readyz", 503))["reasons"]
            assert re.fullmatch(r"what is shown is (3[1-9]|[4-7]\d) s old \(.+\)", reason)
            assert "Not up to date" in (await made.client.get("/")).text
            made.clock.later = timedelta()
            await asyncio.to_thread(embedded.start, state_dir, port=port)
            written = len(world.log)
            world.settle()
            await write(bootstrap, prefix, records_of(world, since=written))
            await made.shows_seq(world.fold.law.seq)

            async def well() -> bool:
                return (await made.client.get("/readyz")).status_code == 200

            await until(well, "ready again")
    finally:
        await asyncio.to_thread(embedded.stop, state_dir)


async def test_the_process_serves_and_ends_on_request(broker_bootstrap: str, topics: str, tmp_path: Path) -> None:
    """`python -m services.status`: it logs the address, is ready, serves, and ends with 0 on SIGTERM."""
    world = world_now()
    await write(broker_bootstrap, topics, records_of(world))
    process = ServiceProcess("status", tmp_path, bootstrap=broker_bootstrap, topic_prefix=topics, status_port="0")
    try:
        await process.ready()
        lines = [json.loads(line) for line in process.log.splitlines()]
        # A broker that never had a group cannot tell who stands by.
        told = [line["event"] for line in lines if line["event"] != "standbys-unknown"]
        assert told == ["started", "ready"]
        async with httpx.AsyncClient(base_url=lines[0]["address"]) as client:
            assert (await client.get("/servers")).json()["total"] == 1
            assert (await client.get("/healthz")).status_code == 200
        assert process.terminate() == 0
    finally:
        process.terminate()


async def test_the_process_waits_for_a_broker_that_is_not_there(prefix: str, tmp_path: Path) -> None:
    """No broker: it serves its health and why it is not ready, and ends with 0 on SIGTERM."""
    nobody = f"127.0.0.1:{probe.free_port()}"
    process = ServiceProcess("status", tmp_path, bootstrap=nobody, topic_prefix=prefix, status_port="0")
    try:

        async def told() -> bool:
            return "reading-stopped" in process.log

        await until(told, "the absent broker in the log")
        address = json.loads(process.log.splitlines()[0])["address"]
        async with httpx.AsyncClient(base_url=address) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert "have not been read" in (await client.get("/readyz")).text
        assert not process.ready_file.exists()
        assert process.terminate() == 0
    finally:
        process.terminate()
