"""
One edge of the model: a real `EdgeApp`, its doors shut, its follower and publisher played by the model.

Everything that judges is real: table, sinks, gate, core, cold-start file, local file. What is played: when records
arrive, in which pieces, and when evidence and marks leave.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec

from services.edge import app as edge_app
from services.edge import coldstart, core, follower, gate
from services.edge.settings import EdgeSettings
from shared.domain.records import MailEvidence, Mark, SetFreeze
from shared.messaging.topics import KEY_HEARTBEAT, KEY_POLICY
from tests.model.bus import StoredRecord, Topic
from tests.model.senders import Shown
from tests.support.edge import FakeClock
from tests.support.scenario import START

_ASKED_WITHIN = 24 * 3600
_SAVE_EVERY = 60
_GUARD = 300
_BOOT = "this boot"


class Quiet:
    """A log that nobody reads."""

    def __getattr__(self, name: str) -> Any:
        """Any level."""
        return lambda *_args, **_values: None


class ModelTime:
    """`time.monotonic` of the edges: seconds since `START`, whatever their clocks say."""

    def __init__(self) -> None:
        self.now = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the edge's modules ask this one."""
        fake = SimpleNamespace(monotonic=lambda: float(self.now))
        with (
            mock.patch.object(gate, "time", fake),
            mock.patch.object(follower, "time", fake),
            mock.patch.object(coldstart, "boot_id", return_value=_BOOT),
        ):
            yield


