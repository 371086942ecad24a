"""`patchgate explain CASE|SERVER|PEER|QUEUE-ID`: why a server is where it is, or a mail was refused, and what comes next."""

import asyncio
import difflib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec
import typer

from services.cli import common
from services.cli.act_targets import is_number, server_of_case
from services.cli.audit_tables import is_server, position_of
from services.cli.bus import each, reading, table
from services.cli.explain_case import CaseHistory, history_of, history_text
from services.cli.progress import counting
from shared.domain.errors import RecordSchemaError
from shared.domain.explain import explain as explanation_of
from shared.domain.explain import plain
from shared.domain.explanation import Explanation
from shared.domain.identity import peer_of
from shared.domain.records import PolicyRecord, VerdictGiven
from shared.domain.state import Server
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.runtime.catalogue_files import load_catalogue_of
from shared.runtime.clock import open_clock
from shared.runtime.settings import CommonSettings

_SUGGESTED = 3
_NAMED = 10
_VERDICTS_SHOWN = 5  # the newest; an MTA may give an id again after a while


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """verdicts: what edges told of the mail, oldest first. explanation: of its server as it is now; None: not known any more."""

    verdicts: tuple[VerdictGiven, ...]
    explanation: Explanation | None


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="CASE|SERVER|PEER|QUEUE-ID",
            help="A case's number, a server's id (ex07.alt.example@192.0.2.7), an address, or the queue id of a refused mail.",
        ),
    ],
    history: Annotated[
        bool, typer.Option("--history", help="Of a case: each record of the log about it, read from its opening on.")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Tell why a server is where it is: what was seen, which case, which row, what comes next; or why a mail was refused."""
    found = asyncio.run(_found(common.settings(), what, history=history))
    if as_json:
        common.echo_json(found)
    else:
        typer.echo("\n".join(_lines(found)))


async def _found(settings: CommonSettings, what: str, *, history: bool) -> Explanation | CaseHistory | Refused:
    """By the look of it: digits may be a case's number, or a queue id."""
    if is_number(what):
        server = None if history else await server_of_case(settings, what)
        if server is not None:
            return await _explained(settings, server)
        case = await _history(settings, int(what))
        if case is not None:
            return case
    return await (_refused(settings, what) if is_queue_id(what) else _explained(settings, what))


def _lines(found: Explanation | CaseHistory | Refused) -> Iterator[str]:
    match found:
        case CaseHistory():
            yield from history_text(found)
        case Refused():
            yield from verdict_text(found.verdicts)
            yield from plain(found.explanation) if found.explanation else ()
        case _:
            yield from plain(found)


async def _history(settings: CommonSettings, number: int) -> CaseHistory | None:
    found = await history_of(settings, number)
    if found is None:
        return None
    try:
        return msgspec.structs.replace(found, explanation=await _explained(settings, found.server))
    except common.CommandError:  # its server was forgotten since
        return found


def is_queue_id(what: str) -> bool:
    """Whether *what* can only be a queue id: server ids hold a dot or an at sign, addresses a dot or a colon."""
    return not any(mark in what for mark in ".@:")


async def _refused(settings: CommonSettings, queue_id: str) -> Refused:
    """
    What edges told of a mail, in `verdicts`, which goes back 14 days.

    Raises:
        CommandError: they told nothing of it.
    """
    found: deque[VerdictGiven] = deque(maxlen=_VERDICTS_SHOWN)
    needle, count = queue_id.encode(errors="replace"), 0
    with counting("verdicts read") as tell:
        async with reading(settings) as consumer:
            async for record in each(settings, consumer, t.VERDICTS):
                tell(count := count + 1)
                if record.value and needle in record.value:  # most are not, and need no decoding
                    verdict: VerdictGiven = decode(t.VERDICTS, record.value)
                    if verdict.queue_id == queue_id:
                        found.append(verdict)
    if not found:
        number = ", and it is no case's number" if is_number(queue_id) else ""
        raise common.CommandError(
            f"no edge told of a refusal of {queue_id} in the last 14 days ({count} verdicts read){number}; a mail that passed leaves none"
        )
    verdicts = tuple(sorted(found, key=lambda verdict: verdict.at))
    try:
        return Refused(verdicts=verdicts, explanation=await _explained(settings, verdicts[-1].server))
    except common.CommandError:
        return Refused(verdicts=verdicts, explanation=None)


def verdict_text(verdicts: tuple[VerdictGiven, ...]) -> Iterator[str]:
    """What was answered, when, and why, a few lines a verdict."""
    for one in verdicts:
        row, did = one.row, "deferred" if one.action == "defer" else "refused"
        would = f"would have been {did}, but was spared ({one.spared_why})" if one.would_be else f"was {did}"
        yield f"{one.queue_id}: {one.at:%Y-%m-%d %H:%M:%SZ}, edge {one.edge}: the mail {would}."
        yield f"  It came from {one.server} and showed {one.product} {one.shown}".rstrip() + "."
        yield f"  Reply: {one.reply}"
        yield (
            f"  Row in force: stage {row.stage} ({row.throttle_minutes_per_hour} minutes an hour deferred, "
            f"{row.block_minutes_per_hour} refused); the server's minutes of that hour began at minute {one.window_from_minute}."
        )
        yield f"  By the decision of log record {one.decision_seq} and the heartbeat of record {one.heartbeat_seq}."


async def _explained(settings: CommonSettings, name: str) -> Explanation:
    state = await table(settings, t.ENFORCER_STATE, wanted=_about(name))
    position, policy = position_of(state), state.get(t.KEY_POLICY)
    if position is None or policy is None:
        raise common.CommandError(
            f"nothing is known yet: the enforcer has written no state under the prefix {settings.topic_prefix}"
        )
    server = server_asked_for(name, state)
    beside = [other.encode() for other in server.matches if other != server.server and other.encode() in state]
    if not all(state[key] for key in beside):  # asked for by an address from which they were not seen last
        state |= {
            k: v for k, v in (await table(settings, t.ENFORCER_STATE, wanted=lambda k, _: k in beside)).items() if v
        }
    others = [_server_of(state[key]) for key in beside]
    now = open_clock(settings.clock_file).now()
    record = decode(t.DECISIONS, policy)
    if not isinstance(record, PolicyRecord):
        raise RecordSchemaError("the policy in enforcer-state is none; the next start of the enforcer writes it anew")
    return explanation_of(
        server,
        position.law,
        record.policy,
        load_catalogue_of(settings.state_dir),
        now=now,
        beside=others,
        exemptions=record.exemptions,
    )


def _about(name: str) -> Callable[[bytes, bytes], bool]:
    """Which records can matter: the globals, the ids of the same host name, and servers that came from an address."""
    key, host = name.encode(errors="replace"), name.partition("@")[0].encode(errors="replace")
    try:
        ending = f'@{peer_of(name)}"'.encode()
    except ValueError:
        ending = b""
    globals_ = {t.KEY_POSITION, t.KEY_POLICY, key}
    return lambda k, value: k in globals_ or k.partition(b"@")[0] == host or (ending != b"" and ending in value)


def server_asked_for(name: str, state: dict[bytes, bytes]) -> Server:
    """
    The server of an id, or the only one that is known behind an address.

    Raises:
        CommandError: there is none, or the address has several.
    """
    key = name.encode(errors="replace")
    if key in state and is_server(key):
        return _server_of(state[key])
    try:
        peer = peer_of(name)
    except ValueError:
        raise common.CommandError(_unknown(name, state)) from None
    found = list(_behind(peer, state))
    if not found:
        raise common.CommandError(
            f"no server is known by the address {peer}; one that a connector or a verified name ties is known by its name"
        )
    if len(found) > 1:
        names = [server.server for server in found]
        more = f" and {len(names) - _NAMED}" if len(names) > _NAMED else ""
        raise common.CommandError(
            f"{len(names)} servers are known by the address {peer}; name one: {', '.join(names[:_NAMED])}{more}"
        )
    return found[0]


def _behind(peer: str, state: dict[bytes, bytes]) -> Iterator[Server]:
    """The servers whose messages came from *peer*: one of the ids that they match says so."""
    ending = f"@{peer}"
    for key in sorted(state):
        if is_server(key) and ending.encode() in state[key]:
            server = _server_of(state[key])
            if any(match.endswith(ending) for match in server.matches):
                yield server


def _server_of(value: bytes) -> Server:
    server: Server = decode(t.ENFORCER_STATE, value)
    return server


def _unknown(name: str, state: dict[bytes, bytes]) -> str:
    known = [key.decode(errors="replace") for key in state if is_server(key)]
    nearest = difflib.get_close_matches(name, known, n=_SUGGESTED, cutoff=0.5)
    if nearest:
        return f"no server {name} is known; nearest: {', '.join(nearest)}"
    return f"no server {name} is known; {len(known)} others are"
