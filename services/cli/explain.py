"""`patchgate explain SERVER`: why a server is where it is, and what comes next."""

import asyncio
import difflib
from typing import Annotated

import typer

from services.cli import common
from services.cli.audit_tables import is_server, position_of
from services.cli.bus import table
from shared.domain.errors import RecordSchemaError
from shared.domain.explain import explain as explanation_of
from shared.domain.explain import plain
from shared.domain.explanation import Explanation
from shared.domain.records import PolicyRecord
from shared.domain.state import Server
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.runtime.catalogue_files import load_catalogue_of
from shared.runtime.clock import open_clock
from shared.runtime.settings import CommonSettings

_SUGGESTED = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    server: Annotated[str, typer.Argument(help="A server's id, such as ex07.alt.example@192.0.2.7.")],
    as_json: common.AsJson = False,
) -> None:
    """Tell why a server is where it is: what was seen, which case, which row, what comes next."""
    found = asyncio.run(_explained(common.settings(), server))
    if as_json:
        common.echo_json(found)
        return
    for line in plain(found):
        typer.echo(line)


async def _explained(settings: CommonSettings, name: str) -> Explanation:
    state = await table(settings, t.ENFORCER_STATE)
    position, policy = position_of(state), state.get(t.KEY_POLICY)
    if position is None or policy is None:
        raise common.CommandError(
            f"nothing is known yet: the enforcer has written no state under the prefix {settings.topic_prefix}"
        )
    value = state.get(name.encode(errors="replace"))
    if value is None or not is_server(name.encode(errors="replace")):
        raise common.CommandError(_unknown(name, state))
    server = _server_of(value)
    others = [
        _server_of(state[other.encode()]) for other in server.matches if other != name and other.encode() in state
    ]
    now = open_clock(settings.clock_file).now()
    record = decode(t.DECISIONS, policy)
    if not isinstance(record, PolicyRecord):
        raise RecordSchemaError("the policy in enforcer-state is none; the next start of the enforcer writes it anew")
    return explanation_of(
        server, position.law, record.policy, load_catalogue_of(settings.state_dir), now=now, beside=others
    )


def _server_of(value: bytes) -> Server:
    server: Server = decode(t.ENFORCER_STATE, value)
    return server


def _unknown(name: str, state: dict[bytes, bytes]) -> str:
    known = [key.decode(errors="replace") for key in state if is_server(key)]
    nearest = difflib.get_close_matches(name, known, n=_SUGGESTED, cutoff=0.5)
    if nearest:
        return f"no server {name} is known; nearest: {', '.join(nearest)}"
    return f"no server {name} is known; {len(known)} others are"
