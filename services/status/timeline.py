"""What happened to each server, as short lines from the tail of the log; bounded in every direction."""

from collections import OrderedDict, deque
from typing import Literal

import msgspec

from shared.domain import events as e
from shared.domain.event_words import in_words
from shared.domain.evidence import UtcDatetime
from shared.domain.evolve import server_of

ACTS_PER_SERVER = 50
SIGHTINGS_PER_SERVER = 10
"""Sightings come daily and acts do not: counted apart, a year of sightings pushes no act out."""
GLOBAL_EVENTS = 50
ENTRIES_IN_ALL = 200_000
"""About 100 MB. At this bound the server without news for the longest loses its timeline; its explanation stays whole."""


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """
    One record of the log, in short.

    at: when written; due: the instant that brought it. scope: one server, or all. product: of the case it is about, "" for
    none. stage: which one it brought in, 0 for none. delivered: whether it says that a notice was delivered.
    """

    seq: int
    at: UtcDatetime
    due: UtcDatetime | None
    kind: str
    what: str
    scope: Literal["server", "all"] = "server"
    product: str = ""
    stage: int = 0
    delivered: bool = False

    @property
    def happened(self) -> UtcDatetime:
        """The instant to draw it at."""
        return self.due or self.at


class _OneServer:
    __slots__ = ("acts", "sightings")

    def __init__(self) -> None:
        self.acts: deque[TimelineEvent] = deque(maxlen=ACTS_PER_SERVER)
        self.sightings: deque[TimelineEvent] = deque(maxlen=SIGHTINGS_PER_SERVER)

    def __len__(self) -> int:
        return len(self.acts) + len(self.sightings)


class Timelines:
    """The newest events of each server, and of the law as a whole."""

    def __init__(self, *, entries_in_all: int = ENTRIES_IN_ALL) -> None:
        self._bound = entries_in_all
        self._entries = 0
        self._by_server: OrderedDict[str, _OneServer] = OrderedDict()
        self._of_all: deque[TimelineEvent] = deque(maxlen=GLOBAL_EVENTS)

    def note(self, record: e.LogRecord) -> None:
        """Keep *record* in short."""
        name = server_of(record.event)
        if name is not None:
            self._put(name, _summary(record), is_sighting=isinstance(record.event, e.ServerSighted))
        elif isinstance(record.event, e.PolicyAdopted | e.HoldBegan | e.HoldEnded):
            self._of_all.append(msgspec.structs.replace(_summary(record), scope="all"))

    def of(self, server: str) -> list[TimelineEvent]:
        """The events of *server* and those of all since its first one, oldest first."""
        one = self._by_server.get(server)
        own = sorted((*one.acts, *one.sightings), key=lambda event: event.seq) if one else []
        first = own[0].seq if own else 0
        return sorted((*own, *(event for event in self._of_all if event.seq >= first)), key=lambda event: event.seq)

    def __len__(self) -> int:
        return self._entries

    def _put(self, name: str, event: TimelineEvent, *, is_sighting: bool) -> None:
        one = self._by_server.setdefault(name, _OneServer())
        self._by_server.move_to_end(name)
        before = len(one)
        (one.sightings if is_sighting else one.acts).append(event)
        self._entries += len(one) - before
        while self._entries > self._bound and len(self._by_server) > 1:
            _, dropped = self._by_server.popitem(last=False)
            self._entries -= len(dropped)


def _summary(record: e.LogRecord) -> TimelineEvent:
    event = record.event
    return TimelineEvent(
        seq=record.seq,
        at=record.at,
        due=record.due,
        kind=str(event.__struct_config__.tag),
        what=in_words(event),
        product=getattr(event, "product", ""),
        stage=_stage_of(event),
        delivered=isinstance(event, e.NoticeAcknowledged)
        or (isinstance(event, e.NoticeSettled) and event.outcome == "delivered"),
    )


def _stage_of(event: e.Event) -> int:
    match event:
        case e.StageEntered():
            return event.stage
        case e.CaseOpened() | e.ClockStarted() | e.ClockStopped():
            return event.plan.rows[0].stage
        case _:
            return 0
