"""What happened to each server, as short lines from the tail of the log; bounded in every direction."""

from collections import OrderedDict, deque
from typing import Literal

import msgspec

from shared.domain import events as e
from shared.domain.evidence import UtcDatetime
from shared.domain.evolve import server_of

ACTS_PER_SERVER = 50
SIGHTINGS_PER_SERVER = 10
"""Sightings come daily and acts do not: counted apart, a year of sightings pushes no act out."""
GLOBAL_EVENTS = 50
ENTRIES_IN_ALL = 200_000
"""About 100 MB. At this bound the server without news for the longest loses its timeline; its explanation stays whole."""

_WHAT_MAX = 240


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


def in_words(event: e.Event) -> str:
    """What *event* says, in a short line; its tag where it has no words."""
    return _server_in_words(event)[:_WHAT_MAX]


def _server_in_words(event: e.Event) -> str:
    match event:
        case e.ServerSighted():
            build = event.reading.shown or "no build"
            below = ", below the floor" if event.below else ""
            text = f"seen: {event.reading.product} {build}{below} ({', '.join(event.news)})"
        case e.AccusationDropped():
            text = f"readings of {event.product} count no more: it proved itself patched"
        case e.CaseReleased():
            text = f"released: {event.cure.product} {event.cure.shown or ''} seen from {event.by}"
        case e.CaseEnded():
            text = _ENDED[event.why] if event.why else _ENDED["expired" if event.expired else "released"]
        case e.PolicyAdopted() | e.HoldBegan() | e.HoldEnded():
            text = _law_in_words(event)
        case e.CaseHeld() | e.CaseWentOn() | e.NoticeAcknowledged() | e.ReadingsLifted():
            text = _act_in_words(event)
        case _:
            text = _step_in_words(event)
    return text


_ENDED = {
    "expired": "case expired: not seen any more",
    "released": "released case ended",
    "upheld": "case ended: its dispute was upheld, and what it rests on counts no more",
    "corrected": "case ended: an operator said that it should never have been, and what it rests on counts no more",
}
_HELD = {"pause": "its account is paused", "dispute": "its admin disputes it", "mixed": "two machines under one name"}


def _act_in_words(event: e.CaseHeld | e.CaseWentOn | e.NoticeAcknowledged | e.ReadingsLifted) -> str:
    match event:
        case e.CaseHeld():
            return f"held: {_HELD[event.reason]}; mail passes and the clock stands"
        case e.CaseWentOn():
            return (
                f"{'goes on' if event.plan else 'still held or observed'}: no longer held because {_HELD[event.reason]}"
            )
        case e.NoticeAcknowledged():
            return "notice acknowledged: it counts as delivered"
        case e.ReadingsLifted():
            return "what was struck of it counts again"


def _step_in_words(event: e.Event) -> str:
    """The steps of a case, one format each; the tag for those that have no words (none of them is kept)."""
    match event:
        case e.CaseOpened():
            text = f"case opened about {event.product}{'' if event.enforced else ', observed only'}"
        case e.ClockStarted():
            text = f"enforced from now on: the case about {event.product} starts at day 0"
        case e.ClockStopped():
            text = f"observed from now on: the case about {event.product} stands at day 0"
        case e.StageEntered():
            text = f"stage {event.stage}: {event.throttle_minutes_per_hour} min/h deferred, {event.block_minutes_per_hour} min/h refused"
        case e.CaseHeld() | e.CaseWentOn() | e.CaseMoved() | e.CaseMixed():
            text = _turn_in_words(event)
        case e.BlockingGranted() | e.BlockingSigned() | e.BlockingWaits():
            text = _blocking_in_words(event)
        case e.NoticeDue():
            text = f"notice {event.notice} due: {event.kind.replace('-', ' ')}"
        case e.NoticeSettled():
            text = f"notice {event.notice} {event.outcome}"
        case _:
            text = str(event.__struct_config__.tag)
    return text


def _turn_in_words(event: e.CaseHeld | e.CaseWentOn | e.CaseMoved | e.CaseMixed) -> str:
    match event:
        case e.CaseHeld():
            return f"held ({event.reason}): mail passes, the clock stands"
        case e.CaseWentOn():
            return f"held no more ({event.reason})"
        case e.CaseMoved():
            return f"the case about {event.product} came here from {event.source}: the same server, better known"
        case e.CaseMixed():
            return f"seen below the floor again before the released case had ended: {event.product} of two machines"


def _blocking_in_words(event: e.BlockingGranted | e.BlockingSigned | e.BlockingWaits) -> str:
    match event:
        case e.BlockingGranted():
            stage = event.rows[0].stage
            return f"blocking granted, stage {stage} only" if event.rest else f"blocking granted, from stage {stage} on"
        case e.BlockingSigned():
            return f"an operator signed that stage {event.stage} may begin"
        case e.BlockingWaits():
            return f"blocking waits for the cap of the day: place {event.place}, not before {event.day.isoformat()}"


def _law_in_words(event: e.PolicyAdopted | e.HoldBegan | e.HoldEnded) -> str:
    match event:
        case e.PolicyAdopted():
            return f"policy {event.policy.version} in force ({event.policy.mode}): {event.policy.title}"
        case e.HoldBegan():
            return "the law stands still: " + ("frozen by an operator" if event.reason == "freeze" else "nobody looked")
        case e.HoldEnded():
            return f"hold ended ({event.reason}); held so far: {event.held}"
