"""What follows from a sighting: each rule as the page has it."""

from datetime import UTC, datetime, timedelta

from shared.domain.evidence import Facts, Reading
from shared.domain.floors import Floor
from tests.second_law.case import Case, Past
from tests.second_law.clocks import enforces, exempt, follows_account, holds, pauses, start, stop
from tests.second_law.due import fall_due
from tests.second_law.law import Below, SecondLaw, Server, hour_of
from tests.second_law.queue import behind, blocks
from tests.second_law.words import DAY, MICRO, SECOND, Who, floor_on, stands, who

NEWS_A_HOUR = 4
NEVER = datetime.min.replace(tzinfo=UTC)


def sees(law: SecondLaw, facts: Facts, reading: Reading | None, at: datetime) -> None:
    """A message, as the detector read it."""
    law.at = max(law.at, at)
    fall_due(law)
    whose = who(facts, law.policy)
    if reading is None or facts.client_resolve == "tempfail" or not whose.ids:
        return
    Sighting(law, facts, reading, whose).decide()


class Sighting:
    """One message that speaks for somebody and shows a product."""

    def __init__(self, law: SecondLaw, facts: Facts, reading: Reading, whose: Who) -> None:
        self.law, self.reading, self.whose = law, reading, whose
        self.imported, self.peer, self.name = facts.imported, facts.peer, facts.name
        self.tie = whose.tie
        self.seen = min(facts.seen_at, law.at)
        self.floor = floor_on(law.policy, reading.product, self.seen.date())
        self.stands = stands(self.floor, reading)
        self.server = law.servers.get(whose.ids[0])
        self.late = self.server is not None and self.seen < self.server.last_seen
        self.of_now = not self.imported and all(self.seen >= server.last_seen for server in self._known())
        self.cured_before = self._cured_before()
        tie_opens = whose.tie in law.policy.open_ties
        struck = any(server.strikes(reading) for server in self._known_or_home())
        said_nothing = self.imported or struck or self.seen <= self.cured_before
        self.accuses = self.stands == "below" and tie_opens and not said_nothing

    def _cured_before(self) -> datetime:
        """When its server was patched, as far as that is on record; of a new id, that better ids say that matched it, too."""
        product, server = self.reading.product, self.server
        if server is not None:
            patched = stands(self.floor, server.reading) == "at or above"
            return server.cured.get(product, server.last_seen - MICRO if patched else NEVER)
        better = [self.name, *(f"{self.name}@{one.name}" for one in self.law.policy.connectors)]
        found = [self.law.servers[one] for one in better if one in self.law.servers]
        return max((one.cured.get(product, NEVER) for one in found if self.whose.ids[0] in one.ids), default=NEVER)

    def decide(self) -> None:
        """Record it if it is news, then what follows."""
        curable = [server for server in self._known() if self._may_cure(server)]
        cured = [case for server in curable for case in server.cases if self._cures(server, case)]
        dropped = [s for s in curable if self.stands == "at or above" and s.hours.get(self.reading.product)]
        met = self.stands == "at or above"
        released = [self.law.servers[case.server] for case in cured]
        cleared = [s for s in curable if s not in dropped and (s in released or (met and self._is_first_cure(s)))]
        elsewhere = self._moves()
        source = elsewhere if self.of_now else None
        hour, mixed = self._hour() if elsewhere is None else None, self._mixes()
        consequences = mixed is not None or source is not None or cured or dropped or cleared or self._narrows()
        if not (self._is_news(hour) or consequences) or not (cured or dropped or self._has_place()):
            return
        cleared_to = self._cleared_to(lifts=bool((met or released) and (self.server is None or self.server in curable)))
        self._record(hour)
        assert self.server is not None
        if cleared_to > NEVER:
            self.server.clears(self.reading.product, cleared_to)
        for server in dropped:
            server.hours.pop(self.reading.product)
        self._clear(dropped, cleared)
        for case in cured:
            self._release(case)
        if mixed is not None:
            self._mix(mixed)
        held = source.held_since if source else None
        if source is not None:
            self._move(source)
        if self.of_now:
            self._clocks(cured)
        if elsewhere is None:
            self._open()
        if source is not None:
            self._settle(self.server, source, held)

    def _settle(self, server: Server, source: Case, held: datetime | None) -> None:
        """The case that moved is as it must be where it is now. held: since when it was held there."""
        self._clock(server, source)
        follows_account(self.law, server, source, self.law.now, None)
        if source.held_since == held:  # else it goes on as at the end of any hold
            self._grant_moved()

    def _cleared_to(self, *, lifts: bool) -> datetime:
        """Up to when what was seen of the server itself accuses of nothing from here on, as far as this says more than is on record."""
        if lifts or self._is_first_since_a_cure():
            return self.seen
        return self.cured_before if self.server is None else NEVER

    def _clear(self, dropped: list[Server], cleared: list[Server]) -> None:
        """What was seen of the product up to now accuses none of them; of the server itself the sighting says it."""
        for server in [*dropped, *(one for one in cleared if one is not self.server)]:
            server.clears(self.reading.product, self.seen)
            self.law.told.append(("dropped", server.id, self.reading.product))

    def _narrows(self) -> bool:
        """An enforced case whose newest accusing reading the floor of that day does not call below it any more."""
        case = self.server.case_of(self.reading.product) if self.server and self.of_now else None
        if case is None or self.server is None or case.released or not case.enforced or self.floor is None:
            return False
        return stands(self.floor, self.server.below[case.product].reading) != "below"

    def _is_first_since_a_cure(self) -> bool:
        """The first below the floor after a patched one: what was seen before it was perhaps seen before a patched one that was no news."""
        cured = self.server.cured.get(self.reading.product) if self.server else None
        below = self.server.below.get(self.reading.product) if self.server else None
        return self.accuses and cured is not None and (below is None or below.seen < cured)

    def _is_first_cure(self, server: Server) -> bool:
        """Nothing like it is on record, or only something older though newer things are."""
        cured = server.cured.get(self.reading.product)
        return cured is None or cured < self.seen < server.last_seen

    def _known_or_home(self) -> list[Server]:
        """And where cases of theirs went."""
        names = set(self.whose.ids)
        for _ in self.law.moved:
            names |= {home for (source, _), home in self.law.moved.items() if source in names}
        return [self.law.servers[name] for name in names if name in self.law.servers]

    def _known(self) -> list[Server]:
        return [self.law.servers[name] for name in self.whose.ids if name in self.law.servers]

    def _may_cure(self, server: Server) -> bool:
        """Imported evidence only if it was seen after the newest reading below the floor of that product."""
        below = server.below.get(self.reading.product)
        return not self.imported or below is None or below.seen < self.seen

    def _cures(self, server: Server, case: Case) -> bool:
        """At or above the floor of the case; of a mixed one only if the other machine was not seen for a day."""
        below = server.below[case.product] if case.mixed else None
        seen_lately = below is not None and self.law.now - below.law < DAY and self.law.h - below.seen < DAY
        return not case.released and not seen_lately and stands(case.floor, self.reading) == "at or above"

    def _mixes(self) -> Case | None:
        """The released case that it opens again: below its floor, seen after the cure, and enforced now as it was then."""
        case = self.server.case_of(self.reading.product) if self.server else None
        if case is None or not case.released or case.past is None or case.cured_at is None or not self.accuses:
            return None
        below = stands(case.floor, self.reading) == "below" and self.seen > case.cured_at
        return case if below and self.enforced(case.product, self.tie, self.reading) else None

    def _mix(self, case: Case) -> None:
        """Open again with the clock of its release, and held, but only the first time."""
        law = self.law
        assert case.past is not None
        held_before, case.released, case.ends = case.mixed, False, None
        case.start(law.policy, law.now, case.past if law.policy.relapses.days else None)
        case.mixed, case.past = True, None
        below = law.servers[case.server].below[case.product]
        below.law = max(below.law, law.law_of(self.seen))  # as at an opening
        law.told.append(("mixed", case.server, case.product))
        if not held_before:
            holds(law, case, "mixed", law.now + law.policy.relapses.mixed_days * DAY)
        pauses(law, case)

    def _moves(self) -> Case | None:
        """The case of another id of the same server that it takes along to a better one, which has none of that product."""
        if not self.accuses or (self.server and self.server.case_of(self.reading.product)):
            return None
        others = [server.case_of(self.reading.product) for server in self._known() if server is not self.server]
        return next(
            (case for case in others if case and not case.released and stands(case.floor, self.reading) == "below"),
            None,
        )

    def _move(self, case: Case) -> None:
        law, server = self.law, self.server
        assert server is not None
        source = law.servers[case.server]
        below = server.below[case.product]
        below.law = max(below.law, law.law_of(self.seen))  # as at an opening
        source.cases.remove(case)
        server.cases.append(case)
        server.hours.pop(case.product, None)
        server.past.pop(case.product, None)
        law.moved[source.id, case.number] = case.server = server.id
        law.told.append(("moved", server.id, case.product, source.id))

    def _grant_moved(self) -> None:
        """What waited for what only the old id asks for begins a second from now."""
        case = self.server.case_of(self.reading.product) if self.server else None
        grant = self.law.grant_at(case) if case and case.running else None
        if case and grant and grant <= self.law.now:
            case.due_first = case.due_first or behind(self.law)
            blocks(self.law, case, self.law.now + SECOND, None, before_its_day=True)

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
        if not self.late and (old.product, old.low, old.high) != (
            self.reading.product,
            self.reading.low,
            self.reading.high,
        ):
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
            server.below[product] = Below(seen, law.law_of(seen), self.reading)
        elif self.accuses and below is not None:
            below.law = max(below.law, law.law_of(seen))  # it is news, however late
        law.told.append(("sighted", server.id, self.accuses))

    def _release(self, case: Case) -> None:
        law = self.law
        case.released, case.waits = True, None
        case.holds.clear()
        left = Past(case.clock(law.now), law.now, case.floor, case.slowed(law.now))
        case.past = left if case.enforced else None
        case.cured_at = self.seen
        case.ends = law.now + timedelta(hours=law.policy.release_hours)
        law.told.append(("released", case.server, case.product, self.whose.ids[0]))
        if case.told and case.enforced:  # in observe no notice is due
            law.tell(case, "release", 0, None)

    def enforced(self, product: str, tie: str, accused: Reading | None = None) -> bool:
        """Whether the policy in force enforces what such a case rests on, and nobody exempted it."""
        named = enforces(self.law, product, self.whose.connector, tie, accused)
        return named and not exempt(self.law, self.whose.ids, self.whose.connector, self.peer)

    def _clocks(self, cured: list[Case]) -> None:
        """Cases follow the connector in which their server is seen; all ids of one that is only observed stand at day 0."""
        for server in self._known():
            for case in server.cases:
                if not case.released and case not in cured:
                    self._clock(server, case)

    def _clock(self, server: Server, case: Case) -> None:
        mine = server is self.server
        wanted = self.enforced(case.product, self.tie, server.below[case.product].reading if mine else None)
        before = case.exempt_peer
        self._note_peer(server, case)
        if wanted and not case.enforced and mine:
            start(self.law, case, self.law.now)
        elif not wanted and (case.enforced or case.exempt_peer != before):
            stop(self.law, case, self.law.now)
        elif case.enforced and mine:
            follows_account(self.law, server, case, self.law.now, None)

    def _note_peer(self, server: Server, case: Case) -> None:
        """A case remembers the exempt peer for which it stands, for nobody knows otherwise from where its server is seen."""
        if ("peer", self.peer) in self.law.exempt:
            case.exempt_peer = self.peer
        elif server is self.server:
            case.exempt_peer = ""

    def _owes(self, floor: Floor) -> bool:
        """Below the floor of the earlier case, too; in doubt the milder."""
        return stands(floor, self.reading) == "below"

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
        enforced = self.enforced(product, self.whose.tie, self.reading)
        self._note_peer(server, case)
        past = server.past.pop(product, None)
        within = (
            past is not None and day0 - past.released <= law.policy.relapses.days * DAY and law.policy.relapses.days > 0
        )
        relapse = within and past is not None and self._owes(past.floor)
        if enforced:
            case.start(law.policy, day0, past if relapse else None)
        else:
            case.stand(day0)
        law.told.append(("opened", server.id, product, case.enforced))
        pauses(law, case, day0)
