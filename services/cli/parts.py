"""What a supervisor can run: a service of ours, and the embedded broker. Both are tethered to this process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Protocol

import msgspec

from services.cli import tether
from services.cli.merged_log import LineReader
from shared.domain.errors import PatchgateError
from shared.messaging import embedded
from shared.messaging.jars import Progress, no_progress

_POLL_S = 0.05
_CHUNK = 64 * 1024


class PartError(PatchgateError):
    """A part did not start, or keeps dying; the text has the last line it wrote."""


class Part(Protocol):
    """One process to supervise. stop_within_s: from SIGTERM to SIGKILL."""

    name: str
    stop_within_s: float

    async def spawn(self, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start the process, from the thread that lives longest."""
        ...

    async def wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Return when it does its work. Raises PatchgateError when it ends before, or takes too long."""
        ...

    async def ended(self) -> None:
        """Clear away what the ended process left."""
        ...


def tethered(command: list[str]) -> list[str]:
    """*command*, as a process that dies with this one."""
    return [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command]


class Service:
    """
    `python -m services.NAME`. It is ready when it touches `<state_dir>/ready/NAME`.

    command: another one, for tests. tell: gets each line that it writes.
    """

    def __init__(
        self,
        name: str,
        state_dir: Path,
        tell: Callable[[str, str], None],
        *,
        command: list[str] | None = None,
        ready_within_s: float = 60.0,
        stop_within_s: float = 10.0,
    ) -> None:
        self.name = name
        self.stop_within_s = stop_within_s
        self._ready_within_s = ready_within_s
        self._ready = state_dir / "ready" / name
        self._tell = tell
        self._command = command or [sys.executable, "-m", f"services.{name}"]
        self._last_line = ""

    async def spawn(self, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start it in a session of its own, so that Ctrl-C in a terminal reaches it only through us."""
        self._ready.unlink(missing_ok=True)
        self._last_line = ""
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own modules; starting takes a millisecond
            tethered(self._command),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if process.stdout is not None:
            self._listen(process.stdout)
        return process

    def _listen(self, pipe: IO[bytes]) -> None:
        loop, fd = asyncio.get_running_loop(), pipe.fileno()
        os.set_blocking(fd, False)
        lines = LineReader(self._line)

        def readable() -> None:
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:
                return
            if data:
                lines.feed(data)
                return
            lines.end()
            loop.remove_reader(fd)
            pipe.close()

        loop.add_reader(fd, readable)

    def _line(self, text: str) -> None:
        self._last_line = text or self._last_line
        self._tell(self.name, text)

    async def wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the file."""
        try:
            async with asyncio.timeout(self._ready_within_s):
                while not self._ready.exists():
                    if process.poll() is not None:
                        raise PartError(self.epitaph(process))
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise PartError(
                f"{self.name} was not ready within {self._ready_within_s:g} s; it last wrote: {self._last_line or 'nothing'}"
            ) from error

    async def ended(self) -> None:
        """Its readiness is over."""
        self._ready.unlink(missing_ok=True)

    def epitaph(self, process: "subprocess.Popen[bytes]") -> str:
        """How it ended."""
        code = process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{self.name} {how}; it last wrote: {self._last_line or 'nothing'}"


class Broker:
    """The embedded broker of a state directory."""

    name = "broker"
    stop_within_s = embedded.STOP_TIMEOUT_S

    def __init__(
        self,
        state_dir: Path,
        *,
        port: int = embedded.DEFAULT_PORT,
        settings: Mapping[str, str] | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self._state_dir = state_dir
        self._port = port
        self._settings = settings
        self._progress = progress
        self._launch: embedded.Launch | None = None
        self._unwanted = False

    async def spawn(self, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start it; the first time fetches Kafka. It has an environment of its own."""
        del env
        # Only the preparing may leave this thread: the tether holds to the thread that starts the process.
        self._unwanted = False
        try:
            launch = await asyncio.to_thread(
                embedded.prepare, self._state_dir, port=self._port, settings=self._settings, progress=self._step
            )
        except asyncio.CancelledError:
            self._unwanted = True
            raise
        self._launch = msgspec.structs.replace(launch, argv=tethered(launch.argv))
        return embedded.spawn(self._launch)

    def _step(self, step: str, done: int, total: int) -> None:
        """Tell on; a thread cannot be cancelled, and ends here once nobody waits for it."""
        if self._unwanted:
            raise PartError("the start of the broker was cut short")
        self._progress(step, done, total)

    async def wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait until it answers."""
        if self._launch is not None:
            await asyncio.to_thread(embedded.wait_ready, self._launch, process)

    async def ended(self) -> None:
        """Forget its pid; nothing runs that could be stopped."""
        await asyncio.to_thread(embedded.stop, self._state_dir, self.stop_within_s)
