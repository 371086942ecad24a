"""`patchgate demo`: the main job in about two minutes, on real Kafka and real SMTP, with all services, on a scaled clock."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli import up_lock
from services.cli.demo_scenes import CONNECTOR, Stage, play
from services.cli.demo_senders import MailServer
from services.cli.demo_time import StoryClock
from services.cli.demo_watch import DemoFailed, Relay, Watcher
from services.cli.merged_log import MergedLog
from services.cli.parts import Broker, Service
from services.cli.supervisor import Supervisor
from shared.domain.build import Build
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.messaging import admin
from shared.messaging.probe import free_port

BEGINS = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
"""When the story begins: after the last wave of the shipped floors, at a full hour."""

ADDRESS = "127.0.0.2"
"""Where all three servers connect from; a loopback address that the demo's edge does judge."""

_PARTITIONS = 2
_HEARTBEAT_MS = 100
_BESIDE = ("detector", "enforcer", "notifier", "status")

Keep = Annotated[
    bool, typer.Option("--keep", help="Leave everything up afterwards, until Ctrl-C, and print the page's address.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(keep: Keep = False) -> int:
    """Watch one old server being seen, slowed, blocked, explained, and another one released."""
    state_dir = Path(os.environ.get("PATCHGATE_STATE_DIR", ".state")).absolute() / "demo"
    with up_lock.held(state_dir):
        return asyncio.run(_demo(state_dir, keep=keep))


async def _demo(state_dir: Path, *, keep: bool) -> int:
    console = Console(width=max(110, Console().width) if not sys.stdout.isatty() else None)
    began = monotonic()
    _clear(state_dir)
    stopped = asyncio.Event()
    story = asyncio.create_task(_told(console, state_dir, keep=keep, stopped=stopped, began=began))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _end_early(story, stopped))
    try:
        return await story
    except asyncio.CancelledError:
        console.print("ended by you; nothing is left running")
        return 130


def _end_early(story: "asyncio.Task[int]", stopped: asyncio.Event) -> Callable[[], None]:
    def end() -> None:
        stopped.set()
        story.cancel()

    return end


def _clear(state_dir: Path) -> None:
    """Each demo begins with an empty log."""
    for path in state_dir.iterdir():
        if path.is_dir() and path.name in {"broker", "ready", "log", "work", "spool"}:
            shutil.rmtree(path)


async def _told(console: Console, state_dir: Path, *, keep: bool, stopped: asyncio.Event, began: float) -> int:
    (state_dir / "work").mkdir(parents=True, exist_ok=True)
    log = MergedLog(state_dir, lambda _line: None)
    policy_text = demo_policy()
    clock = StoryClock(state_dir / "clock", begins=BEGINS)
    async with Relay() as relay:
        env = _environment(state_dir, relay)
        with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
            bar = _Bar(progress)
            supervisor = _supervisor(state_dir, env, log, bar)
            try:
                await _bring_up(supervisor, env, bar, policy_text, state_dir)
            except BaseException:
                await supervisor.stop_all()
                raise
        watching = asyncio.create_task(supervisor.watch(asyncio.Event()))
        try:
            async with Watcher(env["PATCHGATE_BOOTSTRAP"], env["PATCHGATE_TOPIC_PREFIX"]) as watcher:
                stage = _stage(console, clock, watcher, relay, parse_policy(policy_text), env, supervisor, state_dir)
                console.print(
                    f"up after {monotonic() - began:.1f} s: Kafka, edge, detector, enforcer, notifier, status"
                )
                code = await play(stage)
                _sum_up(stage, began)
            if keep:
                console.print(
                    f"everything is left up: http://127.0.0.1:{env['PATCHGATE_STATUS_PORT']}/ shows it; Ctrl-C ends it"
                )
                await stopped.wait()
            return code
        finally:
            watching.cancel()
            await supervisor.stop_all()
            log.close()


def _sum_up(stage: Stage, began: float) -> None:
    stage.console.rule()
    good = stage.checks - len(stage.failed)
    stage.console.print(f"{good} of {stage.checks} expectations met, {monotonic() - began:.0f} s in all")
    for text in stage.failed:
        stage.console.print(f" not met: {text}", style="red", markup=False)


def demo_policy() -> str:
    """The shipped policy, enforced, with one on-premises connector for the demo's address."""
    text = (
        shipped_policy_text()
        .replace("version = 1", "version = 2", 1)
        .replace('mode = "observe"', 'mode = "enforce"', 1)
    )
    return (
        text
        + f'\n[[connectors]]\nname = "{CONNECTOR}"\nkind = "on-premises"\nowner = "it"\n'
        + f'ranges = ["{ADDRESS}/32"]\nmode = "enforce"\n'
    )


def _environment(state_dir: Path, relay: Relay) -> dict[str, str]:
    return dict(os.environ) | {
        "PATCHGATE_STATE_DIR": str(state_dir),
        "PATCHGATE_TOPIC_PREFIX": "demo.",
        "PATCHGATE_CLOCK_FILE": str(state_dir / "clock"),
        "PATCHGATE_HEARTBEAT_MS": str(_HEARTBEAT_MS),
        "PATCHGATE_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "PATCHGATE_SMTP_DOOR": f"127.0.0.1:{free_port()}",
        "PATCHGATE_MILTER_SOCKETS": "",
        "PATCHGATE_NEVER_JUDGED": "127.0.0.1/32,::1",
        "PATCHGATE_EDGE": "mx1",
        "PATCHGATE_STATUS_PORT": str(free_port()),
        "PATCHGATE_RELAY": f"127.0.0.1:{relay.port}",
        "PATCHGATE_NOTICE_FROM": "postmaster@receiver.example",
        "PYTHONUNBUFFERED": "1",
    }


class _Bar:
    """The progress display of the start: one line a step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, int] = {}

    def __call__(self, step: str, done: int, total: int) -> None:
        """How far *step* is. Called from other threads too."""
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done, total=total)  # type: ignore[arg-type]  # its ids are numbers


def _supervisor(state_dir: Path, env: dict[str, str], log: MergedLog, bar: _Bar) -> Supervisor:
    port = int(env["PATCHGATE_BOOTSTRAP"].rpartition(":")[2])
    services = [Service(name, state_dir, log.write) for name in (*_BESIDE, "edge")]
    return Supervisor([Broker(state_dir, port=port, progress=bar), *services], env, log.write)


async def _bring_up(supervisor: Supervisor, env: dict[str, str], bar: _Bar, policy_text: str, state_dir: Path) -> None:
    await supervisor.start("broker")
    bar("topics", 0, 1)
    await admin.apply(env["PATCHGATE_BOOTSTRAP"], env["PATCHGATE_TOPIC_PREFIX"], _PARTITIONS)
    bar("topics", 1, 1)
    bar("services", 0, 1)
    await supervisor.start(*_BESIDE, "edge")
    bar("services", 1, 1)
    bar("policy and contact", 0, 2)
    policy_file = state_dir / "work" / "policy.toml"
    policy_file.write_text(policy_text, encoding="utf-8")
    await _must(env, "policy", "adopt", str(policy_file), "--who", "demo", "--why", "the demo enforces", "--yes")
    bar("policy and contact", 1, 2)
    await _must(env, "contact", "set", "branch-it", "it@branch.example", "--connector", CONNECTOR)
    bar("policy and contact", 2, 2)


async def run_patchgate(env: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run one `patchgate` command as a user would; its exit code and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *arguments, env=env | {"COLUMNS": "104"}, stdout=-1, stderr=-2
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def _must(env: dict[str, str], *arguments: str) -> None:
    code, output = await run_patchgate(env, *arguments)
    if code:
        raise DemoFailed(f"patchgate {' '.join(arguments[:2])} failed: {output.strip()}")


def _stage(
    console: Console,
    clock: StoryClock,
    watcher: Watcher,
    relay: Relay,
    policy: Policy,
    env: dict[str, str],
    supervisor: Supervisor,
    state_dir: Path,
) -> Stage:
    host, _, port = env["PATCHGATE_SMTP_DOOR"].rpartition(":")

    def server(name: str, build: Build, title: str) -> MailServer:
        return MailServer(name=name, build=build, own_address=ADDRESS, receiver=(host, int(port)), title=title)

    return Stage(
        console=console,
        clock=clock,
        watcher=watcher,
        relay=relay,
        policy=policy,
        old=server("ex2007.alt.example", Build(8, 3, 83, 6), "Exchange 2007 SP3, never changes"),
        patchable=server(
            "ex2016.mitte.example", Build(15, 1, 2507, 39), "Exchange 2016 CU23 of April 2024, will be patched"
        ),
        modern=server("exse.neu.example", Build(15, 2, 2562, 53), "Exchange SE of October 2026, the neighbour"),
        run=lambda *arguments: run_patchgate(env, *arguments),
        stop_broker=lambda: supervisor.stop("broker"),
        start_broker=lambda: supervisor.start("broker"),
        work_dir=Path(os.path.relpath(state_dir / "work")),  # short, for it is printed
    )
