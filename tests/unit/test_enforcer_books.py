"""What a commit writes to the tables: only what changed, in order; and how lost tables are healed."""

from datetime import timedelta

import msgspec
import pytest

from services.enforcer.books import Books, Outgoing, whole_state
from shared.domain.fold import Fold, digest_of
from shared.domain.records import Decision
from shared.domain.servers import Servers
from shared.domain.state import decision_of
from shared.messaging import topics as t
from shared.messaging.codec import decode, encode
from tests.support.scenario import E2016, FLOOR_2016, SERVER, World, policy_for, reading, stored_servers


def _drained(world: World) -> None:
    """The changes so far are committed."""
    world.fold.take_changed()


def _topics(records: list[Outgoing]) -> list[str]:
    return [record.topic for record in records]


def _share(value: bytes | None, key: str = SERVER) -> int:
    return digest_of(key, value or b"")


def test_first_the_log_then_decisions_then_the_state() -> None:
    """A case opens: its records in the log's order, its decision, its server."""
    world, books = World(), Books()
    _drained(world)
    before = len(world.log)
    world.open_case()
    records = books.changes(world.fold, world.log[before:])
    assert _topics(records) == [t.LOG] * (len(world.log) - before) + [t.DECISIONS, t.ENFORCER_STATE]
    assert [record.value for record in records[:-2]] == [stored for _, stored in world.log[before:]]
    assert decode(t.DECISIONS, records[-2].value) == decision_of(world.fold.servers[SERVER])
    assert decode(t.ENFORCER_STATE, records[-1].value) == world.fold.servers[SERVER]


def test_a_decision_is_written_only_when_its_bytes_change() -> None:
    """Another sighting moves the state and not the decision; count and digest stay those of the table."""
    world, books = World(), Books()
    world.open_case()
    first = books.changes(world.fold, [])
    assert _topics(first) == [t.DECISIONS, t.ENFORCER_STATE]
    assert (books.count, books.digest) == (1, f"{_share(first[0].value):032x}")
    world.now += timedelta(days=1)
    world.see()
    assert _topics(books.changes(world.fold, [])) == [t.ENFORCER_STATE]
    world.see(reading(E2016, FLOOR_2016))
    released = books.changes(world.fold, [])
    assert _topics(released) == [t.DECISIONS, t.ENFORCER_STATE]
    assert isinstance(decision := decode(t.DECISIONS, released[0].value), Decision)
    assert decision.cases == ()
    assert (books.count, books.digest) == (1, f"{_share(released[0].value):032x}")


def test_an_adopted_policy_goes_to_both_tables_with_its_request() -> None:
    """The policy record for the edges, the same for the next start, and the id that was decided."""
    world, books = World(), Books()
    _drained(world)
    before = len(world.log)
    world.adopt(policy_for(version=2), "request-1")
    records = books.changes(world.fold, world.log[before:])
    keys = [(record.topic, record.key) for record in records]
    assert keys == [
        (t.LOG, None),
        (t.ENFORCER_STATE, b"request request-1"),
        (t.DECISIONS, t.KEY_POLICY),
        (t.ENFORCER_STATE, t.KEY_POLICY),
    ]
    assert decode(t.DECISIONS, records[2].value).policy == policy_for(version=2)


def test_a_request_told_twice_is_remembered_anew_and_a_forgotten_one_deleted() -> None:
    """The stored instant follows the fold's; after 16 days the key goes."""
    world, books = World(), Books()
    _drained(world)

    def ask(request_id: str, *, frozen: bool) -> list[Outgoing]:
        before = len(world.log)
        world.freeze(request_id, frozen=frozen)
        return [record for record in books.changes(world.fold, world.log[before:]) if record.topic != t.LOG]

    (first,) = ask("freeze-01", frozen=True)
    world.now += timedelta(minutes=1)
    (again,) = ask("freeze-01", frozen=True)
    assert (first.key, first.value) == (b"request freeze-01", msgspec.json.encode(world.now - timedelta(minutes=1)))
    assert again.value == msgspec.json.encode(world.now)
    world.now += timedelta(days=17)
    old, new = ask("freeze-02", frozen=False)
    assert (old.key, old.value) == (b"request freeze-01", None)
    assert new.key == b"request freeze-02"


