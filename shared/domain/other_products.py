"""
What is known of mail servers other than Exchange, by version: shown, never judged.

Exim and Sendmail: distributions mend holes without changing the number, so an old number proves nothing. Of the others only
versions that end a known exploited hole, or a support date, are listed.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date

import msgspec

from shared.domain.catalogue_rows import OtherRow

BACKPORTED = frozenset({"Exim", "Sendmail"})
"""Products whose number says little of the fixes in them."""

_PARTS = re.compile(r"\d{1,9}|[a-z]+", re.ASCII)
_VERSION_LENGTH_MAX = 60
_BEFORE_RELEASE = frozenset({"rc", "alpha", "beta", "gamma"})
_ANY = ".x"  # ends a version that stands for a whole line of them
_BRANCH_NUMBERS = 2  # of Zimbra, which mends several branches at a time, as in 8.8 and 10.1

VersionKey = tuple[tuple[int, int, str], ...]


class OtherAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the catalogue says of one version on one day.

    listed: the version has a row. released, ended: of that row, where known; ended is the last day of its support, once past.
    newest: the highest version that is listed. exploited_fixed_later: known exploited holes that a later version of the
    branch ended; fixed_later: other ones. backported: such holes may well be mended under the same number.
    """

    product: str
    version: str
    listed: bool = False
    released: date | None = None
    ended: date | None = None
    newest: str = ""
    exploited_fixed_later: tuple[str, ...] = ()
    fixed_later: tuple[str, ...] = ()
    backported: bool = False


class OtherProducts:
    """All rows by product; immutable."""

    def __init__(self, rows: Iterable[OtherRow]) -> None:
        grouped: defaultdict[str, list[OtherRow]] = defaultdict(list)
        for row in rows:
            grouped[row.product].append(row)
        self._rows: Mapping[str, tuple[OtherRow, ...]] = {
            product: tuple(sorted(found, key=lambda row: version_key(row.version)))
            for product, found in grouped.items()
        }

    @property
    def products(self) -> tuple[str, ...]:
        """The names of all products that have rows."""
        return tuple(sorted(self._rows))

    def assess(self, product: str, version: str, *, on: date) -> OtherAssessment:
        """What is known of a version on a day; total: what nobody listed gives an empty answer."""
        rows = _out(self._rows.get(product, ()), on)
        held = version_key(version)
        same = next((row for row in rows if _is_of(row, version)), None)
        later = [row for row in rows if version_key(row.version) > held and _same_branch(product, row.version, version)]
        mended = {cve for row in rows if version_key(row.version) <= held for cve in (*row.exploited, *row.other)}
        return OtherAssessment(
            product=product,
            version=version,
            listed=same is not None,
            released=same.released if same else None,
            ended=same.eol if same and same.eol and same.eol < on else None,
            newest=rows[-1].version if rows and not rows[-1].version.endswith(_ANY) else "",
            exploited_fixed_later=_in_order(
                cve for row in later for cve, since in row.exploited.items() if since <= on and cve not in mended
            ),
            fixed_later=_in_order(cve for row in later for cve in row.other if cve not in mended),
            backported=product in BACKPORTED,
        )


def _out(rows: Iterable[OtherRow], on: date) -> list[OtherRow]:
    """What was out on a day, of rows in order; where that is not known, from the day on which everything before it was."""
    out, latest = [], date.min
    for row in rows:
        latest = max(latest, row.released or date.min)
        if (row.released or latest) <= on:
            out.append(row)
    return out


def version_key(version: str) -> VersionKey:
    """By what versions sort: 4.97-RC0 before 4.97 before 4.97.1; 24.5.1 before 24.5.1c; 8.8.15 Patch 7 before Patch 46."""
    parts = _PARTS.findall(version[:_VERSION_LENGTH_MAX].lower())
    end = (1, 0, "")  # above what comes before a release, below everything that goes on
    keys = [(2, int(part), "") if part.isdigit() else (0 if part in _BEFORE_RELEASE else 1, 0, part) for part in parts]
    return (*keys, end)


def _is_of(row: OtherRow, version: str) -> bool:
    """Whether a row is about *version*; a last `x`, as in 9.0.x, stands for anything."""
    if row.version.endswith(_ANY):
        return version.startswith(row.version[:-1])
    return version_key(row.version) == version_key(version)


def _same_branch(product: str, one: str, other: str) -> bool:
    return product != "Zimbra" or version_key(one)[:_BRANCH_NUMBERS] == version_key(other)[:_BRANCH_NUMBERS]


def _in_order(cves: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cves))
