"""
One year: a real enforcer that is stopped and killed on the way, and beside it a fold in this process that takes the same inputs.

The clock of the enforcer is a scaled one that stands still at the end of each day while that day is fed, so all that it writes
is dated alike however long it takes, and both must come to the same bytes: state, decisions, and the hash of the newest log
record, in which all before it are. Edge and detector are left out: the inputs are sightings and marks as the detector writes them.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from datetime import time as at_time
from importlib.metadata import version
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.cli.audit_tables import is_server
from services.cli.bus import each, reading, table
from shared.domain.events import chain
from shared.domain.fold import Fold, Written, encode_server
from shared.domain.policy import parse_policy, shipped_policy_text
from shared.domain.population import first_day
from shared.domain.records import AdoptPolicy, Heartbeat, Mark, Origin, ReportNotice, Sighting
from shared.domain.simulate import everybody_enforced
from shared.domain.state import decision_of
from shared.messaging import admin
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, new_reader, running
from shared.runtime.clock import Segment
from shared.runtime.settings import CommonSettings
from tests.support.enforcers import environment, read_status
from tests.year.inputs import PARTITIONS, Inputs

ROOT = Path(__file__).parents[2]
WAIT_S = 120.0
_HEARTBEAT_MS = 50
_AT_ONCE = 2_000  # sightings sent between two looks at what was acknowledged
_DAY = timedelta(days=1)

Tell = Callable[[str], None]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """restarts: how often the enforcer is ended in the middle of a day, by turns by SIGTERM and by SIGKILL."""

    bootstrap: str
    prefix: str
    directory: Path
    servers: int
    days: int
    restarts: int
    seed: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the year came to. sightings: fed, redelivered ones included; differences: sentences, none where all is right."""

    sightings: int
    records: int
    servers: int
    cases: int
    restarts: int
    took_s: float
    head: str
    differences: tuple[str, ...]


class YearError(Exception):
    """The year cannot go on; the text says why."""


class Expected:
    """The fold of the inputs, in this process; it hears nothing of the enforcer."""

    def __init__(self, at: datetime) -> None:
        self.fold = Fold(parse_policy(shipped_policy_text()))
        self._at = at
        self._offsets = {t.SIGHTINGS: 0, t.REQUESTS: 0}
        self._written: list[Written] = []
        self._hashes: list[bytes] = []
        self._keep(self.fold.begin(at=at, version=version("patchgate")))

    def date(self, at: datetime) -> None:
        """What comes now is dated so."""
        self._at = at

    def take(self, topic: str, inputs: Iterable[Sighting | Mark | AdoptPolicy | ReportNotice]) -> None:
        """Each in its order, at its offset."""
        for one in inputs:
            if isinstance(one, Mark):
                self.fold.advance(one.at, at=self._at)
            else:
                self._tick()
                cause = Origin(topic=topic, partition=0, offset=self._offsets[topic])
                self._keep(self.fold.take(one, cause, at=self._at))
            self._offsets[topic] += 1
        self._tick()

    def take_written(self) -> list[Written]:
        """What was written since the last call."""
        written, self._written = self._written, []
        return written

    def _tick(self) -> None:
        self._keep(self.fold.tick(at=self._at, blind=False))

    def _keep(self, written: list[Written]) -> None:
        self._written += written
        self._hashes += [bytes.fromhex(chain(stored)) for _, stored in written]

    def wrote(self, seq: int, stored: bytes) -> bool:
        """Whether these are the bytes of the log record *seq*."""
        return seq <= len(self._hashes) and self._hashes[seq - 1] == bytes.fromhex(chain(stored))


class Clock:
    """The clock file that the enforcer reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def show(self, utc: datetime) -> None:
        """From now on it stands still at *utc*."""
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(Segment(real=datetime.now(UTC), utc=utc, rate=0)) + b"\n")


class Enforcer:
    """One enforcer process after the other, in one state directory."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._directory = options.directory / "enforcer"
        self._directory.mkdir(parents=True)
        self._log = options.directory / "enforcer.log"
        self._env = environment(
            options.bootstrap,
            options.prefix,
            self._directory,
            PATCHGATE_CLOCK_FILE=str(clock.path),
            PATCHGATE_HEARTBEAT_MS=str(_HEARTBEAT_MS),
        )
        self._child: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Run one, and wait until it leads."""
        self._run()
        await until(self._leads, "the enforcer leads", self)

    def _run(self) -> None:
        (self._directory / "ready" / "enforcer").unlink(missing_ok=True)
        with self._log.open("ab") as log:  # never a pipe that nobody reads: a year's lines would fill it
            command = [sys.executable, "-m", "services.enforcer"]
            self._child = subprocess.Popen(command, env=self._env, stdout=log, stderr=log, cwd=ROOT)

    def _leads(self) -> bool:
        status = read_status(self._directory)
        return status is not None and status.leader

    def check(self) -> None:
        """Raise YearError if it ended by itself."""
        if self._child is not None and self._child.poll() is not None:
            raise YearError(f"the enforcer ended with {self._child.returncode}: {self._log.read_text()[-2000:]}")

    async def end(self, how: signal.Signals) -> None:
        """End it, and see it gone; told to stop, it must end well."""
        child, self._child = self._child, None
        if child is None:
            return
        child.send_signal(how)
        code = await asyncio.to_thread(child.wait, WAIT_S)
        if how is signal.SIGTERM and code:
            raise YearError(f"the enforcer ended with {code} when it was told to stop: {self._log.read_text()[-2000:]}")


async def until(condition: Callable[[], bool], what: str, enforcer: Enforcer) -> None:
    """Wait for it, while the enforcer lives."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        enforcer.check()
        if time.monotonic() > deadline:
            raise YearError(f"not within {WAIT_S:.0f} s: {what}")
        await asyncio.sleep(0.02)


