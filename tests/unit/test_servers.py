"""The store of servers: what was put is found, whatever was settled or dropped in between; and what is told of repeats."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from shared.domain import servers as store
from shared.domain.build import Build
from shared.domain.floors import Floor
from shared.domain.repeats import Repeats, glimpse
from shared.domain.schedule import next_due
from shared.domain.servers import Servers, digest_of, encode_server
from shared.domain.state import Server, decision_of
from shared.messaging.codec import encode
from tests.support import law
from tests.support.scenario import FLOOR_2016, SERVER, START, World, policy_for, reading


def _server(number: int = 0) -> Server:
    """A server with a case."""
    world = World()
    world.open_case()
    return msgspec.structs.replace(world.fold.servers[SERVER], server=f"ex{number}.alt.example", news=number)


def test_what_was_put_is_found_before_and_after_it_is_settled() -> None:
    """Decoded, as bytes, and by its name; of nobody there is nothing."""
    servers, one = Servers(), _server()
    servers.put("a.example", one)
    for _ in range(2):
        assert servers["a.example"] == servers.get("a.example") == one
        assert servers.stored("a.example") == encode_server(one)
        assert ("a.example" in servers, "b.example" in servers) == (True, False)
        assert (len(servers), list(servers)) == (1, ["a.example"])
        servers.settle()
    assert servers.get("b.example") is None
    assert servers.slot("b.example") is None
    with pytest.raises(KeyError):
        servers["b.example"]


def test_at_the_bound_what_is_decoded_is_dropped_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """More servers than are kept decoded: each is what was put last."""
    monkeypatch.setattr(store, "LIVE_MAX", 3)
    servers = Servers()
    for number in range(10):
        servers.put(f"ex{number}.example", _server(0))
        servers.put(f"ex{number}.example", _server(number))
    assert len(servers._live) <= 3
    assert [server.news for server in servers.values()] == list(range(10))


def test_the_digest_is_the_sum_of_what_each_server_is_now() -> None:
    """It moves with what was put again, and needs no order."""
    servers = Servers()
    for number in (2, 1, 0):
        servers.put(f"ex{number}.example", _server(9))
    servers.digest()
    expected = 0
    for number in range(3):
        servers.put(f"ex{number}.example", _server(number))
        expected += digest_of(f"ex{number}.example", encode_server(_server(number)))
    assert servers.digest() == f"{expected % (1 << 128):032x}"


def test_a_settled_server_is_small() -> None:
    """Some 2,000 bytes of state become a few hundred: a million servers are to fit into 1 GB, with all that is beside them."""
    servers = Servers()
    servers.put(SERVER, _server())
    servers.settle()
    slot = servers.slot(SERVER)
    assert slot is not None
    assert len(slot.packed) < 350
    assert len(servers.stored(SERVER)) > 1500


def _table(count: int) -> Servers:
    """Servers with a case, as they stood in a table."""
    servers = Servers()
    for number in range(count):
        one = _server(number)
        servers.put_stored(one.server, encode_server(one))
    return servers


def test_what_comes_from_a_table_has_the_share_of_its_decision_and_what_falls_due() -> None:
    """As its decision goes out, byte for byte; one that never had a case has none."""
    servers, one = _table(1), _server()
    slot, decision = servers.slot(one.server), decision_of(one)
    assert slot is not None
    assert decision is not None
    assert slot.decision == digest_of(one.server, encode(decision))
    assert slot.due == next_due(one, policy_for()) is not None
    never = msgspec.structs.replace(one, cases=(), changed_seq=0)
    servers.put_stored(one.server, encode_server(never))
    assert (slot.decision, slot.due) == (0, None)


def test_a_policy_of_the_same_terms_leaves_what_was_worked_out() -> None:
    """A mode or a text moves nothing that falls due; so nothing is decoded for it."""
    servers = _table(2)
    before = [slot.due for _, slot in servers.slots()]
    assert not servers.look(policy_for("observe", 7))
    assert [slot.due for _, slot in servers.slots()] == before
    assert not servers.work_out(0)


def test_other_terms_are_worked_out_by_slices() -> None:
    """What was removed or put anew meanwhile is passed over, and at the end all is as the new policy has it."""
    servers = _table(4)
    later = msgspec.structs.replace(policy_for(), expire_days=1)
    assert None not in [slot.repeat for _, slot in servers.slots()]
    assert servers.look(later)
    assert [slot.repeat for _, slot in servers.slots()] == [None] * 4
    assert [slot.due for _, slot in servers.slots()] == [msgspec.UNSET] * 4
    assert servers.work_out(1)
    assert [slot.due is msgspec.UNSET for _, slot in servers.slots()] == [True, True, True, False]
    servers.remove("ex2.alt.example")
    servers.put("ex1.alt.example", one := msgspec.structs.replace(_server(1), below=()))
    assert not servers.work_out()
    assert {name: slot.due for name, slot in servers.slots()} == {
        name: next_due(server, later) for name, server in servers.items()
    }
    assert next_due(one, later) != next_due(_server(0), later) != next_due(_server(0), policy_for())


def test_a_reading_that_would_release_an_open_case_is_no_repeat() -> None:
    """It cannot come about, for such a reading has released already; if it did, it must be decided."""
    server = _server()
    repeats = Repeats(policy_for())
    assert repeats.of(server) is not None
    (case,) = server.cases
    milder = msgspec.structs.replace(case, floor=Floor(product=case.product, builds=(Build(15, 1, 2507, 6),)))
    assert repeats.of(msgspec.structs.replace(server, cases=(milder,))) is None


def test_nothing_is_told_of_a_server_that_is_accused_without_evidence() -> None:
    """Below its floor, but no evidence or no hour on record: it is decided."""
    repeats, server = Repeats(policy_for()), msgspec.structs.replace(_server(), cases=())
    assert repeats.of(server) is None
    assert repeats.of(msgspec.structs.replace(server, below=())) is None


def test_before_the_first_floor_a_repeat_holds_until_it_takes_effect() -> None:
    """A product without a floor is judged by none."""
    first = datetime(2000, 1, 1, tzinfo=UTC)
    early = msgspec.structs.replace(_server(), last_seen=first, cases=())
    like = Repeats(policy_for()).of(early)
    assert like is not None
    waves = [wave.effective for wave in policy_for().floors if wave.product == early.reading.product]
    assert (like.since.year, like.until.date()) == (1, min(waves))


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b'{"facts":{}}', b'{"facts":7}', b'{"reading":"\xff"}', b"\xff\xfe"]
)
def test_what_cannot_be_glimpsed_must_be_read_whole(value: bytes | None) -> None:
    """No error, and nothing told."""
    seen = glimpse(value)
    assert seen is None or seen.facts is None


def test_of_a_sighting_only_what_tells_a_repeat_is_read() -> None:
    """Whom it speaks for, when it was seen, and its reading as written; marks have nothing of it."""
    one = law.sighting(START, reading(build=FLOOR_2016))
    seen = glimpse(encode(one))
    assert seen is not None
    assert seen.facts is not None
    assert (seen.facts.name, seen.facts.peer, seen.facts.seen_at) == (one.facts.name, one.facts.peer, START)
    assert bytes(seen.reading) == encode(one.reading or reading())
    (mark, _) = law.marks(START + timedelta(hours=1))
    passed_on = glimpse(encode(mark))
    assert passed_on is not None
    assert passed_on.facts is None
