"""How often one token may ask: a bucket each, filled evenly."""

from datetime import datetime

BURST = 30
"""Requests at once; a postmaster's evening of acts."""
PER_S = 0.5
"""Requests a second in the long run. Each is a record of the log for ever."""


class Buckets:
    """One bucket a name; as many as there are tokens."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, datetime]] = {}

    def take(self, name: str, now: datetime) -> float:
        """Take one; 0, or (nothing was taken) the seconds until there is one. A clock that went back fills nothing."""
        left, at = self._left.get(name, (float(BURST), now))
        left = min(float(BURST), left + max(0.0, (now - at).total_seconds()) * PER_S)
        self._left[name] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else (1 - left) / PER_S
