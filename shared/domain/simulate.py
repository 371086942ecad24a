"""
A year of a made-up population under one policy: what it costs whom. Pure, and the same for the same seed.

The law is the real one: made-up sightings go through `Fold` as the enforcer's do, H keeps up, notices are reported back. So is
the gate: mails at drawn minutes, and each of their retries, are put to `judge` as an edge puts them.

Only what can be news is fed: a server's first sightings until it has a case or is known to be patched, one a day below the floor,
and the cure. Everything else would be a repeat (`repeats.py`), which changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import product

import msgspec

from shared.domain import events as e
from shared.domain.evidence import Reading
from shared.domain.explain import server_state
from shared.domain.fold import Fold, Written
from shared.domain.identity import Identity
from shared.domain.policy import Policy
from shared.domain.population import GIVES_UP_AFTER, HABITS, RETRIES, Draw, Sender, population
from shared.domain.records import Decision, Origin, ReportNotice, ServerSeen
from shared.domain.state import Server, decision_of
from shared.domain.verdict import MINUTES_PER_HOUR, Verdict, judge

SAMPLES = 4
"""Mails of a server and day that are put to the gate; each stands for a quarter of what the server sends that day."""

_HOURS_SEEN = 3  # of a day, while a server without a case may be counted
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_MINUTES_PER_DAY = 24 * 60


class Tally(msgspec.Struct, kw_only=True):
    """
    What happened to one group on one day.

    warned, slowed, refused: servers with an enforced case, by the row in force that evening: none yet takes mail; some minutes
    deferred; some or all refused. waiting: those of them whose day to be blocked is past, and that lack what it asks for first
    (a delivered notice, a signature); queued: likewise, and only the cap of the day is in their way. observed: cases that bind nobody. sent: mails of servers with any case; delayed, bounced: of them; delay_minutes: of the
    delayed ones together.
    """

    warned: int = 0
    slowed: int = 0
    refused: int = 0
    waiting: int = 0
    queued: int = 0
    observed: int = 0
    sent: int = 0
    delayed: int = 0
    bounced: int = 0
    delay_minutes: int = 0


class DayTold(msgspec.Struct, frozen=True, kw_only=True):
    """One day, counted from 1; groups: by the name of the habit."""

    day: int
    groups: dict[str, Tally]


class GroupTold(msgspec.Struct, frozen=True, kw_only=True):
    """A group at the end: how many servers it has; outdated, of them: below the floor at first; cured: those that ended up patched."""

    name: str
    means: str
    servers: int
    outdated: int
    cured: int


class RetryTold(msgspec.Struct, kw_only=True):
    """What it cost all who try again every so many minutes and give up after so many hours, over all days; as in `Tally`."""

    retry_minutes: int
    gives_up_hours: int
    sent: int = 0
    delayed: int = 0
    bounced: int = 0
    delay_minutes: int = 0


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. records: of the log that the year made; notices: by outcome."""

    seed: int
    policy_version: int
    policy_title: str
    servers: int
    begin: date
    days: tuple[DayTold, ...]
    groups: tuple[GroupTold, ...]
    retries: tuple[RetryTold, ...]
    records: int
    notices: dict[str, int]


class _Life:
    """One server's year so far. patched_on, back_on: day numbers; None: not known to come."""

    def __init__(self, sender: Sender, who: Identity, draw: Draw) -> None:
        habit = sender.habit
        self.sender, self.server, self.matches, self.connector = sender, who.server, who.matches, who.connector
        self.reading = sender.old
        self.told_days, self.told = habit.told_days, False
        anyway = habit.anyway_days
        self.acts_on = draw.between(anyway, "anyway", sender.number) if anyway else None
        self.back_on: int | None = None
        self.known = False  # whether its newest reading is on record, and needs no telling
        self._draw = draw

    @property
    def old(self) -> bool:
        """Whether it shows what it showed at first, though there is something better."""
        return self.reading is self.sender.old and self.sender.old is not self.sender.new

    def tell(self, day: int) -> None:
        """Its admin hears of it."""
        if self.told or self.told_days is None or not self.old:
            return
        self.told = True
        acts = day + self._draw.between(self.told_days, "told", self.sender.number, day)
        self.acts_on = acts if self.acts_on is None else min(self.acts_on, acts)

    def wake(self, day: int) -> None:
        """What its admin does that night."""
        habit, number = self.sender.habit, self.sender.number
        if self.old and self.acts_on is not None and day >= self.acts_on:
            self._turn(self.sender.new)
            if habit.back_days and self.back_on is None:
                self.back_on = day + self._draw.between(habit.back_days, "back", number)
        elif self.back_on is not None and day == self.back_on:
            self._turn(self.sender.old)
            self.told, self.told_days = False, habit.told_days_again

    def _turn(self, reading: Reading) -> None:
        self.reading, self.acts_on, self.known = reading, None, False

    @property
    def is_over(self) -> bool:
        """Whether nothing that it does can be news any more, or changes."""
        return (
            self.known
            and not self.old
            and (self.back_on is None or self.told_days is self.sender.habit.told_days_again)
        )


