"""Which stored state is good enough to go on from."""

from datetime import timedelta

import msgspec
import pytest

from services.enforcer.books import policy_records, request_record, state_of
from services.enforcer.restore import StoredState, why_rebuild
from shared.domain.errors import ConfigError, RecordSchemaError
from shared.domain.fold import Fold
from shared.domain.schedule import next_due
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support.scenario import SERVER, START, World, policy_for


def _stored(world: World) -> StoredState:
    """The state as a leader would have written it."""
    stored = StoredState()
    position = Position(offsets={}, law=world.fold.law, marks=(), counts={})
    stored.take(t.KEY_POSITION, encode(position))
    stored.take(t.KEY_POLICY, policy_records(world.fold)[1].value)
    return stored


def _tip(world: World) -> tuple[int, str]:
    return world.fold.law.seq, world.fold.law.head


def test_a_state_at_the_logs_newest_record_is_taken_up() -> None:
    """No reason to fold the log anew."""
    world = World()
    assert why_rebuild(_stored(world), _tip(world)) == ""


def test_a_state_that_is_behind_lost_or_unreadable_is_folded_anew() -> None:
    """The reason is told."""
    world = World()
    stored, (seq, _) = _stored(world), _tip(world)
    assert "ends at log record 2, the log at 3" in why_rebuild(stored, (seq + 1, "x"))
    assert why_rebuild(StoredState(), (seq, "x")) == "enforcer-state has no position"
    assert why_rebuild(StoredState(), (0, "")) == "the log is empty"
    stored.unreadable = {b"x": "the key x cannot be read"}
    assert why_rebuild(stored, _tip(world)) == "the key x cannot be read"


def test_a_log_that_ends_early_or_is_another_is_refused() -> None:
    """Even with a state that cannot be read: what the position speaks of is lost."""
    world = World()
    stored, (seq, _) = _stored(world), _tip(world)
    with pytest.raises(ConfigError, match="not the one that enforcer-state speaks of"):
        why_rebuild(stored, (seq, "another"))
    stored.unreadable = {b"x": "something"}
    with pytest.raises(ConfigError, match="the log ends at 1"):
        why_rebuild(stored, (seq - 1, "x"))


def test_records_are_taken_by_their_keys_and_deletions_obeyed() -> None:
    """Servers, requests, policy and position; a deleted key is gone."""
    world = World()
    world.open_case()
    stored = _stored(world)
    server = state_of(world.fold.servers[SERVER])
    request = request_record("freeze-01", START)
    for outgoing in (server, request):
        stored.take(outgoing.key or b"", outgoing.value)
    assert dict(stored.servers) == dict(world.fold.servers)
    assert stored.requests == {"freeze-01": START}
    assert stored.policy == world.fold.policy
    assert stored.position is not None
    assert stored.keys == {t.KEY_POSITION, t.KEY_POLICY, SERVER.encode(), b"request freeze-01"}
    stored.take(request.key or b"", None)
    stored.take(server.key or b"", None)
    assert (dict(stored.servers), stored.requests) == ({}, {})
    assert stored.keys == {t.KEY_POSITION, t.KEY_POLICY}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (t.KEY_POSITION, b"{}"),
        (t.KEY_POLICY, b"{}"),
        (
            t.KEY_POLICY,
            msgspec.json.encode({"type": "decision.v1", "server": "a.b", "seq": 1, "policy_version": 1, "cases": []}),
        ),
        (b"request freeze-01", b'"yesterday"'),
        (b"a.example@192.0.2.7", b"{"),
        (b"\xff", b"{}"),
    ],
)
def test_a_record_that_cannot_be_read_is_an_error_with_its_key(key: bytes, value: bytes) -> None:
    """It makes the stored state unusable, whatever it is."""
    with pytest.raises(RecordSchemaError):
        StoredState().take(key, value)


def test_a_position_survives_the_bus() -> None:
    """What is written as position is read back equal."""
    world = World()
    world.pass_time(timedelta(days=1))
    position = Position(offsets={t.SIGHTINGS: 7}, law=world.fold.law, marks=(START, None), counts={"marks": 3})
    stored = StoredState()
    stored.take(t.KEY_POSITION, encode(position))
    assert stored.position == position


def test_a_record_that_cannot_be_read_is_forgotten_once_a_readable_one_takes_its_place() -> None:
    """A standby follows for months: what was mended must not make it fold the log, and until then the key is known."""
    stored = StoredState()
    stored.note(b"a.example@192.0.2.7", b"{")
    assert list(stored.unreadable) == [b"a.example@192.0.2.7"]
    assert stored.keys == {b"a.example@192.0.2.7"}
    stored.note(b"a.example@192.0.2.7", None)
    assert (stored.unreadable, stored.keys) == ({}, set())


def test_the_stored_bytes_give_the_digest_of_the_state() -> None:
    """Nothing is encoded again for it; where this code would store other bytes, a sample of them tells."""
    world = World()
    world.open_case()
    name, value, stored = SERVER, state_of(world.fold.servers[SERVER]).value or b"", StoredState()
    stored.note(name.encode(), value)
    anew = Fold(world.fold.policy, world.fold.law)
    anew.restore(stored.servers, {})
    assert stored.encoded_alike
    assert anew.digest() == world.fold.digest()
    other = StoredState()
    other.note(name.encode(), value.replace(b'{"server"', b'{ "server"', 1))
    assert dict(other.servers) == dict(stored.servers)
    assert not other.encoded_alike


@pytest.mark.parametrize("known", [True, False])
def test_what_falls_due_is_worked_out_by_the_policy_in_force(*, known: bool) -> None:
    """Whether it was known while the servers were read, or comes with the fold that takes them up."""
    world = World()
    world.open_case()
    world.adopt(policy_for(version=2, expire_days=1), "request-1")
    stored = StoredState()
    stored.note(SERVER.encode(), state_of(world.fold.servers[SERVER]).value)
    if known:
        stored.note(t.KEY_POLICY, policy_records(world.fold)[1].value)
        assert not stored.servers.work_out()
    else:
        anew = Fold(world.fold.policy, world.fold.law)
        anew.restore(stored.servers, {})
    slot = stored.servers.slot(SERVER)
    assert slot is not None
    assert slot.due == next_due(world.fold.servers[SERVER], world.fold.policy)
    assert slot.due != next_due(world.fold.servers[SERVER], policy_for())


def test_a_server_under_the_key_of_another_is_not_read() -> None:
    """Its share would be counted for a server that it does not speak of."""
    world = World()
    world.open_case()
    stored = StoredState()
    stored.note(b"other@192.0.2.7", state_of(world.fold.servers[SERVER]).value)
    assert "holds another server" in stored.unreadable[b"other@192.0.2.7"]
