"""The enforcer against a real Kafka: one writer, whole transactions, and a start from whatever was left."""

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition

from services.enforcer.commit import FencedError
from services.enforcer.setup import Setup, Step
from shared.domain import events as e
from shared.domain.errors import ConfigError
from shared.domain.events import LogRecord
from shared.domain.records import DeadLetter, Heartbeat
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.messaging.kafka import new_producer, running
from shared.runtime.clock import SystemClock
from tests.support import enforcers, law
from tests.support.law_check import Checked, check_law
from tests.support.scenario import E2016, FLOOR_2016, SERVER, reading

pytestmark = pytest.mark.broker


@pytest.fixture
async def make(broker_bootstrap: str, prefix: str, tmp_path: Path) -> Callable[..., Setup]:
    """Make the topics, and lend a way to wire enforcers of this test."""
    await enforcers.topics(broker_bootstrap, prefix)

    def wired(name: str = "a", **more: object) -> Setup:
        return enforcers.setup_for(broker_bootstrap, prefix, tmp_path / name, **more)  # type: ignore[arg-type]  # passed on

    return wired


async def _position(setup: Setup) -> Position | None:
    table = await law.read_table(setup.settings.bootstrap, setup.prefix, t.ENFORCER_STATE)
    value = table.get(t.KEY_POSITION)
    return msgspec.json.decode(value, type=Position) if value else None


async def _heartbeat(setup: Setup) -> Heartbeat:
    table: dict[bytes, bytes] = {}

    async def there() -> bool:  # a commit is answered before its marks stand in every topic
        table.update(await law.read_table(setup.settings.bootstrap, setup.prefix, t.DECISIONS))
        return t.KEY_HEARTBEAT in table

    await law.eventually(there, "a heartbeat")
    return msgspec.json.decode(table[t.KEY_HEARTBEAT], type=Heartbeat)


async def _read_up_to(setup: Setup, **offsets: int) -> None:
    """Wait until the position of each topic named has come so far."""

    async def there() -> bool:
        position = await _position(setup)
        return position is not None and all(position.offsets[topic] >= offset for topic, offset in offsets.items())

    await law.eventually(there, f"position at {offsets}")


async def _feed(setup: Setup, *inputs: msgspec.Struct) -> None:
    async with law.feeder(setup.settings.bootstrap, setup.prefix) as feeder:
        await feeder.feed(inputs)


async def _feed_raw(setup: Setup, *values: tuple[str, bytes | None]) -> None:
    async with law.feeder(setup.settings.bootstrap, setup.prefix) as feeder:
        await feeder.feed_raw(values)


async def _checked(setup: Setup) -> Checked:
    return await check_law(setup.settings.bootstrap, setup.prefix)


async def _letters(setup: Setup) -> list[DeadLetter]:
    records = await law.read_topic(setup.settings.bootstrap, setup.prefix, t.DEAD_LETTERS)
    return [msgspec.json.decode(record.value, type=DeadLetter) for record in records]


async def _recreate(setup: Setup, topic: str) -> None:
    """Delete a topic and make it anew, as an operator might by mistake."""
    await enforcers.recreate(setup.settings.bootstrap, setup.prefix, topic)


def _kinds(log: list[LogRecord]) -> list[str]:
    return [type(record.event).__name__ for record in log]


async def _open_case(setup: Setup) -> None:
    """An enforced case for SERVER: 1 request, 3 sightings, 2 marks are read."""
    async with enforcers.enforcer(setup):
        await _feed(setup, law.adopt(law.enforced(), law.utc_now()))
        await _read_up_to(setup, requests=1)
        now = law.utc_now()
        await _feed(setup, *law.three_hours(now), *law.marks(now))
        await _read_up_to(setup, sightings=5)


# --- the way of the data -------------------------------------------------------------------------------------------


async def test_an_empty_log_begins_with_the_rules_and_the_shipped_policy_in_observe(make: Callable[..., Setup]) -> None:
    """The first transaction adopts rules and the shipped policy, and tells the edges of it with a heartbeat."""
    setup = make()
    async with enforcers.enforcer(setup):
        pass
    checked = await _checked(setup)
    assert _kinds(checked.log) == ["RulesAdopted", "PolicyAdopted"]
    assert checked.fold.policy.mode == "observe"
    assert (checked.heartbeat.count, checked.heartbeat.seq) == (0, 2)


