"""The supervisor with little programs for services: ready, dead, restarted, ended, killed, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it ships no types
import pytest

from services.cli import supervisor as module
from services.cli.parts import PartError, Service, tethered
from services.cli.supervisor import Supervisor

WAIT_S = 15.0

READY = """
import os, pathlib, signal, sys, time
ready = pathlib.Path(os.environ["PATCHGATE_STATE_DIR"]) / "ready" / sys.argv[1]
ready.parent.mkdir(parents=True, exist_ok=True)
print("env", os.environ.get("EXTRA", "none"), flush=True)
ready.touch()
"""
STEADY = READY + "signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "while True: signal.pause()"
DIES_LATER = READY + "time.sleep(0.2); print('cannot go on', flush=True); sys.exit(3)"
NEVER_READY = "import signal; print('thinking', flush=True); signal.pause()"
DIES_AT_ONCE = "import sys; print('settings: no', flush=True); sys.exit(1)"


class Box:
    """A supervisor of little programs, and what it told."""

    def __init__(self, state_dir: Path, **programs: str) -> None:
        self.told: list[tuple[str, str]] = []
        parts = [
            Service(
                name,
                state_dir,
                self.tell,
                command=[sys.executable, "-c", code, name],
                ready_within_s=3.0,
                stop_within_s=0.5,
            )
            for name, code in programs.items()
        ]
        self.supervisor = Supervisor(parts, {**os.environ, "PATCHGATE_STATE_DIR": str(state_dir)}, self.tell)

    def tell(self, name: str, text: str) -> None:
        """What the supervisor and the children say."""
        self.told.append((name, text))

    def has_told(self, name: str, text: str) -> bool:
        """Whether a line of *name* holds *text*."""
        return any(who == name and text in line for who, line in self.told)


@asynccontextmanager
async def box(state_dir: Path, **programs: str) -> AsyncIterator[Box]:
    """Lend a box; nothing of it is left afterwards."""
    one = Box(state_dir, **programs)
    try:
        yield one
    finally:
        await one.supervisor.stop_all()
        assert not [child.pid for child in psutil.Process().children(recursive=True) if is_of(child, state_dir)]


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for *condition*."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s: {what}"
        await asyncio.sleep(0.02)


def is_of(child: psutil.Process, state_dir: Path) -> bool:
    """Whether a living process was started with *state_dir*; one that ended meanwhile, or waits to be reaped, is over."""
    try:
        return state_dir.name in str(child.environ())
    except psutil.NoSuchProcess:
        return False


def is_alive(pid: int) -> bool:
    """Whether a process still does anything."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_parts_start_side_by_side_and_are_ready(tmp_path: Path) -> None:
    """Each has the environment of all, and its own."""
    async with box(tmp_path, one=STEADY, two=STEADY) as b:
        b.supervisor.set_env(EXTRA="for all")
        await b.supervisor.start("one", "two")
        assert [b.supervisor.state(name) for name in ("one", "two")] == ["running", "running"]
        await until(lambda: b.has_told("one", "env for all"), "the line of one")
        assert b.has_told("two", "ready after")


async def test_a_start_can_have_an_environment_of_its_own(tmp_path: Path) -> None:
    """For a demo that runs one edge with other settings."""
    async with box(tmp_path, one=STEADY) as b:
        await b.supervisor.start("one", env={"EXTRA": "mine"})
        await until(lambda: b.has_told("one", "env mine"), "the line of one")


async def test_an_old_readiness_is_not_believed(tmp_path: Path) -> None:
    """The file of an earlier run says nothing about this one."""
    (tmp_path / "ready").mkdir()
    (tmp_path / "ready" / "one").touch()
    async with box(tmp_path, one=DIES_AT_ONCE) as b:
        with pytest.raises(PartError, match="one ended with code 1; it last wrote: settings: no"):
            await b.supervisor.start("one")
        assert b.supervisor.state("one") == "ended"


async def test_a_part_that_is_never_ready_is_ended_at_its_bound(tmp_path: Path) -> None:
    """With the last line that it wrote."""
    async with box(tmp_path, one=NEVER_READY) as b:
        with pytest.raises(PartError, match=r"one was not ready within 3 s; it last wrote: thinking"):
            await b.supervisor.start("one")
        assert b.supervisor.pid("one") is None


async def test_when_one_fails_the_starts_beside_it_are_ended(tmp_path: Path) -> None:
    """Nothing half-started stays."""
    async with box(tmp_path, one=NEVER_READY, two=DIES_AT_ONCE) as b:
        with pytest.raises(PartError, match="two ended"):
            await b.supervisor.start("one", "two")
        assert b.supervisor.pid("one") is None


