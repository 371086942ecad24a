"""What the second law keeps, and its time: H, held, law time."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from shared.domain.evidence import Reading
from shared.domain.policy import Policy
from tests.second_law.case import Case, Notice, Past
from tests.second_law.words import DAY, HOUR, names_of

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
Told = tuple[object, ...]
"""What was written: its kind and what it is about, in words that can be compared."""


def midnight_after(day: date) -> datetime:
    """The end of a UTC day."""
    return datetime.combine(day, EPOCH.timetz()) + DAY


def hour_of(instant: datetime) -> int:
    """The UTC hour since 1970."""
    return (instant - EPOCH) // HOUR


@dataclass(slots=True, eq=False)
class Below:
    """The newest reading of a product below the floor on record: when seen, the law time it counts at, and what it showed."""

    seen: datetime
    law: datetime
    reading: Reading


@dataclass(slots=True, eq=False)
class Pause:
    """Whole UTC days, first and last; over: the last that it used, once it is over."""

    first: date
    last: date
    over: date | None = None


@dataclass(slots=True, eq=False)
class Server:
    """
    What is on record of one id. hours: those that count for opening, by product.

    past: of released cases the clock, when released (law), the floor, and how long mail was only slowed. cured: what was seen of a product up to then accuses nobody.
    """

    id: str
    connector: str
    tie: str
    last_seen: datetime
    reading: Reading
    ids: tuple[str, ...]
    hours: dict[str, set[int]] = field(default_factory=dict)
    below: dict[str, Below] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    past: dict[str, Past] = field(default_factory=dict)
    cured: dict[str, datetime] = field(default_factory=dict)
    struck: list[tuple[str, object, object]] = field(default_factory=list)
    news_hour: int = 0
    news: int = 0

    def case_of(self, product: str) -> Case | None:
        """The case about *product*, released ones included, until it ends."""
        return next((case for case in self.cases if case.product == product), None)

    def clears(self, product: str, seen: datetime) -> None:
        """What was seen of the product up to then accuses nobody."""
        self.cured[product] = max(seen, self.cured.get(product, seen))

    def strikes(self, reading: Reading) -> bool:
        """Whether an operator said that such a reading is none."""
        shown = (reading.product, reading.low, reading.high)
        return shown in self.struck or (reading.product, None, None) in self.struck


class SecondLaw:
    """Servers, policy, and how far the law has come. told: what was written since it was last emptied."""

    def __init__(self, policy: Policy, at: datetime) -> None:
        self.policy, self.at, self.h = policy, at, at
        self.held = timedelta()
        self.hold_since: datetime | None = None
        self.stood: datetime | None = None
        self.holds: set[str] = set()
        self.servers: dict[str, Server] = {}
        self.told: list[Told] = []
        self.requests: dict[str, datetime] = {}
        self.new_names: dict[date, int] = {}
        self.blocked_on: dict[date, int] = {}
        self.pauses: dict[str, list[Pause]] = {}
        self.moved: dict[tuple[str, int], str] = {}
        self.exempt: dict[tuple[str, str], datetime] = {}

    def gone_to(self, server: str, number: int) -> str:
        """The id under which a case is now that was one of *server*."""
        while (server, number) in self.moved:
            server = self.moved[server, number]
        return server

    def pause_of(self, account: str) -> "Pause | None":
        """The pause of an account that runs."""
        return next((pause for pause in self.pauses.get(account, []) if pause.over is None), None)

    # --- time ------------------------------------------------------------------------------------------------------

    @property
    def held_so_far(self) -> timedelta:
        """All time in which the law stood still, the hold that runs included."""
        return self.held + (self.h - self.hold_since if self.hold_since is not None else timedelta())

    @property
    def now(self) -> datetime:
        """Law time."""
        return self.h - self.held_so_far

    def law_of(self, seen: datetime) -> datetime:
        """The law time at which something seen then counts: now, or later by as much as H is behind it, unless the law stands still."""
        return self.now if self.hold_since is not None else self.now + max(timedelta(), seen - self.h)

    def hold(self, reason: str, *, on: bool) -> None:
        """A reason to stand still begins or ends."""
        if on is (reason in self.holds):
            return
        if on:
            self.holds.add(reason)
            self.hold_since = self.h if self.hold_since is None else self.hold_since
            self.told.append(("hold", reason))
            return
        held = self.held_so_far
        self.holds.remove(reason)
        if not self.holds:
            self.stood = self.now
            self.held, self.hold_since = held, None
        self.told.append(("hold over", reason, held))

    def reached(self, utc: datetime) -> datetime:
        """The law time at which H comes to *utc*; of an instant at which the law stood still, that at which it stood."""
        law = utc - self.held
        return law if self.stood is None else max(law, self.stood)

    def expires(self, server: Server, case: Case) -> datetime:
        """When it ends if its product is not seen below the floor again."""
        return server.below[case.product].law + self.policy.expire_days * DAY

    def protected(self, case: Case) -> bool:
        """Whether each blocking stage of it needs a signature."""
        host = case.server.partition("@")[0]
        names = names_of(self.policy, self.servers[case.server].connector)
        return any(
            any(name in one.connectors for name in names)
            or any(host == d or host.endswith("." + d) for d in one.domains)
            for one in self.policy.protected
        )

    def grant_at(self, case: Case) -> datetime | None:
        """When its next blocking stage may begin, its place in the queue apart."""
        grant = case.grant_at(self.policy, protected=self.protected(case))
        return max(grant, case.not_before) if grant and case.not_before else grant

    def tell(self, case: Case, kind: str, stage: int, due: datetime | None) -> None:
        """A notice is due."""
        case.pending.append(Notice(kind, due or self.at))
        case.told = case.told_now = True
        self.told.append(("notice", case.server, case.product, kind, stage, due))
