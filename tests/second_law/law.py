"""What follows from a sighting, and what falls due: each rule as the page has it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from shared.domain.evidence import Facts, Reading
from shared.domain.policy import Policy
from tests.second_law.case import Ahead, Case, Notice
from tests.second_law.words import DAY, HOUR, Who, floor_on, stands, who

NEWS_A_HOUR = 4
KNOWN_REPEATED_AFTER_DELIVERY = True
"""The log repeats the notice before blocking though one was delivered meanwhile, until blocking is granted."""

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
KNOWN_TIE_OF_BEFORE = True
"""The log starts and stops a clock by the tie that was on record before the sighting, so a better tie counts a sighting later."""
KNOWN_CURE_MOVES_NO_CLOCK = True
"""In the log a message that releases a case starts and stops no clock of the server's other products."""
KNOWN_PLACE_AT_ADOPTION = True
"""The place in the queue that a case is told at an adoption counts those that the same adoption let go."""
KNOWN_OTHER_IDS_LATER = True
"""In the log the exemption of a server or peer, and its end, reach cases under other ids at their next sighting or adoption only."""
KNOWN_OBSERVED_FORGET_PEER = True
"""A case that is observed already does not note the exempt peer that its server is seen from: enforced later, it begins at once."""
KNOWN_GRANT_DROPS_NOTICES = True
"""A grant at the instant of day 0 (a relapse, no hours asked before blocking) takes the opening notice away with it."""
KNOWN_SIBLINGS_SHARE_A_PLACE = True
"""Two cases of one server that fall due at one instant and must wait are told the same place in the queue, and the same day."""

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
    """The newest reading of a product below the floor on record: when seen, and the law time it counts at."""

    seen: datetime
    law: datetime


@dataclass(slots=True, eq=False)
class Pause:
    """Whole UTC days, first and last; over: the last that it used, once it is over."""

    first: date
    last: date
    over: date | None = None


