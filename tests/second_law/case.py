"""One case and its clock: the sum of the law time in which it ran."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.domain.floors import Floor
from shared.domain.policy import Policy, Stage
from tests.second_law.words import DAY

ZERO = timedelta()


class Ahead(NamedTuple):
    """Something that will happen when the clock says *clock*."""

    clock: timedelta
    kind: str
    stage: int


@dataclass(slots=True, eq=False)
class Notice:
    """A notice that fell due, when (UTC), and is not settled. id: as the log has it, once it was seen there."""

    kind: str
    due: datetime
    id: str = ""


class Past(NamedTuple):
    """What a released case leaves: its clock, the law time of its release, its floor, and how long its mail was only slowed."""

    clock: timedelta
    released: datetime
    floor: Floor
    slowed: timedelta


@dataclass(slots=True, eq=False)
class Case:
    """
    What is accused, and how long the case has run.

    runs: [from, to) in law time, the last one open while it runs.
    entered: the stage in force, from 1. granted: where the clock stood, or will stand, when a blocking stage begins.
    waits: in the queue of the cap: since when, and until when (law time). holds: why it is held, until when at most.
    signed: when which stage was signed; instead: of a server that was not protected then, so instead of a notice.
    not_before: nothing is granted backwards: when its last hold ended. number: seq of the record that opened it.
    """

    server: str
    product: str
    floor: Floor
    opened_at: datetime
    day0: datetime
    enforced: bool = False
    number: int = 0
    inherited: timedelta = ZERO
    runs: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    stages: tuple[Stage, ...] = ()
    entered: int = 1
    granted: dict[int, timedelta] = field(default_factory=dict)
    waits: tuple[datetime, datetime] | None = None
    due_first: datetime | None = None
    place: int = 0
    signed: dict[int, datetime] = field(default_factory=dict)
    instead: dict[int, datetime] = field(default_factory=dict)
    holds: dict[str, datetime | None] = field(default_factory=dict)
    held_since: datetime | None = None
    paused_to: datetime | None = None
    not_before: datetime | None = None
    lead: timedelta = ZERO
    disputed: bool = False
    exempt_peer: str = ""
    mixed: bool = False
    grace: timedelta = ZERO
    cured_at: datetime | None = None
    past: Past | None = None
    slowed_before: timedelta = ZERO
    began_in: int = 1
    ahead: list[Ahead] = field(default_factory=list)
    pending: list[Notice] = field(default_factory=list)
    told: bool = False
    told_now: bool = False
    told_of_blocking: bool = False
    delivered: datetime | None = None
    released: bool = False
    ends: datetime | None = None

    @property
    def running(self) -> bool:
        """Whether its clock runs now."""
        return bool(self.runs) and self.runs[-1][1] is None and not self.released and self.held_since is None

    @property
    def first_blocking(self) -> int | None:
        """The first stage that blocks, from 1."""
        return next((n for n, s in enumerate(self.stages, 1) if s.block_minutes_per_hour), None)

    def clock(self, law: datetime) -> timedelta:
        """How long it has run by the instant *law*."""
        return self.inherited + sum(
            (min(law, law if end is None else end) - begun for begun, end in self.runs if begun < law), ZERO
        )

    def instant_of(self, clock: timedelta) -> datetime:
        """When it will show *clock*, if it goes on running."""
        begun = self.runs[-1][0]
        return begun + (clock - self.clock(begun))

    def start(self, policy: Policy, law: datetime, past: Past | None = None) -> None:
        """
        Day 0: the stages and notices of the policy in force; what was told and delivered before counts no more.

        past: a relapse goes on with that clock, in the row of that day, but in the last that does not block at most.
        """
        self.stand(law)
        self.enforced, self.runs, self.stages = True, [(law, None)], policy.stages
        inherited = self._fitting(past) if past else ZERO
        if past and inherited:
            self.slowed_before = past.slowed
            self.inherited, self.grace = inherited, timedelta(hours=policy.notices.hours_before_blocking)
            mild = [
                n
                for n, s in enumerate(self.stages, 1)
                if not s.block_minutes_per_hour and s.from_day * DAY <= inherited
            ]
            self.entered = self.began_in = mild[-1]
        self.ahead = self._ladder(policy)

    def _fitting(self, past: Past) -> timedelta:
        """The clock, but as far behind the first stage that only slows as mail was only slowed: other stages take away no such day."""
        first = self._first_throttling()
        return past.clock if first is None else min(past.clock, self.stages[first - 1].from_day * DAY + past.slowed)

    def slowed(self, law: datetime) -> timedelta:
        """How much of its clock lies in stages that slow mail and block none, that of the case before included."""
        now, total = self.clock(law), self.slowed_before
        for number, stage in enumerate(self.stages, 1):
            if number < self.began_in or stage.block_minutes_per_hour or not stage.throttle_minutes_per_hour:
                continue
            begins = self.inherited if number == self.began_in else self.starts_at(number)
            ends = self.starts_at(number + 1) if number < len(self.stages) else None
            if begins is not None:
                total += max(ZERO, (now if ends is None else min(now, ends)) - begins)
        return total

    def stand(self, law: datetime) -> None:
        """Day 0, where it stands as long as it is only observed."""
        self.enforced, self.day0, self.inherited, self.grace = False, law, ZERO, ZERO
        self.runs, self.stages, self.ahead, self.pending, self.entered = [], (), [], [], 1
        self.granted, self.signed, self.waits, self.due_first, self.delivered = {}, {}, None, None, None
        self.instead, self.slowed_before, self.began_in = {}, ZERO, 1
        self.told_now = self.told_of_blocking = False
        self.held_since, self.not_before, self.lead = None, None, ZERO

    def stop(self, law: datetime) -> None:
        """It is held from now on."""
        begun = self.runs[-1][0]
        self.held_since, self.waits, self.lead = law, None, max(ZERO, begun - law)
        self.runs[-1:] = [] if begun >= law else [(begun, law)]

    def go_on(self, law: datetime) -> None:
        """The last reason to hold it is gone."""
        assert self.held_since is not None
        law = max(law, self.held_since)
        if self.due_first is not None:
            self.due_first = law  # it gave up its place
        self.runs.append((law + self.lead, None))
        self.held_since, self.not_before, self.lead = None, law, ZERO

    def starts_at(self, stage: int) -> timedelta | None:
        """Where the clock stands when *stage* begins; None: a blocking stage that waits."""
        first = self.first_blocking
        if first is None or stage < first:
            return self.stages[stage - 1].from_day * DAY
        return self.granted.get(stage)

    def next_to_grant(self) -> int | None:
        """The first blocking stage that waits for its grant."""
        first = self.first_blocking
        return (
            next((n for n in range(first or 1, len(self.stages) + 1) if n not in self.granted), None) if first else None
        )

    def day_of(self, stage: int) -> timedelta:
        """Where the clock stands on the day of a blocking stage that waits: its distance to the one before is the policy's."""
        day = self.stages[stage - 1].from_day * DAY
        if stage == self.first_blocking:
            return max(day, self.inherited + self.grace)
        return self.granted[stage - 1] + day - self.stages[stage - 2].from_day * DAY

    def grant_at(self, policy: Policy, *, protected: bool) -> datetime | None:
        """When the next blocking stage may begin at the earliest; None: something is missing that only people can give."""
        stage = self.next_to_grant()
        if stage is None:
            return None
        asked = [self.instant_of(self.day_of(stage))]
        signed = self.signed.get(stage)
        if protected and signed is None:
            return None
        if protected and signed is not None:
            asked.append(signed)
        if policy.notices.needed_for_blocking:
            told = self.delivered and self.delivered + timedelta(hours=policy.notices.hours_before_blocking)
            enough = [when for when in (told, None if protected else self.instead.get(stage)) if when]
            if not enough:
                return None
            asked.append(min(enough))
        return max(asked)

    def grant(self, law: datetime, *, protected: bool) -> None:
        """The next blocking stage begins then; the others after it at the policy's distances, but each by itself if protected."""
        stage = self.next_to_grant()
        assert stage is not None
        self.granted[stage] = self.clock(law)
        while not protected and stage < len(self.stages):
            stage += 1
            self.granted[stage] = self.day_of(stage)
        self.waits, self.due_first = None, None

    def _ladder(self, policy: Policy) -> list[Ahead]:
        """At opening, so long before the first throttling and blocking stage, and at each stage that comes."""
        told = [Ahead(self.inherited, "opening", self.entered)]
        for kind, days in (
            ("before-throttling", policy.notices.before_throttling_days),
            ("before-blocking", policy.notices.before_blocking_days),
        ):
            stage = self._first_throttling() if kind == "before-throttling" else self.first_blocking
            if stage is not None and stage > self.entered:
                day = self.day_of(stage) if kind == "before-blocking" else self.stages[stage - 1].from_day * DAY
                told.append(Ahead(max(self.inherited, day - days * DAY), kind, stage))
        return told

    def _first_throttling(self) -> int | None:
        return next(
            (n for n, s in enumerate(self.stages, 1) if s.throttle_minutes_per_hour and not s.block_minutes_per_hour),
            None,
        )
