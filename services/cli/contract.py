"""`patchgate contract`: the schemas and the page of the topics, made from the types."""

from pathlib import Path
from typing import Annotated

import typer

from shared.contract import files
from shared.contract.schema import ContractError

Write = Annotated[
    Path | None, typer.Option("--write", metavar="DIR", help="Write the files there; refuse what readers cannot bear.")
]
Check = Annotated[
    Path | None, typer.Option("--check", metavar="DIR", help="Tell how the files there differ; exit code 1 if they do.")
]
Breaking = Annotated[bool, typer.Option("--breaking", help="With --write: write all the same.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("contract", help="Print the JSON Schema of all topics' records, or write all files of the contract.")(
        contract
    )


def contract(write: Write = None, check: Check = None, *, breaking: Breaking = False) -> None:
    """Print the schema, unless told where to write or what to check."""
    if write is not None and check is not None:
        raise typer.BadParameter("--write and --check exclude each other; name one")
    if check is not None:
        _check(check)
    elif write is not None:
        _write(write, breaking=breaking)
    else:
        typer.echo(files.contract_files()[files.SCHEMA], nl=False)


def _check(folder: Path) -> None:
    found = files.compare(folder)
    for sentence in found.breaks:
        typer.echo(sentence)
    for name in found.stale:
        typer.echo(f"{folder / name} is not what the types give: {files.REMEDY}")
    if found.stale:
        raise typer.Exit(1)
    typer.echo("The contract is what the types give.")


def _write(folder: Path, *, breaking: bool) -> None:
    found = files.compare(folder)
    if found.breaks and not breaking:
        for sentence in found.breaks:
            typer.echo(f"patchgate: {sentence}", err=True)
        raise ContractError(
            "nothing was written, for readers of today could not go on; --breaking writes it all the same"
        )
    files.write(folder)
    for name in found.stale:
        typer.echo(f"wrote {folder / name}")
    if not found.stale:
        typer.echo("The contract was what the types give.")
