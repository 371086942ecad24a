"""Wiring: settings and clock in, a running edge out. No rule of its own."""

import asyncio
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import structlog

from services.edge import coldstart
from services.edge.core import Scope
from services.edge.door import DoorServer
from services.edge.follower import DecisionSink, FreezeSink, follow
from services.edge.gate import Gate
from services.edge.localfile import LocalFile
from services.edge.milter_server import MilterServer
from services.edge.novelty import Novelty
from services.edge.publisher import ASKED_WITHIN_S, Publisher
from services.edge.settings import EdgeSettings
from shared.domain.records import EdgeReport
from shared.messaging import topics as t
from shared.messaging.decisions import DecisionTable
from shared.runtime.catalogue_files import load_catalogue_of
from shared.runtime.clock import Clock, boot_id

_TEND_S = 0.5  # how often local file, cold-start file and readiness are looked after


class EdgeApp:
    """One edge; `run` until *stop* is set."""

    def __init__(self, settings: EdgeSettings, clock: Clock) -> None:
        settings.check()
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._log = structlog.get_logger()
        self._started_at = clock.now()
        self._cold_path = Path(settings.state_dir) / f"edge-{settings.edge}.cold"
        self._ready_path = Path(settings.state_dir) / "ready" / "edge"
        self._saved_at = float("-inf")
        self.local_file = LocalFile(settings.local_file)
        self.freeze = FreezeSink(self.counts)
        self.decisions = DecisionSink(clock, self.counts, cold_start=self._cold_start)
        scope = Scope(
            networks=settings.never_judged_networks,
            submission_ports=settings.submission_port_set,
            reply_addresses=settings.reply_address_set,
        )
        novelty = Novelty()
        self.publisher = self._new_publisher(novelty)
        self.gate = Gate(
            settings,
            clock,
            scope,
            load_catalogue_of(settings.state_dir),
            self.decisions,
            self.freeze,
            self.local_file,
            novelty,
            self.publisher,
            self.counts,
        )
        self.milter = MilterServer(self.gate.answer, scope, self.counts)
        self.door = DoorServer(self.gate.answer, scope, self.counts, name=settings.edge, spool=settings.smtp_spool)

    def _new_publisher(self, novelty: Novelty) -> Publisher:
        return Publisher(
            self.settings.bootstrap,
            self.settings.topic_prefix,
            self._clock,
            novelty,
            self.counts,
            edge=self.settings.edge,
            heartbeat_s=self.settings.heartbeat_ms / 1000,
            report=self.report,
            may_mark=self._may_mark,
            hear=self.decisions.hear,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """
        Open the doors, serve until *stop*, end cleanly.

        Raises:
            ConfigError: a door cannot be opened.
        """
        self._ready_path.unlink(missing_ok=True)
        prefix, bootstrap = self.settings.topic_prefix, self.settings.bootstrap
        try:
            await self._open_doors()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(follow(bootstrap, prefix + t.CONTROL, self.freeze, read_uncommitted=True)),
                    group.create_task(follow(bootstrap, prefix + t.DECISIONS, self.decisions)),
                    group.create_task(self.publisher.run()),
                    group.create_task(self._tend()),
                ]
                await stop.wait()
                await self._close_doors()
                for task in tasks:
                    task.cancel()
        finally:
            await self._close_doors()
            self._ready_path.unlink(missing_ok=True)
        await self.publisher.finish()
        await self._save_cold_start()

    async def _open_doors(self) -> None:
        for endpoint in self.settings.milter_endpoints:
            await self.milter.open(endpoint)
            self._log.info("listening", door="milter", at=str(endpoint))
        if self.settings.door_endpoint is not None:
            await self.door.open(self.settings.door_endpoint)
            self._log.info("listening", door="smtp", at=str(self.settings.door_endpoint))

    async def _close_doors(self) -> None:
        await self.milter.close()
        await self.door.close()

    # -- what the parts ask -------------------------------------------------------------------------------------------

    def report(self) -> EdgeReport:
        """The edge's report as of now."""
        table = self.decisions.table
        return EdgeReport(
            edge=self.settings.edge,
            at=self._clock.now(),
            started_at=self._started_at,
            version=version("patchgate"),
            counts=dict(self.counts),
            table_count=table.count,
            table_digest=table.digest,
            heartbeat_seq=table.heartbeat.seq if table.heartbeat else 0,
            observing=self.gate.observing() if table.ready else "no table: no verdict possible",
        )

    def _may_mark(self) -> bool:
        asked_at = self.gate.asked_at
        return asked_at is not None and time.monotonic() - asked_at < ASKED_WITHIN_S and not self.gate.clock_wrong()

    def _cold_start(self) -> DecisionTable | None:
        try:
            stored = coldstart.load(self._cold_path)
        except coldstart.ColdStartError as error:
            self._log.warning("cold-start-refused", cause=str(error))
            return None
        if stored is None:
            return None
        table, content = stored
        if (
            table.heartbeat is None
            or self._clock.real_age(table.heartbeat.h).total_seconds() > self.settings.stale_after_s
        ):
            self._log.warning(
                "cold-start-refused",
                cause=f"{self._cold_path} is older than stale_after; mail passes until Kafka is back",
            )
            return None
        if self.freeze.frozen is None:
            self.freeze.frozen = content.frozen
        if self.decisions.broker_s is None:
            self.decisions.broker_s = content.broker_s_now
        self._log.warning("cold-start", servers=table.count, heartbeat=table.heartbeat.seq)
        return table

    # -- looking after ----------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        await self.decisions.settled.wait()
        await self.freeze.settled.wait()
        self._log.info("ready", table=self.decisions.source)
        while True:
            if self.local_file.refresh(time.monotonic()):
                self._log.warning("local-file", freeze=self.local_file.freeze, error=self.local_file.error)
            if time.monotonic() - self._saved_at >= coldstart.WRITE_EVERY_S:
                await self._save_cold_start()
            self._ready_path.parent.mkdir(parents=True, exist_ok=True)
            self._ready_path.touch()
            await asyncio.sleep(_TEND_S)

    async def _save_cold_start(self) -> None:
        """Write the file if the table is Kafka's own and whole; what cannot be written is told, and tried again later."""
        table = self.decisions.table
        if (
            self.decisions.source != "kafka"
            or self.decisions.difference
            or self.freeze.frozen is None
            or not table.ready
        ):
            return
        self._saved_at = time.monotonic()
        content = coldstart.ColdStart(
            records=tuple(table.records().items()),
            frozen=self.freeze.frozen,
            boot=boot_id(),
            broker_s=self.decisions.broker_s,
        )
        try:
            await asyncio.to_thread(coldstart.save, self._cold_path, content)
        except OSError as error:
            self.counts["cold_start_errors"] += 1
            self._log.warning("cold-start-not-written", path=str(self._cold_path), cause=str(error))