class EdgeModel:
    """
    error: how far its clock is off, s. cut: it does not reach the bus. frozen_on_sight: what it last heard on `control`.

    newest_turn: of the newest record that its table took. known_off: the newest heartbeat that it followed, or report that the
    bus took, showed that its clock is off, and the clock was not set since.
    """

    def __init__(self, name: str, folder: Path, time: ModelTime) -> None:
        self.name = name
        self.clock = FakeClock(START)
        self.time = time
        self.error = 0
        self.cut = False
        self.exempt_peer = ""
        self.running = False
        self.local = folder / f"{name}.toml"
        self.cold_starts = self.loads = self.missed = 0
        self._stored: coldstart.ColdStart | None = None
        self._saved_turn = -1
        self._settings = EdgeSettings(edge=name, state_dir=str(folder), local_file=str(self.local))
        self.start()

    # -- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process: nothing in memory."""
        self.app = edge_app.EdgeApp(self._settings, self.clock)
        self.app._log = self.app.decisions._log = self.app.freeze._log = self.app.gate._log = Quiet()
        self.running = True
        self.asked_at: int | None = None
        self.newest_turn = -1
        self.known_off = False
        self.heard_freeze: bool | None = None
        self._next: dict[str, int | None] = {"decisions": None, "control": None}
        self._cold_turn = self._saved_turn
        self._saved_at = 0
        self.outbox: list[tuple[core.EvidenceKey, MailEvidence]] = []
        self.app.local_file.refresh(self.time.now)  # the gate looks at it before it judges
        self.set_time()

    def stop(self, *, cleanly: bool) -> None:
        """The process ends; what waited is lost."""
        if cleanly:
            self.save()
        self.running = False
        self.outbox = []

    def set_time(self) -> None:
        """Its clock moves with the model's, by its own error."""
        self.clock.utc = START + timedelta(seconds=self.time.now + self.error)

    def tend(self) -> None:
        """Once a minute: the file for a start without the bus."""
        if self.time.now - self._saved_at >= _SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """As `EdgeApp` writes it, and under its conditions."""
        decisions, frozen = self.app.decisions, self.app.freeze.frozen
        if decisions.source == "kafka" and not decisions.difference and frozen is not None and decisions.table.ready:
            self._saved_at, self._saved_turn = self.time.now, self.newest_turn
            records = tuple(decisions.table.records().items())
            self._stored = coldstart.ColdStart(records=records, frozen=frozen, boot=_BOOT, broker_s=decisions.broker_s)

    def write_cold_file(self, *, torn: bool, up_s: int) -> None:
        """
        Put the file that was saved last onto the disk, whole or torn; done before a start, to spare the disk.

        up_s: how long the machine had been up when it booted since; 0 if it did not.
        """
        if self._stored is not None:
            if up_s:  # the model's monotonic time runs on, so what was known of it then is off by that now
                known = self._stored.broker_s
                self._stored = msgspec.structs.replace(
                    self._stored, boot="an earlier boot", broker_s=None if known is None else known - up_s
                )
            coldstart.save(self.app._cold_path, self._stored)
            if torn:
                whole = self.app._cold_path.read_bytes()
                self.app._cold_path.write_bytes(whole[: len(whole) * 2 // 3])

    # -- what it hears ------------------------------------------------------------------------------------------------

    def lose_bus(self) -> None:
        """The connection is gone; what comes next is a reading from the beginning."""
        before = self.app.decisions.source
        self.app.decisions.away(OSError("away"))
        self.app.freeze.away(OSError("away"))
        if before == "nothing" and self.app.decisions.source == "file":
            self.newest_turn = self._cold_turn
            if self.heard_freeze is None and self._stored is not None:
                self.heard_freeze = self._stored.frozen
            self.cold_starts += 1
        self._next = dict.fromkeys(self._next)

    def hear_decisions(self, topic: Topic, *, pieces: int, skip: bool) -> None:
        """Follow, at most *pieces* records in a batch; *skip*: one record is missed, as a fault of ours would."""
        sink, at = self.app.decisions, self._next["decisions"]
        if at is None:
            sink.begin()
            loading = -1
            for record in topic.since(0):
                sink.take(record)
                loading = record.turn
            sink.loaded()
            self.newest_turn, at = loading, topic.end
            self.loads += 1
        batch = topic.since(at)[:pieces]
        for record in batch:
            if skip and record.key not in {KEY_HEARTBEAT, KEY_POLICY}:
                skip, self.missed = False, self.missed + 1
                continue
            sink.take(record)
            self.newest_turn = record.turn
            if record.key == KEY_HEARTBEAT:
                self._compare(record.timestamp // 1000 - int(START.timestamp()))
        again = sink.batch_done()
        self._next["decisions"] = None if again else at + len(batch)

    def _compare(self, stamp: int) -> None:
        """By what it was told last, *stamp* is now."""
        self.known_off = abs(self.time.now + self.error - stamp) >= _GUARD

    def begin_and_fail(self, decisions: Topic, control: Topic, *, records: int) -> None:
        """A reading of both topics from the beginning that breaks off midway."""
        for sink, topic in ((self.app.decisions, decisions), (self.app.freeze, control)):
            sink.begin()
            for record in topic.since(0)[:records]:
                sink.take(record)
        self.lose_bus()

    def hear_control(self, topic: Topic) -> None:
        """The other topic, read uncommitted and obeyed on sight."""
        sink, at = self.app.freeze, self._next["control"]
        records: list[StoredRecord] = topic.since(at or 0)
        if at is None:
            sink.begin()
            for record in records:
                sink.take(record)
            sink.loaded()
            self.heard_freeze = False
        else:
            for record in records:
                sink.take(record)
        for record in records:
            if isinstance(record.what, SetFreeze):
                self.heard_freeze = record.what.frozen
        self._next["control"] = topic.end

    @property
    def heartbeat(self) -> bytes | None:
        """The heartbeat that it judges by, as stored."""
        return self.app.decisions.table._reserved.get(KEY_HEARTBEAT)

    # -- what it says -------------------------------------------------------------------------------------------------

    def judge(self, shown: Shown) -> core.Outcome:
        """The outcome for a message, as the gate comes to it; nothing is published."""
        app = self.app
        return core.decide(
            shown.seen,
            shown.message,
            app.decisions.table,
            now=self.clock.now(),
            observing=app.gate.observing(),
            exempt=app.local_file.exempt,
        )

    def receive(self, shown: Shown) -> str:
        """A message arrives: the whole way of the gate, evidence included."""
        self.asked_at = self.time.now
        reply = self.app.gate.answer(shown.message)
        queue = self.app.publisher._evidence
        while queue:
            self.outbox.append(queue.popleft())
        return str(reply or "")

    def publish(self, partitions: list[Topic], *, reports: bool) -> None:
        """Its report, if it *reports* just now; evidence that waited, and behind it the marks, if it may write them."""
        at, now = self.time.now, self.clock.now()
        if reports:
            self.app.decisions.hear(START + timedelta(seconds=at))
            self._compare(at)
        for key, record in self.outbox:
            number = sum(record.facts.peer.encode()) % len(partitions)
            partitions[number].append(key.peer.encode(), None, at=at, what=record)
            self.app.publisher._novelty.published(key)
        self.outbox = []
        asked = self.asked_at is not None and at - self.asked_at < _ASKED_WITHIN
        if asked and not self.app.gate.clock_wrong():
            for number, topic in enumerate(partitions):
                mark = Mark(edge=self.name, at=now, partition=number, of=len(partitions))
                topic.append(None, None, at=at, what=mark)

    def is_frozen(self) -> bool:
        """Whether its local file, or the newest that it heard on `control`, says that nothing is refused."""
        text = self.local.read_text() if self.local.exists() else ""
        return self.heard_freeze is not False or text.startswith("freeze")
