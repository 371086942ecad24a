"""
How many cases may be blocked newly on one UTC day, and the queue of those that wait for room. Pure.

The day is that of `at`, when it is written: what falls due at once after an outage obeys the cap of that one day. A case that
finds no room is told once which day is its, by its place; on that day it is asked again, and waits once more if others
before it fill the day after all. First due, first granted: nobody overtakes who waits before him.
"""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from shared.domain import events as e
from shared.domain.policy import Policy
from shared.domain.state import Law, Server

AHEAD_MAX_DAYS = 3650
"""No day farther ahead is told to a case that waits; it is asked again then."""


class Waiter(NamedTuple):
    """A case that waits for room, in the order of the queue. since: the law time at which it fell due first. rank: among its server's cases."""

    since: datetime
    server: str
    rank: int


class Queue:
    """The enforced cases that are open, counted, and those of them that wait for room, in order."""

    def __init__(self) -> None:
        self.open_cases = 0
        self._waiting: list[Waiter] = []
        self._sorted = True

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def place(self, waiter: Waiter) -> int:
        """Its place, from 1: behind all that fell due before it, whether or not it is in the queue."""
        return bisect_left(self._in_order(), waiter) + 1

    def behind(self, now: datetime) -> datetime:
        """Since when one waits that newly asks at *now*: later than all who wait, though no law time went by since they came."""
        newest = self._in_order()[-1].since if self._waiting else None
        return now if newest is None or newest < now else newest + timedelta(microseconds=1)

    def move(self, before: Iterable[Waiter], after: Iterable[Waiter]) -> None:
        """A server's cases that waited, and those that do now."""
        for waiter in before:
            del self._waiting[self.place(waiter) - 1]
        for waiter in after:
            self._sorted = self._sorted and (not self._waiting or self._waiting[-1] < waiter)
            self._waiting.append(waiter)

    def _in_order(self) -> list[Waiter]:
        if not self._sorted:
            self._waiting.sort()
            self._sorted = True
        return self._waiting


def open_cases(server: Server) -> int:
    """How many of its cases count for the cap: enforced and not released."""
    return sum(case.enforced and case.released_at is None for case in server.cases)


def waiters(server: Server) -> tuple[Waiter, ...]:
    """Those of its cases that wait for room."""
    return tuple(
        Waiter(case.waits.since, server.server, rank)
        for rank, case in enumerate(server.cases)
        if case.waits is not None
    )


def cap_of(policy: Policy, open_cases: int) -> int | None:
    """How many cases may be blocked newly on one UTC day; None: the policy has no cap."""
    if policy.caps is None:
        return None
    share = policy.caps.newly_blocked_percent_of_open_cases * open_cases // 100
    return max(policy.caps.newly_blocked_per_day, share)


def blocked_on(law: Law, day: date) -> int:
    """How many cases were blocked newly on that UTC day."""
    return law.newly_blocked if law.newly_blocked_on == day else 0


def in_turn(
    grant: e.BlockingGranted,
    waiter: Waiter,
    *,
    queue: Queue,
    law: Law,
    policy: Policy,
    ahead: int = 0,
) -> e.BlockingGranted | e.BlockingWaits:
    """
    *grant* if the UTC day of `law.at` has room for it, else that the case waits, and until which day.

    waiter: its case, since it fell due first. ahead: how many are decided together with it and stand before it.
    """
    cap = cap_of(policy, queue.open_cases)
    if cap is None or not grant.newly:
        return grant
    today = law.at.astimezone(UTC).date()
    place = queue.place(waiter) + ahead
    room = max(0, cap - blocked_on(law, today))
    if place <= room:
        return grant
    days = min(1 + (place - room - 1) // cap, AHEAD_MAX_DAYS)
    day = today + timedelta(days=days)
    until = datetime.combine(day, time(), UTC) - law.held_so_far
    return e.BlockingWaits(
        server=grant.server, product=grant.product, since=waiter.since, until=until, day=day, place=place
    )
