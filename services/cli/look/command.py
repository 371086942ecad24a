"""`patchgate look`: the command line of it."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from services.cli.common import AsJson, CommandError, fail, read_text
from services.cli.look.page import page_of
from services.cli.look.report import Report, as_csv, report_of
from services.cli.look.scan import scan
from services.cli.look.screen import show
from services.cli.look.watched import SOME_NOT_READ, OwnNames, Paths, nothing_in, spooled, watched
from services.cli.outputs import keep_apart
from shared.domain.catalogue import load_catalogue
from shared.domain.policy import parse_policy, shipped_policy_text

BELOW_FOUND = 4
"""Exit code with --check: everything was read, and a server is below its floor."""

_Jobs = Annotated[int | None, typer.Option("--jobs", min=1, max=256, help="Processes. Default: one a core.")]
_Policy = Annotated[
    str | None, typer.Option("--policy", metavar="FILE", help="Judge by this policy instead of the shipped one.")
]
_AsCsv = Annotated[bool, typer.Option("--csv", help="The servers as CSV.")]
_Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write a page that needs nothing else, in English and German."),
]
_Check = Annotated[bool, typer.Option("--check", help=f"Exit code {BELOW_FOUND} if a server is below its floor.")]
_All = Annotated[bool, typer.Option("--all", help="Show all servers on the screen.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("look", help="Who sends to me, how old, how sure: from mail that is there.")(look)


def look(
    paths: Paths,
    *,
    own: OwnNames = [],  # noqa: B006  (typer's way; nobody changes it)
    jobs: _Jobs = None,
    policy: _Policy = None,
    as_json: AsJson = False,
    csv: _AsCsv = False,
    html: _Html = None,
    check: _Check = False,
    everything: _All = False,
) -> None:
    """
    Read mail and report who sends to you, how old, how sure. No broker, no set-up, no network; nothing is changed.

    Exit codes: 0 all was read; 1 nothing could be read; 2 wrong command line; 3 something could not be read; 4 with
    --check, a server is below its floor.
    """
    keep_apart([html], [*paths, policy])
    chosen = parse_policy(read_text(policy) if policy else shipped_policy_text())
    with spooled(paths) as there, watched("look") as progress:
        scanned = scan(there, own=frozenset(name.lower() for name in own), jobs=jobs, progress=progress)
    if not scanned.tally.mails:
        raise CommandError(nothing_in(scanned.tally.troubles, scanned.tally.troubles_all))
    report = report_of(scanned, chosen, load_catalogue(), on=datetime.now(UTC).date())
    if html is not None:
        _write_page(html, report)
    _print(report, as_json=as_json, csv=csv, everything=everything)
    if report.read.troubles_all:
        raise typer.Exit(SOME_NOT_READ)
    if check and any(server.standing == "below" for server in report.fleet.servers):
        raise typer.Exit(BELOW_FOUND)


def _write_page(path: Path, report: Report) -> None:
    """Raises: CommandError: the file cannot be written."""
    try:
        path.write_text(page_of(report, load_catalogue(), first=_language()), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


def _language() -> str:
    """The language that the page opens in: German where this shell speaks it."""
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "de" if spoken.lower().startswith("de") else "en"


def _print(report: Report, *, as_json: bool, csv: bool, everything: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(report, enc_hook=str))
    elif csv:
        typer.echo(as_csv(report), nl=False)
        for trouble in report.read.troubles:
            fail(f"{trouble.place}: {trouble.why}")
    else:
        show(report, Console(), everything=everything)
