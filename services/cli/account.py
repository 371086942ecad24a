"""`patchgate account NAME`: the statement of a pause account, from the enforcer's state."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date
from typing import Annotated

import typer

from services.cli import common
from services.cli.act_targets import accounts_of
from services.cli.live_state import live
from shared.domain.accounts import PauseShown, Statement, statement
from shared.runtime.clock import open_clock
from shared.runtime.settings import CommonSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("account")(account)


def account(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT|SERVER|CASE", help="The owner of a connector, a server, or the number of a case."
        ),
    ],
    as_json: common.AsJson = False,
) -> None:
    """Tell the pauses of this year and the last: days used and given back, and what is left of this year and the next."""
    settings = common.settings()
    today = open_clock(settings.clock_file).now().astimezone(UTC).date()
    found = asyncio.run(_statement(settings, name, today))
    if as_json:
        common.echo_json(found)
        return
    typer.echo("\n".join(statement_text(found)))


async def _statement(settings: CommonSettings, what: str, today: date) -> Statement:
    [name] = await accounts_of(settings, [what])
    now = await live(settings)
    return statement(now.reprieves.accounts.get(name), name, now.policy.pauses.days_per_year, today)


def statement_text(found: Statement) -> Iterator[str]:
    """In sentences, the newest pause last."""
    running = (
        f"It is paused until {found.paused_until:%Y-%m-%d %H:%M} UTC." if found.paused_until else "It is not paused."
    )
    yield f"Pause account of {found.account}. {running}"
    for pause in found.pauses:
        yield f"  {_pause_text(pause)}"
    if not found.pauses:
        yield "  no pause in this year or the last"
    for year in found.years:
        yield f"{year.year}: {year.used} of {common.counted(year.granted, 'day')} used, {year.left} left."


def _pause_text(pause: PauseShown) -> str:
    days = f"{pause.first} to {pause.last}: {common.counted(pause.days, 'day')} used"
    back = f", {pause.came_back} given back" if pause.came_back else ""
    return f"{days}{back}{', running' if pause.running else ''}"
