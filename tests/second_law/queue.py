"""Blocking begins, if the cap of the day has room; else a case waits in the queue."""

from datetime import datetime
from typing import NamedTuple

from tests.second_law.case import Case
from tests.second_law.law import EPOCH, SecondLaw
from tests.second_law.words import DAY, MICRO

NO_CAP = 1_000_000


def cap(law: SecondLaw) -> int:
    """How many cases may get their first blocking row on a UTC day."""
    caps = law.policy.caps
    if caps is None:
        return NO_CAP
    open_cases = [c for server in law.servers.values() for c in server.cases if c.enforced and not c.released]
    return max(caps.newly_blocked_per_day, len(open_cases) * caps.newly_blocked_percent_of_open_cases // 100)


def behind(law: SecondLaw) -> datetime:
    """Since when one waits that newly asks now: later than all who wait."""
    newest = max((c.waits[0] for server in law.servers.values() for c in server.cases if c.waits), default=None)
    return law.now if newest is None or newest < law.now else newest + MICRO


class Queue(NamedTuple):
    """At an adoption: the room of a day, the place of a case in the queue as it was, and what was left of today."""

    room: int
    place: int
    left: int


def place_of(law: SecondLaw, case: Case, first: datetime) -> tuple[datetime, str, int]:
    """The order of the queue: since when it waits, then as ever by server, and of one server by age."""
    return first, case.server, law.servers[case.server].cases.index(case)


def blocks(
    law: SecondLaw,
    case: Case,
    due: datetime,
    utc: datetime | None,
    asked: Queue | None = None,
    *,
    before_its_day: bool = False,
) -> bool:
    """The next blocking stage begins, if it is not the first or the day has room; else it waits. *before_its_day*: one that waits goes on so."""
    if case.next_to_grant() == case.first_blocking:
        first = case.due_first or law.grant_at(case) or due
        queue = [c for server in law.servers.values() for c in server.cases if c.waits and c is not case]
        mine = place_of(law, case, first)
        before = sum(place_of(law, c, c.waits[0]) < mine for c in queue if c.waits)
        today, room = law.at.date(), asked.room if asked else cap(law)
        left = max(0, room - law.blocked_on.get(today, 0))
        if asked:
            before, left = asked.place - 1, asked.left
        if before >= left:
            if before_its_day and case.waits:
                return False
            day = today + ((before - left) // room + 1) * DAY
            until = datetime.combine(day, EPOCH.timetz()) - law.held_so_far
            place = before + 1
            told_before = (case.waits, case.place) == ((first, until), place)
            case.waits, case.due_first, case.place = (first, until), first, place
            if not told_before:  # each is told its place and its day once
                law.told.append(("waits", case.server, case.product, first, until, place, utc))
            return False
        law.blocked_on[today] = law.blocked_on.get(today, 0) + 1
    case.grant(due, protected=law.protected(case))
    case.ahead[:] = [
        one for one in case.ahead if one.kind == "opening"
    ]  # the rest gives way to the notices of the stages
    law.told.append(("granted", case.server, case.product, due, utc))
    return True
