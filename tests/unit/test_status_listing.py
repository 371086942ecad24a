"""The list of servers: filters, sorting, paging, counts."""

from datetime import timedelta

import msgspec
import pytest

from services.status.listing import STATES, Query, ServerList, list_servers
from shared.domain.build import Build
from tests.support.scenario import E2007, E2016, FLOOR_2016, SERVER, World, reading
from tests.support.status_state import view_of

DAY = timedelta(days=1)
BRANCH = "mx.branch.example@branch"
YOUNG = "young.example@203.0.113.9"
PATCHED = "a-patched.example@203.0.113.10"


def world_of_four() -> World:
    """One blocked, one reported at connector branch, one counting, one patched."""
    world = World()
    world.open_case(reading(E2007, None))
    for _ in range(91):
        world.pass_time(DAY)
        world.see(reading(E2007, None))
        world.settle()
    world.open_case(name="mx.branch.example", peer="198.51.100.4", helo="other")
    world.see(name="young.example", peer="203.0.113.9", helo="young.example")
    world.pass_time(timedelta(hours=1))
    world.see(reading(build=FLOOR_2016), name="a-patched.example", peer="203.0.113.10", helo="a-patched.example")
    return world


WORLD = world_of_four()
VIEW = view_of(WORLD)


def listed(**query: object) -> ServerList:
    """One page of the list of four."""
    return list_servers(VIEW.servers, WORLD.fold.law, WORLD.fold.policy, msgspec.convert(query, Query))


def names(**query: object) -> list[str]:
    """The ids on that page."""
    return [row.server for row in listed(**query).servers]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [SERVER, BRANCH, YOUNG, PATCHED]),
        ({"order": "asc"}, [PATCHED, YOUNG, BRANCH, SERVER]),
        ({"sort": "server", "order": "asc"}, [PATCHED, SERVER, BRANCH, YOUNG]),
        ({"sort": "server"}, [YOUNG, BRANCH, SERVER, PATCHED]),
        ({"sort": "product", "order": "asc"}, [SERVER, BRANCH, YOUNG, PATCHED]),
        ({"sort": "connector", "order": "asc"}, [BRANCH, PATCHED, SERVER, YOUNG]),
        ({"sort": "first_seen", "order": "asc"}, [SERVER, BRANCH, YOUNG, PATCHED]),
        ({"sort": "last_seen", "order": "desc"}, [PATCHED, YOUNG, BRANCH, SERVER]),
        ({"sort": "next_at", "order": "asc"}, [BRANCH, SERVER, PATCHED, YOUNG]),
        ({"state": "blocked"}, [SERVER]),
        ({"state": "observed"}, []),
        ({"product": E2007}, [SERVER]),
        ({"product": "Microsoft Exchange"}, []),
        ({"connector": "branch"}, [BRANCH]),
        ({"q": "EXAMPLE@203.0"}, [YOUNG, PATCHED]),
        ({"q": "nobody"}, []),
        ({"state": "counting", "q": "young", "product": E2016, "connector": "internet"}, [YOUNG]),
        ({"limit": 3}, [SERVER, BRANCH, YOUNG]),
        ({"limit": 3, "page": 2}, [PATCHED]),
        ({"limit": 3, "page": 3}, []),
    ],
)
def test_filter_sort_and_page(query: dict[str, object], expected: list[str]) -> None:
    """Each query gives these servers in this order."""
    assert names(**query) == expected


def test_a_page_tells_how_many_there_are() -> None:
    """Total and pages follow the filter, counts and choices do not."""
    found = listed(limit=1, connector="internet")
    assert (found.total, found.pages, found.page) == (3, 3, 1)
    assert found.counts == {**dict.fromkeys(STATES, 0), "blocked": 1, "reported": 1, "counting": 1, "no-case": 1}
    assert found.products == (E2007, E2016)
    assert found.connectors == ("branch", "internet")


def test_an_empty_list_has_one_empty_page() -> None:
    """No server fits: page 1 of 1."""
    found = listed(q="nobody")
    assert (found.total, found.pages, found.servers) == (0, 1, ())


def test_a_row_tells_what_holds() -> None:
    """The row of the blocked one: its minutes, its build, when it was opened."""
    (row,) = listed(state="blocked").servers
    assert (row.stage, row.throttle_minutes_per_hour, row.block_minutes_per_hour) == (8, 0, 60)
    assert (row.product, row.shown, row.connector, row.tie) == (E2007, "", "internet", "helo")
    assert row.opened_at == WORLD.fold.servers[SERVER].cases[0].opened_at


def test_equals_stand_in_one_order_whatever_the_direction() -> None:
    """Paging must not lose or repeat anybody: equals go by id, up and down."""
    world = World()
    for number in (3, 1, 2):
        world.see(name=f"ex{number}.example", peer="203.0.113.9", helo=f"ex{number}.example")
    view = view_of(world)
    view.servers = dict(reversed(view.servers.items()))
    for order in ("asc", "desc"):
        query = msgspec.convert({"sort": "state", "order": order}, Query)
        found = list_servers(view.servers, world.fold.law, world.fold.policy, query)
        assert [row.server[:3] for row in found.servers] == ["ex1", "ex2", "ex3"]


def test_builds_sort_as_numbers() -> None:
    """15.1.2507.6 stands before 15.1.2507.39."""
    world = World()
    for build in (39, 6, 61):
        world.see(reading(build=Build(15, 1, 2507, build)), name=f"ex{build}.example", helo=f"ex{build}.example")
    query = Query(sort="product", order="asc")
    found = list_servers(view_of(world).servers, world.fold.law, world.fold.policy, query)
    assert [row.shown for row in found.servers] == ["15.1.2507.6", "15.1.2507.39", "15.1.2507.61"]
