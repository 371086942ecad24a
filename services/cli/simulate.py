"""`patchgate simulate POLICY`: what a policy costs whom, in a made-up population. It needs no broker, and sends nothing."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from services.cli import common
from services.cli.outputs import keep_apart
from services.cli.policy_check import usable_policy
from services.cli.progress import counting
from services.cli.simulate_picture import page_of, picture_of
from services.cli.simulate_text import simulated_text
from shared.domain.errors import ConfigError
from shared.domain.policy import Policy
from shared.domain.population import first_day
from shared.domain.simulate import Simulated, Simulation, everybody_enforced

_MOST_SERVERS, _MOST_DAYS = 100_000, 1_830
_END = date(9900, 1, 1)  # what falls due behind the last day must have a date, too


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate")(simulate)


def simulate(
    policy: Annotated[str, typer.Argument(help="The policy, TOML.")],
    servers: Annotated[int, typer.Option("--servers", min=1, max=_MOST_SERVERS, help="How many.")] = 10_000,
    days: Annotated[int, typer.Option("--days", min=1, max=_MOST_DAYS, help="How long.")] = 365,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another population, another year.")] = 1,
    begin: Annotated[
        str,
        typer.Option("--from", metavar="DATE", help="The first day; else the first on which all floors are in force."),
    ] = "",
    enforce: Annotated[
        bool, typer.Option("--enforce", help="As if the policy and all its connectors said enforce.")
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with the picture and the tables.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the picture alone.")] = None,
    as_json: common.AsJson = False,
) -> None:
    """Let a made-up population live under POLICY, by the real rules and the real gate: who is slowed and refused, what it costs."""
    keep_apart([html, svg], [policy])
    tried = usable_policy(policy)
    files = [(file, make) for file, make in ((html, page_of), (svg, picture_of)) if file is not None]
    for file, _ in files:
        if not file.parent.is_dir():  # now, and not when all is done
            raise ConfigError(f"{file} cannot be written: there is no directory {file.parent}")
    found = simulated(
        everybody_enforced(tried) if enforce else tried, seed=seed, servers=servers, days=days, begin=_day(begin)
    )
    for file, make in files:
        try:
            file.write_text(make(found), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error}") from error
    if as_json:
        common.echo_json(found)
        return
    typer.echo("\n".join(simulated_text(found)))
    for file, _ in files:
        typer.echo(f"Written: {file}")


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day: write it as 2027-01-31") from error


def simulated(policy: Policy, *, seed: int, servers: int, days: int, begin: date | None = None) -> Simulated:
    """
    The whole time, with a bar while somebody watches.

    Raises:
        CommandError: it would lead beyond the calendar.
    """
    first = begin or first_day(policy)
    if first.toordinal() + days > _END.toordinal():
        raise common.CommandError(f"{first} is too late to begin on: all days must lie before the year {_END.year}")
    with counting("days", of=days) as tell:
        year = Simulation(policy, seed=seed, servers=servers, begin=first)
        for number in range(days):
            year.day()
            tell(number + 1)
    return year.report()
