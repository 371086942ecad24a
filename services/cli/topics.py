"""`patchgate topics`: create the topics, and tell where they differ from what they must be."""

import asyncio
from typing import Annotated

import msgspec
import typer

from services.cli import common
from shared.domain.errors import PatchgateError
from shared.messaging import admin
from shared.runtime.settings import CommonSettings, brokers

app = typer.Typer(no_args_is_help=True, help="The topics that all services meet in.")

Bootstrap = Annotated[
    str,
    typer.Option(
        "--bootstrap",
        envvar=["PATCHGATE_BOOTSTRAP", "KAFKA_BOOTSTRAP_SERVERS"],
        help="The broker's host:port, several with commas.",
    ),
]
Prefix = Annotated[str, typer.Option("--prefix", envvar="PATCHGATE_TOPIC_PREFIX", help="Put before each name.")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]

_DEFAULTS = CommonSettings()


@app.command()
def apply(
    bootstrap: Bootstrap = _DEFAULTS.bootstrap,
    prefix: Prefix = _DEFAULTS.topic_prefix,
    partitions: Annotated[
        int, typer.Option("--partitions", min=1, max=10_000, help="Of mail-evidence and verdicts.")
    ] = admin.DEFAULT_PARTITIONS,
    replication: Annotated[
        int | None,
        typer.Option(
            "--replication", min=1, help="Copies of each new topic.", show_default="3 on three brokers, else theirs"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create what is missing; refuse, and change nothing, where a topic has other settings or partitions."""
    try:
        changes = asyncio.run(admin.apply(brokers(bootstrap), prefix, partitions, replication))
    except PatchgateError as error:
        raise _failed(error) from error
    if as_json:
        typer.echo(msgspec.json.encode(changes))
        return
    created = [change.topic for change in changes if change.created]
    for topic in created:
        typer.echo(f"created {topic}")
    typer.echo(f"{len(changes)} topics are as they must be, {len(created)} of them new.")


@app.command()
def check(
    bootstrap: Bootstrap = _DEFAULTS.bootstrap,
    prefix: Prefix = _DEFAULTS.topic_prefix,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions", min=1, max=10_000, help="Of mail-evidence and verdicts.", show_default="any number"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell each difference in a line; exit code 1 if there is one."""
    try:
        differences = asyncio.run(admin.check(brokers(bootstrap), prefix, partitions, copies=True))
    except PatchgateError as error:
        raise _failed(error) from error
    if as_json:
        typer.echo(msgspec.json.encode(differences))
    else:
        for difference in differences:
            typer.echo(str(difference))
        typer.echo(
            f"{common.counted(len(differences), 'difference')}." if differences else "All topics are as they must be."
        )
    if differences:
        raise typer.Exit(1)


def _failed(error: PatchgateError) -> typer.Exit:
    """Say what is wrong on stderr, a line for each difference."""
    for line in str(error).splitlines():
        typer.echo(f"patchgate: {line}", err=True)
    return typer.Exit(1)
