"""What must be true after every step, whatever happened: worked out from the log and the decisions alone, without the second law."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from shared.domain import events as e
from shared.domain.evidence import Reading
from shared.domain.fold import Fold
from shared.domain.policy import Policy
from shared.domain.records import CaseSchedule, Decision, Row
from shared.domain.state import Server, decision_of
from shared.domain.verdict import judge
from tests.second_law.words import DAY

Key = tuple[str, str]


class Broken(AssertionError):
    """Something does not hold that must always hold."""


@dataclass(slots=True)
class Ledger:
    """
    Of one case since its day 0: how long throttle rows were in force (law time), and whether blocking was announced.

    asked: what its stages ask for at least; free: a policy was in force, or a signature was given, that needs no notice.
    """

    asked: timedelta
    throttled: timedelta = timedelta()
    told: bool = False
    free: bool = False


@dataclass(slots=True)
class Always:
    """Keeps its own books of each case by the number of the record that opened it."""

    fold: Fold
    books: dict[int, Ledger] = field(default_factory=dict)
    granted_on: dict[date, int] = field(default_factory=dict)
    past: dict[Key, Ledger] = field(default_factory=dict)
    room: int = 0
    law_then: datetime | None = None
    policy: Policy | None = None
    most_open: int = 0

    def step(
        self, written: Iterable[e.LogRecord], patched: Reading, old: Reading, *, at: datetime, whole: bool
    ) -> None:
        """Note what was written and how long which row was in force, then look."""
        written = list(written)
        # While one step is written cases may be open that were not before it, and are not after it.
        begun = sum(isinstance(record.event, e.CaseOpened | e.ClockStarted | e.CaseMixed) for record in written)
        self.most_open = self._open() + begun
        for record in written:
            self._note(record)
        then, now = self.law_then or self.fold.law.now, self.fold.law.now
        self.law_then, self.room = now, self._room(self._open())
        for server in self.fold.servers.values():
            if server.cases:
                self._server(server, then, now)
        if whole:
            self._verdicts(patched, old, at)

    def _note(self, record: e.LogRecord) -> None:
        event = record.event
        match event:
            case e.PolicyAdopted():
                self.policy = event.policy
            case e.CaseOpened():
                self.books[record.seq] = self._book(self.past.pop((event.server, event.product), None), event.inherited)
            case e.ClockStarted():
                self.books[self._number(event)] = self._book(None)
            case e.CaseMixed():
                self.books[self._number(event)] = self._book(self.books[self._number(event)], event.inherited)
            case e.CaseReleased():
                self.past[event.server, event.product] = self.books[self._number(event)]
            case e.NoticeSettled(outcome="delivered") | e.NoticeAcknowledged() | e.BlockingSigned() if self._number(
                event
            ):
                self.books[self._number(event)].told = True
            case e.BlockingGranted(newly=True):
                self._granted(record.at.date())

    def _granted(self, day: date) -> None:
        """One more is newly blocked: never more than the cap of that UTC day."""
        self.granted_on[day] = self.granted_on.get(day, 0) + 1
        room = max(self.room, self._room(self.most_open))
        if self.granted_on[day] > room:
            raise Broken(f"{self.granted_on[day]} cases newly blocked on {day}, the cap is {room}")

    def _number(self, event: Any) -> int:
        case = self.fold.servers[event.server].case_of(event.product)
        return case.opened_seq if case else 0

    def _book(self, before: Ledger | None, inherited: timedelta = timedelta()) -> Ledger:
        """A new one, with the days of throttling that a relapse inherits, whatever the stages were."""
        book = Ledger(_asked(self.policy or self.fold.policy))  # the one in force at that record
        if inherited and before is not None:
            book.throttled = before.throttled
        return book

    def _open(self) -> int:
        """How many cases count for the cap now."""
        return sum(c.enforced and c.released_at is None for s in self.fold.servers.values() for c in s.cases)

    def _room(self, open_cases: int) -> int:
        """The cap where so many are open."""
        caps = self.fold.policy.caps
        if caps is None:
            return sys.maxsize
        return max(caps.newly_blocked_per_day, open_cases * caps.newly_blocked_percent_of_open_cases // 100)

    def _server(self, server: Server, then: datetime, now: datetime) -> None:
        decision = decision_of(server)
        numbers = {case.product: case.opened_seq for case in server.cases}
        for schedule in decision.cases if decision else ():
            book = self.books[numbers[schedule.product]]
            book.free |= not self.fold.policy.notices.needed_for_blocking
            book.throttled += _throttled(schedule.rows, then, now)
            row = _in_force(schedule.rows, now)
            if row is None or not row.block_minutes_per_hour:
                continue
            if not schedule.enforced:
                raise Broken(f"{server.server}: an observed case blocks")
            if book.throttled < book.asked:
                raise Broken(f"{server.server}: blocked after {book.throttled} of throttling, not {book.asked}")
            if not (book.told or book.free):
                raise Broken(f"{server.server}: blocked, and no notice was delivered")

    def _verdicts(self, patched: Reading, old: Reading, at: datetime) -> None:
        law, policy = self.fold.law, self.fold.policy
        for server in self.fold.servers.values():
            decision = decision_of(server) if server.cases else None
            if decision is None:
                continue
            verdict = judge(patched, [decision], policy, law_now=law.now, now=at)
            if verdict.action != "accept":
                raise Broken(f"{server.server}: a message that proves itself patched is refused: {verdict}")
            self._minutes(decision, old, at, policy)

    def _minutes(self, decision: Decision, old: Reading, at: datetime, policy: Policy) -> None:
        """Of 60 minutes so many are refused as one row of its cases says."""
        hour = at.replace(minute=0, second=0)
        found = [
            judge(old, [decision], policy, law_now=self.fold.law.now, now=hour + timedelta(minutes=m)).action
            for m in range(60)
        ]
        case = next((one for one in decision.cases if one.product == old.product), None)
        row = _in_force(case.rows, self.fold.law.now) if case and case.enforced else None
        minutes = (found.count("reject"), found.count("defer"))
        wanted = (row.block_minutes_per_hour, row.throttle_minutes_per_hour) if row else (0, 0)
        struck = any(one.covers(old) for one in decision.struck)
        if minutes != ((0, 0) if struck or not self._accuses(case, old, at) else wanted):
            raise Broken(f"{decision.server}: {minutes} minutes blocked and throttled, the row says {wanted}")

    def _accuses(self, case: CaseSchedule | None, old: Reading, at: datetime) -> bool:
        """Whether policy and case both still say that the old build is too old."""
        floor = self.fold.policy.floor_for(old.product, at.date())
        floors = [floor, case.floor if case else None]
        return all(one is not None and one.standing(old).value == "below" for one in floors)


def _asked(policy: Policy) -> timedelta:
    """The days between its first throttling and its first blocking stage; none, where nothing is throttled before."""
    throttling = [s.from_day for s in policy.stages if s.throttle_minutes_per_hour and not s.block_minutes_per_hour]
    blocking = [stage.from_day for stage in policy.stages if stage.block_minutes_per_hour]
    return (blocking[0] - throttling[0]) * DAY if throttling and blocking else timedelta()


def _throttled(rows: tuple[Row, ...], then: datetime, now: datetime) -> timedelta:
    """How much of (then, now] lies in rows that throttle and do not block."""
    total = timedelta()
    for number, row in enumerate(rows):
        until = rows[number + 1].since if number + 1 < len(rows) else now
        if row.throttle_minutes_per_hour and not row.block_minutes_per_hour:
            total += max(timedelta(), min(until, now) - max(row.since, then))
    return total


def _in_force(rows: tuple[Row, ...], now: datetime) -> Row | None:
    return next((row for row in reversed(rows) if row.since <= now), None)
