"""
The supervisor: starts parts and waits until they are ready, starts again what dies, ends all in order, and nothing else.

A part that dies is started again after 0.5 s, 1 s, 2 s ... at most 30 s; more than 5 deaths in 10 minutes end everything.
Only processes that it started are ever signalled, through their handles. To be used from one event loop in the thread
that lives longest (see tether.py).
"""

import asyncio
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from services.cli.parts import Part, PartError
from shared.domain.errors import PatchgateError

MOST_DEATHS = 5
DEATHS_WITHIN_S = 600.0
_BACKOFF_S = 0.5
_BACKOFF_MOST_S = 30.0
_KILLED_WITHIN_S = 5.0  # SIGKILL is obeyed at once unless the disk hangs
_POLL_S = 0.05

State = Literal["ended", "starting", "running", "waiting", "ending"]


class _Child:
    """One part, and where it stands."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.state: State = "ended"
        self.process: subprocess.Popen[bytes] | None = None
        self.env: dict[str, str] = {}
        self.deaths: deque[float] = deque()
        self.again: asyncio.Task[None] | None = None


class Supervisor:
    """
    Parts in the order in which they start; they end in the reverse one.

    env: of every part; each start may add to it. tell: gets a sentence for each thing that happens, with the part's name.
    """

    def __init__(self, parts: Iterable[Part], env: Mapping[str, str], tell: Callable[[str, str], None]) -> None:
        self._children = {part.name: _Child(part) for part in parts}
        self._env = dict(env)
        self._tell = tell

    # -- looking ----------------------------------------------------------------------------------------------------

    def pid(self, name: str) -> int | None:
        """The process of a part that runs."""
        process = self._children[name].process
        return process.pid if process is not None and process.poll() is None else None

    def state(self, name: str) -> State:
        """Where a part stands."""
        return self._children[name].state

    # -- starting ---------------------------------------------------------------------------------------------------

    def set_env(self, **values: str) -> None:
        """From the next start of any part on, it has these."""
        self._env.update(values)

    async def start(self, *names: str, env: Mapping[str, str] | None = None) -> None:
        """
        Start parts side by side, and wait until all are ready. env: for these, now and at every restart.

        Raises:
            PatchgateError: one did not start; the others run, and are the caller's to end.
        """
        for name in names:
            self._children[name].env = dict(env or {})
        starts = [asyncio.create_task(self._start(self._children[name])) for name in names]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)  # each ends what it started

    async def _start(self, child: _Child) -> None:
        name = child.part.name
        if child.state != "ended":
            raise PartError(f"{name} is {child.state} already")
        child.state = "starting"
        begun = time.monotonic()
        try:
            child.process = await child.part.spawn({**self._env, **child.env})
            await child.part.wait_ready(child.process)
        except BaseException:
            await self._end(child)  # also when cancelled: what is not ready must not stay behind
            raise
        child.state = "running"
        self._tell(name, f"ready after {time.monotonic() - begun:.1f} s (process {child.process.pid})")

    # -- ending -----------------------------------------------------------------------------------------------------

    async def stop(self, name: str) -> None:
        """End a part: SIGTERM, and SIGKILL at its bound. It is not started again."""
        child = self._children[name]
        if child.again is not None:
            child.again.cancel()
            await asyncio.wait([child.again])
            child.again = None
        await self._end(child)

    async def _end(self, child: _Child) -> None:
        process, child.state = child.process, "ending"
        try:
            if process is not None and process.poll() is None:
                process.terminate()
                if not await _gone(process, child.part.stop_within_s):
                    self._tell(child.part.name, f"did not end within {child.part.stop_within_s:g} s and is killed")
                    process.kill()
                    await _gone(process, _KILLED_WITHIN_S)
            if process is not None:
                await child.part.ended()
        finally:
            child.process, child.state = None, "ended"

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash would; `watch` starts it again."""
        process = self._children[name].process
        if process is not None:
            process.kill()

    async def stop_all(self) -> None:
        """End all, last started first; a part that cannot be ended does not keep the next from its turn."""
        for name in reversed(self._children):
            if self._children[name].state == "ended":
                continue
            try:
                await self.stop(name)
            except (PatchgateError, OSError) as error:
                self._tell(name, f"could not be ended: {error}")
            else:
                self._tell(name, "has ended")

    def kill_all(self) -> None:
        """SIGKILL for everything, at once."""
        for child in self._children.values():
            if child.process is not None:
                child.process.kill()

    # -- watching ---------------------------------------------------------------------------------------------------

    async def watch(self, until: asyncio.Event) -> None:
        """
        Start again what dies, until the event is set.

        Raises:
            PartError: a part died more than 5 times in 10 minutes.
        """
        while not until.is_set():
            for child in self._children.values():
                if child.state == "running" and child.process is not None and child.process.poll() is not None:
                    self._died(child, f"died (exit code {child.process.returncode})")
                if child.again is not None and child.again.done():
                    again, child.again = child.again, None
                    if not again.cancelled() and (error := again.exception()) is not None:
                        self._died(child, str(error))
            await asyncio.sleep(_POLL_S)

    def _died(self, child: _Child, how: str) -> None:
        now = time.monotonic()
        child.deaths.append(now)
        while child.deaths[0] < now - DEATHS_WITHIN_S:
            child.deaths.popleft()
        name = child.part.name
        if len(child.deaths) > MOST_DEATHS:
            raise PartError(
                f"{name} died {len(child.deaths)} times in {DEATHS_WITHIN_S / 60:.0f} minutes, the last time: {how}"
            )
        delay_s = min(_BACKOFF_MOST_S, _BACKOFF_S * 2 ** (len(child.deaths) - 1))
        self._tell(name, f"{how}; it is started again in {delay_s:g} s")
        child.state = "waiting"
        child.again = asyncio.create_task(self._start_again(child, delay_s))

    async def _start_again(self, child: _Child, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._end(child)  # clears away what the dead process left
        await self._start(child)


async def _gone(process: "subprocess.Popen[bytes]", within_s: float) -> bool:
    """Wait until *process* has ended; False at the bound."""
    deadline = time.monotonic() + within_s
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True
