"""One header block to its `Received` values and their dates, by bytes and without a parser of whole mails."""

import re
from datetime import date
from functools import lru_cache

_NAME = b"\nReceived:"
_ANY_CASE = re.compile(rb"\n(?i:Received)[ \t]*:")
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
    if block.count(_NAME) == block.lower().count(b"\nreceived") and b"\nReceived :" not in block:
        return _plainly(block)
    found = _ANY_CASE.finditer(block)
    return [_value(block, one.end()) for one, _ in zip(found, range(RECEIVED_MAX), strict=False)]


def _plainly(block: bytes) -> list[bytes]:
    values: list[bytes] = []
    at = block.find(_NAME)
    while at >= 0 and len(values) < RECEIVED_MAX:
        values.append(_value(block, at + len(_NAME)))
        at = block.find(_NAME, at + len(_NAME))
    return values


def _value(block: bytes, start: int) -> bytes:
    end = block.find(b"\n", start)
    while end >= 0 and block[end + 1 : end + 2] in (b" ", b"\t"):
        end = block.find(b"\n", end + 1)
    return block[start:] if end < 0 else block[start:end]


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
