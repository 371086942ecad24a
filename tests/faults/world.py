"""The world of a campaign: a broker, two enforcers, detector, two edges, notifier, mail, a Postfix, and who watches them."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from shared.domain.policy import Notices, Policy, Stage
from shared.domain.records import Contact
from shared.messaging import admin
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, running
from shared.runtime.clock import begin_scaled
from tests.faults.bus import set_config
from tests.faults.disk import small_disk
from tests.faults.processes import HOST, LOOK_EVERY_S, Broker, Service, quiet_port
from tests.faults.senders import Population
from tests.faults.traffic import PostfixLane, Traffic
from tests.faults.truth import STALE_AFTER_S, Truth
from tests.faults.watch import Watch
from tests.support import law
from tests.support.enforcers import read_status
from tests.support.postfix import postfix, why_not_here
from tests.support.scenario import policy_for
from tests.support.smtp_sink import SmtpSink

PREFIX = "faults."
BEGINS = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
SECONDS_A_DAY = 10.0
"""Real: a case is throttled after 10 s, blocked in part after 20 s and wholly after 30 s."""
SESSION_MS = 1000
START_S = 120.0
BLIND_AFTER_S = 6
DELETE_RETENTION_MS = 200
DOMAIN = "neu.example"
SALT = "k7"
EDGES = ("edge-a", "edge-b")


def policy() -> Policy:
    """A policy that goes all its way in four days."""
    minutes = ((0, 0, 0), (1, 30, 0), (2, 20, 20), (3, 0, 60))
    return policy_for(
        version=2,
        opening_hours=1,
        expire_days=6,
        release_hours=12,
        stages=tuple(
            Stage(from_day=day, throttle_minutes_per_hour=throttle, block_minutes_per_hour=block)
            for day, throttle, block in minutes
        ),
        notices=Notices(
            needed_for_blocking=True,
            hours_before_blocking=6,
            before_throttling_days=1,
            before_blocking_days=1,
            repeat_days=1,
        ),
    )


class World:
    """
    All parts, running.

    skewed: which edge's clock was off, from when to when. told: what the fault in hand drew. outcomes: of all mails so far.
    rng: of what happens beside faults.
    """

    def __init__(self, base: Path, *, enforcers: int, rng: Random, has_small_disk: bool) -> None:
        self.base = base
        self.disk = base / "disk"
        self.has_small_disk = has_small_disk
        self.broker = Broker(self.disk)
        self.clock_file = base / "clock"
        self.truth = Truth(begin_scaled(self.clock_file, utc=BEGINS, rate=24 * 3600 / SECONDS_A_DAY), SALT)
        self.watch = Watch(self.broker.bootstrap, PREFIX, self.truth)
        self.population = Population(rng)
        self.ports = {edge: quiet_port() for edge in EDGES}
        self.traffic = Traffic(self.population, self.ports)
        self.sink = SmtpSink()
        self.lane: PostfixLane | None = None
        self.skewed: list[tuple[str, float, float]] = []
        self.outcomes: Counter[str] = Counter()
        self.told = ""
        self.services = [Service(f"enforcer-{n}", "enforcer", base / f"enforcer-{n}") for n in range(enforcers)]
        self.services += [Service(name, name, base / name) for name in ("detector", "notifier")]
        self.services += [Service(edge, "edge", base / edge) for edge in EDGES]

    @property
    def bootstrap(self) -> str:
        """The broker's address."""
        return self.broker.bootstrap

    def drawn(self, what: str) -> None:
        """The fault in hand tells what it drew, before it acts."""
        self.told = what

    # -- who is who ---------------------------------------------------------------------------------------------------

    def of(self, kind: str) -> list[Service]:
        """The services of a kind."""
        return [service for service in self.services if service.kind == kind]

    def named(self, name: str) -> Service:
        """One service."""
        return next(service for service in self.services if service.name == name)

    def leading(self) -> list[Service]:
        """Enforcers whose newest word is that they lead."""
        fresh = [one for one in self.of("enforcer") if one.ready_since(time.time() - 1.0)]
        return [one for one in fresh if (status := read_status(one.state_dir)) is not None and status.leader]

    def _leads(self, service: Service) -> Callable[[], bool]:
        return lambda: service in self.leading()

    async def leader(self) -> Service:
        """The one that leads."""
        await until(lambda: len(self.leading()) == 1, "one enforcer leads", 20.0)
        return self.leading()[0]

    def now(self) -> datetime:
        """What the campaign's clock shows."""
        return self.truth.utc(time.time())

    # -- running ------------------------------------------------------------------------------------------------------

    def start_services(self) -> None:
        """Start each, with its settings."""
        for service in self.services:
            service.configure(self._environment(service))
            service.start()

    def _environment(self, service: Service) -> dict[str, str]:
        settings = {
            "bootstrap": self.bootstrap,
            "topic_prefix": PREFIX,
            "clock_file": str(self.clock_file),
            "log_json": "true",
            "heartbeat_ms": "200",
            "blind_after_s": str(BLIND_AFTER_S),
            "stale_after_s": str(STALE_AFTER_S),
            "enforcer_session_timeout_ms": str(SESSION_MS),
            "detector_session_timeout_ms": str(SESSION_MS),
            "relay": self.sink.address,
            "notice_from": f"postmaster@{DOMAIN}",
            "retry_first_s": "0.2",
            "retry_max_s": "2",
        }
        if service.kind == "edge":
            settings["edge"] = service.name
            settings["milter_sockets"] = f"inet:{HOST}:{self.ports[service.name]}"
        return {f"PATCHGATE_{name.upper()}": value for name, value in settings.items()}

    async def supervise(self) -> None:
        """Start again what ended, until cancelled."""
        while True:
            for service in self.services:
                service.supervise()
            await asyncio.sleep(LOOK_EVERY_S)

    async def stop_services(self) -> list[str]:
        """End all in order; complaints about those that did not."""
        others = [service for service in self.services if service.kind != "enforcer"]
        codes = dict(zip(others, await asyncio.gather(*(one.stop(hold=True) for one in others)), strict=True))
        leaders = self.leading()
        for service in sorted(self.of("enforcer"), key=lambda one: one not in leaders):
            # The leader first, and the other one when it leads: who is told to stop while the group elects it may not end well.
            with suppress(TimeoutError):
                await until(self._leads(service), f"{service.name} leads", SESSION_MS / 1000 + 5)
            codes[service] = await service.stop(hold=True)
        return [f"{service.name} ended with {code} when told to stop" for service, code in codes.items() if code]


