"""
From the build that a line shows to the builds that may be installed.

The lower end is always the build shown: a line never shows more than is installed. The upper end is the highest build
that such a line can hide, by the table of known false evidence; all of it lies in one branch.
"""

from functools import lru_cache
from typing import NamedTuple

from shared.domain.build import Build
from shared.domain.catalogue import BuildCatalogue, BuildRow, branch_of
from shared.domain.catalogue_rows import LagRow

EXACT = "exact"
NEWER_THAN_DATA = "newer-than-data"
UNLISTED_BRANCH = "unlisted-branch"


class BuildRange(NamedTuple):
    """Both ends included. reason: why it is what it is, a code of `docs/architecture/reading.md`."""

    low: Build
    high: Build
    reason: str


@lru_cache(maxsize=4096)  # edges ask for few builds again and again; at the bound the one not asked for longest goes
def range_of(form: str, shown: Build, catalogue: BuildCatalogue) -> BuildRange:
    """Where the installed build must lie when a line of *form* shows *shown*; of several rows the widest counts."""
    listed = catalogue.builds_of_branch(branch_of(shown))
    high, reason = shown, ""
    for lag in catalogue.lags:
        if lag.first <= shown <= lag.last and _is_about(lag, form, shown, listed):
            hidden = _upper_end(lag, shown, listed)
            if hidden > high:
                high, reason = hidden, lag.reason
    return BuildRange(shown, high, reason or _reason_of_exact(shown, catalogue))


def _is_about(lag: LagRow, form: str, shown: Build, listed: tuple[BuildRow, ...]) -> bool:
    if form not in lag.forms and "any" not in lag.forms:
        return False
    if lag.which == "any":
        return True
    if lag.which == "unlisted":
        return all(row.build != shown for row in listed)
    base = max((row.build for row in listed if row.is_base), default=shown)
    return shown == base if lag.which == "base" else shown < base


def _upper_end(lag: LagRow, shown: Build, listed: tuple[BuildRow, ...]) -> Build:
    if isinstance(lag.high, Build):
        return lag.high
    if lag.high == "branch-newest":
        return listed[-1].build if listed else shown
    return next((row.build for row in listed if row.build >= shown), shown)


def _reason_of_exact(shown: Build, catalogue: BuildCatalogue) -> str:
    if catalogue.newer_than_data(shown):
        return NEWER_THAN_DATA
    return EXACT if catalogue.builds_of_branch(branch_of(shown)) else UNLISTED_BRANCH