async def test_sightings_open_a_case_and_the_notice_is_due(make: Callable[..., Setup]) -> None:
    """Three hours of readings below the floor give a decision, the state and the first notice."""
    setup = make()
    await _open_case(setup)
    checked = await _checked(setup)
    assert _kinds(checked.log)[3:] == ["ServerSighted"] * 3 + ["CaseOpened", "NoticeDue"]
    assert list(checked.fold.servers) == [SERVER]
    assert checked.heartbeat.count == 1
    assert checked.position.counts == {"requests": 1, "sightings_news": 3, "marks": 2}


async def test_idle_heartbeats_go_on_and_write_no_law(make: Callable[..., Setup]) -> None:
    """With nothing to read the heartbeat keeps coming, and the log does not grow."""
    setup = make()
    async with enforcers.enforcer(setup):
        first = await _heartbeat(setup)

        async def newer() -> bool:
            return (await _heartbeat(setup)).at > first.at + timedelta(milliseconds=2 * enforcers.HEARTBEAT_MS)

        await law.eventually(newer, "two more heartbeats")
    assert len((await _checked(setup)).log) == 2


async def test_a_freeze_is_told_at_once(make: Callable[..., Setup]) -> None:
    """A freeze is in the next heartbeat, which does not wait for its time."""
    setup = make(heartbeat_ms=60_000)
    async with enforcers.enforcer(setup):
        await _feed(setup, law.freeze(law.utc_now(), "freeze-00001", frozen=True))

        async def frozen() -> bool:
            return (await _heartbeat(setup)).frozen

        await law.eventually(frozen, "the heartbeat says frozen")
    assert _kinds((await _checked(setup)).log)[2:] == ["RequestDecided", "HoldBegan"]


# --- starting again ------------------------------------------------------------------------------------------------


async def test_a_restart_goes_on_where_it_stopped(make: Callable[..., Setup]) -> None:
    """What came while nobody ran is taken by the next start, once, and a cure releases the case from before."""
    setup = make()
    await _open_case(setup)
    await _feed(setup, law.sighting(law.utc_now(), reading(E2016, FLOOR_2016)))
    async with enforcers.enforcer(setup):
        await _read_up_to(setup, sightings=6)
    checked = await _checked(setup)
    assert _kinds(checked.log)[8:] == ["ServerSighted", "CaseReleased", "NoticeDue"]


async def test_redelivery_changes_nothing(make: Callable[..., Setup]) -> None:
    """The same sightings, marks and request once more: the request is told its outcome, the rest is no news."""
    setup = make()
    await _open_case(setup)
    before = await _checked(setup)
    request, now = law.adopt(law.enforced(), law.utc_now()), before.log[-1].at
    async with enforcers.enforcer(setup):
        await _feed(setup, request, *law.three_hours(now), *law.marks(now))
        await _read_up_to(setup, requests=2, sightings=10)
    after = await _checked(setup)
    assert [getattr(record.event, "outcome", "") for record in after.log[len(before.log) :]] == ["no effect"]
    assert after.fold.servers == before.fold.servers


async def test_a_turn_that_fails_after_its_sends_leaves_nothing(make: Callable[..., Setup]) -> None:
    """Log, decisions, state and position are one transaction: all records were with the broker, none is seen."""

    class BrokenError(Exception):
        """Stands for any failure."""

    armed = asyncio.Event()

    def steps(step: Step) -> None:
        if armed.is_set() and step is Step.SENT:
            raise BrokenError

    setup = make(steps=steps, heartbeat_ms=60_000)
    one = enforcers.Enforcer(setup)
    await one.leads()
    armed.set()
    await _feed(setup, *law.three_hours(law.utc_now()))
    with pytest.raises(BrokenError):
        await asyncio.wait_for(one.task, 20)
    checked = await _checked(setup)
    assert (len(checked.log), checked.position.offsets[t.SIGHTINGS]) == (2, 0)

    healthy = make("b")
    async with enforcers.enforcer(healthy):
        await _read_up_to(healthy, sightings=3)
    assert _kinds((await _checked(healthy)).log)[2:] == ["ServerSighted"] * 3 + ["CaseOpened"]


