"""
Cases move to a better id of the same server, and are found where they went. Pure.

A server that DNS confirms from now on, or that a connector takes in, has a better id than before; its case goes there with all
that it has, so that it is neither lost nor doubled.
"""

from collections.abc import Iterable, Iterator

from shared.domain.evidence import Reading
from shared.domain.floors import Standing
from shared.domain.identity import Identity
from shared.domain.state import Case, Server
from shared.domain.view import View

_HOPS = 16


def case_to_move(matched: Iterable[Server], who: Identity, reading: Reading) -> tuple[Server, Case] | None:
    """The open case about what *reading* shows that another id of the message has, where the best one has none."""
    for server in matched:
        case = server.case_of(reading.product)
        if case is None:
            continue
        if server.server == who.server:
            return None
        if case.released_at is None and case.floor.standing(reading) is Standing.BELOW:
            return server, case
    return None


def home_of(view: View, server_id: str, number: int) -> Server | None:
    """The server that has the case with this number now, as far as *server_id* knows; else the one with that id."""
    server = view.servers.get(server_id)
    for _ in range(_HOPS):
        to = next((moved.server for moved in server.moved if moved.case == number), None) if server else None
        if to is None:
            break
        server = view.servers.get(to)
    return server


def with_homes(view: View, matched: Iterable[Server]) -> Iterator[Server]:
    """The servers, and those to which cases of theirs went: an operator struck the reading there."""
    left = {server.server: server for server in matched}
    asked: set[str] = set()
    while left:
        name, server = left.popitem()
        asked.add(name)
        yield server
        homes = (view.servers.get(moved.server) for moved in server.moved if moved.server not in asked)
        left |= {home.server: home for home in homes if home is not None}
