"""Builds: four numbers that sort as releases do."""

import re
from typing import NamedTuple

from shared.domain.errors import BuildSyntaxError

# Bounded digits: no number of a real build has more than five, and a hostile line cannot make us parse a long one.
_BUILD = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,6})\.(\d{1,6})", re.ASCII)


class Build(NamedTuple):
    """A build such as 15.2.1748.10; on the wire [15, 2, 1748, 10]."""

    major: int
    minor: int
    build: int
    revision: int

    def __str__(self) -> str:
        """As people write it, without zero padding."""
        return f"{self.major}.{self.minor}.{self.build}.{self.revision}"

    @property
    def branch(self) -> tuple[int, int, int]:
        """The first three numbers: one cumulative update from Exchange 2013 on."""
        return (self.major, self.minor, self.build)


def parse_build(text: str) -> Build:
    """
    Read a build of four numbers; zero padding is accepted, since 15.01.2507.039 is 15.1.2507.39.

    Raises:
        BuildSyntaxError: *text* is anything else.
    """
    found = _BUILD.fullmatch(text)
    if found is None:
        raise BuildSyntaxError(f"{text[:60]!r} is not a build: four numbers with dots between them are expected")
    return Build(*(int(number) for number in found.groups()))
