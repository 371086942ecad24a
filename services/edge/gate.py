"""
The gate: the one place where a message meets table, clock, freeze and settings. Both doors ask it; it never fails.

It also says why this edge only observes at present (`observing`), and whether it may be believed at all (`clock_wrong`).
"""

import time
from collections import Counter
from datetime import timedelta
from typing import Protocol

import structlog

from services.edge import core
from services.edge.follower import DecisionSink, FreezeSink
from services.edge.localfile import LocalFile
from services.edge.novelty import Novelty
from shared.domain.catalogue import BuildCatalogue
from shared.domain.records import MailEvidence, VerdictGiven
from shared.runtime.clock import Clock
from shared.smtp.replies import SmtpReply


class Outlet(Protocol):
    """Where evidence and verdicts go; neither call waits or fails."""

    def offer_evidence(self, key: core.EvidenceKey, record: MailEvidence) -> None:
        """Take one piece of evidence."""

    def offer_verdict(self, record: VerdictGiven) -> None:
        """Take one verdict."""


class Limits(Protocol):
    """What of the settings the gate needs."""

    @property
    def edge(self) -> str:
        """The edge's name."""

    @property
    def stale_after_s(self) -> int:
        """Real seconds from H until the edge only observes."""

    @property
    def clock_guard_s(self) -> int:
        """Real seconds by which clocks may differ."""


class Gate:
    """Asked once a message, at the end of its headers."""

    def __init__(
        self,
        settings: Limits,
        clock: Clock,
        scope: core.Scope,
        catalogue: BuildCatalogue,
        decisions: DecisionSink,
        freeze: FreezeSink,
        local_file: LocalFile,
        novelty: Novelty,
        outlet: Outlet,
        counts: Counter[str],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._scope = scope
        self._catalogue = catalogue
        self._decisions = decisions
        self._freeze = freeze
        self._local_file = local_file
        self._novelty = novelty
        self._outlet = outlet
        self._counts = counts
        self._stale_after = timedelta(seconds=settings.stale_after_s)
        self._guard = timedelta(seconds=settings.clock_guard_s)
        self._log = structlog.get_logger()
        self.asked_at: float | None = None
        """Monotonic time of the last message; None before the first."""

    def answer(self, message: core.MessageSeen) -> SmtpReply | None:
        """The reply that refuses *message*; None lets it pass, and so does an error of our own, which is counted."""
        self.asked_at = time.monotonic()
        self._counts["messages"] += 1
        try:
            outcome = self._judge(message)
        except Exception:  # noqa: BLE001  (whatever is wrong with us, mail passes; it is counted and logged whole)
            self._counts["pass_internal_error"] += 1
            self._log.exception("internal-error", queue_id=message.queue_id)
            return None
        self._counts[outcome.reason] += 1
        if outcome.record is not None:
            self._tell(outcome.record)
        return outcome.reply

    def observing(self) -> str:
        """Why nothing is refused at present; "" if it is."""
        heartbeat = self._decisions.table.heartbeat
        if self._local_file.freeze:
            return "frozen by the local file"
        if self._freeze.frozen is None:
            return "topic control not read yet"
        if self._freeze.frozen or (heartbeat is not None and heartbeat.frozen):
            return "frozen"
        return self._untimely() or (
            f"the table differs from its heartbeat: {self._decisions.difference}" if self._decisions.difference else ""
        )

    def _untimely(self) -> str:
        """What of the time speaks against refusing."""
        decisions = self._decisions
        heartbeat = decisions.table.heartbeat
        if heartbeat is not None and self._clock.real_age(heartbeat.h) > self._stale_after:
            return "the newest heartbeat is too old"
        if decisions.source in {"kafka", "file"} and decisions.broker_s is None:
            return "own clock not yet compared with the broker's"
        return "own clock and broker's differ" if self.clock_wrong() else ""

    def clock_wrong(self) -> bool:
        """Whether own clock and broker's differ by the guard or more, as far as can be known, or the newest H lies ahead."""
        heartbeat = self._decisions.table.heartbeat
        ahead = heartbeat is not None and self._clock.real_age(heartbeat.h) < -self._guard
        return ahead or abs(self._decisions.skew()) >= self._guard

    def _judge(self, message: core.MessageSeen) -> core.Outcome:
        self._local_file.refresh(time.monotonic())
        never = self._scope.never_judged(message)
        if never:
            return core.Outcome(reason=never)
        now = self._clock.now()
        seen = core.see(message, self._catalogue, now=now, edge=self._settings.edge)
        self._publish(seen)
        return core.decide(
            seen,
            message,
            self._decisions.table,
            now=now,
            observing=self.observing(),
            exempt=self._local_file.exempt,
        )

    def _publish(self, seen: core.Seen) -> None:
        why_not = core.no_evidence(seen) or ("clock_wrong" if self.clock_wrong() else "") or self._not_new(seen)
        if why_not:
            self._counts[f"evidence_{why_not}"] += 1
        else:
            self._outlet.offer_evidence(seen.key, MailEvidence(facts=seen.facts))

    def _not_new(self, seen: core.Seen) -> str:
        """Why *seen* adds nothing to what this hour has shown; "" if it does: then it is on its way."""
        key, now = seen.key, seen.facts.seen_at
        if self._novelty.knows(key, now):
            return "known"
        table = self._decisions.table
        matches = table.naming.identify(seen.facts).matches if table.naming is not None else ()
        known = [server for server in matches if server in table]
        cure = core.may_cure(seen, table.decisions_of(known), table.policy)
        answer = self._novelty.ask(key, now, known_server=bool(known), cure=cure)
        return "" if answer == "publish" else answer

    def _tell(self, record: VerdictGiven) -> None:
        self._outlet.offer_verdict(record)
        self._log.info(
            "verdict",
            queue_id=record.queue_id,
            server=record.server,
            action=record.action,
            would_be=record.would_be,
            spared_why=record.spared_why,
            reply=record.reply,
        )
