"""`patchgate dispute`, `resolve`, `sign`, `acknowledge`, `correct`: acts on a case. See `docs/acts.md`."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import typer

from services.cli import common
from services.cli.act_asking import WAIT_S, Asked, AsOwner, How, OwnId, Product, Why, ask_and_tell, check
from services.cli.act_targets import CaseTarget, cases_of, servers_of
from shared.domain.records import (
    AcknowledgeNotice,
    CorrectCase,
    DisputeCase,
    LiftStruck,
    ResolveCase,
    SignBlocking,
)
from shared.runtime.settings import CommonSettings

_CASE = "CASE: its number as `cases` shows it, or a server that has one case."
Cases = Annotated[list[str], typer.Argument(metavar="CASE...", help=_CASE)]
OneCase = Annotated[str, typer.Argument(metavar="CASE", help=_CASE)]

_CaseAct = DisputeCase | ResolveCase | SignBlocking | AcknowledgeNotice | CorrectCase
CaseActT = TypeVar("CaseActT", bound=_CaseAct)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("dispute")(dispute)
    app.command("resolve")(resolve)
    app.command("sign")(sign)
    app.command("acknowledge")(acknowledge)
    app.command("correct")(correct)


def dispute(
    cases: Cases,
    who: common.Who,
    product: Product = "",
    why: Why = "",
    own_id: OwnId = "",
    as_owner: AsOwner = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Say that a case is wrong: its mail passes and its clock stands until an operator decides; once a case."""
    how = How(who=who, why=why, own_id=own_id, as_owner=as_owner, as_json=as_json, wait_s=wait_s)
    settings = common.settings()
    ask_and_tell(
        settings,
        how,
        [_asked("Dispute", DisputeCase, settings, how, one) for one in _cases(settings, how, cases, product)],
    )


def resolve(
    case: OneCase,
    outcome: Annotated[Literal["upheld", "rejected", "runs-on"], typer.Argument(metavar="upheld|rejected|runs-on")],
    who: common.Who,
    product: Product = "",
    why: Why = "",
    own_id: OwnId = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Decide a dispute: upheld (the case ends) or rejected (it goes on); or let a mixed case run on."""
    how = How(who=who, why=why, own_id=own_id, as_json=as_json, wait_s=wait_s)
    settings = common.settings()
    [one] = _cases(settings, how, [case], product)
    ask_and_tell(settings, how, [_asked(f"Resolution ({outcome})", ResolveCase, settings, how, one, outcome=outcome)])


def sign(
    cases: Cases,
    who: common.Who,
    stage: Annotated[
        int, typer.Option("--stage", min=0, max=50, help="Of the policy's table; else the next one that blocks.")
    ] = 0,
    product: Product = "",
    why: Why = "",
    own_id: OwnId = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Sign that a blocking stage may begin: for the first one of a case, or for each of a protected server's."""
    how = How(who=who, why=why, own_id=own_id, as_json=as_json, wait_s=wait_s)
    settings = common.settings()
    asked = []
    for one in _cases(settings, how, cases, product):
        signed = stage or next_to_sign(one)
        asked.append(_asked(f"Signature for stage {signed}", SignBlocking, settings, how, one, stage=signed))
    ask_and_tell(settings, how, asked)


def next_to_sign(target: CaseTarget) -> int:
    """
    The first stage ahead that blocks and waits for its grant.

    Raises:
        CommandError: there is none.
    """
    case = target.found
    ahead = () if case is None else case.kept.blocking if case.kept is not None else case.blocking
    if not ahead:
        raise common.CommandError(
            f"case {target.number} of {target.server} has no blocking stage that waits; name one with --stage"
        )
    return ahead[0].stage


def acknowledge(
    cases: Cases,
    who: common.Who,
    product: Product = "",
    why: Why = "",
    own_id: OwnId = "",
    as_owner: AsOwner = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Say that the admin has the notice, however it reached him: as good as delivered."""
    how = How(who=who, why=why, own_id=own_id, as_owner=as_owner, as_json=as_json, wait_s=wait_s)
    settings = common.settings()
    ask_and_tell(
        settings,
        how,
        [
            _asked("Acknowledgement", AcknowledgeNotice, settings, how, one)
            for one in _cases(settings, how, cases, product)
        ],
    )


def correct(
    cases: Annotated[list[str], typer.Argument(metavar="CASE|SERVER...", help=f"{_CASE} With --lift a server.")],
    who: common.Who,
    lift: Annotated[bool, typer.Option("--lift", help="Let the struck readings of SERVER count again.")] = False,
    product: Product = "",
    why: Why = "",
    own_id: OwnId = "",
    wait_s: common.WaitS = WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Say that a case should never have been: it ends, and its reading opens nothing until that is lifted."""
    how = How(who=who, why=why, own_id=own_id, as_json=as_json, wait_s=wait_s)
    settings = common.settings()
    if not lift:
        found = _cases(settings, how, cases, product)
        ask_and_tell(settings, how, [_asked("Correction", CorrectCase, settings, how, one) for one in found])
        return
    check(how, cases)
    servers = asyncio.run(servers_of(settings, cases))
    check(how, servers)
    asked = [
        Asked(
            f"End of the correction of {server}",
            common.request_of(LiftStruck, server=server, **how.fields(settings)),
        )
        for server in servers
    ]
    ask_and_tell(settings, how, asked)


def _cases(settings: CommonSettings, how: How, whats: Sequence[str], product: str) -> list[CaseTarget]:
    check(how, whats)
    found = asyncio.run(cases_of(settings, whats, product))
    check(how, [str(one.number) for one in found])
    return found


def _asked(
    what: str, kind: type[CaseActT], settings: CommonSettings, how: How, target: CaseTarget, **more: object
) -> Asked:
    request = common.request_of(kind, server=target.server, case=target.number, **more, **how.fields(settings))
    return Asked(f"{what} of case {target.number} ({target.server})", request)
