"""
The second law: what the policy allows at each turn, worked out from the enforcer's inputs by the words of the docs.

Slow and plain on purpose, and nothing of `decide`, `schedule`, `evolve` or `fold` is used: instants are whole seconds
since `START`, holds are intervals on the axis of H, servers and cases are ordinary objects that change.
Source: design rules 4 to 8, 10, 12 and its Words; `docs/architecture/law.md`.
"""

from collections.abc import Sequence
from datetime import datetime

from shared.domain.evidence import Facts, Reading
from shared.domain.policy import Policy
from shared.domain.records import AdoptPolicy, Mark, SetFreeze, Sighting
from tests.model import words as w
from tests.model.ruling import Accusation, Case, Held, Left, Ruling, Server
from tests.model.words import DAY, HOUR, Builds
from tests.support.scenario import START

BLIND_AFTER = HOUR
NEWS_AN_HOUR = 4
BEFORE_ALL = 1 << 40


CaseKey = tuple[str, Case, int]


class Truth:
    """Told every input of the enforcer, in the order and at the instant in which it was taken."""

    def __init__(self, policy: Policy, at: int) -> None:
        self.policy = policy
        self.at = self.h = at
        self.marks: dict[int, int] = {}
        self.said: list[tuple[int, int]] = []  # when, how many partitions
        self.servers: dict[str, Server] = {}
        self.reasons: set[str] = set()
        self.held_since: int | None = None
        self.holds: list[tuple[int, int]] = []
        self.request_ids: dict[str, int] = {}
        self._cases: dict[str, tuple[Accusation, ...]] | None = None

    # -- time -------------------------------------------------------------------------------------------------------

    @property
    def law_now(self) -> int:
        """H less all that was held, the running hold included."""
        running = [] if self.held_since is None else [(self.held_since, self.h)]
        return self.h - sum(end - begin for begin, end in self.holds + running)

    def note(self, mark: Mark, now: int) -> None:
        """
        H is the least over all partitions of the newest mark of any edge, never above *now* (the clock), never back.

        Partitions are as many as any mark said, until for an hour all have said less.
        """
        at = min(seconds(mark.at), now)
        self.said = [*self.said, (now, mark.of)]
        partitions = max(of for _, of in self.said)
        most_said = max(number for number, (_, of) in enumerate(self.said) if of == partitions)
        less = self.said[most_said + 1 :]
        if less and now - less[0][0] > HOUR:
            self.said = [(now, max(of for _, of in less))]
            partitions = self.said[0][1]
        self.said = [(now, partitions)] if self.said[-1][1] == partitions else self.said[most_said:]
        self.marks[mark.partition] = max(at, self.marks.get(mark.partition, at))
        self.marks = {number: known for number, known in self.marks.items() if number < partitions}
        if len(self.marks) == partitions:
            self.h = max(self.h, min(*self.marks.values(), now))

    def tick(self, at: int) -> None:
        """Hold or not, and what is due by now."""
        self.at = max(self.at, at)
        self._hold("blind", wanted=at - self.h > BLIND_AFTER)
        if self.held_since is None:
            for name in sorted(self.servers):
                self._fall_due(self.servers[name])

    def _hold(self, reason: str, *, wanted: bool) -> None:
        if wanted and reason not in self.reasons:
            self.reasons.add(reason)
            self.held_since = self.h if self.held_since is None else self.held_since
        elif not wanted and reason in self.reasons and self.held_since is not None:
            self.reasons.discard(reason)
            self.holds.append((self.held_since, self.h))
            self.held_since = self.h if self.reasons else None

    def _fall_due(self, server: Server) -> None:
        while True:
            due = [(instant, order, case) for case in server.cases for instant, order in self._dues(server, case)]
            due = [one for one in due if one[0] <= self.law_now]
            if not due:
                return
            instant, order, case = min(due, key=lambda one: one[:2])
            self._cases = None
            if order == 1:
                case.rows, case.waiting = case.rows + w.moved_to(case.waiting, instant), []
            elif order == 2:
                self._go_on(case, instant)
            else:
                server.cases.remove(case)
                if case.ends is not None and case.left is not None:
                    server.left[case.product] = case.left

    def _dues(self, server: Server, case: Case) -> list[tuple[int, int]]:
        """(law time, 0: it ends, 1: blocking is granted, 2: it is held no more)."""
        if case.ends is not None:
            return [(case.ends, 0)]
        granted = self._granted(case)
        return [(server.below[case.product][1] + self.policy.expire_days * DAY, 0)] + (
            [(granted, 1)] if granted is not None else [(case.held.until, 2)] if case.held else []
        )

    def _go_on(self, case: Case, now: int) -> None:
        """All comes later by as long as it was held, and what waits for its grant not before now."""
        if case.held is not None:
            later = now - case.held.since
            case.rows = [row._replace(since=row.since + later) for row in case.held.rows]
            first = max([row.since for row in case.held.waiting[:1]], default=0) + later
            case.waiting = w.moved_to(case.held.waiting, max(first, now)) if case.held.waiting else []
            case.held = None

    def _granted(self, case: Case) -> int | None:
        """When blocking may begin: on its day, and if notices are needed not before a delivered one is old enough."""
        notices = self.policy.notices
        if not case.waiting or not case.enforced or (notices.needed_for_blocking and case.delivered is None):
            return None
        day = case.waiting[0].since
        return (
            max(day, (case.delivered or 0) + notices.hours_before_blocking * HOUR)
            if notices.needed_for_blocking
            else day
        )

    # -- sightings --------------------------------------------------------------------------------------------------

    def see(self, sighting: Sighting) -> None:
        """A message, as the detector read it."""
        facts, reading, at = sighting.facts, sighting.reading, self.at
        connector, ids = w.ids_of(facts, self.policy)
        if reading is None or facts.client_resolve == "tempfail" or not ids:
            return
        seen = min(seconds(facts.seen_at), at)
        floor = w.floor_on(self.policy, reading.product, w.utc_day(seen))
        (tie, name), known, met = ids[0], self.servers.get(ids[0][1]), w.is_met(reading, floor)
        below = w.is_below(reading, floor) and tie in self.policy.open_ties and not facts.imported
        of_now = not facts.imported and all(seen >= self.servers[one].seen for _, one in ids if one in self.servers)
        cured_before = self._cured_before(known, name, facts, reading, floor)
        below = below and seen > cured_before
        lifts = [name for _, name in ids if not facts.imported or seen > self._newest_below(name, reading.product)]
        cured, dropped = self._cured(lifts, reading), self._dropped(lifts, reading.product) if met else []
        clears = [self.servers[one] for one in lifts if one in self.servers] if met else []
        news = any(one.is_first_cure(reading.product, seen) for one in clears)
        full = known is not None and known.news_hour == w.utc_hour(at) and known.news >= NEWS_AN_HOUR
        if full and not cured and not dropped:
            return
        mixed = self._mixed(known, reading, connector, tie, seen) if below else None
        elsewhere = self._to_move(known, ids, reading) if below else None
        moves = elsewhere if of_now else None
        counts = below and (moves is not None or elsewhere is None)
        hours, counted = self._hours(known, reading, seen, below=counts, met=met and name in lifts)
        news = news or (of_now and known is not None and _narrows(known, reading.product, floor))
        if not (
            cured
            or dropped
            or news
            or counted
            or mixed
            or moves
            or _is_news(known, reading, tie, connector, seen, below=below)
        ):
            return
        if of_now:
            self._follow(ids, connector, reading if below else None, but=cured)
        lifted = [server for server in self.servers.values() if any(case in server.cases for case in cured)]
        lifted += dropped + [one for one in clears if one.is_first_cure(reading.product, seen)]
        anew = below and known is not None and known.is_first_since_a_cure(reading.product)
        lifts_own = (met or bool(cured)) and name in lifts
        server = self._record(name, Server(connector, tie, seen, reading, tuple(one for _, one in ids)), below=below)
        server.hours = hours
        for other in [*lifted, *([server] if anew or lifts_own else [])]:
            other.clear(reading.product, seen)
        if known is None and cured_before > -BEFORE_ALL and not lifts_own:
            server.clear(reading.product, cured_before)
        self._lift(cured, dropped, reading.product, seen)
        if mixed is not None and mixed.left is not None:
            self._open_again(mixed, mixed.left if self.policy.relapses.days else None)
        if moves is not None:
            self._move(server, moves, connector, tie, reading)
        elif counts and floor is not None:
            self._open(server, reading, floor, connector, tie, self._counts_at(seen))
        self._cases = None

    def _lift(self, cured: list[Case], dropped: list[Server], product: str, seen: int) -> None:
        """All that these cases have is over, and they end a day later; the hours of these servers count no more."""
        for server in dropped:
            server.hours = [hour for hour in server.hours if hour[1] != product]
        for case in cured:
            now = self.law_now
            left = Left(case.floor, case.stood_at(now), case.slowed_at(now), now, seen)
            case.left = left if case.enforced else None
            case.ends, case.waiting = self.law_now + self.policy.release_hours * HOUR, []
            case.held, case.held_until = None, 0

    def _cured_before(
        self, known: Server | None, name: str, facts: Facts, reading: Reading, floor: Builds | None
    ) -> int:
        """When it was seen patched; of a new id, when a better one was that matched it, too."""
        product = reading.product
        if known is not None:
            patched = known.reading.product == product and w.is_met(known.reading, floor)
            return known.cured.get(product, known.seen - 1 if patched else -BEFORE_ALL)
        better = [facts.name, *(f"{facts.name}@{one.name}" for one in self.policy.connectors)]
        found = [self.servers[one] for one in better if one in self.servers and name in self.servers[one].matches]
        return max((one.cured.get(product, -BEFORE_ALL) for one in found), default=-BEFORE_ALL)

    def _newest_below(self, name: str, product: str) -> int:
        """When the newest reading below the floor was seen: what is imported lifts only what it comes after."""
        below = self.servers[name].below.get(product) if name in self.servers else None
        return below[0] if below else -BEFORE_ALL

    def _cured(self, ids: list[str], reading: Reading) -> list[Case]:
        """A cure counts for every id that the message matches: the cases whose own floor it meets."""
        known = [self.servers[name] for name in ids if name in self.servers]
        cases = [(server, server.case_of(reading.product)) for server in known]
        return [
            case
            for server, case in cases
            if case
            and case.ends is None
            and w.is_met(reading, case.floor)
            # One that is mixed only if the other machine was not seen for a day.
            and not (case.mixed and self._is_still_seen(*server.below[case.product][:2]))
        ]

    def _is_still_seen(self, seen: int, counts_at: int) -> bool:
        return self.law_now - counts_at < DAY and self.h - seen < DAY

    def _mixed(self, known: Server | None, reading: Reading, connector: str, tie: str, seen: int) -> Case | None:
        """The released case, enforced, that this reading below its floor opens again: it was seen after the cure."""
        case = known.case_of(reading.product) if known else None
        if known is None or case is None or case.left is None or seen <= case.left.cured:
            return None
        day = w.utc_day(self.at)
        refuses = w.may_refuse(
            self.policy, connector=connector, tie=tie, product=case.product, day=day, accused=reading
        )
        return case if refuses and w.is_below(reading, case.floor) else None

    def _to_move(self, known: Server | None, ids: list[tuple[str, str]], reading: Reading) -> Case | None:
        """The open case of another id of the message, which it is below the floor of; where the best id has none."""
        if known is not None and known.case_of(reading.product) is not None:
            return None
        cases = [self.servers[name].case_of(reading.product) for _, name in ids[1:] if name in self.servers]
        return next((case for case in cases if case and case.ends is None and w.is_below(reading, case.floor)), None)

    def _move(self, home: Server, case: Case, connector: str, tie: str, reading: Reading) -> None:
        """With all that it has; its mode is that of the best id's connector."""
        for server in self.servers.values():
            server.cases = [one for one in server.cases if one is not case]
        home.cases.append(case)
        home.hours = [hour for hour in home.hours if hour[1] != case.product]
        home.left.pop(case.product, None)
        self._set_clocks(home, connector, tie, reading)

    def _open_again(self, case: Case, left: Left | None) -> None:
        """As it was released; the first time it is held for some days."""
        now = self.law_now
        self._plan(case, now, enforced=True, left=left)
        case.ends = case.left = None
        if not case.mixed:
            case.held_until = now + self.policy.relapses.mixed_days * DAY
            self._held(case, now)
        case.mixed = True

    def _held(self, case: Case, now: int) -> None:
        case.held = Held(now, case.held_until, case.rows, case.waiting)
        case.rows, case.waiting = [w.Span(now, 0, 0)], []

    def _dropped(self, ids: list[str], product: str) -> list[Server]:
        servers = [self.servers[name] for name in ids if name in self.servers]
        return [server for server in servers if any(hour[1] == product for hour in server.hours)]

    def _hours(
        self, known: Server | None, reading: Reading, seen: int, *, below: bool, met: bool
    ) -> tuple[list[tuple[int, str]], bool]:
        """The hours that count for opening, and whether this one does."""
        oldest = w.utc_hour(self.at) - self.policy.expire_days * 24
        this = (w.utc_hour(seen), reading.product)
        kept = [hour for hour in (known.hours if known else []) if hour[0] >= oldest]
        kept = [hour for hour in kept if not (met and hour[1] == reading.product)]
        has_case = known is not None and known.case_of(reading.product) is not None
        if not below or this in kept or this[0] < oldest or has_case:
            return kept, False
        return [*kept, this], True

    def _record(self, name: str, sighted: Server, *, below: bool) -> Server:
        server = self.servers.setdefault(name, sighted)
        if sighted.seen >= server.seen:
            server.connector, server.tie = sighted.connector, sighted.tie
            server.seen, server.reading, server.matches = sighted.seen, sighted.reading, sighted.matches
        hour = w.utc_hour(self.at)
        server.news, server.news_hour = (server.news + 1 if server.news_hour == hour else 1), hour
        if below:
            product, counts_at = sighted.reading.product, self._counts_at(sighted.seen)
            known = server.below.get(product)
            if known is not None and sighted.seen < known[0]:
                server.below[product] = (known[0], max(known[1], counts_at), known[2])
            else:
                server.below[product] = (sighted.seen, counts_at, sighted.reading)
        return server

    def _counts_at(self, seen: int) -> int:
        """The law time at which a sighting counts: now, or later by as much as it was seen behind H; in a hold, now."""
        return self.law_now + (max(0, seen - self.h) if self.held_since is None else 0)

    def _open(self, server: Server, reading: Reading, floor: Builds, connector: str, tie: str, day0: int) -> None:
        product = reading.product
        if len([hour for hour in server.hours if hour[1] == product]) < self.policy.opening_hours:
            return
        server.hours = [hour for hour in server.hours if hour[1] != product]
        case = Case(product, floor, enforced=False, rows=[], waiting=[])
        day, left = w.utc_day(self.at), server.left.pop(product, None)
        enforced = w.may_refuse(self.policy, connector=connector, tie=tie, product=product, day=day, accused=reading)
        soon = left is not None and self.law_now - left.released <= self.policy.relapses.days * DAY
        again = left is not None and w.is_below(reading, left.floor)  # who met that floor owes nothing to a higher one
        self._plan(case, day0, enforced=enforced, left=left if soon and again and enforced else None)
        server.cases.append(case)

    def _plan(self, case: Case, day0: int, *, enforced: bool, left: Left | None = None) -> None:
        """From *day0* on, as one that had stood as *left* says, but by no stage that was not its own; in observe it stands there."""
        stood = min(left.stood, w.slows_from(self.policy) + left.slowed) if left else 0
        case.held, case.stood, case.slowed = None, stood, left.slowed if left and stood else 0
        spans = w.spans_from(self.policy, day0)
        if stood:
            spans = w.spans_again(self.policy, day0, stood)
        case.enforced, case.delivered, case.clock = enforced, None, case.clock + 1
        case.rows = [span for span in spans if not span.block] if enforced else spans[:1]
        case.waiting = [span for span in spans if span.block] if enforced else []
        self._cases = None

    def _follow(self, ids: list[tuple[str, str]], connector: str, accuses: Reading | None, *, but: list[Case]) -> None:
        """Cases follow the connector in which their server is seen; where that only observes, those of all its ids; not *but*."""
        for number, (tie, name) in enumerate(ids):
            if name in self.servers and (number == 0 or not w.enforces(self.policy, connector)):
                self._set_clocks(self.servers[name], connector, tie, accuses, but=but)

    def _set_clocks(
        self, server: Server, connector: str, tie: str, accuses: Reading | None = None, *, but: Sequence[Case] = ()
    ) -> None:
        for case in [one for one in server.cases if one not in but]:
            accused = accuses if accuses and accuses.product == case.product else server.below[case.product][2]
            wanted = w.may_refuse(
                self.policy, connector=connector, tie=tie, product=case.product, day=w.utc_day(self.at), accused=accused
            )
            if case.ends is None and case.enforced != wanted:
                self._plan(case, self.law_now, enforced=wanted)
                if wanted and case.held_until > self.law_now:
                    self._held(case, self.law_now)

    # -- requests ---------------------------------------------------------------------------------------------------

    def _refused(self, request: AdoptPolicy | SetFreeze) -> bool:
        """Told twice, or made over 24 hours ago."""
        if request.id in self.request_ids:
            return True
        self.request_ids[request.id] = self.at
        return self.at - seconds(request.made_at) > DAY

    def freeze(self, request: SetFreeze) -> None:
        """From now on the law stands still, or moves again."""
        if not self._refused(request):
            self._hold("freeze", wanted=request.frozen)

    def adopt(self, request: AdoptPolicy) -> None:
        """Another policy; its version must be above the one in force."""
        if self._refused(request) or request.policy.version <= self.policy.version:
            return
        self.policy = request.policy
        for server in self.servers.values():
            clocks = [case.clock for case in server.cases]
            self._set_clocks(server, server.connector, server.tie)
            for case, clock in zip(server.cases, clocks, strict=True):
                granted = self._granted(case) if case.clock == clock else None
                if granted is not None and granted <= self.law_now:
                    # What a new policy asks less for comes now, and not backwards.
                    case.rows, case.waiting = case.rows + w.moved_to(case.waiting, self.law_now + 1), []
        self._cases = None

    def key_of(self, server: str, product: str) -> CaseKey | None:
        """What a notice that is due now is about: this case under this clock."""
        case = self.servers[server].case_of(product) if server in self.servers else None
        return (server, case, case.clock) if case is not None else None

    def report(self, key: CaseKey | None, *, delivered: bool) -> None:
        """What became of a notice; one of an earlier clock, or of a case that is over, changes nothing."""
        if key is None or not delivered or key[0] not in self.servers:
            return
        _, case, clock = key
        alive = any(one is case for server in self.servers.values() for one in server.cases)
        if alive and case.clock == clock and case.enforced:
            case.delivered = self._counts_at(self.at)

    # -- the ruling -------------------------------------------------------------------------------------------------

    def ruling(self) -> Ruling:
        """What the edges may be told now; released cases refuse nothing."""
        if self._cases is None:
            self._cases = {
                name: tuple(
                    Accusation(case.product, case.floor, case.enforced, tuple(case.rows))
                    for case in server.cases
                    if case.ends is None
                )
                for name, server in self.servers.items()
            }
        return Ruling(self.h, self.law_now, "freeze" in self.reasons, self.policy, self._cases)


def _narrows(known: Server, product: str, floor: Builds | None) -> bool:
    """An enforced case rests on what that floor does not call below it."""
    case = known.case_of(product)
    enforced = case is not None and case.enforced and case.ends is None and floor is not None
    return enforced and not w.is_below(known.below[product][2], floor)


def seconds(instant: datetime) -> int:
    """Since `START`; whole, for this world has no fractions."""
    return int((instant - START).total_seconds())


def _is_news(known: Server | None, reading: Reading, tie: str, connector: str, seen: int, *, below: bool) -> bool:
    """A first reading, a change, or the first below the floor of a UTC day."""
    if known is None:
        return True
    was = (known.reading.product, known.reading.low, known.reading.high, known.tie, known.connector)
    if (reading.product, reading.low, reading.high, tie, connector) != was and seen >= known.seen:
        return True
    newest = known.below.get(reading.product)
    return below and (newest is None or w.utc_day(seen) > w.utc_day(newest[0]))
