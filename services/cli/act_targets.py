"""What an act is about: which case, account or scope people mean by what they typed. Read from the enforcer's state."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Literal, NamedTuple

from services.cli import common
from services.cli.live_state import Live, live, newest
from services.cli.log_lookup import from_seq
from services.cli.log_source import decoded
from shared.domain.accounts import account_of
from shared.domain.events import CaseOpened
from shared.domain.identity import peer_of
from shared.domain.policy import Policy
from shared.domain.state import Case, Server
from shared.runtime.settings import CommonSettings

_NUMBER_DIGITS = 15
_NAMED = 10

Kind = Literal["server", "peer", "connector"]


class CaseTarget(NamedTuple):
    """One case. found: as it is now; None where it is over."""

    server: str
    number: int
    found: Case | None


class Scope(NamedTuple):
    """What an exemption is for."""

    kind: Kind
    target: str


def is_number(what: str) -> bool:
    """Whether *what* is the number of a case, as `cases` shows it."""
    return what.isascii() and what.isdecimal() and len(what) <= _NUMBER_DIGITS


async def cases_of(settings: CommonSettings, whats: Sequence[str], product: str) -> list[CaseTarget]:
    """
    The case of each of *whats*: its number, or a server with one case. product: of several cases of a server the one about it.

    Raises:
        CommandError: there is none, or several; names them.
    """
    servers = await _servers(settings, whats)
    return [await _case_of(settings, what, servers, product) for what in whats]


async def _case_of(settings: CommonSettings, what: str, servers: list[Server], product: str) -> CaseTarget:
    if not is_number(what):
        server = one_of(what, servers)
        case = only_case(server, product)
        return CaseTarget(server.server, case.opened_seq, case)
    number = int(what)
    for server in servers:
        for case in server.cases:
            if case.opened_seq == number:
                return CaseTarget(server.server, number, case)
    opened = await opening_of(settings, number)
    if opened is None:
        raise common.CommandError(f"log record {number} opened no case; `patchgate cases` shows the number of each")
    return CaseTarget(opened.server, number, None)


async def opening_of(settings: CommonSettings, number: int) -> CaseOpened | None:
    """The opening of case *number*, over or not; None where that record of the log opened none."""
    async with aclosing(from_seq(settings, number)) as found:
        async for stored in found:
            record = decoded(stored, number)
            return record.event if record.seq == number and isinstance(record.event, CaseOpened) else None
    return None


def only_case(server: Server, product: str) -> Case:
    """
    The one case of *server*, or that about *product*.

    Raises:
        CommandError: there is none, or several.
    """
    found = [case for case in server.cases if product in {"", case.product}]
    if len(found) == 1:
        return found[0]
    about = f" about {product}" if product else ""
    if not server.cases:
        raise common.CommandError(f"{server.server} has no case; `patchgate cases` lists all there are")
    named = ", ".join(f"{case.opened_seq} ({case.product})" for case in server.cases)
    if not found:
        raise common.CommandError(f"{server.server} has no case{about}; it has {named}")
    raise common.CommandError(f"{server.server} has {len(found)} cases: {named}; give the number, or --product")


async def accounts_of(settings: CommonSettings, whats: Sequence[str]) -> list[str]:
    """
    The account of each of *whats*: an account's name, a server, or the number of a case.

    Raises:
        CommandError: there is none such.
    """
    now = await live(settings)
    servers = await _servers(settings, whats)
    return [_account_named(what, now, servers) for what in whats]


def _account_named(what: str, now: Live, servers: list[Server]) -> str:
    owners = sorted({one.owner for one in now.policy.connectors if one.kind != "internet"})
    if what in owners:
        return what
    if is_number(what):
        found = [server for server in servers if any(case.opened_seq == int(what) for case in server.cases)]
        if not found:
            raise common.CommandError(f"no case {what} is open; `patchgate cases` shows the number of each")
        return _account_of(found[0], now.policy)
    if not any(matches(what, server) for server in servers):
        raise common.CommandError(
            f"no connector is owned by {what!r} and no server is known by it; the owners are {', '.join(owners[:_NAMED]) or 'none'}"
        )
    return _account_of(one_of(what, servers), now.policy)


def _account_of(server: Server, policy: Policy) -> str:
    return account_of(policy, server.server, server.connector)


async def scopes_of(settings: CommonSettings, whats: Sequence[str]) -> list[Scope]:
    """
    What each of *whats* is: an address is a peer, a name without dot and @ a connector, all else a server.

    Raises:
        CommandError: a number that is no case, or what looks like an address and is none.
    """
    scopes = [scope_of(what) for what in whats]
    for scope in scopes:
        if scope.kind != "peer" and "@" not in scope.target and (":" in scope.target or "/" in scope.target):
            raise common.CommandError(
                f"{scope.target} is no address; one address is meant, or of IPv6 its network of /64"
            )
    numbers = [what for what, scope in zip(whats, scopes, strict=True) if scope.kind == "connector" and is_number(what)]
    cases = iter(await cases_of(settings, numbers, "")) if numbers else iter(())
    return [Scope("server", next(cases).server) if scope.target in numbers else scope for scope in scopes]


def scope_of(what: str) -> Scope:
    """By the look of it: ids of servers hold a dot or an @, names of connectors neither."""
    try:
        return Scope("peer", peer_of(what.removesuffix("/64") if ":" in what else what))
    except ValueError:
        pass
    return Scope("server" if "@" in what or "." in what else "connector", what)


async def servers_of(settings: CommonSettings, whats: Sequence[str]) -> list[str]:
    """
    The id of the server of each of *whats*.

    Raises:
        CommandError: none or several are known by it.
    """
    servers = await _servers(settings, whats)
    return [one_of(what, servers).server for what in whats]


async def server_of_case(settings: CommonSettings, number: str) -> str | None:
    """The id of the server that has case *number* now; None where the case is over, or there was none."""
    servers = await _servers(settings, [number])
    return servers[0].server if servers else None


# --- servers -------------------------------------------------------------------------------------------------------


async def _servers(settings: CommonSettings, whats: Iterable[str]) -> list[Server]:
    """Those that *whats* may mean, by their ids."""
    asked = tuple(whats)
    found, _ = await newest(settings, lambda server: server if any(matches(what, server) for what in asked) else None)
    return found


def matches(what: str, server: Server) -> bool:
    """Whether *what* is the id of *server*, the number of a case of it, or an address that it sent from."""
    if what == server.server:
        return True
    if is_number(what):
        return any(case.opened_seq == int(what) for case in server.cases)
    scope = scope_of(what)
    return scope.kind == "peer" and any(match.endswith(f"@{scope.target}") for match in server.matches)


def one_of(what: str, servers: Iterable[Server]) -> Server:
    """
    The server that *what* names.

    Raises:
        CommandError: none or several.
    """
    found = [server for server in servers if matches(what, server)]
    exact = [server for server in found if server.server == what]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise common.CommandError(f"no server {what} is known; `patchgate cases` lists those with a case")
    names = [server.server for server in found]
    more = f" and {len(names) - _NAMED}" if len(names) > _NAMED else ""
    raise common.CommandError(f"{len(names)} servers are known by {what}; name one: {', '.join(names[:_NAMED])}{more}")
