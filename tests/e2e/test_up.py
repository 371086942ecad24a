"""`patchgate up` as a user has it: one command, everything runs, one mail becomes law, and nothing is left behind."""

import asyncio
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it ships no types
import pytest

from shared.domain.events import ServerSighted, decode_log
from shared.messaging import topics as t
from shared.messaging.probe import free_port
from tests.support.topic_io import ROOT, read_all

pytestmark = pytest.mark.e2e

WAIT_S = 90.0  # the whole box takes about 8 s to come up when the machine has nothing else to do
NAME = "ex07.alt.example"
MAIL = (
    f"Received: from pc.alt.example ([10.0.0.5]) by {NAME} ([10.0.0.2]) with\r\n"
    " Microsoft SMTP Server id 8.3.485.1; Tue, 24 Nov 2026 08:00:00 +0000\r\n"
    "From: a@alt.example\r\nTo: b@here.example\r\nSubject: hello\r\n\r\nhello\r\n"
)


class Up:
    """One `patchgate up` with a state directory and ports of its own."""

    def __init__(self, state_dir: Path, **settings: str) -> None:
        self.state_dir = state_dir
        self.broker, self.smtp = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        own = {key: value for key, value in os.environ.items() if not key.startswith(("PATCHGATE_", "KAFKA_"))}
        self.env = own | {
            "PATCHGATE_STATE_DIR": str(state_dir),
            "PATCHGATE_BROKER_PORT": self.broker.rpartition(":")[2],
            "PATCHGATE_STATUS_PORT": str(free_port()),
            "PATCHGATE_MILTER_SOCKETS": f"unix:{state_dir}/milter.sock",
            "PATCHGATE_NEVER_JUDGED": "::1",  # the test sends from 127.0.0.1
            "PATCHGATE_NOTICE_FROM": "postmaster@here.example",
            "PATCHGATE_HEARTBEAT_MS": "200",
            **settings,
        }
        self.out = state_dir.with_name("up.out")
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "up", "--partitions", "2", "--smtp", self.smtp],
                env=self.env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    @property
    def said(self) -> str:
        """All that it wrote to the terminal."""
        return self.out.read_text(errors="replace")

    def until_said(self, text: str, times: int = 1) -> None:
        """Wait until it wrote *text*."""
        until(lambda: self.said.count(text) >= times or self.process.poll() is not None, f"{text!r} in {self.said}")
        assert self.said.count(text) >= times, self.said

    def is_up(self) -> None:
        """Wait until everything runs."""
        self.until_said("everything runs")

    def patchgate(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another command beside it."""
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            env=self.env | {"PATCHGATE_BOOTSTRAP": self.broker},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def pid_of(self, name: str) -> int:
        """The process of a service, from what was said last."""
        line = next(
            line for line in reversed(self.said.splitlines()) if line.startswith(name) and "ready after" in line
        )
        return int(line.rpartition("(process ")[2].rstrip(")"))

    def left(self) -> list[str]:
        """Command lines of processes of this state directory that still do something."""
        return [
            " ".join(process.info["cmdline"]) for process in psutil.process_iter(["cmdline"]) if self._is_ours(process)
        ]

    def _is_ours(self, process: "psutil.Process") -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                return False
            ours = str(self.state_dir)
            return process.environ().get("PATCHGATE_STATE_DIR") == ours or any(
                ours in word for word in process.cmdline()
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for *condition*."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def ups() -> Iterator[list[Up]]:
    """Keep what a test starts; whatever happens, it is gone afterwards."""
    started: list[Up] = []
    yield started
    for up in started:
        if up.process.poll() is None:
            up.process.kill()  # its children are tethered to it
        up.process.wait()
        until(lambda up=up: not up.left(), f"the end of {up.left()}")  # type: ignore[misc]  # the default binds the loop's value


def send(address: str) -> None:
    """One mail from an Exchange 2007, through the plain door."""
    host, _, port = address.partition(":")
    with smtplib.SMTP(host, int(port), local_hostname=NAME, timeout=WAIT_S) as client:
        client.sendmail("a@alt.example", ["b@here.example"], MAIL)


def sighted(bootstrap: str) -> set[str]:
    """The servers whose sightings are law."""
    records = asyncio.run(read_all(bootstrap, f"patchgate.{t.LOG}"))
    events = [decode_log(record.value).event for record in records]
    return {event.server for event in events if isinstance(event, ServerSighted)}


def test_one_command_runs_everything_and_a_mail_becomes_law(tmp_path: Path, ups: list[Up]) -> None:
    """Up, mail, a dead edge comes back, a second up is refused, the audit is green, down: and nothing is left."""
    up = Up(tmp_path / "state")
    ups.append(up)
    up.is_up()
    for name in ("broker", "detector", "enforcer", "notifier", "status", "edge"):
        assert f"{name:<9} | ready after" in up.said
    send(up.smtp)
    until(lambda: sighted(up.broker) == {f"{NAME}@127.0.0.1"}, "the sighting on the log")

    second = up.patchgate("up")
    assert second.returncode == 1
    assert f"patchgate is up already in {up.state_dir} (process {up.process.pid})" in second.stderr
    assert second.stderr.count("\n") == 1

    edge = up.pid_of("edge")
    os.kill(edge, signal.SIGKILL)
    up.until_said("edge      | ready after", 2)
    assert up.pid_of("edge") != edge
    assert "died (exit code -9); it is started again" in up.said
    send(up.smtp)

    verified = up.patchgate("audit", "verify")
    assert verified.returncode == 0, verified
    down = up.patchgate("down")
    assert (down.returncode, down.stdout) == (0, "Everything has ended.\n")
    assert up.process.wait(WAIT_S) == 0
    assert up.left() == []
    ended = [line.split()[0] for line in up.said.splitlines() if line.endswith("| has ended")]
    assert (ended[0], ended[-1], len(ended)) == ("edge", "broker", 6)
    assert (up.state_dir / "log" / "patchgate.log").read_text(errors="replace") == up.said
    assert up.patchgate("down").stdout == f"Nothing is up in {up.state_dir}.\n"


def test_sigterm_while_it_starts_leaves_nothing(tmp_path: Path, ups: list[Up]) -> None:
    """A machine that shuts down does not wait until we are ready."""
    up = Up(tmp_path / "state")
    ups.append(up)
    up.until_said("broker")
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(WAIT_S) == 0
    assert up.left() == []
    assert "everything runs" not in up.said


def test_a_service_with_wrong_settings_ends_the_start_with_its_own_line(tmp_path: Path, ups: list[Up]) -> None:
    """What did start is ended, and the reason stands last."""
    up = Up(tmp_path / "state", PATCHGATE_MILTER_SOCKETS="nonsense")
    ups.append(up)
    assert up.process.wait(WAIT_S) == 1
    assert up.left() == []
    last = up.said.splitlines()[-1]
    assert last.startswith("patchgate: edge ended with code 1; it last wrote: ")
    assert "'nonsense' is no place to listen" in last


def test_a_supervisor_that_is_killed_leaves_nothing(tmp_path: Path, ups: list[Up]) -> None:
    """Children are tethered; the next start finds the data as after a power cut. Without a sender no notifier runs."""
    first = Up(tmp_path / "state", PATCHGATE_NOTICE_FROM="")
    ups.append(first)
    first.is_up()
    assert "notifier  | is not started: set PATCHGATE_NOTICE_FROM" in first.said
    first.process.kill()
    first.process.wait()
    until(lambda: not first.left(), "the end of all children")
    again = Up(tmp_path / "state", PATCHGATE_NOTICE_FROM="")
    ups.append(again)
    again.is_up()
    again.process.send_signal(signal.SIGINT)
    assert again.process.wait(WAIT_S) == 0
    assert again.left() == []