async def until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Wait for *condition*; TimeoutError with *what* at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def world(base: Path, *, enforcers: int, rng: Random) -> AsyncIterator[World]:
    """Everything started, the policy adopted, a first few old servers sending; all gone at the end."""
    async with AsyncExitStack() as stack:
        has_small_disk = stack.enter_context(small_disk(base / "disk"))
        one = World(base, enforcers=enforcers, rng=rng, has_small_disk=has_small_disk)
        await one.broker.start()
        stack.push_async_callback(_end_broker, one)
        await admin.apply(one.bootstrap, PREFIX, partitions=law.PARTITIONS)
        await set_config(one.bootstrap, PREFIX, t.DECISIONS, {"delete.retention.ms": str(DELETE_RETENTION_MS)})
        await stack.enter_async_context(one.sink)
        one.start_services()
        stack.push_async_callback(one.stop_services)
        await _begin_tasks(stack, one)
        await _hand_in(one)
        _begin_mail(stack, one)
        yield one


async def _begin_tasks(stack: AsyncExitStack, one: World) -> None:
    tasks = [asyncio.create_task(one.supervise()), asyncio.create_task(one.watch.run())]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(end)


async def _hand_in(one: World) -> None:
    """The policy, and whom to write to."""
    contact = Contact(id="desk", address="desk@alt.example", connector="internet")
    producer = new_producer(one.bootstrap)
    async with running(producer):
        await producer.send_and_wait(PREFIX + t.CONTACTS, encode(contact), key=b"desk", partition=0)
    await until(lambda: one.watch.events["PolicyAdopted"] > 0, "an enforcer leads", START_S)
    async with law.feeder(one.bootstrap, PREFIX) as feeder:
        await feeder.feed([law.adopt(policy(), one.now())])  # not before: a request grows too old in 10 s here
    await until(lambda: one.watch.events["PolicyAdopted"] > 1, "the policy is adopted", START_S)


def _begin_mail(stack: AsyncExitStack, one: World) -> None:
    for _ in range(4):
        one.population.newcomer()
    one.traffic.start()
    stack.push_async_callback(one.traffic.stop)
    if why_not_here():
        return
    edge = EDGES[0]
    milter = f"{{ inet:{HOST}:{one.ports[edge]}, default_action=accept, connect_timeout=2s, command_timeout=2s, content_timeout=3s }}"
    instance = stack.enter_context(
        postfix(
            "127.0.0.13",
            quiet_port(),
            DOMAIN,
            smtpd_milters=milter,
            milter_protocol="6",
            smtpd_authorized_xclient_hosts="127.0.0.0/8",
            smtpd_client_connection_rate_limit="0",
        )
    )
    one.lane = PostfixLane(instance, one.population, one.traffic, edge)
    one.lane.start()
    stack.push_async_callback(one.lane.stop)


async def _end_broker(one: World) -> None:
    """Its logs are kept where they outlive the small disk."""
    one.broker.thaw()
    await one.broker.stop()
    kept = one.base / "broker-logs"
    kept.mkdir(exist_ok=True)
    for file in _logs(one.disk):
        shutil.copy(file, kept)


def _logs(disk: Path) -> Iterable[Path]:
    return [*(disk / "broker").glob("broker*.log"), *(disk / "broker").glob("broker.out")]
