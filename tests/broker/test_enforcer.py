"""The enforcer against a real Kafka: one writer, whole transactions, and a start from whatever was left."""

import asyncio
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from services.enforcer.commit import FencedError
from services.enforcer.setup import Setup, Step
from shared.messaging import topics as t
from shared.messaging.kafka import new_producer, running
from tests.support import enforcer_topics as topics
from tests.support import enforcers, law
from tests.support.scenario import E2016, FLOOR_2016, SERVER, reading

pytestmark = pytest.mark.broker


@pytest.fixture
async def make(broker_bootstrap: str, prefix: str, tmp_path: Path) -> Callable[..., Setup]:
    """Make the topics, and lend a way to wire enforcers of this test."""
    await enforcers.topics(broker_bootstrap, prefix)

    def wired(name: str = "a", **more: object) -> Setup:
        return enforcers.setup_for(broker_bootstrap, prefix, tmp_path / name, **more)  # type: ignore[arg-type]  # passed on

    return wired


# --- the way of the data -------------------------------------------------------------------------------------------


async def test_an_empty_log_begins_with_the_rules_and_the_shipped_policy_in_observe(make: Callable[..., Setup]) -> None:
    """The first transaction adopts rules and the shipped policy, and tells the edges of it with a heartbeat."""
    setup = make()
    async with enforcers.enforcer(setup):
        pass
    checked = await topics.checked(setup)
    assert topics.kinds(checked.log) == ["RulesAdopted", "PolicyAdopted"]
    assert checked.fold.policy.mode == "observe"
    assert (checked.heartbeat.count, checked.heartbeat.seq) == (0, 2)


async def test_sightings_open_a_case_and_the_notice_is_due(make: Callable[..., Setup]) -> None:
    """Three hours of readings below the floor give a decision, the state and the first notice."""
    setup = make()
    await topics.open_case(setup)
    checked = await topics.checked(setup)
    assert topics.kinds(checked.log)[3:] == ["ServerSighted"] * 3 + ["CaseOpened", "NoticeDue"]
    assert list(checked.fold.servers) == [SERVER]
    assert checked.heartbeat.count == 1
    assert checked.position.counts == {"requests": 1, "sightings_news": 3, "marks": 2}


async def test_idle_heartbeats_go_on_and_write_no_law(make: Callable[..., Setup]) -> None:
    """With nothing to read the heartbeat keeps coming, and the log does not grow."""
    setup = make()
    async with enforcers.enforcer(setup):
        first = await topics.heartbeat(setup)

        async def newer() -> bool:
            return (await topics.heartbeat(setup)).at > first.at + timedelta(milliseconds=2 * enforcers.HEARTBEAT_MS)

        await law.eventually(newer, "two more heartbeats")
    assert len((await topics.checked(setup)).log) == 2


async def test_a_freeze_is_told_at_once(make: Callable[..., Setup]) -> None:
    """A freeze is in the next heartbeat, which does not wait for its time."""
    setup = make(heartbeat_ms=60_000)
    async with enforcers.enforcer(setup):
        await topics.feed(setup, law.freeze(law.utc_now(), "freeze-00001", frozen=True))

        async def frozen() -> bool:
            return (await topics.heartbeat(setup)).frozen

        await law.eventually(frozen, "the heartbeat says frozen")
    assert topics.kinds((await topics.checked(setup)).log)[2:] == ["RequestDecided", "HoldBegan"]


# --- starting again ------------------------------------------------------------------------------------------------


async def test_a_restart_goes_on_where_it_stopped(make: Callable[..., Setup]) -> None:
    """What came while nobody ran is taken by the next start, once, and a cure releases the case from before."""
    setup = make()
    await topics.open_case(setup)
    await topics.feed(setup, law.sighting(law.utc_now(), reading(E2016, FLOOR_2016)))
    async with enforcers.enforcer(setup):
        await topics.read_up_to(setup, sightings=6)
    checked = await topics.checked(setup)
    assert topics.kinds(checked.log)[8:] == ["ServerSighted", "CaseReleased", "NoticeDue"]