@dataclass(slots=True, eq=False)
class Server:
    """What is on record of one id. hours: those that count for opening, by product."""

    id: str
    connector: str
    tie: str
    last_seen: datetime
    reading: Reading
    ids: tuple[str, ...]
    hours: dict[str, set[int]] = field(default_factory=dict)
    below: dict[str, Below] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    past: dict[str, tuple[timedelta, datetime]] = field(default_factory=dict)
    struck: list[tuple[str, object, object]] = field(default_factory=list)
    news_hour: int = 0
    news: int = 0

    def case_of(self, product: str) -> Case | None:
        """The case about *product*, released ones included, until it ends."""
        return next((case for case in self.cases if case.product == product), None)

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
        self.exempt: dict[tuple[str, str], datetime] = {}

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

    def passes(self, h: datetime, at: datetime, *, blind: bool) -> None:
        """H has come to *h*; what is due is written."""
        self.at = max(self.at, at)
        self.h = max(self.h, min(h, at))
        self.hold("blind", on=blind)
        self.fall_due()

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

    # --- what falls due --------------------------------------------------------------------------------------------

    def fall_due(self) -> None:
        """Everything up to law time, in order of instant and server; nothing while the law stands still."""
        while not self.holds:
            found = [(due + self.held, server.id) for server in self.servers.values() for due in self._next(server)]
            found += [(until, "") for until in self._reprieves()]
            found = [(due, name) for due, name in found if due <= self.h]
            if not found:
                return
            due, name = min(found)
            if name:
                self._happens(self.servers[name], due - self.held)
            else:
                self._reprieve_over(due)

    def reached(self, utc: datetime) -> datetime:
        """The law time at which H comes to *utc*; of an instant at which the law stood still, that at which it stood."""
        law = utc - self.held
        return law if self.stood is None else max(law, self.stood)

    def _reprieves(self) -> Iterator[datetime]:
        """When pauses and exemptions are over."""
        for account in self.pauses:
            pause = self.pause_of(account)
            if pause is not None:
                yield midnight_after(pause.last)
        yield from self.exempt.values()

    def _reprieve_over(self, due: datetime) -> None:
        """One pause or exemption is over."""
        at = self.reached(due)
        for account in sorted(self.pauses):
            pause = self.pause_of(account)
            if pause is not None and midnight_after(pause.last) == due:
                end_pause(self, account, pause.last, at, due)
                return
        kind, target = next(key for key, until in sorted(self.exempt.items()) if until == due)
        end_exemption(self, kind, target, at, due)

    def _next(self, server: Server) -> Iterator[datetime]:
        """The instants at which something of its cases is due."""
        for case in server.cases:
            yield from (due for due, _, _ in self._dues(server, case))

    def _dues(self, server: Server, case: Case) -> Iterator[tuple[datetime, int, str]]:
        """What a case has ahead: when, in which order at one instant, what."""
        if case.ends is not None:
            yield case.ends, 0, "ends"
        else:
            yield self.expires(server, case), 0, "expires"
        if case.running:
            yield from self._steps(case)
        for reason, until in case.holds.items():
            if until is not None:
                yield until, 4, f"hold {reason}"

    def expires(self, server: Server, case: Case) -> datetime:
        """When it ends if its product is not seen below the floor again."""
        return server.below[case.product].law + self.policy.expire_days * DAY

    def protected(self, case: Case) -> bool:
        """Whether each blocking stage of it needs a signature."""
        host, connector = case.server.partition("@")[0], self.servers[case.server].connector
        return any(
            connector in one.connectors or any(host == d or host.endswith("." + d) for d in one.domains)
            for one in self.policy.protected
        )

    def grant_at(self, case: Case) -> datetime | None:
        """When its next blocking stage may begin, its place in the queue apart."""
        grant = case.grant_at(self.policy, protected=self.protected(case))
        return max(grant, case.not_before) if grant and case.not_before else grant

    def _steps(self, case: Case) -> Iterator[tuple[datetime, int, str]]:
        grant = self.grant_at(case)
        if grant is not None:
            yield max(grant, case.waits[1]) if case.waits else grant, 1, "granted"
        if case.entered < len(case.stages):
            clock = case.starts_at(case.entered + 1)
            if clock is not None:
                yield case.instant_of(clock), 2, "stage"
        for ahead in case.ahead:
            yield case.instant_of(ahead.clock), 3, "notice"

    def _happens(self, server: Server, due: datetime) -> None:
        """The first of what is due of this server at this instant."""
        found = [(order, what, case) for case in server.cases for at, order, what in self._dues(server, case) if at == due]
        _, what, case = min(found, key=lambda one: one[0])
        utc = due + self.held_so_far
        if what in ("ends", "expires"):
            server.cases.remove(case)
            if case.past is not None and what == "ends":
                server.past[case.product] = case.past
            self.told.append(("ended", server.id, case.product, what == "expires", "", utc))
        elif what == "granted":
            blocks(self, case, due, utc)
        elif what == "stage":
            case.entered += 1
            case.ahead.append(Ahead(case.clock(due), "stage", case.entered))
            self.told.append(("stage", server.id, case.product, case.entered, utc))
        elif what.startswith("hold "):
            goes_on(self, case, what.removeprefix("hold "), due, utc)
        else:
            self._notice(case, due)

    def _notice(self, case: Case, due: datetime) -> None:
        """The first notice that is due now; the one before blocking comes again while none was delivered."""
        ahead = min((a for a in case.ahead if case.instant_of(a.clock) == due), key=lambda a: a.kind != "opening")
        case.ahead.remove(ahead)
        asked = self.policy.notices
        if ahead.kind == "before-blocking" and case.told_of_blocking and self._settled_before(case):
            return
        if ahead.kind == "before-blocking" and asked.needed_for_blocking and case.delivered is None:
            case.ahead.append(Ahead(ahead.clock + asked.repeat_days * DAY, "before-blocking", ahead.stage))
        case.told_of_blocking |= ahead.kind == "before-blocking"
        self.tell(case, ahead.kind, ahead.stage, due + self.held_so_far)

    def _settled_before(self, case: Case) -> bool:
        """No notice before blocking comes again once one was delivered, or blocking is granted."""
        return bool(case.granted) or (case.delivered is not None and not KNOWN_REPEATED_AFTER_DELIVERY)

    def tell(self, case: Case, kind: str, stage: int, due: datetime | None) -> None:
        """A notice is due."""
        case.pending.append(Notice(kind))
        case.told = case.told_now = True
        self.told.append(("notice", case.server, case.product, kind, stage, due))

    # --- sightings -------------------------------------------------------------------------------------------------

    def sees(self, facts: Facts, reading: Reading | None, at: datetime) -> None:
        """A message, as the detector read it."""
        self.at = max(self.at, at)
        self.fall_due()
        whose = who(facts, self.policy)
        if reading is None or facts.client_resolve == "tempfail" or not whose.ids:
            return
        Sighting(self, facts, reading, whose).decide()


