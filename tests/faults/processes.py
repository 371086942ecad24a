"""The processes of the campaign: services under a supervisor that starts again what ended, and the broker."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it ships no types

from shared.messaging import embedded
from tests.support.kafka import FAST_SETTINGS

ROOT = Path(__file__).parents[2]
LOOK_EVERY_S = 0.05
STOP_S = 30.0
_TAIL_BYTES = 4000
_LIFE_BYTES = 200_000
_IS_LINUX = sys.platform == "linux"
_QUIET_PORTS = (20_000, 32_000)  # below 32,768, where the ephemeral ones begin on Linux


def _own_host() -> str:
    """A loopback address that nobody else uses: ports that are free now must still be free when their owner starts again."""
    return (
        f"127.{os.getpid() % 200 + 50}.{secrets.randbelow(254)}.{secrets.randbelow(253) + 1}"
        if _IS_LINUX
        else "127.0.0.1"
    )


HOST = _own_host()
"""Where this campaign's broker and edges listen. Elsewhere than on Linux only 127.0.0.1 is there without further set-up."""


def quiet_port() -> int:
    """
    A free port that no outgoing connection takes while its owner is away.

    A client that tries again and again to reach a port of the ephemeral range is some day given that port as its own, and
    is then connected with itself.
    """
    while True:
        port = secrets.choice(range(*_QUIET_PORTS))
        with suppress(OSError), socket.create_server((HOST, port)):
            return port


class Service:
    """
    One service, supervised: whoever ends by itself or is killed is started again, unless it is `held` down.

    deaths: what ended by itself, and how. frozen: stopped by SIGSTOP just now.
    """

    def __init__(self, name: str, kind: str, state_dir: Path) -> None:
        self.name = name
        self.kind = kind
        self.state_dir = state_dir
        self.hands = state_dir / "hands"
        self.hands.mkdir(parents=True, exist_ok=True)
        self.log_file = state_dir / f"{name}.log"
        self.deaths: list[str] = []
        self.held = False
        self.frozen = False
        self._environment: Mapping[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._began_at = 0.0
        self._log_from = 0

    @property
    def ready_file(self) -> Path:
        """Where it says that it is ready."""
        return self.state_dir / "ready" / self.kind

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def ready_since(self, moment: float) -> bool:
        """Whether it has said so since *moment* (Unix seconds) in this life."""
        with suppress(FileNotFoundError):
            return self.alive and self.ready_file.stat().st_mtime >= max(moment, self._began_at)
        return False

    def configure(self, environment: Mapping[str, str]) -> None:
        """Its settings, for each start from now on."""
        self._environment = environment

    def start(self) -> None:
        """Start its process."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("PATCHGATE_", "KAFKA_"))}
        more = {"PATCHGATE_STATE_DIR": str(self.state_dir), "FAULTS_HANDS": str(self.hands)}
        (self.hands / "crash").unlink(missing_ok=True)
        self._killed, self._began_at, self.held = False, time.time(), False
        self._log_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.child", self.kind],
                cwd=ROOT,
                env={**own, **self._environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def supervise(self) -> None:
        """Start it again if it ended; call it often."""
        if self.held or self._process is None or self._process.poll() is None:
            return
        if not self._killed:
            self._note_death(self._process.returncode)
        self.start()

    def _note_death(self, code: int) -> None:
        if code == -signal.SIGKILL:
            return  # by its own hand, at a step
        lines = self._written().splitlines()
        told = [line for line in lines if line.startswith((f"patchgate {self.kind}: ", f"{self.kind}: "))]
        if code == 1 and told:
            self.deaths.append(f"{self.name}: {told[-1]}")
        else:
            self.deaths.append(f"UNTOLD {self.name} ended with {code}: {' / '.join(lines[-3:])[-600:]}")

    def _written(self) -> str:
        """What it wrote in this life, or the end of it."""
        size = self.log_file.stat().st_size
        with self.log_file.open("rb") as file:
            file.seek(max(self._log_from, size - _LIFE_BYTES))
            return file.read().decode(errors="replace")

    def tail(self) -> str:
        """The end of its log."""
        with self.log_file.open("rb") as file:
            file.seek(max(0, self.log_file.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")

    # -- what faults do to it ---------------------------------------------------------------------------------------

    def kill(self, *, hold: bool = False) -> None:
        """SIGKILL; hold: nobody starts it again until `start`."""
        self.held, self._killed = hold, True
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_S)
        self.frozen = False

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)
        self.frozen = False

    async def stop(self, *, hold: bool = False) -> int:
        """SIGTERM, and wait; its exit code."""
        self.held, self._killed = True, True
        if self._process is None:
            return 0
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self.kill(hold=True)
            self.deaths.append(f"UNTOLD {self.name} did not end within {STOP_S:.0f} s of SIGTERM")
            code = -signal.SIGKILL
        self.held = hold
        return code

    @property
    def life(self) -> subprocess.Popen[bytes] | None:
        """Its process of now: take it before a fault that may end it at once."""
        return self._process

    async def has_died(self, timeout_s: float, *, life: subprocess.Popen[bytes] | None = None) -> bool:
        """Wait for its end (that of *life*): by its own hand, or as it could not go on. The supervisor then starts it again."""
        process, deadline = life or self._process, time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if process is not self._process or process is None or process.poll() is not None:
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


class Broker:
    """The campaign's own embedded broker, on one port for good."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.port = quiet_port()
        self.bootstrap = f"{HOST}:{self.port}"
        self._process: psutil.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        handle = await asyncio.to_thread(
            embedded.start, self.state_dir, port=self.port, host=HOST, settings=FAST_SETTINGS
        )
        self._process = psutil.Process(handle.pid)

    async def stop(self) -> None:
        """End it in order."""
        await asyncio.to_thread(embedded.stop, self.state_dir)

    async def kill(self) -> None:
        """SIGKILL, and reap it."""
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.kill()
            await self.gone(STOP_S)

    async def gone(self, timeout_s: float) -> bool:
        """Wait for its end, and reap it."""
        assert self._process is not None
        try:
            await asyncio.to_thread(self._process.wait, timeout_s)
        except psutil.TimeoutExpired:
            return False
        return True

    def freeze(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.suspend()

    def thaw(self) -> None:
        """SIGCONT; nothing where it is gone."""
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.resume()