async def test_the_log_alone_gives_the_state_back(make: Callable[..., Setup]) -> None:
    """With `enforcer-state` lost, state and position are folded from the log; re-read inputs that were no news stay none."""
    setup = make()
    await _open_case(setup)
    again = law.sighting(law.utc_now() - timedelta(minutes=1))
    async with enforcers.enforcer(setup):
        await _feed(setup, again, again, law.freeze(law.utc_now(), "freeze-00001", frozen=True))
        await _read_up_to(setup, sightings=7, control=1)
    before = await _checked(setup)
    await _recreate(setup, t.ENFORCER_STATE)
    async with enforcers.enforcer(setup):
        await _read_up_to(setup, sightings=7)
    after = await _checked(setup)
    assert after.log == before.log
    assert after.fold.servers == before.fold.servers
    assert after.position.offsets == before.position.offsets
    # All behind the last sighting that the log names was read again: two marks, two that are no news.
    assert after.position.counts == {"marks": 2, "sightings_no_news": 2}


async def test_a_state_that_cannot_be_read_is_folded_from_the_log(make: Callable[..., Setup]) -> None:
    """A damaged record of `enforcer-state` is no loss: the state is written anew, and keys of nobody go."""
    setup = make()
    await _open_case(setup)
    producer = new_producer(setup.settings.bootstrap)
    async with running(producer):
        await producer.send_and_wait(setup.prefix + t.ENFORCER_STATE, b"{", key=SERVER.encode(), partition=0)
        await producer.send_and_wait(setup.prefix + t.ENFORCER_STATE, b"{}", key=b"no.body@x", partition=0)
    async with enforcers.enforcer(setup):
        pass
    assert list((await _checked(setup)).fold.servers) == [SERVER]


async def test_recreated_decisions_are_healed(make: Callable[..., Setup]) -> None:
    """With `decisions` lost, the next start writes what the state says, and takes away what nobody should have written."""
    setup = make()
    await _open_case(setup)
    before = await law.read_table(setup.settings.bootstrap, setup.prefix, t.DECISIONS)
    await _recreate(setup, t.DECISIONS)
    producer = new_producer(setup.settings.bootstrap)
    async with running(producer):
        await producer.send_and_wait(setup.prefix + t.DECISIONS, b"{}", key=b"no.body@x", partition=0)
    async with enforcers.enforcer(setup):
        pass
    await _checked(setup)
    after = await law.read_table(setup.settings.bootstrap, setup.prefix, t.DECISIONS)
    assert {key: value for key, value in after.items() if key != t.KEY_HEARTBEAT} == {
        key: value for key, value in before.items() if key != t.KEY_HEARTBEAT
    }


# --- what it refuses -----------------------------------------------------------------------------------------------


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
    await _open_case(setup)
    await _recreate(setup, t.SIGHTINGS)
    await _refuses(setup, "sightings was read up to offset 5, and ends at 0", "PATCHGATE_TOPIC_PREFIX")


async def test_a_log_that_ends_before_the_state_is_refused(make: Callable[..., Setup]) -> None:
    """A recreated log is a loss of truth, never quietly begun anew."""
    setup = make()
    await _open_case(setup)
    await _recreate(setup, t.LOG)
    await _refuses(setup, "enforcer-state speaks of log record 8, and the log ends at 0")


async def test_a_log_of_newer_rules_is_refused(make: Callable[..., Setup]) -> None:
    """An older patchgate does not go on a log that newer rules decided."""
    setup = make()
    now = law.utc_now()
    event = e.RulesAdopted(rules=99, version="99.0")
    newer = LogRecord(seq=1, at=now, due=None, h=now, prev="", cause=None, event=event)
    await _feed_raw(setup, (t.LOG, e.encode_log(newer)))
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
    await _open_case(setup)
    stood = (await _checked(setup)).position.law
    now = law.utc_now()
    await _feed(setup, law.sighting(now), *law.marks(now))  # H would move: but the first of them is lost
    admin = AIOKafkaAdminClient(bootstrap_servers=setup.settings.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(setup.prefix + t.SIGHTINGS, 0): RecordsToDelete(before_offset=6)})
    await admin.close()
    async with enforcers.enforcer(setup):
        await _read_up_to(setup, sightings=8)
        blind = (await _position(setup) or pytest.fail("no position")).law
        assert blind.blind
        assert blind.now == stood.now
        await _feed(setup, *law.marks(law.utc_now()))
        await _read_up_to(setup, sightings=10)
    checked = await _checked(setup)
    assert _kinds(checked.log)[8:] == ["HoldBegan", "HoldEnded"]
    assert checked.position.counts["evidence_lost"] == 1
    assert checked.fold.law.now == stood.now
    letter = (await _letters(setup))[0]
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
        await _feed_raw(setup, *values)
        await _feed(setup, law.sighting(law.utc_now()))
        await _read_up_to(setup, sightings=3, requests=2, control=1)
    checked = await _checked(setup)
    assert _kinds(checked.log)[2:] == ["ServerSighted"]
    assert checked.position.counts["dead_letters"] == 5
    letters = await _letters(setup)
    assert sorted((one.origin.topic.removeprefix(setup.prefix), one.origin.offset) for one in letters) == [
        (t.CONTROL, 0),
        (t.REQUESTS, 0),
        (t.REQUESTS, 1),
        (t.SIGHTINGS, 0),
        (t.SIGHTINGS, 1),
    ]
    assert all(one.reader == "enforcer" and one.cause for one in letters)
    assert max(one.bytes_in_all for one in letters) == 500_000


