import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from services.edge.app import EdgeApp
from services.edge.settings import EdgeSettings
from shared.domain.records import EdgeReport, MailEvidence, Mark, SetFreeze, VerdictGiven
from shared.messaging import embedded, probe
from shared.messaging import topics as t
from shared.messaging.codec import decode, encode
from shared.messaging.kafka import new_producer, running
from shared.runtime.clock import SystemClock
from tests.support.decisions import BLOCK, PATCHED, SERVER, decision, heartbeat, line_of, records_of, released
from tests.support.edge_bus import PARTITIONS, make_topics, read_all, until, write

pytestmark = pytest.mark.broker

BY_LOOPBACK = "ex16.alt.example@127.0.0.1"


def blocked(seq: int = 7) -> list[tuple[bytes, bytes]]:
    """Give the records that block the old server, seen from loopback, with a heartbeat of now."""
    decisions = [decision(block=60, server=BY_LOOPBACK, seq=seq)]
    return records_of(decisions, heartbeat(decisions, h=datetime.now(UTC)))


def settings_for(bootstrap: str, prefix: str, state_dir: Path) -> EdgeSettings:
    """Give an edge's settings: the plain door alone, marks ten times a second, loopback is judged."""
    return EdgeSettings(
        bootstrap=bootstrap,
        topic_prefix=prefix,
        state_dir=str(state_dir),
        heartbeat_ms=100,
        edge="mx1",
        milter_sockets="",
        smtp_door=f"127.0.0.1:{probe.free_port()}",
        never_judged="",
    )


@asynccontextmanager
async def edge(settings: EdgeSettings) -> AsyncIterator[EdgeApp]:
    """Run an edge within this process; it must end cleanly."""
    app, stop = EdgeApp(settings, SystemClock()), asyncio.Event()
    task = asyncio.create_task(app.run(stop))
    try:
        await until(
            "the decisions are there, or Kafka is found away", lambda: app.decisions.settled.is_set() or task.done()
        )
        yield app
    finally:
        stop.set()
        await task


async def send(app: EdgeApp, line: str | None = None) -> str:
    """Send a mail of the old server through the plain door; give the answer to DATA."""
    return await asyncio.to_thread(_send, app.settings.smtp_door, line or line_of())


def _send(door: str, line: str) -> str:
    host, _, port = door.rpartition(":")
    with smtplib.SMTP(host, int(port), local_hostname="ex16.alt.example") as client:
        client.ehlo()
        client.mail("a@alt.example")
        client.rcpt("b@neu.example")
        code, text = client.data(f"Received: {line}\r\nSubject: x\r\n\r\nhello\r\n")
        return f"{code} {text.decode()}"


async def refuses(app: EdgeApp) -> bool:
    """Tell whether the old server's mail is refused."""
    return (await send(app)).startswith("550")


