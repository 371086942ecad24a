"""`patchgate broker`: start, stop and look at the embedded Kafka of this machine."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from shared.domain.errors import ConfigError
from shared.messaging import embedded

app = typer.Typer(no_args_is_help=True, help="The embedded Kafka: one real node on this machine, no set-up.")

_MEGABYTE = 1024 * 1024

StateDir = Annotated[
    Path,
    typer.Option(
        "--state-dir",
        envvar="PATCHGATE_STATE_DIR",
        help="Where its data lie, in the folder broker.",
        show_default=".state",
    ),
]
Port = Annotated[
    int, typer.Option("--port", envvar="PATCHGATE_BROKER_PORT", min=1, max=65535, help="Where it listens on 127.0.0.1.")
]


@app.command()
def start(state_dir: StateDir = Path(".state"), port: Port = embedded.DEFAULT_PORT) -> None:
    """Start the broker and wait until it answers; the first time fetches Kafka (43 MB)."""
    try:
        handle = _start_with_progress(state_dir, port)
    except ConfigError as error:
        raise _failed(error) from error
    verb = "already runs" if handle.was_running else "runs"
    typer.echo(f"The broker {verb} at {handle.bootstrap} (process {handle.pid}, log {handle.log_path}).")


def _start_with_progress(state_dir: Path, port: int) -> embedded.BrokerHandle:
    """Show steps on stderr; where that is no terminal, nothing is drawn."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not Console(stderr=True).is_terminal
    ) as bar:
        task = bar.add_task("looking for a broker", total=None)

        def show(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total)

        return embedded.start(state_dir, port=port, progress=show)


@app.command()
def stop(
    state_dir: StateDir = Path(".state"),
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.0, help="Seconds until it is ended the hard way.")
    ] = embedded.STOP_TIMEOUT_S,
) -> None:
    """Stop the broker; its data stay."""
    try:
        was_running = embedded.stop(state_dir, timeout_s)
    except ConfigError as error:
        raise _failed(error) from error
    typer.echo("The broker has stopped; its data stay." if was_running else "No broker was running.")


@app.command()
def status(
    state_dir: StateDir = Path(".state"),
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Tell whether the broker runs and answers; exit code 0 if it answers, else 1."""
    try:
        seen = embedded.status(state_dir)
    except ConfigError as error:
        raise _failed(error) from error
    typer.echo(msgspec.json.encode(seen, enc_hook=str) if as_json else _sentence(seen))
    if not seen.answers:
        raise typer.Exit(1)


def _sentence(seen: embedded.BrokerStatus) -> str:
    if seen.running:
        manner = "answers" if seen.answers else "does not answer (yet)"
        memory, data = seen.resident_bytes // _MEGABYTE, seen.data_bytes // _MEGABYTE
        return f"The broker runs at {seen.bootstrap} and {manner}: process {seen.pid}, {memory} MB of memory, {data} MB of data in {seen.data_dir}."
    if seen.failure is not None:
        return f"No broker runs; the last one ended by itself: {seen.failure} (log {seen.log_path})."
    return f"No broker runs in {seen.data_dir.parent}: `patchgate broker start`."


def _failed(error: ConfigError) -> typer.Exit:
    """Say in one line what is wrong, on stderr."""
    typer.echo(f"patchgate: {error}", err=True)
    return typer.Exit(1)
