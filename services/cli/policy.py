"""`patchgate policy`: show the one in force, check a file, hand one in."""

import asyncio
import uuid
from collections.abc import Iterator
from datetime import date
from typing import Annotated

import typer

from services.cli import common
from services.cli.bus import ask, table
from services.cli.live_state import live
from services.cli.policy_check import (
    checked_of,
    findings_text,
    mail_text,
    read_policy,
    refusal,
    rules_text,
    sentence,
    usable_policy,
)
from services.cli.policy_diff import Diffed, diff_text
from services.cli.policy_diff import diff as diff_of
from services.cli.policy_text import policy_text
from shared.domain.answer import Answer
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.records import AdoptPolicy, PolicyRecord
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.runtime.clock import open_clock
from shared.runtime.settings import CommonSettings

app = typer.Typer(no_args_is_help=True)

_WAIT_S = 30.0  # a living enforcer answers in under a second; a restart takes seconds

File = Annotated[str, typer.Argument(help="The policy, TOML.")]


@app.command()
def show(as_json: common.AsJson = False) -> None:
    """Print the policy in force as the TOML that `check` and `adopt` take."""
    policy = asyncio.run(_in_force())
    if as_json:
        common.echo_json(policy)
        return
    shipped = shipped_policy_text()  # with its comments, where it is the one in force
    typer.echo(shipped if policy == parse_policy(shipped) else policy_text(policy), nl=False)


async def _in_force() -> Policy:
    value = (await table(common.settings(), t.DECISIONS)).get(t.KEY_POLICY)
    record = decode(t.DECISIONS, value) if value else None
    if not isinstance(record, PolicyRecord):
        raise common.CommandError("no policy is in force yet: start the enforcer, which begins with the shipped one")
    return record.policy


@app.command()
def check(file: File, as_json: common.AsJson = False) -> None:
    """Tell everything that is wrong with FILE, each with its line, and what its stages cost; nothing is sent."""
    policy, findings = read_policy(file)
    checked = checked_of(policy, findings)
    if as_json:
        common.echo_json(checked)
    for line in findings_text(file, findings) if not as_json else ():
        typer.echo(line)
    if policy is None:
        raise common.CommandError(refusal(file, findings))
    if not as_json:
        typer.echo(sentence(policy))
        typer.echo("\n".join((*rules_text(policy), *mail_text(checked.mail))))


@app.command()
def diff(
    files: Annotated[list[str], typer.Argument(metavar="[OLD] NEW", help="TOML; OLD is else the policy in force.")],
    on: Annotated[
        str, typer.Option("--on", metavar="DATE", help="With the floors of that day, such as 2027-01-31; else today's.")
    ] = "",
    refusals: Annotated[
        bool, typer.Option("--refusals", help="Also read how many mails of these servers were refused a day.")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Tell what NEW would change for every server that is known: who falls below, opens, steps, is let go."""
    if len(files) not in {1, 2}:
        raise typer.BadParameter("one policy is compared with the one in force, or two with each other")
    *old, new = [usable_policy(file) for file in files]
    found = asyncio.run(_diff(common.settings(), new, old[0] if old else None, on=_day(on), refusals=refusals))
    if as_json:
        common.echo_json(found)
        return
    typer.echo("\n".join(diff_text(found)))


async def _diff(
    settings: CommonSettings, new: Policy, old: Policy | None = None, *, on: date | None = None, refusals: bool = False
) -> Diffed:
    now = await live(settings)
    return await diff_of(settings, now, old or now.policy, new, on=on, refusals=refusals)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day: write it as 2027-01-31") from error


@app.command()
def adopt(
    file: File,
    who: common.Who,
    why: common.Why,
    yes: Annotated[bool, typer.Option("--yes", help="Show no diff and do not ask.")] = False,
    wait_s: common.WaitS = _WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Show what FILE would change, ask, hand it in as the new policy, and wait for what the enforcer says."""
    policy = usable_policy(file)
    if not yes:
        common.confirm("adopting a policy", _adopting(policy), "Adopt it?")
    settings = common.settings()
    made_at = open_clock(settings.clock_file).now()
    request = common.request_of(AdoptPolicy, id=str(uuid.uuid4()), who=who, why=why, made_at=made_at, policy=policy)
    answer = Answer.of(request.id, asyncio.run(ask(settings, request, wait_s=wait_s)))
    if as_json:
        common.echo_json(answer)
    if answer.seq is None:
        raise common.CommandError(
            f"nobody decided it within {wait_s:g} s: is the enforcer running? It stands in requests and counts for 24 hours"
        )
    if answer.outcome != "done":
        raise common.CommandError(f"{answer.outcome} (log record {answer.seq}): {answer.reason}")
    if not as_json:
        typer.echo(f"Policy version {policy.version} is in force from log record {answer.seq} on.")


def _adopting(policy: Policy) -> Iterator[str]:
    yield sentence(policy)
    yield from diff_text(asyncio.run(_diff(common.settings(), policy)))
