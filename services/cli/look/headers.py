"""One header block to its `Received` values and their dates, by bytes and without a parser of whole mails."""

import re
from datetime import UTC, date, datetime
from functools import lru_cache

from shared.domain.header_text import by_clause_of, redact

# Both cases spelled out: a search without regard to case takes twice as long.
_RECEIVED = re.compile(rb"\n[Rr][Ee][Cc][Ee][Ii][Vv][Ee][Dd][ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)")
_DATE = re.compile(
    rb"(\d{1,2}[ \t]+[A-Za-z]{3}[ \t]+\d{4})[ \t]+([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d|60))?(?:[ \t]+([+-])([01]\d|2[0-3])([0-5]\d))?"
)
_END_OF_LINE = re.compile(rb"\s*(?:\([A-Z]{1,5}\)\s*)?")  # behind the date; the zone once more by name
_MONTHS = {name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_FIRST_YEAR, _LAST_YEAR = 1990, 2100
_FIRST_S, _END_S = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (_FIRST_YEAR, _LAST_YEAR + 1))

RECEIVED_MAX = 100
"""Values of one mail that are looked at, top first; MTAs give up at 50 to 100 hops."""


def received_of(headers: bytes) -> list[bytes]:
    """The values of the `Received` lines, top first, folded as they stand."""
    return _RECEIVED.findall(b"\n" + headers)[:RECEIVED_MAX]


def seconds_of(value: bytes) -> int | None:
    """
    The instant behind the last semicolon of a `Received` value, in seconds since 1970 UTC; None where there is none.

    A date without a zone, or with one that is none, counts as UTC. What some servers write behind the date, as the envelope
    sender, can hold semicolons and dates of a stranger's: it is passed over.
    """
    found = _DATE.search(value, value.rfind(b";") + 1)
    if found is None or not _END_OF_LINE.fullmatch(value, found.end()):
        found = _DATE.search(_behind_clauses(value))
    if found is None:
        return None
    day = day_of(found[1])
    if day is None:
        return None
    seconds = day * 86_400 + int(found[2]) * 3_600 + int(found[3]) * 60 + int(found[4] or 0)
    if found[5] is None:
        return seconds
    zone = int(found[6]) * 3_600 + int(found[7]) * 60
    return seconds + zone if found[5] == b"-" else seconds - zone


def _behind_clauses(value: bytes) -> bytes:
    """What stands behind the last semicolon outside brackets and quotes; in a line that names no server, behind any last one."""
    line = redact(value.decode("latin-1"))
    by = by_clause_of(line)
    return (line[by.clauses_end :] if by else line.rpartition(";")[2]).encode("latin-1")


def instant_of(seconds: float) -> int | None:
    """Whole *seconds* since 1970 UTC; None where the year is out of all reason."""
    return int(seconds) if _FIRST_S <= seconds < _END_S else None


@lru_cache(4096)
def day_of(text: bytes) -> int | None:
    """Days since 1970 of `2 Nov 2026`; None where there is no such day, or the year is out of all reason."""
    day, month, year = text.split()
    return day_number(int(year), _MONTHS.get(month.lower()), int(day))


def day_number(year: int, month: int | None, day: int) -> int | None:
    """Days since 1970 of a date; None where there is no such day, or the year is out of all reason."""
    if month is None or not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
