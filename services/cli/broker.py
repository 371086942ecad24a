"""`patchgate broker`: start, stop and look at the embedded Kafka of this machine, of one node or of three."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.broker_text import of_cluster, of_one
from shared.domain.errors import ConfigError
from shared.messaging import cluster, embedded, jars
from shared.messaging.cluster_plan import NODES, remembered

app = typer.Typer(no_args_is_help=True, help="The embedded Kafka: a real one on this machine, no set-up.")

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
    int | None,
    typer.Option(
        "--port",
        envvar="PATCHGATE_BROKER_PORT",
        min=1,
        max=65530,
        help="Where it listens on 127.0.0.1; three nodes take this one and the next five.",
        show_default=str(embedded.DEFAULT_PORT),
    ),
]
Nodes = Annotated[
    int | None, typer.Option("--nodes", help="1, or 3 that hold every record three times.", show_default="as before")
]
Node = Annotated[
    int | None, typer.Option("--node", min=1, max=NODES, help="Only this one.", show_default="all, one by one")
]


@app.command()
def start(state_dir: StateDir = Path(".state"), port: Port = None, nodes: Nodes = None) -> None:
    """Start the broker and wait until it answers; the first time fetches Kafka (43 MB)."""
    with _told():
        if _of_three(state_dir, nodes):
            _start_three(state_dir, port)
        else:
            _start_one(state_dir, port or embedded.DEFAULT_PORT)


def _of_three(state_dir: Path, nodes: int | None) -> bool:
    if nodes not in {None, 1, NODES}:
        raise ConfigError(
            f"--nodes {nodes}: 1 or {NODES}; two could lose none of them, and more gain nothing on one machine"
        )
    return nodes == NODES or (nodes is None and remembered(state_dir) is not None)


def _start_one(state_dir: Path, port: int) -> None:
    with _progress() as show:
        handle = embedded.start(state_dir, port=port, progress=show)
    verb = "already runs" if handle.was_running else "runs"
    typer.echo(f"The broker {verb} at {handle.bootstrap} (process {handle.pid}, log {handle.log_path}).")


def _start_three(state_dir: Path, port: int | None) -> None:
    with _progress() as show:
        handle = cluster.start(state_dir, port=port, progress=show)
    for one in handle.nodes:
        verb = "already runs" if one.was_running else "runs"
        typer.echo(f"Node {one.node_id} {verb} at {one.bootstrap} (process {one.pid}, log {one.log_path}).")
    typer.echo(f"Three nodes: PATCHGATE_BOOTSTRAP={handle.bootstrap}")


@app.command()
def restart(state_dir: StateDir = Path(".state"), node: Node = None) -> None:
    """Restart the nodes of three one after another, each when the others hold everything; nothing stands still meanwhile."""
    with _told(), _progress() as show:
        restarted = cluster.restart(state_dir, range(1, NODES + 1) if node is None else [node], progress=show)
    for one in restarted:
        typer.echo(f"Node {one.node_id} runs again at {one.bootstrap} (process {one.pid}), and has caught up.")


@contextmanager
def _told() -> Iterator[None]:
    """Say in one line what is wrong, on stderr."""
    try:
        yield
    except ConfigError as error:
        typer.echo(f"patchgate: {error}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def _progress() -> Iterator[jars.Progress]:
    """Show steps on stderr; where that is no terminal, nothing is drawn."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not Console(stderr=True).is_terminal
    ) as bar:
        task = bar.add_task("looking for a broker", total=None)

        def show(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total)

        yield show


@app.command()
def stop(
    state_dir: StateDir = Path(".state"),
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.0, help="Seconds until it is ended the hard way.")
    ] = embedded.STOP_TIMEOUT_S,
) -> None:
    """Stop the broker, all its nodes; the data stay."""
    with _told():
        if remembered(state_dir) is None:
            ended = int(embedded.stop(state_dir, timeout_s))
        else:
            ended = cluster.stop(state_dir, timeout_s)
    if not ended:
        typer.echo("No broker was running.")
    else:
        typer.echo(
            "The broker has stopped; its data stay." if ended == 1 else f"{ended} nodes have stopped; their data stay."
        )


@app.command()
def status(
    state_dir: StateDir = Path(".state"),
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Tell whether the broker runs and answers; exit code 0 if it does, of three nodes if all records have all copies."""
    with _told():
        seen: msgspec.Struct
        if remembered(state_dir) is None:
            seen = one = embedded.status(state_dir)
            text, well = of_one(one), one.answers
        else:
            seen = three = cluster.status(state_dir)
            text, well = of_cluster(three), three.is_whole
    typer.echo(msgspec.json.encode(seen, enc_hook=str) if as_json else text)
    if not well:
        raise typer.Exit(1)