def everybody_enforced(policy: Policy) -> Policy:
    """*policy* as if it and each of its connectors said enforce."""
    connectors = tuple(msgspec.structs.replace(one, mode="enforce") for one in policy.connectors)
    return msgspec.structs.replace(
        policy, mode="enforce", connectors=connectors, title=f"{policy.title}, with everybody enforced"
    )


def _next_try(
    now: datetime, retry: timedelta, verdict: Verdict, decisions: list[Decision], held: timedelta
) -> datetime:
    """The next try that can fare otherwise; those are left out that meet a row which leaves no minute open."""
    row = verdict.row
    if row is None or row.throttle_minutes_per_hour < MINUTES_PER_HOUR:
        return now + retry
    rows = (row.since + held for decision in decisions for case in decision.cases for row in case.rows)
    midnight = datetime.combine(now.date() + _DAY, time(), UTC)  # when a floor may change
    ends = min(since for since in (*rows, midnight) if since > now)
    return now + retry * max(1, -((now - ends) // retry))


def _add(tallied: Tally | RetryTold, mails: int, delay: timedelta | None) -> None:
    """So many mails came so late; None: they bounced."""
    if delay is None:
        tallied.bounced += mails
    elif delay:
        tallied.delayed += mails
        tallied.delay_minutes += mails * (delay // _MINUTE)


class Simulation:
    """
    One population under one policy. `day` after `day`, then `report`.

    each: gets every record of the log as it is written.
    """

    def __init__(
        self, policy: Policy, *, seed: int, servers: int, begin: date, each: Callable[[Written], None] | None = None
    ) -> None:
        self.fold = Fold(policy)
        self._policy, self._seed, self._servers, self._begin = policy, seed, servers, begin
        self._draw, self._each = Draw(seed), each
        self._midnight = datetime.combine(begin, time(), UTC)
        self._offset = 0
        self._days: list[DayTold] = []
        self._notices: Counter[str] = Counter()
        self._retries = {
            (retry, up): RetryTold(retry_minutes=retry // _MINUTE, gives_up_hours=up // timedelta(hours=1))
            for retry, up in product(RETRIES, GIVES_UP_AFTER)
        }
        self._lives = [self._born(one) for one in population(policy, seed=seed, servers=servers, begin=begin)]
        self._by_server = {life.server: life for life in self._lives if life.server}
        self._living = list(self._lives)
        self._keep(self.fold.begin(at=self._midnight, version="simulate"))

    def _born(self, sender: Sender) -> _Life:
        return _Life(sender, self.fold.naming.identify(sender.introduction), self._draw)

    # -- one day ----------------------------------------------------------------------------------------------------

    def day(self) -> DayTold:
        """Let one day pass."""
        number, today = len(self._days) + 1, self._midnight.date()
        for life in self._living:
            life.wake(number)
        sending = [life for life in self._living if life.sender.sends_on(today)]
        for minute, _, life in sorted(self._mails(sending, number), key=lambda mail: mail[:2]):
            self._see(life, self._midnight + minute * _MINUTE, number)
        self._midnight += _DAY
        self._pass(self._midnight - _MINUTE, number)
        groups = {habit.name: Tally() for habit in HABITS}
        for life in self._living:
            self._count(life, groups[life.sender.habit.name])
        for life in sending:
            self._send(life, groups[life.sender.habit.name], number)
        self._living = [life for life in self._living if not life.is_over]
        told = DayTold(day=number, groups=groups)
        self._days.append(told)
        return told

    def _mails(self, sending: list[_Life], number: int) -> Iterator[tuple[int, int, _Life]]:
        """The minutes of the day at which something is seen that can be news."""
        for life in sending:
            if life.known and not life.old:
                continue
            case = self._case_of(life)
            hours = 1 if case or not life.old else min(_HOURS_SEEN, life.sender.mails)
            first = self._draw.below(24 // _HOURS_SEEN, "hour", life.sender.number, number)
            for place in range(hours):
                minute = self._draw.below(60, "minute", life.sender.number, number, place)
                yield (first + place * 24 // _HOURS_SEEN) * 60 + minute, life.sender.number, life

    def _case_of(self, life: _Life) -> bool:
        server = self.fold.servers.get(life.server) if life.server else None
        return server is not None and server.case_of(life.reading.product) is not None

    def _see(self, life: _Life, now: datetime, number: int) -> None:
        self._pass(now, number)
        self._offset += 1
        place = Origin(topic="mail-evidence", partition=0, offset=self._offset)
        seen = ServerSeen(facts=life.sender.facts(life.reading, now), reading=life.reading, origin=place)
        cause = Origin(topic="sightings", partition=0, offset=self._offset)
        self._take(self.fold.take(seen, cause, at=now), number)
        life.known = True

    def _pass(self, now: datetime, number: int) -> None:
        """H comes to *now*, and what is due is written."""
        self.fold.advance(now, at=now)
        self._take(self.fold.tick(at=now, blind=False), number)

    def _take(self, written: list[Written], number: int) -> None:
        """Keep what was written; the notifier does its part, and whoever got a notice was told."""
        self._keep(written)
        for record, _ in written:
            if isinstance(record.event, e.NoticeDue):
                self._notify(record.event, record.at, number)

    def _notify(self, notice: e.NoticeDue, now: datetime, number: int) -> None:
        life = self._by_server[notice.server]
        outcome = "delivered" if life.sender.contact else "no-contact"
        self._notices[outcome] += 1
        if life.sender.contact and notice.kind != "release":
            life.tell(number)
        told = msgspec.convert(
            {
                "type": "report-notice.v1",
                "id": f"notice-{notice.notice}-{outcome}",
                "who": "notifier",
                "why": "",
                "made_at": now,
                "notice": notice.notice,
                "server": notice.server,
                "outcome": outcome,
            },
            ReportNotice,
        )
        self._offset += 1
        self._keep(self.fold.take(told, Origin(topic="requests", partition=0, offset=self._offset), at=now))

    def _keep(self, written: list[Written]) -> None:
        if self._each is not None:
            for one in written:
                self._each(one)

    # -- what it costs ----------------------------------------------------------------------------------------------

    def _count(self, life: _Life, tally: Tally) -> None:
        server = self.fold.servers.get(life.server) if life.server else None
        if server is None or not server.cases:
            return
        state = server_state(server, self.fold.law)
        tally.warned += state == "reported"
        tally.slowed += state == "throttled"
        tally.refused += state in ("blocked-partly", "blocked")
        tally.observed += state == "observed"
        late = [case for case in server.cases if case.blocking and case.blocking[0].since <= self.fold.law.now]
        tally.waiting += any(case.waits is None for case in late)
        tally.queued += any(case.waits is not None for case in late)

    def _send(self, life: _Life, tally: Tally, number: int) -> None:
        """Its mails of the day that is over."""
        decisions = [made for server in self._known(life) if (made := decision_of(server)) is not None]
        if not any(decision.cases for decision in decisions):
            return
        each = life.sender.mails // SAMPLES
        for tallied in (tally, self._retries[life.sender.retry, life.sender.gives_up]):
            tallied.sent += each * SAMPLES
        for place in range(SAMPLES):
            minute = self._draw.below(_MINUTES_PER_DAY, "mail", life.sender.number, number, place)
            delay = self._delay(life, decisions, self._midnight - _DAY + minute * _MINUTE)
            if delay is None:
                life.tell(number)
            for tallied in (tally, self._retries[life.sender.retry, life.sender.gives_up]):
                _add(tallied, each, delay)

    def _known(self, life: _Life) -> Iterator[Server]:
        for name in life.matches:
            server = self.fold.servers.get(name)
            if server is not None:
                yield server

    def _delay(self, life: _Life, decisions: list[Decision], begin: datetime) -> timedelta | None:
        """How late a mail passes that is tried again and again; None where it bounces. Its retries meet the decisions of that day."""
        now, held = begin, self.fold.law.held_so_far
        while now - begin <= life.sender.gives_up:
            verdict = judge(
                life.reading, decisions, self._policy, law_now=now - held, now=now, connector=life.connector
            )
            if verdict.action == "accept":
                return now - begin
            if verdict.action == "reject":
                return None
            now = _next_try(now, life.sender.retry, verdict, decisions, held)
        return None

    # -- the end ----------------------------------------------------------------------------------------------------

    def report(self) -> Simulated:
        """All days so far."""
        return Simulated(
            seed=self._seed,
            policy_version=self._policy.version,
            policy_title=self._policy.title,
            servers=self._servers,
            begin=self._begin,
            days=tuple(self._days),
            groups=tuple(self._group(habit.name, habit.means) for habit in HABITS),
            retries=tuple(self._retries.values()),
            records=self.fold.law.seq,
            notices=dict(sorted(self._notices.items())),
        )

    def _group(self, name: str, means: str) -> GroupTold:
        lives = [life for life in self._lives if life.sender.habit.name == name]
        outdated = [life for life in lives if life.sender.old is not life.sender.new]
        return GroupTold(
            name=name,
            means=means,
            servers=len(lives),
            outdated=len(outdated),
            cured=sum(not life.old for life in outdated),
        )
