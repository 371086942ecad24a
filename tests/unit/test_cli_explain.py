"""Which server a question is about: by id, by address, by the queue id of a refused mail."""

from collections.abc import Callable

import pytest

from services.cli import explain
from services.cli.common import CommandError
from services.cli.explain import is_queue_id, server_asked_for, verdict_text
from shared.domain.explain import explain as explanation_of
from shared.domain.explanation import Explanation
from shared.domain.fold import encode_server
from shared.domain.records import PolicyRecord, Row, VerdictGiven
from shared.domain.state import Position
from shared.messaging.codec import encode
from shared.runtime.settings import CommonSettings
from tests.support.scenario import E2016, NAME, PEER, SERVER, START, World


def state_of(world: World) -> dict[bytes, bytes]:
    """What the enforcer would have written, with keys that are no servers."""
    servers = {name.encode(): encode_server(server) for name, server in world.fold.servers.items()}
    return {**servers, b"position": b"{}", b"request @192.0.2.7": b"{}"}


@pytest.mark.parametrize(
    ("what", "queue_id"),
    [
        ("4bXk2P0qZ1z9", True),
        ("A1B2C3D4E5", True),
        (SERVER, False),
        (NAME, False),
        (PEER, False),
        ("2001:db8::1", False),
    ],
)
def test_what_cannot_be_a_server_or_an_address_is_a_queue_id(what: str, queue_id: bool) -> None:
    """Short and long queue ids hold letters and digits only."""
    assert is_queue_id(what) is queue_id


def test_a_server_is_found_by_its_id_and_by_its_address() -> None:
    """An IPv6 address by its network, as records name peers."""
    world = World()
    world.see()
    world.see(name="six.alt.example", peer="2001:db8::/64")
    state = state_of(world)
    assert server_asked_for(SERVER, state).server == SERVER
    assert server_asked_for(PEER, state).server == SERVER
    assert server_asked_for("2001:db8::25", state).server == "six.alt.example@2001:db8::/64"


def test_a_server_that_dns_verified_is_found_by_the_address_that_it_also_matched() -> None:
    """Its own id does not name the address."""
    world = World()
    world.see(client_name=NAME, client_resolve="ok")
    assert server_asked_for(PEER, state_of(world)).server == NAME


def test_an_address_with_several_servers_names_them() -> None:
    """So that one can be asked for."""
    world = World()
    for number in range(12):
        world.see(name=f"s{number:02}.alt.example")
    with pytest.raises(CommandError, match=r"12 servers .* s00\.alt\.example@192\.0\.2\.7, .* and 2"):
        server_asked_for(PEER, state_of(world))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("192.0.2.70", "by the address 192.0.2.70"),
        ("ex70.alt.example@192.0.2.7", f"nearest: {SERVER}"),
        ("nothing.like.it.at.all@x", "1 others are"),
        ("position", "no server position is known"),
    ],
)
def test_what_is_not_known_is_told(what: str, told: str) -> None:
    """With the nearest, where there is one; an address that only begins alike is another."""
    world = World()
    world.see()
    with pytest.raises(CommandError, match=told):
        server_asked_for(what, state_of(world))


def test_an_address_that_is_the_beginning_of_another_is_not_that_one() -> None:
    """192.0.2.7 is not 192.0.2.70."""
    world = World()
    world.see(peer="192.0.2.70")
    with pytest.raises(CommandError, match=r"by the address 192\.0\.2\.7;"):
        server_asked_for(PEER, state_of(world))


@pytest.mark.parametrize(
    ("would_be", "told"), [(False, "the mail was refused."), (True, "would have been refused, but")]
)
def test_a_verdict_is_told_with_all_that_brought_it(would_be: bool, told: str) -> None:
    """Reply, row, window and the records of the log."""
    verdict = VerdictGiven(
        at=START,
        edge="mx1",
        queue_id="Q1",
        server=SERVER,
        product=E2016,
        shown="15.1.2507.39",
        action="reject",
        would_be=would_be,
        spared_why="observed only" if would_be else "",
        row=Row(since=START, stage=6, throttle_minutes_per_hour=0, block_minutes_per_hour=10),
        window_from_minute=46,
        reply="550 5.7.230 no",
        heartbeat_seq=17,
        decision_seq=12,
    )
    text = "\n".join(verdict_text((verdict,)))
    for part in (
        told,
        SERVER,
        "550 5.7.230 no",
        "stage 6 (0 minutes an hour deferred, 10 refused)",
        "minute 46",
        "record 12",
        "record 17",
    ):
        assert part in text


class Table:
    """`enforcer-state` without a broker. kept: values that were kept, in all readings together."""

    def __init__(self, world: World) -> None:
        self.kept = 0
        self._state = {
            **{name.encode(): encode_server(server) for name, server in world.fold.servers.items()},
            b"position": encode(Position(offsets={}, law=world.fold.law, marks=(), counts={})),
            b"policy": encode(PolicyRecord(policy=world.fold.policy)),
        }

    async def __call__(  # noqa: D102 - stands for `bus.table`
        self, _settings: CommonSettings, _topic: str, *, wanted: Callable[[bytes, bytes], bool]
    ) -> dict[bytes, bytes]:
        found = {key: value if wanted(key, value) else b"" for key, value in self._state.items()}
        self.kept += sum(bool(value) for value in found.values())
        return found


BRANCH = "198.51.100.9"
"""Lies in a connector."""


@pytest.mark.parametrize("asked", [BRANCH, f"{NAME}@branch"])
async def test_only_what_matters_is_kept_of_the_state_and_what_stands_beside_a_server_counts(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an address, too, from which the same name's other id was never seen: its case is milder, and so is the verdict."""
    world = World()
    for number in range(50):
        world.see(name=f"other{number}.alt.example", peer=f"203.0.113.{number}")
    world.see(client_name=NAME, client_resolve="ok")
    world.open_case(peer=BRANCH, client_name=NAME, client_resolve="ok")
    table = Table(world)
    monkeypatch.setattr(explain, "table", table)
    beside: list[str] = []

    def noting(*args: object, **named: object) -> Explanation:
        beside.extend(server.server for server in named["beside"])  # type: ignore[attr-defined]  # servers
        return explanation_of(*args, **named)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(explain, "explanation_of", noting)
    found = await explain._explained(CommonSettings(), asked)
    assert (found.server, beside) == (f"{NAME}@branch", [NAME])
    assert table.kept <= 6