class Sighting:
    """One message that speaks for somebody and shows a product."""

    def __init__(self, law: SecondLaw, facts: Facts, reading: Reading, whose: Who) -> None:
        self.law, self.reading, self.whose = law, reading, whose
        self.imported, self.peer = facts.imported, facts.peer
        self.tie_before = law.servers[whose.ids[0]].tie if whose.ids[0] in law.servers else whose.tie
        self.seen = min(facts.seen_at, law.at)
        self.floor = floor_on(law.policy, reading.product, self.seen.date())
        self.stands = stands(self.floor, reading)
        self.server = law.servers.get(whose.ids[0])
        self.late = self.server is not None and self.seen < self.server.last_seen
        tie_opens = whose.tie in law.policy.open_ties
        newest = self.server.reading if self.server else reading
        before_patch = self.late and stands(self.floor, newest) == "at or above"
        struck = any(server.strikes(reading) for server in self._known())
        self.accuses = self.stands == "below" and tie_opens and not (self.imported or before_patch or struck)

    def decide(self) -> None:
        """Record it if it is news, then what follows."""
        curable = [server for server in self._known() if self._may_cure(server)]
        cured = [case for server in curable for case in server.cases if self._cures(server, case)]
        dropped = [s for s in curable if self.stands == "at or above" and s.hours.get(self.reading.product)]
        hour, mixed = self._hour(), self._mixes()
        if not self._is_news(hour) and mixed is None and not cured and not dropped:
            return
        if not cured and not dropped and not self._has_place():
            return
        self._record(hour)
        for server in dropped:
            server.hours.pop(self.reading.product)
            self.law.told.append(("dropped", server.id, self.reading.product))
        for case in cured:
            self._release(case)
        if mixed is not None:
            self._mix(mixed)
        if not self.imported and not (cured and KNOWN_CURE_MOVES_NO_CLOCK):
            self._clocks(cured)
        self._open()

    def _known(self) -> list[Server]:
        return [self.law.servers[name] for name in self.whose.ids if name in self.law.servers]

    def _may_cure(self, server: Server) -> bool:
        """Imported evidence only if it was seen after the newest reading below the floor of that product."""
        below = server.below.get(self.reading.product)
        return not self.imported or below is None or below.seen < self.seen

    def _cures(self, server: Server, case: Case) -> bool:
        """At or above the floor of the case; of a mixed one only if the other machine was not seen for a day."""
        seen_lately = case.mixed and self.law.now - server.below[case.product].law < DAY
        return not case.released and not seen_lately and stands(case.floor, self.reading) == "at or above"

    def _mixes(self) -> Case | None:
        """The released case that it opens again: below its floor, seen after the cure, and enforced now as it was then."""
        case = self.server.case_of(self.reading.product) if self.server else None
        if case is None or not case.released or case.past is None or case.cured_at is None or not self.accuses:
            return None
        below = stands(case.floor, self.reading) == "below" and self.seen > case.cured_at
        return case if below and self.enforced(case.product, self.whose.tie) else None

    def _mix(self, case: Case) -> None:
        """Open again with the clock of its release, and held, but only the first time."""
        law = self.law
        assert case.past is not None
        held_before, case.released, case.ends = case.mixed, False, None
        case.start(law.policy, law.now, case.past[0])
        case.mixed, case.past = True, None
        law.told.append(("mixed", case.server, case.product))
        if not held_before:
            holds(law, case, "mixed", law.now + law.policy.relapses.mixed_days * DAY)
        pauses(law, case)

    def _hour(self) -> int | None:
        """The hour that it adds for opening, if it does."""
        if not self.accuses or (self.server is not None and self.server.case_of(self.reading.product)):
            return None
        hour = hour_of(self.seen)
        if hour < self._oldest_hour() or (self.server and hour in self.server.hours.get(self.reading.product, ())):
            return None
        return hour

    def _oldest_hour(self) -> int:
        return hour_of(self.law.at - self.law.policy.expire_days * DAY)

    def _is_news(self, hour: int | None) -> bool:
        server = self.server
        if server is None or hour is not None:
            return True
        old = server.reading
        if not self.late and (old.product, old.low, old.high) != (self.reading.product, self.reading.low, self.reading.high):
            return True
        if not self.late and (server.tie, server.connector) != self.whose[:2]:
            return True
        below = server.below.get(self.reading.product)
        return self.accuses and (below is None or below.seen.date() < self.seen.date())

    def _has_place(self) -> bool:
        """So many new names a day outside connectors, so much news of a server in an hour."""
        law = self.law
        if self.server is None:
            taken = law.new_names.get(law.at.date(), 0)
            return self.whose.tie == "connector" or taken < law.policy.new_names_per_day
        return self.server.news_hour != hour_of(law.at) or self.server.news < NEWS_A_HOUR

    def _record(self, hour: int | None) -> None:
        law, seen, product = self.law, self.seen, self.reading.product
        server = self.server
        if server is None:
            server = self.server = Server(
                self.whose.ids[0], self.whose.connector, self.whose.tie, seen, self.reading, self.whose.ids
            )
            law.servers[server.id] = server
            if self.whose.tie != "connector":
                law.new_names[law.at.date()] = law.new_names.get(law.at.date(), 0) + 1
        if not self.late:
            server.connector, server.tie = self.whose.connector, self.whose.tie
            server.last_seen, server.reading, server.ids = seen, self.reading, self.whose.ids
        now = hour_of(law.at)
        server.news = server.news + 1 if server.news_hour == now else 1
        server.news_hour = now
        for of_product in server.hours:
            server.hours[of_product] = {h for h in server.hours[of_product] if h >= self._oldest_hour()}
        if hour is not None:
            server.hours.setdefault(product, set()).add(hour)
        below = server.below.get(product)
        if self.accuses and (below is None or below.seen <= seen):
            server.below[product] = Below(seen, law.law_of(seen))
        law.told.append(("sighted", server.id, self.accuses))

    def _release(self, case: Case) -> None:
        law = self.law
        case.released, case.waits = True, None
        case.holds.clear()
        case.past = (case.clock(law.now), law.now) if case.enforced else None
        case.cured_at = self.seen
        case.ends = law.now + timedelta(hours=law.policy.release_hours)
        law.told.append(("released", case.server, case.product, self.whose.ids[0]))
        if case.told and case.enforced:  # in observe no notice is due
            law.tell(case, "release", 0, None)

    def enforced(self, product: str, tie: str) -> bool:
        """Whether the policy in force enforces what such a case rests on, and nobody exempted it."""
        named = enforces(self.law, product, self.whose.connector, tie)
        return named and not exempt(self.law, self.whose.ids, self.whose.connector, self.peer)

    def _clocks(self, cured: list[Case]) -> None:
        """Cases follow the connector in which their server is seen; all ids of one that is only observed stand at day 0."""
        for server in self._known():
            for case in server.cases:
                if case.released or case in cured:
                    continue
                wanted = self.enforced(case.product, self.tie_before if KNOWN_TIE_OF_BEFORE else self.whose.tie)
                if case.enforced or not KNOWN_OBSERVED_FORGET_PEER:
                    self._note_peer(server, case)
                if wanted and not case.enforced and server is self.server:
                    start(self.law, case, self.law.now)
                elif not wanted and case.enforced:
                    stop(self.law, case, self.law.now)

    def _note_peer(self, server: Server, case: Case) -> None:
        """A case remembers the exempt peer for which it stands, for nobody knows otherwise from where its server is seen."""
        if ("peer", self.peer) in self.law.exempt:
            case.exempt_peer = self.peer
        elif server is self.server:
            case.exempt_peer = ""

    def _open(self) -> None:
        server, law, product = self.server, self.law, self.reading.product
        if server is None or not self.accuses or self.floor is None or server.case_of(product) is not None:
            return
        if len(server.hours.get(product, ())) < law.policy.opening_hours:
            return
        day0 = law.law_of(self.seen)
        case = Case(server.id, product, self.floor, law.at, day0)
        server.cases.append(case)
        server.hours.pop(product)
        server.below[product].law = max(server.below[product].law, day0)  # not seen for so long: from the opening on
        enforced = self.enforced(product, self.whose.tie)
        self._note_peer(server, case)
        past = server.past.pop(product, None)
        relapse = past is not None and day0 - past[1] <= law.policy.relapses.days * DAY and law.policy.relapses.days
        if enforced:
            case.start(law.policy, day0, past[0] if past and relapse else None)
        else:
            case.stand(day0)
        law.told.append(("opened", server.id, product, case.enforced))
        pauses(law, case, day0)


