"""One header block to its `Received` values and their dates, by bytes and without a parser of whole mails."""

import re
from datetime import date
from functools import lru_cache

_NAME = b"\nreceived"
_END = re.compile(rb"\n(?![ \t])")
_DATE = re.compile(
    rb"(\d{1,2}[ \t]+[A-Za-z]{3}[ \t]+\d{4})[ \t]+(\d\d):(\d\d)(?::(\d\d))?(?:[ \t]+([+-])(\d\d)(\d\d))?"
)
_MONTHS = {name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_FIRST_YEAR, _LAST_YEAR = 1990, 2100

RECEIVED_MAX = 100
"""Values of one mail that are looked at, top first; MTAs give up at 50 to 100 hops."""


def received_of(headers: bytes) -> list[bytes]:
    """The values of the `Received` lines, top first, folded as they stand."""
    block = b"\n" + headers
    lowered = block.lower()
    values: list[bytes] = []
    at = lowered.find(_NAME)
    while at >= 0 and len(values) < RECEIVED_MAX:
        at += len(_NAME)
        start = at if block.startswith(b":", at) else _colon_behind_blanks(block, at)
        if start >= 0:
            end = _END.search(block, at)
            values.append(block[start + 1 : end.start()] if end else block[start + 1 :])
        at = lowered.find(_NAME, at)
    return values


def _colon_behind_blanks(block: bytes, at: int) -> int:
    """Where the colon stands behind blanks at *at*; below 0 where another name goes on there, as `Received-SPF`."""
    while block[at : at + 1] in {b" ", b"\t"}:
        at += 1
    return at if block.startswith(b":", at) else -1


def seconds_of(value: bytes) -> int | None:
    """
    The instant behind the last semicolon of a `Received` value, in seconds since 1970 UTC; None where there is none.

    A date without a zone counts as UTC.
    """
    found = _DATE.search(value, value.rfind(b";") + 1)
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


@lru_cache(4096)
def day_of(text: bytes) -> int | None:
    """Days since 1970 of `2 Nov 2026`; None where there is no such day, or the year is out of all reason."""
    day, month, year = text.split()
    return _ordinal(int(year), _MONTHS.get(month.lower()), int(day))


def _ordinal(year: int, month: int | None, day: int) -> int | None:
    if month is None or not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
