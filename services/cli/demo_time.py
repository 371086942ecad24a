"""The demo's clock: ten minutes a second inside scenes, days a second between them. Every service reads the same file."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from shared.runtime.clock import ScaledClock, append_segment, begin_scaled

INSIDE = 600.0  # ten minutes a second
_SLOWEST_INSIDE = 75.0
_AHEAD_S = 1.0  # a change of the rate is written so long ahead, so that all services make it at the same instant
_JUMP_S = 1.0  # real seconds that a jump takes, however far it goes
_SLOWEST_JUMP = 3600.0  # an hour a second: short jumps take less


class StoryClock:
    """The scaled clock, and the hand that turns it."""

    def __init__(self, path: Path, *, begins: datetime) -> None:
        begin_scaled(path, utc=begins, rate=INSIDE)
        self._path = path
        self._clock = ScaledClock(path)
        self.rate = INSIDE

    def now(self) -> datetime:
        """The story's UTC."""
        return self._clock.now()

    async def slow_down(self) -> bool:
        """Run at half the pace from now on, for a busy machine; False when it is slow enough already."""
        if self.rate / 2 < _SLOWEST_INSIDE:
            return False
        self.rate /= 2
        append_segment(self._path, rate=self.rate, ahead=timedelta(seconds=_AHEAD_S))
        await asyncio.sleep(_AHEAD_S)
        return True

    async def jump(self, to: datetime) -> None:
        """Let the time run fast until *to*; it then goes on at ten minutes a second. Never back: a past instant is no jump."""
        ahead = timedelta(seconds=_AHEAD_S)
        way = to - (self.now() + ahead * self.rate)
        if way > timedelta():
            rate = max(_SLOWEST_JUMP, way.total_seconds() / _JUMP_S)
            append_segment(self._path, rate=rate, ahead=ahead)
            append_segment(self._path, rate=self.rate, ahead=ahead + way / rate)
        await self.reach(to)

    async def reach(self, instant: datetime) -> None:
        """Wait until the story's time is *instant*."""
        while (left := instant - self.now()) > timedelta():  # noqa: ASYNC110  (a scaled clock has no event)
            await asyncio.sleep(min(0.05, max(0.001, left.total_seconds() / self.rate)))
