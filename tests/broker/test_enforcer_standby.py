"""A standby on a real Kafka: what it has read when it is needed, what it says of itself, and what it does to the leader."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from structlog.testing import capture_logs

from services.enforcer.election import sticky
from services.enforcer.follow import Follower
from services.enforcer.setup import Setup
from services.status.settings import StatusSettings
from services.status.standbys import Standbys, watch
from shared.domain.records import Heartbeat
from shared.messaging import groups
from shared.messaging import topics as t
from shared.messaging.kafka import running
from tests.support import enforcers, law
from tests.support.law_check import check_law

pytestmark = pytest.mark.broker

SERVERS = 60


@pytest.fixture
async def make(broker_bootstrap: str, prefix: str, tmp_path: Path) -> Callable[[str], Setup]:
    """Make the topics, and lend a way to wire enforcers by name."""
    await enforcers.topics(broker_bootstrap, prefix)
    return lambda name: enforcers.setup_for(broker_bootstrap, prefix, tmp_path / name)


async def _feed(setup: Setup, servers: int) -> None:
    now = law.utc_now()
    async with law.feeder(setup.settings.bootstrap, setup.prefix) as feeder:
        for number in range(servers):
            await feeder.feed(law.three_hours(now, name=f"s{number}.example"))


async def _warm_behind(one: enforcers.Enforcer, leader: enforcers.Enforcer, least_seq: int) -> None:
    """Wait until *one* stands by, and has all that *leader* wrote; at least so many records."""

    async def warm() -> bool:
        status, leads = one.status, leader.status
        assert not one.task.done(), one.task.result()
        return bool(status and leads and status.warm and leads.seq >= least_seq and status.seq == leads.seq)

    await law.eventually(warm, f"{one.setup.instance} is warm: {one.status}, {leader.status}")


async def test_a_takeover_reads_only_the_last_bit(make: Callable[[str], Setup]) -> None:
    """What the standby had read is not read again, however large the state is."""
    first, second = enforcers.Enforcer(make("first")), enforcers.Enforcer(make("second"))
    await law.eventually(lambda: _one_leads(first, second), "one leads")
    leader, standby = (first, second) if first.status and first.status.leader else (second, first)
    await _feed(leader.setup, SERVERS)
    await _warm_behind(standby, leader, 3 * SERVERS)
    assert standby.status is not None
    assert standby.status.led_by == leader.setup.instance
    with capture_logs() as logs:
        await leader.ends()
        await standby.leads()
    await standby.ends()
    restored = [line for line in logs if line["event"] == "restored"]
    assert [(line["servers"], line["rebuilt"], line["healed"]) for line in restored] == [(SERVERS, "", 0)]
    assert restored[0]["read_last"] < SERVERS
    await check_law(standby.setup.settings.bootstrap, standby.setup.prefix)


async def _one_leads(*ones: enforcers.Enforcer) -> bool:
    return sorted(one.status.leader for one in ones if one.status) == [False, True]


async def test_an_enforcer_that_the_group_never_takes_ends_when_told(
    make: Callable[[str], Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker answers, and its group coordinator is of no use: so it was once, after a kill, until the broker's next start."""
    asked = asyncio.Event()

    async def never(_self: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(GroupCoordinator, "ensure_coordinator_known", never)
    one = enforcers.Enforcer(make("one"))
    await asyncio.wait_for(asked.wait(), 30)
    await one.ends()


async def test_a_standby_that_comes_and_goes_does_not_disturb_the_leader(make: Callable[[str], Setup]) -> None:
    """The leader goes on through the group's rebalances; it takes up its office once."""
    leader = enforcers.Enforcer(make("leader"))
    with capture_logs() as logs:
        await leader.leads()
        for name in ("second", "third"):
            other = enforcers.Enforcer(make(name))
            await _warm_behind(other, leader, 2)
            await other.ends()
        await _feed(leader.setup, 1)
        await law.eventually(lambda: _has_seq(leader, 5), "the leader goes on")
    await leader.ends()
    assert [line["event"] for line in logs if line["event"] in {"elected", "restored"}] == ["elected", "restored"]


async def test_a_member_that_claims_a_past_office_is_not_given_it(make: Callable[[str], Setup]) -> None:
    """A leader that thaws joins again with what it was given long ago; the one that leads by now stays."""
    leader = enforcers.Enforcer(make("leader"))
    await leader.leads()
    setup, claim = leader.setup, sticky()
    claim.on_assignment(ConsumerProtocolMemberAssignment(0, [(setup.prefix + t.REQUESTS, [0])], b""))
    claim.on_generation_assignment(0)
    thawed = AIOKafkaConsumer(
        setup.prefix + t.REQUESTS,
        bootstrap_servers=setup.settings.bootstrap,
        group_id=groups.enforcers(setup.prefix),
        session_timeout_ms=enforcers.SESSION_MS,
        heartbeat_interval_ms=enforcers.SESSION_MS // 3,
        partition_assignment_strategy=(claim,),
    )
    async with running(thawed):
        await law.eventually(lambda: _joined(thawed), "it has joined")
        assert thawed.assignment() == set()
        await _feed(setup, 1)
        await law.eventually(lambda: _has_seq(leader, 5), "the leader goes on")
    await leader.ends()


async def _joined(consumer: AIOKafkaConsumer) -> bool:
    # Its first generation is told once the group has settled with it as a member.
    return consumer._coordinator.generation > 0 and not consumer._coordinator._rejoin_needed_fut.done()


async def _has_seq(one: enforcers.Enforcer, seq: int) -> bool:
    return one.status is not None and one.status.leader and one.status.seq >= seq


@asynccontextmanager
async def _watched(setup: Setup) -> AsyncIterator[list[Standbys | None]]:
    """What the status service learns of the standbys, the newest last."""
    shown: list[Standbys | None] = [None]
    settings = StatusSettings(bootstrap=setup.settings.bootstrap, topic_prefix=setup.prefix)
    task = asyncio.create_task(watch(settings, structlog.stdlib.get_logger(), shown.append))
    try:
        yield shown
        assert not task.done(), "watching ended by itself"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _leader_by_heartbeat(setup: Setup) -> str:
    table = await law.read_table(setup.settings.bootstrap, setup.prefix, t.DECISIONS)
    return msgspec.json.decode(table[t.KEY_HEARTBEAT], type=Heartbeat).leader


async def test_the_status_service_learns_who_leads_and_who_stands_by(make: Callable[[str], Setup]) -> None:
    """The leader by its heartbeat; the standby by name, warm, and how far; none once it leads itself."""
    leader = enforcers.Enforcer(make("mx1"))
    await leader.leads()
    async with _watched(leader.setup) as shown:

        async def nobody() -> bool:
            return shown[-1] == ()

        await law.eventually(nobody, "nobody stands by")
        standby = enforcers.Enforcer(make("mx2"))
        await _feed(leader.setup, 2)
        await law.eventually(lambda: _has_seq(leader, 8), "all is taken")

        async def told() -> bool:
            return [(one.instance, one.warm, one.seq) for one in shown[-1] or ()] == [
                ("mx2", True, leader.status.seq if leader.status else 0)
            ]

        await law.eventually(told, "mx2 is shown warm and up to date")
        assert await _leader_by_heartbeat(leader.setup) == "mx1"
        await leader.ends()
        await standby.leads()
        await law.eventually(nobody, "mx2 leads, and nobody stands by")
        assert await _leader_by_heartbeat(leader.setup) == "mx2"
        await standby.ends()


async def test_a_topic_made_anew_is_read_anew(make: Callable[[str], Setup]) -> None:
    """A copy of what is no longer there would hide that decisions must be healed."""
    setup = make("leader")
    async with enforcers.enforcer(setup) as leader:
        await _feed(setup, 2)
        await law.eventually(lambda: _has_seq(leader, 8), "all is taken")
    follower = Follower(make("standby"))
    follower.setup.progress.clear()
    follower.start()

    async def warm() -> bool:
        follower.tell()
        status = enforcers.read_status(Path(follower.setup.settings.state_dir))
        return status is not None and status.warm and status.seq > 0

    try:
        await law.eventually(warm, "the copy is warm")
        await enforcers.recreate(setup.settings.bootstrap, setup.prefix, t.DECISIONS)
        copy = await asyncio.wait_for(follower.hand_over(), 20)
    finally:
        await follower.stop()
    assert copy.shares == {}
    assert len(copy.state.servers) == 2


async def test_a_copy_holds_each_server_once(make: Callable[[str], Setup]) -> None:
    """However often the state changes, what is kept is what the topic's live keys are."""
    setup = make("leader")
    async with enforcers.enforcer(setup) as leader:
        for _ in range(3):
            await _feed(setup, 2)
        await law.eventually(lambda: _has_seq(leader, 8), "all is taken")
    checked = await check_law(setup.settings.bootstrap, setup.prefix)
    follower = Follower(make("standby"))
    follower.start()
    try:
        copy = await asyncio.wait_for(follower.hand_over(), 20)
    finally:
        await follower.stop()
    assert dict(copy.state.servers) == dict(checked.fold.servers)
    assert copy.led_by == "leader"
    assert set(copy.shares) >= {t.KEY_HEARTBEAT, t.KEY_POLICY}
