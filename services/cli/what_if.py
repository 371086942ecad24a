"""`patchgate audit what-if`: the inputs of the log decided again under another policy. It reads and tells; it can send nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli import common
from services.cli.log_source import instant_of, records
from services.cli.policy_check import usable_policy
from services.cli.progress import counting
from shared.domain.errors import PatchgateError
from shared.domain.policy import Policy
from shared.domain.whatif import Difference, Replay, WhatIf
from shared.runtime.settings import CommonSettings

_LISTED = 30  # --json has all


def what_if(
    policy: Annotated[str, typer.Argument(help="The other policy, TOML.")],
    file: Annotated[Path | None, typer.Argument(help="An export; without it the log itself.")] = None,
    since: Annotated[
        str, typer.Option("--from", metavar="INSTANT", help="From when on it holds; else from the beginning.")
    ] = "",
    until: Annotated[str, typer.Option("--to", metavar="INSTANT", help="Up to when; else to the end.")] = "",
    assume_delivered: Annotated[
        bool, typer.Option("--assume-delivered", help="Take every notice as delivered at once, not as recorded.")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Decide the recorded inputs again under another policy: which servers, notices and stages would differ. Sends nothing."""
    begin, end = (instant_of(text) if text else None for text in (since, until))
    if begin and end and end < begin:
        raise typer.BadParameter("--to lies before --from")
    found = asyncio.run(
        replayed(common.settings(), usable_policy(policy), file, begin, end, assume_delivered=assume_delivered)
    )
    if as_json:
        common.echo_json(found)
        return
    typer.echo("\n".join(what_if_text(found)))


async def replayed(
    settings: CommonSettings,
    policy: Policy,
    file: Path | None,
    begin: datetime | None,
    end: datetime | None,
    *,
    assume_delivered: bool,
) -> WhatIf:
    """
    Both worlds, side by side.

    Raises:
        PatchgateError: the log cannot be read, does not follow, or holds nothing of the time that was asked about.
    """
    replay = Replay(policy, since=begin, assume_delivered=assume_delivered)
    with counting("records decided again") as tell:
        async with aclosing(records(settings, file, until=end)) as log:
            async for record, stored in log:
                replay.take(record, stored)
                tell(replay.seq)
    if not replay.seq and end is not None:
        raise await _begins_later(settings, file, end)
    found = replay.report()
    if found.since is None:
        raise _never_held(found, end)
    return found


async def _begins_later(settings: CommonSettings, file: Path | None, end: datetime) -> PatchgateError:
    async with aclosing(records(settings, file)) as log:
        async for record, _ in log:
            return common.CommandError(
                f"the log begins at {_second(record.at)}, after --to ({_second(end)}): there is nothing to decide again"
            )
    return common.CommandError("there is no record in this log; nothing can be decided again")


def _never_held(found: WhatIf, end: datetime | None) -> PatchgateError:
    last = _second(found.until)
    if end is not None:
        return common.CommandError(
            f"no record was written from --from to --to, the last one before at {last}: the other policy would never hold"
        )
    return common.CommandError(f"the log ends at {last}, before --from: the other policy would never hold")


def _second(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%SZ}" if at else ""


def what_if_text(found: WhatIf) -> Iterator[str]:
    """In words and as a table."""
    since = f"from {found.since:%Y-%m-%d %H:%MZ} on" if found.since else "never"
    until = f"{found.until:%Y-%m-%d %H:%MZ}" if found.until else ""
    yield f"{found.records} records up to {until}; the other policy held {since}; {found.inputs} inputs decided again."
    yield f"{'':<8}{'equal':>9}{'differ':>9}"
    for kind in sorted({*found.same, *found.differing}):
        yield f"{kind:<8}{found.same.get(kind, 0):>9}{found.differing.get(kind, 0):>9}"
    elsewhere = "1 server stands" if len(found.servers) == 1 else f"{len(found.servers)} servers stand"
    yield f"{elsewhere} elsewhere at the end ({found.servers_recorded} recorded, {found.servers_other} in the other world):"
    for server in found.servers[:_LISTED]:
        yield f"  {server.server}: {server.recorded or 'not known'} -> {server.other or 'not known'}"
    yield from _more(len(found.servers))
    for one in found.differences[:_LISTED]:
        yield f"  {one.server}  {one.product}  {one.what}: {_dates(one)}"
    yield from _more(len(found.differences) + found.left_out)
    if found.left_out:
        yield f"{common.counted(found.left_out, 'difference')} only counted: the bound was reached."
    if found.policies_left_out:
        yield f"{found.policies_left_out} policies that were adopted in that time were left out."
    if found.notices_without_outcome:
        yield f"{found.notices_without_outcome} notices of the other world were never sent, so nobody knows what became of them (--assume-delivered)."


def _dates(one: Difference) -> str:
    recorded, other = (f"{at:%Y-%m-%d %H:%MZ}" if at else "never" for at in (one.recorded, one.other))
    return f"{recorded} -> {other}"


def _more(count: int) -> Iterator[str]:
    if count > _LISTED:
        yield f"  and {count - _LISTED} more; --json lists them"