def exempt(law: SecondLaw, ids: tuple[str, ...], connector: str, peer: str) -> bool:
    """Whether an act exempts one of the ids, the connector, or the peer."""
    return any(key in law.exempt for key in (("connector", connector), ("peer", peer), *(("server", one) for one in ids)))


def enforces(law: SecondLaw, product: str, connector: str, tie: str) -> bool:
    """Its connector is enforced, its tie opens, and its product has a floor today."""
    policy = law.policy
    by_connector = any(c.name == connector and c.mode == "enforce" for c in policy.connectors)
    has_floor = floor_on(policy, product, law.at.date()) is not None
    return policy.mode == "enforce" and by_connector and tie in policy.open_ties and has_floor


def clocks(law: SecondLaw, at: datetime | None = None, of: Callable[[Server], bool] = lambda _: True, due: datetime | None = None) -> None:
    """Every case starts or stands, as the policy and the exemptions in force say; a pause holds for whose account it is now."""
    for server in sorted(law.servers.values(), key=lambda one: one.id):
        for case in server.cases if of(server) else ():
            wanted = enforces(law, case.product, server.connector, server.tie)
            wanted = wanted and not exempt(law, server.ids, server.connector, case.exempt_peer)
            if wanted is not case.enforced and not case.released:
                (start if wanted else stop)(law, case, at or law.now)
            follows_account(law, server, case, at or law.now, due)