async def test_follows_decisions_from_block_to_release(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """What stands at start is obeyed, and so is what comes later: a block, then its release, then a block again."""
    await make_topics(broker_bootstrap, prefix)
    topic = prefix + t.DECISIONS
    await write(broker_bootstrap, topic, blocked())
    async with edge(settings_for(broker_bootstrap, prefix, tmp_path)) as app:
        await until("control is read", lambda: app.freeze.frozen is not None)
        assert await send(app) == BLOCK.format(60)
        free = [released(BY_LOOPBACK)]
        await write(broker_bootstrap, topic, records_of(free, heartbeat(free, h=datetime.now(UTC)))[1:])
        await until("the release is obeyed", lambda: _passes(app))
        await write(broker_bootstrap, topic, blocked(seq=12)[1:])
        await until("the new block is obeyed", lambda: refuses(app))
        assert not app.decisions.difference


async def _passes(app: EdgeApp) -> bool:
    return (await send(app)).startswith("250")


async def test_evidence_then_marks_verdict_and_report(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """Evidence goes out once, behind it marks into every partition, beside it the verdict; at the end a report."""
    await make_topics(broker_bootstrap, prefix)
    await write(broker_bootstrap, prefix + t.DECISIONS, blocked())
    async with edge(settings_for(broker_bootstrap, prefix, tmp_path)) as app:
        await until("control is read", lambda: app.freeze.frozen is not None)
        await asyncio.sleep(0.3)  # three heartbeats: time for a mark that must not come, since no MTA has asked yet
        assert app.counts["marks"] == 0
        await send(app)
        await send(app)
        await send(app, line_of(PATCHED))
        await until("marks follow", lambda: app.counts["evidence_published"] == 2 and app.counts["marks"] >= 3)
    stored = [
        (partition, decode(t.MAIL_EVIDENCE, value))
        for partition, _, value in await read_all(broker_bootstrap, prefix + t.MAIL_EVIDENCE)
    ]
    evidence = [(partition, one.facts) for partition, one in stored if isinstance(one, MailEvidence)]
    marks = [(partition, one) for partition, one in stored if isinstance(one, Mark)]
    assert [facts.name for _, facts in evidence] == ["ex16.alt.example"] * 2
    assert len({partition for partition, _ in evidence}) == 1
    assert {partition for partition, _ in marks} == set(range(PARTITIONS))
    assert all((mark.partition, mark.of, mark.edge) == (partition, PARTITIONS, "mx1") for partition, mark in marks)
    _assert_marks_tell_the_truth([one for partition, one in stored if partition == evidence[0][0]])
    (verdict, *_) = [decode(t.VERDICTS, value) for _, _, value in await read_all(broker_bootstrap, prefix + t.VERDICTS)]
    assert isinstance(verdict, VerdictGiven)
    assert (verdict.server, verdict.would_be) == (BY_LOOPBACK, False)
    reports = [
        decode(t.EDGE_REPORTS, value) for _, _, value in await read_all(broker_bootstrap, prefix + t.EDGE_REPORTS)
    ]
    assert isinstance(reports[-1], EdgeReport)
    assert (reports[-1].counts["rejected"], reports[-1].counts["evidence_known"]) == (2, 1)
    assert (reports[-1].table_digest, reports[-1].observing) == (app.decisions.table.digest, "")


def _assert_marks_tell_the_truth(records: list[MailEvidence | Mark]) -> None:
    """Behind a mark stands no evidence that was seen before its time."""
    newest = None
    for record in records:
        if isinstance(record, Mark):
            newest = record.at
        elif newest is not None:
            assert record.facts.seen_at >= newest


async def test_freeze_on_control_is_obeyed_without_an_enforcer(
    broker_bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """A freeze takes hold on sight, and its end too."""
    await make_topics(broker_bootstrap, prefix)
    await write(broker_bootstrap, prefix + t.DECISIONS, blocked())
    async with edge(settings_for(broker_bootstrap, prefix, tmp_path)) as app:
        await until("the block is obeyed", lambda: refuses(app))
        for frozen in (True, False):
            request = SetFreeze(id="12345678", who="anna", why="", made_at=datetime.now(UTC), frozen=frozen)
            await write(broker_bootstrap, prefix + t.CONTROL, [(b"freeze", encode(request))])
            await until("the word is obeyed", partial(_is, app, refused=not frozen))


async def test_freeze_that_is_not_committed_yet_is_obeyed(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """`control` is read uncommitted: a freeze within an open transaction stops refusals before it is committed."""
    await make_topics(broker_bootstrap, prefix)
    await write(broker_bootstrap, prefix + t.DECISIONS, blocked())
    request = SetFreeze(id="12345678", who="anna", why="", made_at=datetime.now(UTC), frozen=True)
    async with edge(settings_for(broker_bootstrap, prefix, tmp_path)) as app:
        await until("the block is obeyed", lambda: refuses(app))
        producer = new_producer(broker_bootstrap, transactional_id=f"{prefix}someone")
        async with running(producer), producer.transaction():
            await producer.send_and_wait(prefix + t.CONTROL, encode(request), key=t.KEY_FREEZE, partition=0)
            await until("the freeze is obeyed", lambda: _passes(app))


async def _is(app: EdgeApp, *, refused: bool) -> bool:
    return await refuses(app) is refused


async def test_digest_that_differs_is_read_again(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """A heartbeat that knows another table stops refusals; the topic is read again, and what is there counts."""
    await make_topics(broker_bootstrap, prefix)
    await write(broker_bootstrap, prefix + t.DECISIONS, blocked())
    async with edge(settings_for(broker_bootstrap, prefix, tmp_path)) as app:
        app.decisions._reload_every_s = 0.5
        await until("the block is obeyed", lambda: refuses(app))
        app.decisions.table._servers.clear()  # as if records had been missed
        app.decisions.table._digest = 0
        await write(broker_bootstrap, prefix + t.DECISIONS, blocked()[-1:])
        await until("the table is read again", lambda: app.counts["decisions_loaded"] >= 2)
        await write(broker_bootstrap, prefix + t.DECISIONS, blocked()[-1:])
        await until("the block is obeyed again", lambda: refuses(app))
        assert app.counts["decisions_differ"] == 1


async def test_edge_that_was_away_learns_of_a_release_after_compaction(
    broker_bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """An edge stops with a block in its cold-start file; the release is compacted to one record and still reaches it."""
    await make_topics(
        broker_bootstrap,
        prefix,
        **{"delete.retention.ms": "100", "segment.ms": "300", "min.cleanable.dirty.ratio": "0.01"},
    )
    topic = prefix + t.DECISIONS
    await write(broker_bootstrap, topic, blocked())
    settings = settings_for(broker_bootstrap, prefix, tmp_path)
    async with edge(settings) as app:
        await until("the block is obeyed", lambda: refuses(app))
    free = [released(BY_LOOPBACK)]
    beat = heartbeat(free, h=datetime.now(UTC))
    await write(
        broker_bootstrap, topic, [(BY_LOOPBACK.encode(), encode(free[0])), (SERVER.encode(), encode(decision()))]
    )
    await write(broker_bootstrap, topic, [(SERVER.encode(), None), (t.KEY_HEARTBEAT, encode(beat))])

    async def compacted() -> bool:
        await write(
            broker_bootstrap, topic, [(t.KEY_HEARTBEAT, encode(beat))]
        )  # a new segment, so the old can be cleaned
        keys = [key for _, key, _ in await read_all(broker_bootstrap, topic)]
        return keys.count(BY_LOOPBACK.encode()) == 1 and SERVER.encode() not in keys

    await until("the topic is compacted, tombstones gone", compacted, 60)
    async with edge(settings) as app:
        assert await _passes(app)
        assert app.decisions.source == "kafka"
        await write(broker_bootstrap, topic, [(t.KEY_HEARTBEAT, encode(beat))])
        await until("the heartbeat is compared", lambda: app.decisions.table.heartbeat == beat)
        assert not app.decisions.difference


async def test_kafka_away_at_start_judges_by_the_file(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """With nobody at the broker's address the file serves, and mail is judged; evidence waits, and no mark is claimed."""
    await make_topics(broker_bootstrap, prefix)
    await write(broker_bootstrap, prefix + t.DECISIONS, blocked())
    async with edge(settings_for(broker_bootstrap, prefix, tmp_path)) as app:
        await until("the block is obeyed", lambda: refuses(app))
    async with edge(settings_for(f"127.0.0.1:{probe.free_port()}", prefix, tmp_path)) as app:
        assert app.decisions.source == "file"
        assert await send(app) == BLOCK.format(60)
        assert (app.counts["marks"], app.counts["evidence_published"], len(app.publisher._evidence)) == (0, 0, 1)


async def test_kafka_away_at_start_without_a_file_lets_mail_pass(prefix: str, tmp_path: Path) -> None:
    """Nothing to judge by: mail passes, counted as such; a damaged file is as good as none."""
    (tmp_path / "edge-mx1.cold").write_bytes(b"damaged")
    async with edge(settings_for(f"127.0.0.1:{probe.free_port()}", prefix, tmp_path)) as app:
        assert app.decisions.source == "none"
        assert (await send(app)).startswith("250")
        assert app.counts["pass_no_verdict_possible"] == 1


async def test_kafka_away_for_a_while_costs_no_verdict_and_no_evidence(prefix: str, tmp_path: Path) -> None:
    """Kafka stops and comes back: mail is judged meanwhile, no mark passes the evidence that waits, then all is told."""
    state_dir, port = tmp_path / "broker", probe.free_port()
    handle = await asyncio.to_thread(embedded.start, state_dir, port=port)
    try:
        await make_topics(handle.bootstrap, prefix)
        await write(handle.bootstrap, prefix + t.DECISIONS, blocked())
        async with edge(settings_for(handle.bootstrap, prefix, tmp_path / "edge")) as app:
            await until("the block is obeyed", lambda: refuses(app))
            await until("marks follow", lambda: app.counts["marks"] > 0)
            await asyncio.to_thread(embedded.stop, state_dir)
            told = app.counts["evidence_published"]
            assert await send(app) == BLOCK.format(60)
            assert (await send(app, line_of(PATCHED))).startswith("250")
            marks = app.counts["marks"]
            assert await send(app, line_of("15.1.2507.16")) == BLOCK.format(60)
            assert (app.counts["evidence_published"], app.counts["marks"]) == (told, marks)
            await asyncio.to_thread(embedded.start, state_dir, port=port)
            await until("what waited is told", lambda: app.counts["evidence_published"] == told + 2, 60)
            await until("marks go on", lambda: app.counts["marks"] > marks, 60)
        stored = await read_all(handle.bootstrap, prefix + t.MAIL_EVIDENCE)
        records = [(partition, decode(t.MAIL_EVIDENCE, value)) for partition, _, value in stored]
        (where,) = {partition for partition, one in records if isinstance(one, MailEvidence)}
        _assert_marks_tell_the_truth([one for partition, one in records if partition == where])
    finally:
        await asyncio.to_thread(embedded.stop, state_dir)


async def test_evidence_beyond_the_bound_is_forgotten_and_told_by_the_next_message(prefix: str, tmp_path: Path) -> None:
    """At the bound one piece is dropped and counted, the mail is judged, and the next message offers it again."""
    async with edge(settings_for(f"127.0.0.1:{probe.free_port()}", prefix, tmp_path)) as app:
        app.publisher._evidence_max = 1
        for build in (line_of(), line_of(PATCHED), line_of(PATCHED)):
            assert (await send(app, build)).startswith("250")
        assert (app.counts["evidence_dropped"], app.counts["evidence_known"]) == (2, 0)
