"""The tables against the log: equal when the enforcer is right, and each kind of difference told."""

from collections.abc import Callable

import msgspec
import pytest

from services.cli.audit_tables import Tables, TablesReport
from services.enforcer.books import Books, state_of
from shared.domain.fold import Fold
from shared.domain.state import Position
from shared.domain.verify import Audit
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support.scenario import SERVER, World, policy_for

Table = dict[bytes, bytes]


def world_with_a_case() -> World:
    """One server with a case, one without, and a decided request."""
    world = World(policy_for("observe"))
    world.open_case()
    world.see(name="ex16.alt.example")
    world.adopt(policy_for(version=2))
    return world


def tables_of(fold: Fold) -> tuple[Table, Table]:
    """What the enforcer writes for this state."""
    books = Books()
    decisions = {one.key or b"": one.value or b"" for one in books.heal_decisions(fold, {})}
    beat = books.heartbeat(fold, at=fold.law.at, policy_digest=fold.policy.digest)
    decisions[t.KEY_HEARTBEAT] = encode(beat)
    state = {server.server.encode(): state_of(server).value or b"" for server in fold.servers.values()}
    for known, when in fold.requests.items():
        state[t.KEY_REQUEST_PREFIX + known.encode()] = msgspec.json.encode(when)
    state[t.KEY_POLICY] = decisions[t.KEY_POLICY]
    state[t.KEY_POSITION] = encode(Position(offsets={}, law=fold.law, marks=(), counts={}))
    return state, decisions


def compared(world: World, state: Table, decisions: Table) -> TablesReport:
    """As `audit verify` compares, while it reads the log."""
    tables, audit = Tables(state, decisions), Audit()
    for _, stored in world.log:
        assert audit.take(stored)
        tables.compare_at(audit.seq, audit.fold)
    return tables.report()


def test_tables_that_the_log_makes_are_right() -> None:
    """And they are counted."""
    world = world_with_a_case()
    report = compared(world, *tables_of(world.fold))
    assert report == TablesReport(ok=True, servers=2, decisions=1, differences=())


def test_tables_of_an_earlier_record_are_compared_there() -> None:
    """The log of a living system goes on behind what was read of the tables."""
    world = world_with_a_case()
    state, decisions = tables_of(world.fold)
    world.see(name="later.alt.example")
    assert compared(world, state, decisions).ok


def other(key: bytes, change: Callable[[bytes], bytes]) -> Callable[[Table], None]:
    """Change one value."""

    def apply(table: Table) -> None:
        assert change(table[key]) != table[key]
        table[key] = change(table[key])

    return apply


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other(SERVER.encode(), lambda v: v.replace(b'"tie":"helo"', b'"tie":"verified"')), "another state of"),
        (other(SERVER.encode(), lambda _: b"{}"), "another state of"),
        (lambda table: table.pop(SERVER.encode()), "lacks"),
        (lambda table: table.update({b"stranger.example": b"{}"}), "which the log does not know"),
        (lambda table: table.pop(t.KEY_REQUEST_PREFIX + b"request-1"), "other request ids"),
        (other(t.KEY_REQUEST_PREFIX + b"request-1", lambda _: b"{}"), "other request ids"),
        (other(t.KEY_POSITION, lambda v: v.replace(b'"frozen":false', b'"frozen":true')), "other globals"),
        (other(t.KEY_POSITION, lambda _: b"{}"), "cannot be read"),
        (lambda table: table.pop(t.KEY_POSITION), "no position"),
    ],
)
def test_each_difference_of_the_state_is_told(change: Callable[[Table], object], told: str) -> None:
    """A value, a missing key, a strange one, the requests, the position."""
    world = world_with_a_case()
    state, decisions = tables_of(world.fold)
    change(state)
    report = compared(world, state, decisions)
    assert not report.ok
    assert any(told in difference for difference in report.differences)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other(SERVER.encode(), lambda v: v.replace(b'"enforced":true', b'"enforced":false')), "another decision on"),
        (lambda table: table.pop(SERVER.encode()), "lacks"),
        (lambda table: table.update({b"stranger.example": b"{}"}), "which the log does not know"),
        (lambda table: table.pop(t.KEY_POLICY), "another policy"),
        (lambda table: table.pop(t.KEY_HEARTBEAT), "no heartbeat"),
        (other(t.KEY_HEARTBEAT, lambda v: v.replace(b'"count":1', b'"count":2')), "the heartbeat counts 2"),
    ],
)
def test_each_difference_of_the_decisions_is_told(change: Callable[[Table], object], told: str) -> None:
    """A value, a missing key, a strange one, the policy, the heartbeat."""
    world = world_with_a_case()
    state, decisions = tables_of(world.fold)
    change(decisions)
    report = compared(world, state, decisions)
    assert not report.ok
    assert any(told in difference for difference in report.differences)


def test_tables_ahead_of_the_log_are_told() -> None:
    """Records of the log are lost, or were never written."""
    world = world_with_a_case()
    state, decisions = tables_of(world.fold)
    world.log.pop()
    report = compared(world, state, decisions)
    assert any("the log was not found right up to there" in difference for difference in report.differences)


def test_many_differences_are_bounded() -> None:
    """The first twenty are enough to know."""
    world = world_with_a_case()
    state, decisions = tables_of(world.fold)
    state.update({f"stranger{number}.example".encode(): b"{}" for number in range(50)})
    assert len(compared(world, state, decisions).differences) == 20