def follows_account(law: SecondLaw, server: Server, case: Case, at: datetime, due: datetime | None) -> None:
    """It is held as long as the account is paused that it has now."""
    paused = law.pause_of(account_of(law, server)) is not None
    if "pause" in case.holds and not paused:
        goes_on(law, case, "pause", at, due)
    elif not case.released:
        pauses(law, case, at)


def start(law: SecondLaw, case: Case, at: datetime) -> None:
    """From observe to enforce; held at once while there is a reason."""
    case.start(law.policy, at)
    case.exempt_peer = ""
    law.told.append(("started", case.server, case.product))
    before, case.holds = case.holds, {}
    for reason, until in before.items():
        holds(law, case, reason, until, at)
    pauses(law, case, at)


def stop(law: SecondLaw, case: Case, at: datetime) -> None:
    """From enforce to observe."""
    case.stand(at)
    case.holds.pop("pause", None)  # an observed case is not paused; enforced again, it is held anew
    case.holds.pop("mixed", None)  # and one that begins at day 0 has nothing to run on with
    law.told.append(("stopped", case.server, case.product))


def account_of(law: SecondLaw, server: Server) -> str:
    """Whose days a pause of it uses: the owner's of its connector, but everybody's own on the internet."""
    owners = [c.owner for c in law.policy.connectors if c.name == server.connector and c.kind != "internet"]
    return owners[0] if owners else server.id


