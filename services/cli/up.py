"""`patchgate up` and `down`: broker and all services on one machine, supervised, with one log."""

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from services.cli import common, up_lock
from services.cli.merged_log import MergedLog
from services.cli.parts import Broker, Part, Service
from services.cli.supervisor import Supervisor
from shared.domain.errors import ConfigError
from shared.messaging import admin, embedded
from shared.messaging.cluster_plan import remembered
from shared.messaging.cluster_status import look

_BESIDE = ("detector", "enforcer", "status")
_NOTIFIER = "notifier"
_NOTICE_FROM = "PATCHGATE_NOTICE_FROM"
_DOWN_WITHIN_S = 90.0  # the sum of the bounds of all parts; a second or two as a rule
_GONE_WITHIN_S = 10.0
_UP = "up"

BrokerPort = Annotated[
    int,
    typer.Option("--broker-port", envvar="PATCHGATE_BROKER_PORT", min=1, max=65535, help="Where our broker listens."),
]
Partitions = Annotated[int, typer.Option("--partitions", min=1, max=10_000, help="Of mail-evidence and verdicts.")]
Milter = Annotated[str | None, typer.Option("--milter", help="unix:/path or inet:host:port, for your MTA.")]
Smtp = Annotated[str | None, typer.Option("--smtp", help="host:port of a plain SMTP door, for trials without an MTA.")]
NoEdge = Annotated[bool, typer.Option("--no-edge", help="The edges run elsewhere.")]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` is to run. bootstrap: of a broker that is there already, "" for our own; beside: services to start at once."""

    state_dir: Path
    bootstrap: str
    broker_port: int
    partitions: int
    prefix: str
    env: dict[str, str]
    beside: tuple[str, ...]
    edge: bool


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("up")(up)
    app.command("down")(down)


def up(
    partitions: Partitions = admin.DEFAULT_PARTITIONS,
    milter: Milter = None,
    smtp: Smtp = None,
    no_edge: NoEdge = False,
    broker_port: BrokerPort = embedded.DEFAULT_PORT,
) -> None:
    """
    Run broker, detector, enforcer, notifier, status and one edge, until Ctrl-C or `patchgate down`.

    The notifier runs where PATCHGATE_NOTICE_FROM says whom notices come from. The broker is ours unless PATCHGATE_BOOTSTRAP or KAFKA_BOOTSTRAP_SERVERS names another.
    """
    settings = common.settings()
    env = dict(os.environ)
    if milter is not None:
        env["PATCHGATE_MILTER_SOCKETS"] = milter
    if smtp is not None:
        env["PATCHGATE_SMTP_DOOR"] = smtp
    named = bool(os.environ.get("PATCHGATE_BOOTSTRAP") or os.environ.get("KAFKA_BOOTSTRAP_SERVERS"))
    state_dir = Path(settings.state_dir).absolute()
    plan = Plan(
        state_dir=state_dir,
        bootstrap=settings.bootstrap if named else "",
        broker_port=broker_port,
        partitions=partitions,
        prefix=settings.topic_prefix,
        env=env | {"PATCHGATE_STATE_DIR": str(state_dir), "PYTHONUNBUFFERED": "1"},
        # Whoever only observes has no notices to send, and need not name a relay first.
        beside=(*_BESIDE, _NOTIFIER) if env.get(_NOTICE_FROM) else _BESIDE,
        edge=not no_edge,
    )
    with up_lock.held(state_dir):
        asyncio.run(_run(plan))


async def _run(plan: Plan) -> None:
    log = MergedLog(plan.state_dir, _show)
    supervisor = supervisor_of(plan, log)
    stopping = _on_signals(supervisor)
    try:
        if await _unless(stopping, asyncio.create_task(bring_up(supervisor, plan, log))):
            log.write(_UP, "everything runs; Ctrl-C or `patchgate down` ends it")
            await supervisor.watch(stopping)
        log.write(_UP, "ending")
    finally:
        await supervisor.stop_all()
        log.close()


def _show(line: str) -> None:
    with suppress(OSError):  # the terminal may be gone; the file has it all
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - the terminal is where this command speaks


def _on_signals(supervisor: Supervisor) -> asyncio.Event:
    """Ask for the end at the first signal; the second kills what has not ended."""
    stopping = asyncio.Event()

    def signalled() -> None:
        if stopping.is_set():
            supervisor.kill_all()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, signalled)
    return stopping


async def _unless(stopping: asyncio.Event, starting: "asyncio.Task[None]") -> bool:
    """Wait for the start; False where it was told to end before."""

    async def cut_short() -> None:
        await stopping.wait()
        starting.cancel()

    watcher = asyncio.create_task(cut_short())
    try:
        await starting
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
    finally:
        watcher.cancel()
    return not stopping.is_set()


def supervisor_of(plan: Plan, log: MergedLog) -> Supervisor:
    """A supervisor of all that *plan* asks for; nothing is started yet."""
    parts: list[Part] = []
    if not plan.bootstrap:
        parts.append(Broker(plan.state_dir, port=plan.broker_port, progress=_Steps(log)))
    parts += [Service(name, plan.state_dir, log.write) for name in plan.beside]
    if plan.edge:
        parts.append(Service("edge", plan.state_dir, log.write))
    return Supervisor(parts, plan.env, log.write)


class _Steps:
    """Tells of the broker's start: each step, and how far it is once a second. Called from another thread."""

    def __init__(self, log: MergedLog) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._told = ""
        self._told_at = 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        if step == self._told and time.monotonic() - self._told_at < 1.0:
            return
        self._told, self._told_at = step, time.monotonic()
        text = f"{step} ({done} of {total})" if total > 1 else step
        self._loop.call_soon_threadsafe(self._log.write, "broker", text)


async def bring_up(supervisor: Supervisor, plan: Plan, log: MergedLog) -> None:
    """
    Start everything: broker, topics, then services and edge side by side, for none of them needs another.

    Raises:
        PatchgateError: something did not start; what did, is the caller's to end.
    """
    bootstrap = plan.bootstrap or await _own_broker(supervisor, plan, log)
    supervisor.set_env(PATCHGATE_BOOTSTRAP=bootstrap)
    changes = await admin.apply(bootstrap, plan.prefix, plan.partitions)
    created = sum(change.created for change in changes)
    log.write("topics", f"{len(changes)} are as they must be, {created} of them new")
    if _NOTIFIER not in plan.beside:
        log.write(
            _NOTIFIER,
            f"is not started: set {_NOTICE_FROM} and PATCHGATE_RELAY; without notices nothing is ever blocked",
        )
    await supervisor.start(*plan.beside, *(["edge"] if plan.edge else []))


async def _own_broker(supervisor: Supervisor, plan: Plan, log: MergedLog) -> str:
    """Start our broker; one that `patchgate broker start` left running is used, and left running. So are three nodes."""
    three = await asyncio.to_thread(_three_nodes, plan.state_dir)
    if three:
        log.write("broker", f"three nodes run already at {three}, and will go on running")
        return three
    seen = await asyncio.to_thread(embedded.status, plan.state_dir)
    if seen.running and seen.bootstrap:
        log.write("broker", f"runs already at {seen.bootstrap} (process {seen.pid}), and will go on running")
        return seen.bootstrap
    await supervisor.start("broker")
    return f"{embedded.DEFAULT_HOST}:{plan.broker_port}"


def _three_nodes(state_dir: Path) -> str:
    """Where the three nodes of *state_dir* serve; "" where there are none, or none serves (then the start says so)."""
    cluster = remembered(state_dir)
    return cluster.bootstrap if cluster is not None and look(cluster) is not None else ""


def down() -> None:
    """End what `patchgate up` runs, in order, and wait until it has ended."""
    state_dir = Path(common.settings().state_dir).absolute()
    if not up_lock.is_held(state_dir):
        typer.echo(f"Nothing is up in {state_dir}.")
        return
    holder = up_lock.holder_of(state_dir)
    process = holder.process() if holder else None
    if process is None:
        raise ConfigError(
            f"{state_dir} is in use by a process that left no name: end the `patchgate up` that runs there"
        )
    process.terminate()
    if up_lock.await_free(state_dir, _DOWN_WITHIN_S):
        typer.echo("Everything has ended.")
        return
    process.kill()  # its children are tethered to it, and die too
    if not up_lock.await_free(state_dir, _GONE_WITHIN_S):
        raise common.CommandError(f"process {process.pid} cannot be ended; end it as its owner or as root")
    typer.echo(f"It did not end within {_DOWN_WITHIN_S:.0f} s and was killed, and all that it ran.")
