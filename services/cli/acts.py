"""`patchgate pause`, `resume`, `exempt`, `mode`: acts on an account, on a scope, and on the policy. See `docs/acts.md`."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Literal

import typer

from services.cli import common
from services.cli.act_asking import WAIT_S, Asked, AsOwner, How, OwnId, Why, ask_and_tell, check
from services.cli.act_targets import accounts_of, scopes_of
from services.cli.log_source import instant_of
from services.cli.what_begins import by_enforcing
from shared.domain.records import PauseAccount, ResumeAccount, SetExemption, SetMode
from shared.runtime.clock import open_clock

Accounts = Annotated[
    list[str],
    typer.Argument(
        metavar="ACCOUNT|SERVER|CASE...", help="The owner of a connector, a server, or the number of a case."
    ),
]
Scopes = Annotated[
    list[str], typer.Argument(metavar="TARGET...", help="A server, an address, the name of a connector, or a case.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("exempt")(exempt)
    app.command("mode")(mode)


def pause(
    accounts: Accounts,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="UTC days; today is the first.")],
    who: common.Who,
    why: Why = "",
    own_id: OwnId = "",
    as_owner: AsOwner = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Let all mail of an account's servers pass and its cases stand still, for some days of its yearly quota."""
    how = How(who=who, why=why, own_id=own_id, as_owner=as_owner, as_json=as_json, wait_s=wait_s)
    check(how, accounts)
    settings = common.settings()
    found = asyncio.run(accounts_of(settings, accounts))
    check(how, found)
    asked = [
        Asked(
            f"Pause of {account} for {common.counted(days, 'day')}",
            common.request_of(PauseAccount, account=account, days=days, **how.fields(settings)),
        )
        for account in found
    ]
    ask_and_tell(settings, how, asked)


def resume(
    accounts: Accounts,
    who: common.Who,
    why: Why = "",
    own_id: OwnId = "",
    as_owner: AsOwner = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """End a pause at once; its whole days after today come back."""
    how = How(who=who, why=why, own_id=own_id, as_owner=as_owner, as_json=as_json, wait_s=wait_s)
    check(how, accounts)
    settings = common.settings()
    found = asyncio.run(accounts_of(settings, accounts))
    check(how, found)
    asked = [
        Asked(
            f"End of the pause of {account}", common.request_of(ResumeAccount, account=account, **how.fields(settings))
        )
        for account in found
    ]
    ask_and_tell(settings, how, asked)


def exempt(
    targets: Scopes,
    who: common.Who,
    until: Annotated[str, typer.Option("--until", metavar="INSTANT", help="Such as 2026-12-24T18:00Z.")] = "",
    days: Annotated[int, typer.Option("--days", min=0, max=366, help="Or so many days of 24 hours from now on.")] = 0,
    owner: Annotated[str, typer.Option("--owner", metavar="NAME", help="Who answers for it.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="End the exemption.")] = False,
    why: Why = "",
    own_id: OwnId = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Refuse nothing of a server, an address or a connector, until an instant; its cases stand at day 0 meanwhile."""
    how = How(who=who, why=why, own_id=own_id, as_json=as_json, wait_s=wait_s)
    check(how, targets)
    settings = common.settings()
    end = _until(until, days, lift=lift, now=open_clock(settings.clock_file).now())
    if end is not None and not (owner and why):
        raise typer.BadParameter("an exemption says who answers for it and what for: --owner NAME and --why TEXT")
    scopes = asyncio.run(scopes_of(settings, targets))
    words = "End of the exemption" if end is None else f"Exemption until {end:%Y-%m-%d %H:%M} UTC"
    asked = [
        Asked(
            f"{words} of {scope.kind} {scope.target}",
            common.request_of(
                SetExemption,
                kind=scope.kind,
                target=scope.target,
                owner=owner or who,
                until=end,
                **how.fields(settings),
            ),
        )
        for scope in scopes
    ]
    ask_and_tell(settings, how, asked)


def _until(until: str, days: int, *, lift: bool, now: datetime) -> datetime | None:
    """
    When the exemption ends; None to lift it.

    Raises:
        BadParameter: not exactly one of the three was said, or the instant has no zone.
    """
    if (bool(until) + bool(days) + lift) != 1:
        raise typer.BadParameter("say one of --until INSTANT, --days N and --lift")
    if lift:
        return None
    return instant_of(until) if until else now + timedelta(days=days)


def mode(
    new: Annotated[Literal["observe", "enforce"], typer.Argument(metavar="observe|enforce")],
    who: common.Who,
    connector: Annotated[
        str, typer.Option("--connector", metavar="NAME", help="For this connector; else for the whole policy.")
    ] = "",
    yes: common.Yes = False,
    why: Why = "",
    own_id: OwnId = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """
    Only watch, or act, for one connector or for all; a new version of the policy with that one line changed.

    Before enforcing it tells what will begin, and asks.
    """
    how = How(who=who, why=why, own_id=own_id, as_json=as_json, wait_s=wait_s)
    check(how, [connector])
    settings = common.settings()
    if new == "enforce" and not yes:
        common.confirm("enforcing", by_enforcing(settings, connector), "Enforce it?")
    request = common.request_of(SetMode, connector=connector, mode=new, **how.fields(settings))
    where = f"connector {connector}" if connector else "the whole policy"
    ask_and_tell(settings, how, [Asked(f"Mode {new} for {where}", request)])