def test_a_whole_table_needs_no_healing_and_a_damaged_one_gets_just_what_differs() -> None:
    """Missing and wrong decisions and the policy are written, keys of nobody deleted; the heartbeat is left alone."""
    world = World()
    world.open_case()
    world.open_case(name="other.example")
    right = {
        name.encode(): digest_of(name, encode(decision))
        for name, server in world.fold.servers.items()
        if (decision := decision_of(server)) is not None
    }
    missing = {record.key: record for record in Books().heal_decisions(world.fold, {t.KEY_HEARTBEAT: 1})}
    assert set(missing) == {*right, t.KEY_POLICY}
    right[t.KEY_POLICY] = digest_of("policy", missing[t.KEY_POLICY].value or b"")
    books = Books()
    assert books.heal_decisions(world.fold, right | {t.KEY_HEARTBEAT: 1}) == []
    assert books.count == 2
    wrong = right | {SERVER.encode(): 7, b"no.body@x": 8}
    assert Books().heal_decisions(world.fold, wrong) == [
        missing[SERVER.encode()],
        Outgoing(t.DECISIONS, b"no.body@x", None),
    ]


def test_a_state_that_was_read_before_is_compared_without_decoding_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million servers are taken up within seconds; what moved since is looked at all the same."""
    world = World()
    world.open_case()
    for number in range(4):
        world.open_case(name=f"other{number}.example")
    found = {record.key or b"": _share(record.value, (record.key or b"").decode()) for record in _healed(world.fold)}
    fold = Fold(world.fold.policy, world.fold.law)
    fold.restore(stored_servers(world.fold.servers), {})
    with monkeypatch.context() as patched:
        patched.delattr(Servers, "_unpacked")
        books = Books()
        assert books.heal_decisions(fold, dict(found)) == []
        assert (books.count, books.digest) == (5, _digest_of_all(world))
    before = len(world.log)
    world.see(reading(E2016, FLOOR_2016))
    for record, stored in world.log[before:]:
        fold.apply(record, stored)
    (healed,) = Books().heal_decisions(fold, dict(found))
    assert decode(t.DECISIONS, healed.value) == decision_of(world.fold.servers[SERVER])


def _healed(fold: Fold) -> list[Outgoing]:
    return Books().heal_decisions(fold, {})


def _digest_of_all(world: World) -> str:
    decisions = {name: decision_of(server) for name, server in world.fold.servers.items()}
    shares = [digest_of(name, encode(decision)) for name, decision in decisions.items() if decision]
    return f"{sum(shares) % (1 << 128):032x}"


def test_a_lost_state_is_written_whole() -> None:
    """Servers, requests and policy; what else stands there goes, but for the position that the next commit writes."""
    world = World()
    world.open_case()
    world.freeze("freeze-01", frozen=True)
    records = list(whole_state(world.fold, {b"no.body@x", SERVER.encode(), t.KEY_POSITION}))
    assert {record.topic for record in records} == {t.ENFORCER_STATE}
    assert [record.key for record in records if record.value] == [
        SERVER.encode(),
        b"request freeze-01",
        t.KEY_POLICY,
    ]
    assert [record.key for record in records if record.value is None] == [b"no.body@x"]


def test_the_heartbeat_carries_the_law_as_it_stands() -> None:
    """H, what was held, the newest record, the table, the freeze; its instant is never behind the log's."""
    world, books = World(), Books()
    world.open_case()
    books.changes(world.fold, [])
    world.freeze("freeze-01", frozen=True)
    heartbeat = books.heartbeat(world.fold, at=world.now - timedelta(hours=1), policy_digest="d")
    law = world.fold.law
    assert (heartbeat.at, heartbeat.h, heartbeat.held, heartbeat.seq) == (law.at, law.h, law.held_so_far, law.seq)
    assert (heartbeat.count, heartbeat.digest) == (1, books.digest)
    assert (heartbeat.policy_digest, heartbeat.frozen) == ("d", True)