# --- one at a time -------------------------------------------------------------------------------------------------


async def test_a_second_enforcer_waits_and_takes_over_from_one_that_is_killed(
    broker_bootstrap: str, prefix: str, tmp_path: Path, make: Callable[..., Setup]
) -> None:
    """The standby says that it waits while the first leads on; with the first killed it leads, and no input is lost."""
    standby = make("standby")
    with enforcers.process(enforcers.environment(broker_bootstrap, prefix, tmp_path / "first")) as first:

        async def leads() -> bool:
            status = enforcers.read_status(tmp_path / "first")
            return status is not None and status.leader

        await law.eventually(leads, "the first leads")
        second = enforcers.Enforcer(standby)

        async def stands_by() -> bool:
            return second.status is not None and not second.status.leader

        await law.eventually(stands_by, "the second says that it waits")
        await _feed(standby, law.sighting(law.utc_now()))
        await _read_up_to(standby, sightings=1)
        assert first.poll() is None
        assert second.status is not None
        assert not second.status.leader
        first.send_signal(signal.SIGKILL)
        await _feed(standby, law.sighting(law.utc_now(), name="b.example"))
        await second.leads()
        await _read_up_to(standby, sightings=2)
        await second.ends()
    assert len((await _checked(standby)).fold.servers) == 2


async def test_two_that_start_at_once_are_one_leader_and_one_standby(make: Callable[..., Setup]) -> None:
    """Whoever is first, one leads and one waits; when the leader ends in order, the other goes on."""
    both = [enforcers.Enforcer(make("a")), enforcers.Enforcer(make("b"))]

    async def settled() -> bool:
        for one in both:
            if one.task.done():
                one.task.result()
        return sorted(one.status.leader for one in both if one.status) == [False, True]

    await law.eventually(settled, "one leads, one waits")
    leader, other = sorted(both, key=lambda one: not (one.status and one.status.leader))
    await leader.ends()
    await other.leads()
    await other.ends()
    assert len((await _checked(other.setup)).log) == 2


async def test_a_fenced_leader_ends(make: Callable[..., Setup]) -> None:
    """With its transactional id taken by another, the leader writes nothing more and ends with one line."""
    setup = make()
    one = enforcers.Enforcer(setup)
    await one.leads()
    usurper = new_producer(setup.settings.bootstrap, transactional_id=setup.prefix + "enforcer")
    async with running(usurper):
        with pytest.raises(FencedError, match="another enforcer"):
            await asyncio.wait_for(one.task, 20)


def test_sigterm_ends_the_process_in_order(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """Exit code 0, and the group is left at once: the next one need not wait for a session to expire."""
    asyncio.run(enforcers.topics(broker_bootstrap, prefix))
    env = enforcers.environment(broker_bootstrap, prefix, tmp_path, PATCHGATE_ENFORCER_SESSION_TIMEOUT_MS="30000")
    for _ in range(2):

        async def leads() -> bool:
            status = enforcers.read_status(tmp_path)
            return status is not None and status.leader

        with enforcers.process(env) as child:
            asyncio.run(law.eventually(leads, "it leads", timeout_s=15))
            child.send_signal(signal.SIGTERM)
            _, err = child.communicate(timeout=15)
        assert child.returncode == 0, err
        (tmp_path / "ready" / "enforcer").unlink()
