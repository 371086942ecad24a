"""
Repeats: sightings that are surely no news, told without deciding them.

Most sightings say once more what is on record. One that agrees with its server's newest reading in product, range, tie and
connector, and was seen within a span that the server's state allows, is no news whatever else it says; so nothing but that
is read of it. All others are read whole and decided by `decide.py`, whose answer for a repeat is always the empty list:

| the reading's standing at its floor | no news | until |
|---|---|---|
| at or above, nothing counts against the product | ever | the next floor takes effect |
| unknown, or below without a tie that opens, or struck | ever | the next floor takes effect |
| below, with a case | as long as the day has its reading below the floor | the day ends |
| below, without a case | in an hour that counts already | the hour ends |

None of this holds where the reading would release an open case or open a released one again, or where another id that the message matches is known.
It depends on the server's state and the policy alone: when either changes it is worked out anew.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import msgspec

from shared.domain.evidence import Introduction, UtcDatetime
from shared.domain.floors import Floor, Standing
from shared.domain.policy import Policy, Tie
from shared.domain.state import Case, Server

_SHARED = 65_536
"""Repeats that are one object for all servers that agree in them; at the bound the least used are made once more."""

_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODE = msgspec.json.Encoder().encode


class GlimpsedFacts(Introduction, frozen=True, kw_only=True, gc=False):
    """Of a sighting's facts: whom it speaks for, and when it was seen."""

    seen_at: UtcDatetime


class Glimpse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The little of a sighting that a repeat is known by; the rest is JSON, and not looked at. reading: as it was written."""

    facts: GlimpsedFacts | None = None
    reading: msgspec.Raw = msgspec.Raw()


_DECODE = msgspec.json.Decoder(Glimpse).decode


def glimpse(value: bytes | None) -> Glimpse | None:
    """The little of a record of `sightings`; None where it is none, or cannot be read (it must be read whole then)."""
    try:
        return _DECODE(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class Repeat(msgspec.Struct, frozen=True, gc=False):
    """What a server's sighting must be like to be surely no news. reading: its JSON; seen from *since* on, before *until*."""

    connector: str
    tie: Tie
    reading: bytes
    since: datetime
    until: datetime


class Repeats:
    """`of` for one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._wave = lru_cache(4096)(self._wave_on)
        self._shared = lru_cache(_SHARED)(Repeat)

    def of(self, server: Server) -> Repeat | None:
        """Which sightings of *server* are surely no news; None where that cannot be said."""
        reading = server.reading
        case = server.case_of(reading.product)
        floor, (since, until) = self._wave(reading.product, server.last_seen.date())
        if case is not None and _is_changed_by_next(server, case, floor):
            return None
        standing = floor.standing(reading) if floor else Standing.UNKNOWN
        if standing is Standing.AT_OR_ABOVE:
            if any(hour.product == reading.product for hour in server.hours):
                return None
            cured_at = server.cured_at(reading.product)
            if cured_at is None or cured_at < server.last_seen:
                return None  # one that is not on record as patched yet
        if standing is Standing.BELOW and server.tie in self._policy.open_ties and not server.strikes(reading):
            accused = _accused_span(server, case)
            if accused is None:
                return None
            since, until = max(since, accused[0]), min(until, accused[1])
        return self._shared(server.connector, server.tie, _ENCODE(reading), since, until)

    def _wave_on(self, product: str, day: date) -> tuple[Floor | None, tuple[datetime, datetime]]:
        """The floor in force on a UTC day, and from when to when it is."""
        days = [wave.effective for wave in self._policy.floors if wave.product == product]
        since = max((_midnight(one) for one in days if one <= day), default=_EVER[0])
        until = min((_midnight(one) for one in days if one > day), default=_EVER[1])
        return self._policy.floor_for(product, day), (since, until)


def _is_changed_by_next(server: Server, case: Case, floor: Floor | None) -> bool:
    """Whether the same once more opens it again, releases it, or stops its clock."""
    if case.released_at is not None:
        return case.past is not None
    met = case.floor.standing(server.reading) is Standing.AT_OR_ABOVE
    return met or server.is_narrowed(case.product, floor)


def _accused_span(server: Server, case: Case | None) -> tuple[datetime, datetime] | None:
    product = server.reading.product
    below = server.below_of(product)
    if below is None:
        return None
    day_ends = _midnight(below.seen_at.date()) + _DAY
    if case is not None:
        return _EVER[0], day_ends
    counted = [hour.hour for hour in server.hours if hour.product == product]
    if not counted:
        return None
    since = _EPOCH + _HOUR * counted[-1]
    return since, min(since + _HOUR, day_ends)


@lru_cache(1024)
def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