def pauses(law: SecondLaw, case: Case, at: datetime | None = None) -> None:
    """A case that is enforced while its account is paused is held."""
    pause = law.pause_of(account_of(law, law.servers[case.server]))
    if pause is not None and case.enforced and "pause" not in case.holds:
        holds(law, case, "pause", None, at)


def holds(law: SecondLaw, case: Case, reason: str, until: datetime | None, at: datetime | None = None) -> None:
    """Its clock stands, its mail passes."""
    if case.enforced and not case.holds:
        case.stop(at or law.now)
    case.holds[reason] = until
    law.told.append(("held", case.server, case.product, reason, until))


def goes_on(law: SecondLaw, case: Case, reason: str, at: datetime, due: datetime | None) -> None:
    """A reason is gone; it goes on when that was the last."""
    del case.holds[reason]
    if case.enforced and not case.holds:
        case.go_on(at)
    law.told.append(("went on", case.server, case.product, reason, case.enforced and not case.holds, due))


def cap(law: SecondLaw) -> int:
    """How many cases may get their first blocking row on a UTC day."""
    caps = law.policy.caps
    if caps is None:
        return 1_000_000
    open_cases = [c for server in law.servers.values() for c in server.cases if c.enforced and not c.released]
    return max(caps.newly_blocked_per_day, len(open_cases) * caps.newly_blocked_percent_of_open_cases // 100)


class Queue(NamedTuple):
    """At an adoption: the room of a day, and how many of it were granted with it."""

    room: int
    granted: int


def place_of(law: SecondLaw, case: Case, first: datetime) -> tuple[datetime, str, int]:
    """The order of the queue: since when it waits, then as ever by server, and of one server by age."""
    return first, case.server, law.servers[case.server].cases.index(case)


def blocks(law: SecondLaw, case: Case, due: datetime, utc: datetime | None, asked: "Queue | None" = None) -> bool:
    """The next blocking stage begins, if it is not the first or the day has room; else it waits."""
    if case.next_to_grant() == case.first_blocking:
        first = case.due_first or law.grant_at(case) or due
        queue = [c for server in law.servers.values() for c in server.cases if c.waits and c is not case]
        mine = place_of(law, case, first)
        if KNOWN_SIBLINGS_SHARE_A_PLACE:
            queue = [c for c in queue if c.server != case.server or c.asked_at != due]
        before = sum(place_of(law, c, c.waits[0]) < mine for c in queue if c.waits)
        today, room = law.at.date(), asked.room if asked else cap(law)
        left = max(0, room - law.blocked_on.get(today, 0))
        if before >= left:
            day = today + ((before - left) // room + 1) * DAY
            until = datetime.combine(day, EPOCH.timetz()) - law.held_so_far
            case.waits, case.due_first, case.asked_at = (first, until), first, due
            law.told.append(("waits", case.server, case.product, first, until, before + 1 + (asked.granted if asked else 0), utc))
            return False
        law.blocked_on[today] = law.blocked_on.get(today, 0) + 1
    case.grant(due, protected=law.protected(case))
    if KNOWN_GRANT_DROPS_NOTICES:
        case.ahead.clear()
    law.told.append(("granted", case.server, case.product, due, utc))
    return True


def end_pause(law: SecondLaw, account: str, used_to: date, at: datetime, due: datetime | None) -> None:
    """Cases go on; days after the last that it used come back."""
    pause = law.pause_of(account)
    assert pause is not None
    pause.over = used_to
    law.told.append(("pause over", account, used_to, due))
    clocks(law, at, lambda server: account_of(law, server) == account, due)


def end_exemption(law: SecondLaw, kind: str, target: str, at: datetime, due: datetime | None) -> None:
    """What it exempted begins at day 0."""
    del law.exempt[kind, target]
    law.told.append(("exempt over", kind, target, due))
    clocks(law, at, of=exempted_by(kind, target))


def exempted_by(kind: str, target: str) -> Callable[[Server], bool]:
    """Whose cases an exemption and its end reach at once."""
    if kind == "connector":
        return lambda server: server.connector == target
    if not KNOWN_OTHER_IDS_LATER:
        return lambda _: True
    return lambda server: kind == "server" and server.id == target
