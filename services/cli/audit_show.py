"""`patchgate audit show`: the state at any past moment, folded from the log or an export."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from services.cli import common
from services.cli.log_source import instant_of, records
from services.cli.progress import counting
from shared.domain.evidence import UtcDatetime
from shared.domain.explain import explain, plain, server_state
from shared.domain.explanation import Explanation
from shared.domain.fold import Fold
from shared.domain.policy import parse_policy, shipped_policy_text
from shared.domain.state import Law
from shared.runtime.catalogue_files import load_catalogue_of
from shared.runtime.settings import CommonSettings


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """
    The state at an instant: what the records up to there fold to.

    policy_digest: of the policy in force. states: how many servers stand where. server: the one asked for, as `explain` tells it.
    """

    at: UtcDatetime
    law: Law
    policy_version: int
    policy_title: str
    policy_digest: str
    servers: int
    states: dict[str, int]
    digest: str
    server: Explanation | None = None


def show(
    at: Annotated[str, typer.Option("--at", metavar="INSTANT", help="Such as 2026-11-24T11:00Z.")],
    file: Annotated[Path | None, typer.Argument(help="An export; without it the log itself.")] = None,
    server: Annotated[str, typer.Option("--server", metavar="ID", help="Explain this server as it was then.")] = "",
    as_json: common.AsJson = False,
) -> None:
    """Tell the state at any past moment: law, policy, how many servers stood where, or one server."""
    found = asyncio.run(_shown(common.settings(), file, instant_of(at), server))
    if as_json:
        common.echo_json(found)
        return
    typer.echo("\n".join(shown_text(found)))


async def _shown(settings: CommonSettings, file: Path | None, at: datetime, server: str) -> Shown:
    fold = Fold(parse_policy(shipped_policy_text()))
    with counting("records folded") as tell:
        async with aclosing(records(settings, file, until=at)) as log:
            async for record, stored in log:
                fold.apply(record, stored)
                tell(record.seq)
    return shown_of(fold, at, server, settings)


def shown_of(fold: Fold, at: datetime, server: str, settings: CommonSettings) -> Shown:
    """
    What *fold* holds.

    Raises:
        CommandError: nothing had happened by then, or the server was not known.
    """
    if fold.is_empty:
        raise common.CommandError(f"the log begins after {at:%Y-%m-%d %H:%M:%SZ}: there was no state yet")
    asked = fold.servers.get(server) if server else None
    if server and asked is None:
        raise common.CommandError(f"no server {server} was known at {at:%Y-%m-%d %H:%M:%SZ}; {len(fold.servers)} were")
    explanation = None
    if asked is not None:
        beside = [fold.servers[name] for name in asked.matches if name != server and name in fold.servers]
        catalogue = load_catalogue_of(settings.state_dir)
        exemptions = fold.reprieves.in_force()
        explanation = explain(asked, fold.law, fold.policy, catalogue, now=at, beside=beside, exemptions=exemptions)
    return Shown(
        at=at,
        law=fold.law,
        policy_version=fold.policy.version,
        policy_title=fold.policy.title,
        policy_digest=fold.policy.digest,
        servers=len(fold.servers),
        states=dict(sorted(Counter(server_state(one, fold.law) for one in fold.servers.values()).items())),
        digest=fold.digest(),
        server=explanation,
    )


def shown_text(found: Shown) -> Iterator[str]:
    """In sentences."""
    law = found.law
    yield f"At {found.at:%Y-%m-%d %H:%M:%SZ} the newest record was {law.seq}, written {law.at:%Y-%m-%d %H:%M:%SZ} (hash {law.head})."
    held = "" if law.hold_since is None else f", and stood still since {law.hold_since:%Y-%m-%d %H:%M:%SZ}"
    yield f"The law had seen everything up to {law.h:%Y-%m-%d %H:%M:%SZ}; it had been held for {law.held_so_far} in all{held}."
    yield f'Policy version {found.policy_version}, "{found.policy_title}" (digest {found.policy_digest[:16]}), was in force.'
    states = ", ".join(f"{count} {state}" for state, count in found.states.items())
    yield f"{found.servers} servers were known: {states or 'none'}; digest {found.digest}."
    if found.server is not None:
        yield from plain(found.server)
