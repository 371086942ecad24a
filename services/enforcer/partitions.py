"""How many partitions `mail-evidence` has, by what the marks say. Pure."""

from datetime import datetime, timedelta

SAID_FOR = timedelta(hours=1)
"""So long marks must have said less before less is believed. Real ones come every few seconds, and say what there is."""


class Partitions:
    """
    The greatest number that any mark said, until for SAID_FOR all marks have said less.

    The greatest, since an edge that has not heard of a new partition must not let H run ahead of those who fill it.
    Not for ever, since a number that is broken or forged would hold H back as long as nobody marks what is not there.

    believed: to begin with, what a stored position says.
    """

    def __init__(self, believed: int) -> None:
        self.believed = believed
        self._less_since: datetime | None = None
        self._less = 0

    def note(self, number: int, at: datetime) -> int:
        """A mark said *number* at *at*; gives what is believed now."""
        if number >= self.believed:
            self.believed, self._less_since, self._less = number, None, 0
            return number
        self._less_since, self._less = self._less_since or at, max(self._less, number)
        if at - self._less_since > SAID_FOR:
            self.believed, self._less_since, self._less = self._less, None, 0
        return self.believed
