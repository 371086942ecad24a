"""How old the fleet was, week by week: each mail judged as of its own week, so a server that patched shows when. Pure."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Literal

import msgspec

from shared.domain.catalogue import Assessment, BuildCatalogue
from shared.domain.evidence import Reading

Age = Literal["current", "half-year", "two-years", "older", "unsure"]
AGES: tuple[Age, ...] = ("current", "half-year", "two-years", "older", "unsure")
"""Security updates missing for sure since less than 6 months, less than 24 months, longer; none; or it cannot be told."""

_WEEK = 7
_QUARTER_WEEKS = 13
_WEEKS_SHOWN = 160
"""Above three years of weeks the picture has quarters: more bars could not be told apart."""

_HALF_YEAR = timedelta(days=183)
_TWO_YEARS = timedelta(days=731)
_EPOCH_MONDAY = date(1970, 1, 5)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Mails of one week, or of one quarter of 13 weeks, by age of the server that sent them. start: its Monday."""

    start: date
    weeks: int
    mails: dict[Age, int]


def spans_of(seen: Iterable[tuple[Reading, dict[int, int]]], catalogue: BuildCatalogue) -> tuple[Span, ...]:
    """
    The age of the fleet over time.

    seen: each reading with its mails a day (days since 1970).
    """
    by_reading = [(reading, days) for reading, days in seen if days]
    if not by_reading:
        return ()
    first = min(min(days) for _, days in by_reading)
    last = max(max(days) for _, days in by_reading)
    weeks = 1 if (last - first) // _WEEK <= _WEEKS_SHOWN else _QUARTER_WEEKS
    judge = _Ages(catalogue)
    found: dict[date, dict[Age, int]] = {}
    for reading, days in by_reading:
        for day, mails in days.items():
            start = _start_of(day, weeks)
            into = found.setdefault(start, {})
            age = judge.age(reading, start)
            into[age] = into.get(age, 0) + mails
    return tuple(Span(start=start, weeks=weeks, mails=found[start]) for start in sorted(found))


def _start_of(day: int, weeks: int) -> date:
    on = date(1970, 1, 1) + timedelta(days=day)
    return on - timedelta(days=(on - _EPOCH_MONDAY).days % (_WEEK * weeks))


class _Ages:
    """Remembers each reading of a span: thousands of mails show the same."""

    def __init__(self, catalogue: BuildCatalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[tuple[object, ...], Age] = {}

    def age(self, reading: Reading, on: date) -> Age:
        """The age of a server with this reading, on a day."""
        key = (reading.product, reading.low, reading.high, on)
        if key not in self._known:
            self._known[key] = age_of(self._catalogue.assess(reading.product, reading.low, reading.high, on=on), on)
        return self._known[key]


def age_of(assessment: Assessment, on: date) -> Age:
    """The class of one assessment on that day."""
    since = min((day for day in (assessment.missing_since, assessment.support_ended) if day is not None), default=None)
    if since is not None:
        behind = on - since
        return "half-year" if behind < _HALF_YEAR else "two-years" if behind < _TWO_YEARS else "older"
    if assessment.update is None or assessment.newer_than_data or assessment.missing_security_at_most:
        return "unsure"
    return "current"