async def test_redelivery_changes_nothing(make: Callable[..., Setup]) -> None:
    """The same sightings, marks and request once more: the request is told its outcome, the rest is no news."""
    setup = make()
    await topics.open_case(setup)
    before = await topics.checked(setup)
    request, now = law.adopt(law.enforced(), law.utc_now()), before.log[-1].at
    async with enforcers.enforcer(setup):
        await topics.feed(setup, request, *law.three_hours(now), *law.marks(now))
        await topics.read_up_to(setup, requests=2, sightings=10)
    after = await topics.checked(setup)
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
    await topics.feed(setup, *law.three_hours(law.utc_now()))
    with pytest.raises(BrokenError):
        await asyncio.wait_for(one.task, 20)
    checked = await topics.checked(setup)
    assert (len(checked.log), checked.position.offsets[t.SIGHTINGS]) == (2, 0)

    healthy = make("b")
    async with enforcers.enforcer(healthy):
        await topics.read_up_to(healthy, sightings=3)
    assert topics.kinds((await topics.checked(healthy)).log)[2:] == ["ServerSighted"] * 3 + ["CaseOpened"]


async def test_the_log_alone_gives_the_state_back(make: Callable[..., Setup]) -> None:
    """With `enforcer-state` lost, state and position are folded from the log; re-read inputs that were no news stay none."""
    setup = make()
    await topics.open_case(setup)
    again = law.sighting(law.utc_now() - timedelta(minutes=1))
    async with enforcers.enforcer(setup):
        await topics.feed(setup, again, again, law.freeze(law.utc_now(), "freeze-00001", frozen=True))
        await topics.read_up_to(setup, sightings=7, control=1)
    before = await topics.checked(setup)
    await topics.recreate(setup, t.ENFORCER_STATE)
    async with enforcers.enforcer(setup):
        await topics.read_up_to(setup, sightings=7)
    after = await topics.checked(setup)
    assert after.log == before.log
    assert after.fold.servers == before.fold.servers
    assert after.position.offsets == before.position.offsets
    # All behind the last sighting that the log names was read again: two marks, two that are no news.
    assert after.position.counts == {"marks": 2, "sightings_no_news": 2}


async def test_a_state_that_cannot_be_read_is_folded_from_the_log(make: Callable[..., Setup]) -> None:
    """A damaged record of `enforcer-state` is no loss: the state is written anew, and keys of nobody go."""
    setup = make()
    await topics.open_case(setup)
    producer = new_producer(setup.settings.bootstrap)
    async with running(producer):
        await producer.send_and_wait(setup.prefix + t.ENFORCER_STATE, b"{", key=SERVER.encode(), partition=0)
        await producer.send_and_wait(setup.prefix + t.ENFORCER_STATE, b"{}", key=b"no.body@x", partition=0)
    async with enforcers.enforcer(setup):
        pass
    assert list((await topics.checked(setup)).fold.servers) == [SERVER]


async def test_recreated_decisions_are_healed(make: Callable[..., Setup]) -> None:
    """With `decisions` lost, the next start writes what the state says, and takes away what nobody should have written."""
    setup = make()
    await topics.open_case(setup)
    before = await law.read_table(setup.settings.bootstrap, setup.prefix, t.DECISIONS)
    await topics.recreate(setup, t.DECISIONS)
    producer = new_producer(setup.settings.bootstrap)
    async with running(producer):
        await producer.send_and_wait(setup.prefix + t.DECISIONS, b"{}", key=b"no.body@x", partition=0)
    async with enforcers.enforcer(setup):
        pass
    await topics.checked(setup)
    after = await law.read_table(setup.settings.bootstrap, setup.prefix, t.DECISIONS)
    assert {key: value for key, value in after.items() if key != t.KEY_HEARTBEAT} == {
        key: value for key, value in before.items() if key != t.KEY_HEARTBEAT
    }


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
        await topics.feed(standby, law.sighting(law.utc_now()))
        await topics.read_up_to(standby, sightings=1)
        assert first.poll() is None
        assert second.status is not None
        assert not second.status.leader
        first.send_signal(signal.SIGKILL)
        await topics.feed(standby, law.sighting(law.utc_now(), name="b.example"))
        await second.leads()
        await topics.read_up_to(standby, sightings=2)
        await second.ends()
    assert len((await topics.checked(standby)).fold.servers) == 2


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
    assert len((await topics.checked(other.setup)).log) == 2


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
