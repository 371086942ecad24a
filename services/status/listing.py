"""The list of servers: filter, sort, page. The whole list is looked through for each request (see `docs/architecture/status.md`)."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from services.status.view import View
from shared.domain.evidence import UtcDatetime
from shared.domain.explain import next_step_at, row_in_force, server_state
from shared.domain.explanation import ServerState
from shared.domain.policy import Policy, Tie
from shared.domain.records import Row
from shared.domain.state import Law, Server

SortKey = Literal["state", "server", "product", "connector", "first_seen", "last_seen", "next_at"]
Order = Literal["asc", "desc"]
LIMIT_MAX = 500
PAGE_MAX = 100_000
STATES: tuple[ServerState, ...] = get_args(ServerState)
"""Mildest first: the order in which `state` sorts."""

_NEVER = datetime.max.replace(tzinfo=UTC)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to list. "" means all; q: a part of the server's id, in any case."""

    state: Literal[ServerState, ""] = ""
    product: str = ""
    connector: str = ""
    q: str = ""
    sort: SortKey = "state"
    order: Order = "desc"
    limit: int = 50
    page: int = 1


class ServerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One server of the list. stage 0: no case in force. next_at: when something next falls due by itself (expected)."""

    server: str
    state: ServerState
    stage: int
    throttle_minutes_per_hour: int
    block_minutes_per_hour: int
    product: str
    shown: str
    connector: str
    tie: Tie
    first_seen: UtcDatetime
    last_seen: UtcDatetime
    opened_at: UtcDatetime | None
    next_at: UtcDatetime | None


class ServerList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the list. total: of all that fit the filter; counts: of all servers by state; products, connectors: all that occur."""

    total: int
    page: int
    pages: int
    servers: tuple[ServerRow, ...]
    counts: dict[str, int]
    products: tuple[str, ...]
    connectors: tuple[str, ...]


def shown_to(view: View, policy: Policy, owner: str) -> Mapping[str, Server]:
    """The servers by id that *owner* may see: those that are seen in his connectors; all for "", who is nobody's owner."""
    if not owner:
        return view.servers
    own = {connector.name for connector in policy.connectors if connector.owner == owner}
    return {name: server for name, server in view.servers.items() if server.connector in own}


def list_servers(servers: Mapping[str, Server], law: Law, policy: Policy, query: Query) -> ServerList:
    """Those of *servers* that fit *query*; a page beyond the last is empty."""
    states = {name: server_state(server, law) for name, server in servers.items()}
    found = [server for server in servers.values() if _fits(server, states[server.server], query)]
    key = _sort_keys(states, law, policy)[query.sort]
    # Two sorts, both stable: by id first, so that equals stand in one order whatever the direction.
    found.sort(key=lambda server: server.server)
    found.sort(key=key, reverse=query.order == "desc")
    first = (query.page - 1) * query.limit
    shown = found[first : first + query.limit]
    return ServerList(
        total=len(found),
        page=query.page,
        pages=max(1, -(-len(found) // query.limit)),
        servers=tuple(row_of(server, states[server.server], law, policy) for server in shown),
        counts=count_states(states.values()),
        products=tuple(sorted({server.reading.product for server in servers.values()})),
        connectors=tuple(sorted({server.connector for server in servers.values() if server.connector})),
    )


def count_states(states: Iterable[ServerState]) -> dict[str, int]:
    """How many servers are in each state; all states, mildest first."""
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    for state in states:
        counts[state] += 1
    return counts


def row_of(server: Server, state: ServerState, law: Law, policy: Policy) -> ServerRow:
    """What the list shows of *server*: of several cases the mildest row, for that one holds."""
    rows = [row for case in server.cases if (row := row_in_force(server, case, law)) is not None]
    row = min(rows, key=_harshness, default=None)
    return ServerRow(
        server=server.server,
        state=state,
        stage=row.stage if row else 0,
        throttle_minutes_per_hour=row.throttle_minutes_per_hour if row else 0,
        block_minutes_per_hour=row.block_minutes_per_hour if row else 0,
        product=server.reading.product,
        shown=str(server.reading.shown or ""),
        connector=server.connector,
        tie=server.tie,
        first_seen=server.first_seen,
        last_seen=server.last_seen,
        opened_at=min((case.opened_at for case in server.cases), default=None),
        next_at=next_step_at(server, law, policy),
    )


def _harshness(row: Row) -> tuple[int, int]:
    return (row.block_minutes_per_hour, row.throttle_minutes_per_hour)


def _fits(server: Server, state: ServerState, query: Query) -> bool:
    return (
        query.state in {"", state}
        and query.product in {"", server.reading.product}
        and query.connector in {"", server.connector}
        and query.q.lower() in server.server.lower()
    )


def _sort_keys(states: dict[str, ServerState], law: Law, policy: Policy) -> dict[SortKey, Callable[[Server], Any]]:
    return {
        "state": lambda server: STATES.index(states[server.server]),
        "server": lambda server: server.server,
        "product": lambda server: (server.reading.product, server.reading.shown or ()),
        "connector": lambda server: server.connector,
        "first_seen": lambda server: server.first_seen,
        "last_seen": lambda server: server.last_seen,
        "next_at": lambda server: next_step_at(server, law, policy) or _NEVER,
    }
