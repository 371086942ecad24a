"""The floors: what is acceptable of a product, from which day on, and where a reading stands to it. Pure."""

from datetime import date
from enum import Enum
from functools import lru_cache

import msgspec

from shared.domain.build import Build
from shared.domain.evidence import Reading

_END_OF_BRANCH = 1_000_000  # above any revision that a build can have (six digits)
_Numbers = tuple[int, int, int, int]


class Standing(Enum):
    """Where a reading stands to a floor."""

    BELOW = "below"
    UNKNOWN = "unknown"
    AT_OR_ABOVE = "at or above"


class Floor(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    What is acceptable of one product: the least build of each branch, sorted; none means that no build is acceptable.

    A branch that is not named is below the floor, unless it is newer than all that are named.
    """

    product: str
    builds: tuple[Build, ...] = ()

    def accepts(self, build: Build) -> bool:
        """Whether *build* is at or above the floor."""
        return any(first <= build <= last for first, last in self._accepted())

    def standing(self, reading: Reading) -> Standing:
        """Below if the whole range is, at or above if its lower end is, else unknown; another product is unknown."""
        if reading.product != self.product:
            return Standing.UNKNOWN
        if not self.builds:
            return Standing.BELOW
        if reading.low is None or reading.high is None:
            return Standing.UNKNOWN
        return _standing(self.builds, reading.low, reading.high)

    def _accepted(self) -> tuple[tuple[Build, _Numbers], ...]:
        return _accepted(self.builds)


@lru_cache(1024)
def _accepted(builds: tuple[Build, ...]) -> tuple[tuple[Build, _Numbers], ...]:
    """From where to where builds are accepted, both included."""
    ends: list[_Numbers] = [(*least.branch, _END_OF_BRANCH) for least in builds[:-1]]
    return tuple(zip(builds, [*ends, (_END_OF_BRANCH, 0, 0, 0)], strict=bool(builds)))


@lru_cache(4096)  # readings are few, and asked for of each server at a start
def _standing(builds: tuple[Build, ...], low: Build, high: Build) -> Standing:
    accepted = _accepted(builds)
    if any(first <= low <= last for first, last in accepted):
        return Standing.AT_OR_ABOVE
    if any(low <= last and first <= high for first, last in accepted):
        return Standing.UNKNOWN
    return Standing.BELOW


class FloorWave(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """A floor with the UTC day it takes effect, and its source."""

    product: str
    effective: date
    builds: tuple[Build, ...] = ()
    source: str

    @property
    def floor(self) -> Floor:
        """The floor of this wave."""
        return Floor(product=self.product, builds=self.builds)