async def test_a_part_that_runs_is_not_started_twice(tmp_path: Path) -> None:
    """Two edges on one socket help nobody."""
    async with box(tmp_path, one=STEADY) as b:
        await b.supervisor.start("one")
        with pytest.raises(PartError, match="one is running already"):
            await b.supervisor.start("one")


async def test_stop_ends_a_part_and_start_brings_it_back(tmp_path: Path) -> None:
    """A part that was stopped on purpose is not started again by itself."""
    async with box(tmp_path, one=STEADY) as b:
        stop = asyncio.Event()
        watching = asyncio.create_task(b.supervisor.watch(stop))
        await b.supervisor.start("one")
        pid = b.supervisor.pid("one")
        assert pid is not None
        await b.supervisor.stop("one")
        assert not is_alive(pid)
        assert not (tmp_path / "ready" / "one").exists()
        await b.supervisor.start("one")
        assert b.supervisor.pid("one") not in {None, pid}
        stop.set()
        await watching
        assert not b.has_told("one", "died")


async def test_what_dies_is_started_again(tmp_path: Path) -> None:
    """After a short while, with the same environment."""
    async with box(tmp_path, one=STEADY) as b:
        stop = asyncio.Event()
        watching = asyncio.create_task(b.supervisor.watch(stop))
        await b.supervisor.start("one", env={"EXTRA": "mine"})
        pid = b.supervisor.pid("one")
        b.supervisor.kill("one")
        await until(
            lambda: b.supervisor.state("one") == "running" and b.supervisor.pid("one") not in {None, pid}, "again"
        )
        assert b.has_told("one", "died (exit code -9); it is started again in 0.5 s")
        await until(lambda: [line for _, line in b.told].count("env mine") == 2, "both lines")
        stop.set()
        await watching


async def test_what_keeps_dying_ends_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarts are bounded, and the last death is told; failed restarts count."""
    monkeypatch.setattr(module, "_BACKOFF_S", 0.01)
    monkeypatch.setattr(module, "MOST_DEATHS", 2)
    async with box(tmp_path, one=DIES_LATER) as b:
        await b.supervisor.start("one")
        with pytest.raises(PartError, match="one died 3 times in 10 minutes"):
            await asyncio.wait_for(b.supervisor.watch(asyncio.Event()), WAIT_S)
        assert b.has_told("one", "cannot go on")


async def test_a_part_that_does_not_obey_is_killed_at_its_bound(tmp_path: Path) -> None:
    """And the end is told."""
    async with box(tmp_path, one=STUBBORN) as b:
        await b.supervisor.start("one")
        pid = b.supervisor.pid("one")
        assert pid is not None
        await b.supervisor.stop("one")
        assert not is_alive(pid)
        assert b.has_told("one", "did not end within 0.5 s and is killed")


async def test_all_end_in_the_reverse_order(tmp_path: Path) -> None:
    """What the others stand on ends last."""
    async with box(tmp_path, one=STEADY, two=STEADY, three=STEADY) as b:
        await b.supervisor.start("one")
        await b.supervisor.start("two")
        await b.supervisor.start("three")
        await b.supervisor.stop_all()
        assert [name for name, text in b.told if text == "has ended"] == ["three", "two", "one"]


async def test_a_stop_during_the_pause_before_a_restart_holds(tmp_path: Path) -> None:
    """Nothing rises after the end."""
    async with box(tmp_path, one=STEADY) as b:
        stop = asyncio.Event()
        watching = asyncio.create_task(b.supervisor.watch(stop))
        await b.supervisor.start("one")
        b.supervisor.kill("one")
        await until(lambda: b.supervisor.state("one") == "waiting", "the pause")
        await b.supervisor.stop("one")
        assert b.supervisor.state("one") == "ended"
        assert asyncio.all_tasks() == {asyncio.current_task(), watching}  # nothing is left that would start it
        stop.set()
        await watching


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_children_die_with_a_parent_that_is_killed() -> None:
    """Even SIGKILL leaves nothing behind."""
    code = (
        "import subprocess, signal; from services.cli.parts import tethered\n"
        "child = subprocess.Popen(tethered(['sleep', '600']))\n"
        "print(child.pid, flush=True); signal.pause()"
    )
    parent = subprocess.Popen(  # noqa: ASYNC220 - a moment
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        await until(lambda: psutil.Process(child).name() == "sleep", "the child to become its command")
        parent.send_signal(signal.SIGKILL)
        await until(lambda: not is_alive(child), "the child's end")
    finally:
        parent.kill()
        parent.communicate()


def test_a_command_whose_parent_is_gone_already_does_not_run() -> None:
    """Between the start and the tether the parent may die."""
    command = tethered(["echo", "it runs"])
    command[4] = "1"  # not who starts it here
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
