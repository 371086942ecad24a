"""What comes in during the year: each server is seen once a day, old or patched; and what becomes of its notices."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Literal

from shared.domain import events as e
from shared.domain.fold import Written
from shared.domain.policy import Policy
from shared.domain.population import Draw, Sender, population
from shared.domain.records import Mark, Origin, ReportNotice, ServerSeen

Outcome = Literal["delivered", "failed", "no-contact"]

PARTITIONS = 2
"""Of `mail-evidence`, whose marks are passed on."""

_MINUTES_PER_DAY = 24 * 60
_OUTCOMES: tuple[Outcome, ...] = ("no-contact", "no-contact", "failed", "delivered", "delivered", "delivered")


class Inputs:
    """Of one population; the same for the same seed."""

    def __init__(self, policy: Policy, *, seed: int, servers: int, begin: date) -> None:
        self._draw = Draw(seed)
        self._senders = list(population(policy, seed=seed, servers=servers, begin=begin))
        self._offset = 0

    def day(self, number: int, midnight: datetime) -> list[ServerSeen]:
        """
        Every server once, in the order of the day; and the last of them once more, as a redelivery would bring it.

        The second one is no news, so it makes no difference where the enforcer's turn ends: what is due has been written.
        """
        seen = [self._sighting(sender, number, midnight) for sender in self._senders]
        seen.sort(key=lambda one: (one.facts.seen_at, one.facts.name))
        return [*seen, seen[-1]]

    def _sighting(self, sender: Sender, number: int, midnight: datetime) -> ServerSeen:
        minute = self._draw.below(_MINUTES_PER_DAY, "minute", sender.number, number)
        self._offset += 1
        what = sender.new if self._is_patched(sender, number) else sender.old
        return ServerSeen(
            facts=sender.facts(what, midnight + timedelta(minutes=minute)),
            reading=what,
            origin=Origin(topic="mail-evidence", partition=sender.number % PARTITIONS, offset=self._offset),
        )

    def _is_patched(self, sender: Sender, number: int) -> bool:
        """Each admin acts on a day of his own, or never; who relapses shows the old build for two months in between."""
        habit = sender.habit
        if habit.anyway_days is None:
            return not habit.outdated
        acts = self._draw.between(habit.anyway_days, "acts", sender.number)
        back = self._draw.between(habit.back_days, "back", sender.number) if habit.back_days else 0
        relapsed = bool(back) and acts + back <= number < acts + back + 60
        return number >= acts and not relapsed

    def marks(self, until: datetime) -> list[Mark]:
        """All that was seen before *until* stands before these."""
        return [Mark(edge="mx1", at=until, partition=number, of=PARTITIONS) for number in range(PARTITIONS)]

    def reports(self, written: list[Written], now: datetime) -> Iterator[ReportNotice]:
        """What became of the notices that *written* made due: most arrive, some bounce, some servers have nobody."""
        for record, _ in written:
            if isinstance(record.event, e.NoticeDue):
                drawn = self._draw.below(len(_OUTCOMES), "contact", record.event.server)
                outcome = _OUTCOMES[drawn]
                yield ReportNotice(
                    id=f"notice-{record.event.notice}-{outcome}",
                    who="notifier",
                    why="",
                    made_at=now,
                    notice=record.event.notice,
                    server=record.event.server,
                    outcome=outcome,
                )