class Heartbeats:
    """The newest heartbeat of the enforcer."""

    def __init__(self, options: Options, reader: AIOKafkaConsumer, enforcer: Enforcer) -> None:
        self._reader, self._enforcer = reader, enforcer
        self._partition = TopicPartition(options.prefix + t.DECISIONS, 0)
        self._newest: Heartbeat | None = None

    async def follow(self) -> None:
        """From the first one on."""
        self._reader.assign([self._partition])
        await self._reader.seek_to_beginning(self._partition)

    async def until(self, holds: Callable[[Heartbeat], bool], what: str) -> None:
        """Read on until the newest one is as it should be."""
        deadline = time.monotonic() + WAIT_S
        while self._newest is None or not holds(self._newest):
            for records in (await self._reader.getmany(self._partition, timeout_ms=100)).values():
                for record in records:
                    if record.key == t.KEY_HEARTBEAT:
                        self._newest = msgspec.json.decode(record.value, type=Heartbeat)
            self._enforcer.check()
            if time.monotonic() > deadline:
                raise YearError(f"not within {WAIT_S:.0f} s: {what}; the newest heartbeat is {self._newest}")


class Year:
    """All of it."""

    def __init__(self, options: Options, tell: Tell) -> None:
        self._options, self._tell = options, tell
        shipped = parse_policy(shipped_policy_text())
        self._policy = msgspec.structs.replace(everybody_enforced(shipped), version=shipped.version + 1)
        self._begin: date = first_day(shipped)
        self._inputs = Inputs(self._policy, seed=options.seed, servers=options.servers, begin=self._begin)
        self._clock = Clock(options.directory / "clock")
        self._enforcer = Enforcer(options, self._clock)
        self._midnight = datetime.combine(self._begin, at_time(), UTC)
        self._sent = 0

    async def run(self) -> Outcome:
        """Live it, and compare."""
        began = time.monotonic()
        options = self._options
        await admin.apply(options.bootstrap, options.prefix, partitions=PARTITIONS)
        self._clock.show(self._midnight)
        expected = Expected(self._midnight)
        await self._enforcer.start()
        try:
            async with self._bus() as (producer, beats):
                await self._feed(producer, t.REQUESTS, [self._adoption()])
                expected.take(t.REQUESTS, [self._adoption()])
                await beats.until(lambda beat: beat.seq >= expected.fold.law.seq, "the policy is adopted")
                for number in range(1, options.days + 1):
                    await self._day(number, expected, producer, beats)
                    self._progress(number, began)
        finally:
            await self._enforcer.end(signal.SIGTERM)
        took_s = time.monotonic() - began
        differences = [one async for one in self._differences(expected)]
        return self._outcome(expected.fold, took_s, differences)

    @asynccontextmanager
    async def _bus(self) -> AsyncIterator[tuple[AIOKafkaProducer, Heartbeats]]:
        producer = new_producer(self._options.bootstrap, linger_ms=5)
        async with running(producer), running(reader := new_reader(self._options.bootstrap)):
            beats = Heartbeats(self._options, reader, self._enforcer)
            await beats.follow()
            yield producer, beats

    def _adoption(self) -> AdoptPolicy:
        return AdoptPolicy(id="year-adopts", who="ops", why="year", made_at=self._midnight, policy=self._policy)

    # -- one day ----------------------------------------------------------------------------------------------------

    async def _day(self, number: int, expected: Expected, producer: AIOKafkaProducer, beats: Heartbeats) -> None:
        """The clock first, then what people and the notifier told, then the mails, then the marks behind them."""
        seen = self._inputs.day(number, self._midnight)
        self._midnight += _DAY
        marks = self._inputs.marks(self._midnight)
        self._clock.show(self._midnight)
        await beats.until(lambda beat: beat.at >= self._midnight, f"the enforcer sees the clock of day {number}")
        expected.date(self._midnight)
        reports = list(self._inputs.reports(expected.take_written(), self._midnight))
        if reports:
            await self._feed(producer, t.REQUESTS, reports)
            expected.take(t.REQUESTS, reports)
            seq = expected.fold.law.seq
            await beats.until(lambda beat: beat.seq >= seq, f"the reports of day {number} are decided")
        half = len(seen) // 2
        await self._feed(producer, t.SIGHTINGS, seen[:half])
        if (how := self._restart_on(number)) is not None:
            await self._enforcer.end(how)
            await self._enforcer.start()
        await self._feed(producer, t.SIGHTINGS, [*seen[half:], *marks])
        expected.take(t.SIGHTINGS, [*seen, *marks])
        await beats.until(lambda beat: beat.h >= self._midnight, f"day {number} is folded")

    def _restart_on(self, number: int) -> signal.Signals | None:
        """How the enforcer ends on that day, if it does: spread over the days, each way in its turn."""
        options = self._options
        days = [place * options.days // (options.restarts + 1) for place in range(1, options.restarts + 1)]
        if number not in days:
            return None
        return (signal.SIGKILL, signal.SIGTERM)[days.index(number) % 2]

    async def _feed(self, producer: AIOKafkaProducer, topic: str, inputs: list) -> None:  # type: ignore[type-arg]
        sent = []
        for one in inputs:
            sent.append(await producer.send(self._options.prefix + topic, encode(one), partition=0))
            if len(sent) >= _AT_ONCE:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)
        self._sent += len(inputs) if topic == t.SIGHTINGS else 0

    def _progress(self, number: int, began: float) -> None:
        took_s = time.monotonic() - began
        left_s = took_s / number * (self._options.days - number)
        self._tell(
            f"day {number} of {self._options.days}, {self._sent} sightings, {took_s:.0f} s, {left_s:.0f} s to go"
        )

    # -- the end ----------------------------------------------------------------------------------------------------

    async def _differences(self, expected: Expected) -> AsyncIterator[str]:
        """What the topics hold, against the fold of the inputs; and the services' own audit of all of it."""
        fold = expected.fold
        settings = CommonSettings(bootstrap=self._options.bootstrap, topic_prefix=self._options.prefix)
        state = await table(settings, t.ENFORCER_STATE)
        servers = {name.encode(): encode_server(server) for name, server in fold.servers.items()}
        for difference in _differing("enforcer-state", {k: v for k, v in state.items() if is_server(k)}, servers):
            yield difference
        decisions = await table(settings, t.DECISIONS)
        made = {name.encode(): encode(one) for name, server in fold.servers.items() if (one := decision_of(server))}
        for difference in _differing("decisions", {k: v for k, v in decisions.items() if is_server(k)}, made):
            yield difference
        if (wrong := await self._first_wrong(settings, expected)) is not None:
            yield f"the log holds {wrong.decode()}, which the inputs do not give there"
        audit = await asyncio.to_thread(self._audit)
        found = (audit["ok"], audit["log"]["records"], audit["log"]["head"], audit["log"]["digest"])
        if found != (True, fold.law.seq, fold.law.head, fold.digest()):
            yield f"the audit of the log gives {found}; {audit['log']['what']} {audit['tables']}; the inputs fold to {fold.law.seq} records, head {fold.law.head}"

    async def _first_wrong(self, settings: CommonSettings, expected: Expected) -> bytes | None:
        seq = 0
        async with reading(settings) as reader:
            async for record in each(settings, reader, t.LOG):
                seq += 1
                if not expected.wrote(seq, record.value or b""):
                    return record.value or b""
        return None

    def _audit(self) -> dict:  # type: ignore[type-arg]
        env = environment(self._options.bootstrap, self._options.prefix, self._options.directory / "cli")
        command = [sys.executable, "-m", "services.cli", "audit", "verify", "--json"]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        if not done.stdout:
            raise YearError(f"audit verify ended with {done.returncode}: {done.stderr}")
        return dict(json.loads(done.stdout))

    def _outcome(self, fold: Fold, took_s: float, differences: list[str]) -> Outcome:
        return Outcome(
            sightings=self._sent - PARTITIONS * self._options.days,
            records=fold.law.seq,
            servers=len(fold.servers),
            cases=sum(bool(server.cases) for server in fold.servers.values()),
            restarts=self._options.restarts,
            took_s=took_s,
            head=fold.law.head,
            differences=tuple(differences),
        )


def _differing(name: str, found: dict[bytes, bytes], expected: dict[bytes, bytes]) -> list[str]:
    keys = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    return [f"{name} holds {found.get(key)!r} of {key!r}, the inputs fold to {expected.get(key)!r}" for key in keys[:5]]
