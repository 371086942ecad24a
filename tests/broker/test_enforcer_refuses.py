"""What the enforcer refuses against a real Kafka: to start on what does not fit, and inputs that cannot be read."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition

from services.enforcer.setup import Setup
from shared.domain import events as e
from shared.domain.errors import ConfigError
from shared.domain.events import LogRecord
from shared.messaging import topics as t
from shared.runtime.clock import SystemClock
from tests.support import enforcer_topics as topics
from tests.support import enforcers, law

pytestmark = pytest.mark.broker


@pytest.fixture
async def make(broker_bootstrap: str, prefix: str, tmp_path: Path) -> Callable[..., Setup]:
    """Make the topics, and lend a way to wire enforcers of this test."""
    await enforcers.topics(broker_bootstrap, prefix)

    def wired(name: str = "a", **more: object) -> Setup:
        return enforcers.setup_for(broker_bootstrap, prefix, tmp_path / name, **more)  # type: ignore[arg-type]  # passed on

    return wired


async def _refuses(setup: Setup, *words: str) -> None:
    """It ends with one line that holds *words*, and writes nothing."""
    before = len(await law.read_topic(setup.settings.bootstrap, setup.prefix, t.LOG))
    one = enforcers.Enforcer(setup)
    with pytest.raises(ConfigError) as error:
        await asyncio.wait_for(one.task, 20)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
    assert len(await law.read_topic(setup.settings.bootstrap, setup.prefix, t.LOG)) == before


async def test_a_position_above_the_end_is_refused(make: Callable[..., Setup]) -> None:
    """A recreated input is not the topic that was read: no start, and the line says so."""
    setup = make()
    await topics.open_case(setup)
    await topics.recreate(setup, t.SIGHTINGS)
    await _refuses(setup, "sightings was read up to offset 5, and ends at 0", "PATCHGATE_TOPIC_PREFIX")


async def test_a_log_that_ends_before_the_state_is_refused(make: Callable[..., Setup]) -> None:
    """A recreated log is a loss of truth, never quietly begun anew."""
    setup = make()
    await topics.open_case(setup)
    await topics.recreate(setup, t.LOG)
    await _refuses(setup, "enforcer-state speaks of log record 8, and the log ends at 0")


async def test_a_log_of_newer_rules_is_refused(make: Callable[..., Setup]) -> None:
    """An older patchgate does not go on a log that newer rules decided."""
    setup = make()
    now = law.utc_now()
    event = e.RulesAdopted(rules=99, version="99.0")
    newer = LogRecord(seq=1, at=now, due=None, h=now, prev="", cause=None, event=event)
    await topics.feed_raw(setup, (t.LOG, e.encode_log(newer)))
    await _refuses(setup, "rules 99")


async def test_a_clock_an_hour_off_writes_nothing(make: Callable[..., Setup]) -> None:
    """The broker's append time tells that this machine's clock is wrong; what it dates is not committed."""

    class Ahead(SystemClock):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(hours=1)

        real_now = now

    await _refuses(make(clock=Ahead()), "clock is +3600 s off the broker's", "NTP")


def test_a_topic_with_wrong_settings_is_one_line(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """The process ends with code 1 and a line that names topic, setting and what to do."""

    async def spoil() -> None:
        await enforcers.topics(broker_bootstrap, prefix)
        admin = AIOKafkaAdminClient(bootstrap_servers=broker_bootstrap)
        await admin.start()
        await admin.delete_topics([prefix + t.LOG])

        async def made() -> bool:
            response = await admin.create_topics([NewTopic(prefix + t.LOG, 1, 1)])
            return all(code == 0 for _, code, *_ in response.topic_errors)

        await law.eventually(made, "the log is made with other settings")
        await admin.close()

    asyncio.run(spoil())
    env = enforcers.environment(broker_bootstrap, prefix, tmp_path)
    with enforcers.process(env) as child:
        _, err = child.communicate(timeout=30)
    assert child.returncode == 1
    last = err.splitlines()[-1]
    assert last.startswith(f"patchgate enforcer: topic {prefix}log: retention.ms is 604800000, and must be -1; ")
    assert "kafka-configs.sh" in last
    assert "Traceback" not in err


async def test_deleted_evidence_makes_no_case_older(make: Callable[..., Setup]) -> None:
    """Sightings deleted unread: an alarm, and the law stands still from H on until H has come to the start's instant."""
    setup = make()
    await topics.open_case(setup)
    stood = (await topics.checked(setup)).position.law
    now = law.utc_now()
    await topics.feed(setup, law.sighting(now), *law.marks(now))  # H would move: but the first of them is lost
    admin = AIOKafkaAdminClient(bootstrap_servers=setup.settings.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(setup.prefix + t.SIGHTINGS, 0): RecordsToDelete(before_offset=6)})
    await admin.close()
    async with enforcers.enforcer(setup):
        await topics.read_up_to(setup, sightings=8)
        blind = (await topics.position(setup) or pytest.fail("no position")).law
        assert blind.blind
        assert blind.now == stood.now
        await topics.feed(setup, *law.marks(law.utc_now()))
        await topics.read_up_to(setup, sightings=10)
    checked = await topics.checked(setup)
    assert topics.kinds(checked.log)[8:] == ["HoldBegan", "HoldEnded"]
    assert checked.position.counts["evidence_lost"] == 1
    assert checked.fold.law.now == stood.now
    letter = (await topics.letters(setup))[0]
    assert (letter.origin.topic, letter.origin.offset) == (setup.prefix + t.SIGHTINGS, 5)
    assert "evidence-lost: offsets 5 to 5" in letter.cause


async def test_an_unreadable_record_on_any_input_is_a_dead_letter(make: Callable[..., Setup]) -> None:
    """Each is set aside with its origin and cause, and what stands behind it is taken."""
    setup = make()
    values = (
        (t.SIGHTINGS, b"\xff\x00"),
        (t.SIGHTINGS, b'{"type":"unknown.v9"}'),
        (t.REQUESTS, b"[]"),
        (t.CONTROL, None),
        (t.REQUESTS, b" " * 500_000),
    )
    async with enforcers.enforcer(setup):
        await topics.feed_raw(setup, *values)
        await topics.feed(setup, law.sighting(law.utc_now()))
        await topics.read_up_to(setup, sightings=3, requests=2, control=1)
    checked = await topics.checked(setup)
    assert topics.kinds(checked.log)[2:] == ["ServerSighted"]
    assert checked.position.counts["dead_letters"] == 5
    letters = await topics.letters(setup)
    assert sorted((one.origin.topic.removeprefix(setup.prefix), one.origin.offset) for one in letters) == [
        (t.CONTROL, 0),
        (t.REQUESTS, 0),
        (t.REQUESTS, 1),
        (t.SIGHTINGS, 0),
        (t.SIGHTINGS, 1),
    ]
    assert all(one.reader == "enforcer" and one.cause for one in letters)
    assert max(one.bytes_in_all for one in letters) == 500_000
