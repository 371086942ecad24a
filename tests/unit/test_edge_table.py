from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge import coldstart
from shared.domain.errors import RecordSchemaError
from shared.messaging.codec import encode
from shared.messaging.decisions import DecisionTable
from shared.messaging.topics import KEY_HEARTBEAT, KEY_POLICY
from tests.support.decisions import SERVER, decision, heartbeat, records_of, released, table_of

NAMES = ["a.example", "b.example", "c@plant", "d.example@192.0.2.1"]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3)), max_size=30))
def test_digest_and_count_follow_every_change(changes: list[tuple[str, int]]) -> None:
    """However a table came about, count and digest are those of what is alive; 0 stands for a deletion."""
    table, live = DecisionTable(), {}
    for name, seq in changes:
        one = decision(server=name, seq=seq)
        table.apply(name.encode(), encode(one) if seq else None)
        live[name] = one
        if not seq:
            del live[name]
    beat = heartbeat(live.values())
    assert (table.count, table.digest) == (beat.count, beat.digest)


def test_difference_is_named() -> None:
    """A table tells in which of count, digest and policy it differs from a heartbeat."""
    table = table_of([decision()])
    assert table.difference_to(heartbeat([decision()])) == ""
    assert table.difference_to(heartbeat([])) == "count"
    assert table.difference_to(heartbeat([released()])) == "digest"
    table.apply(KEY_POLICY, records_of([])[0][1].replace(b'"salt":"k7"', b'"salt":"k8"'))
    assert table.difference_to(heartbeat([decision()])) == "policy"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"\xff\xfe.", b"{}"),
        (b"nodot", encode(decision(server="nodot"))),
        (b"other.example", encode(decision())),
        (SERVER.encode(), encode(heartbeat())),
        (KEY_HEARTBEAT, encode(decision())),
        (KEY_HEARTBEAT, None),
        (KEY_POLICY, encode(heartbeat())),
        (KEY_POLICY, None),
        (SERVER.encode(), b"\x00\xff"),
    ],
)
def test_unreadable_records_raise_and_leave_no_harsher_table(key: bytes | None, value: bytes | None) -> None:
    """What cannot be read is an error; the key's old content is not kept where it could accuse."""
    table = table_of([decision(block=60)])
    with pytest.raises(RecordSchemaError):
        table.apply(key, value)
    assert (SERVER in table) is (key != SERVER.encode())
    assert table.ready is (key != KEY_POLICY)


def test_decisions_are_given_by_id() -> None:
    """Ids that nobody decided about are left out."""
    table = table_of([decision(), released("a.example")])
    assert table.decisions_of(["x.example", SERVER]) == [decision()]
    assert list(table.decisions()) == [decision(), released("a.example")]


def test_cold_start_file_gives_the_same_table(tmp_path: Path) -> None:
    """What is written is what is read, freeze included; no file is no error."""
    path = tmp_path / "state" / "edge.cold"
    assert coldstart.load(path) is None
    table = table_of([decision(), released("a.example")])
    coldstart.save(path, coldstart.ColdStart(records=tuple(table.records().items()), frozen=True))
    loaded = coldstart.load(path)
    assert loaded is not None
    assert loaded[1].frozen is True
    assert (loaded[0].digest, loaded[0].heartbeat, loaded[0].policy) == (table.digest, table.heartbeat, table.policy)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("cut", [0, 1, 64, 65, 200, -1])
def test_torn_cold_start_file_is_refused(tmp_path: Path, cut: int) -> None:
    """A file that was cut off anywhere, or damaged, is refused with one sentence."""
    path = tmp_path / "edge.cold"
    coldstart.save(path, coldstart.ColdStart(records=tuple(table_of([decision()]).records().items()), frozen=False))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(coldstart.ColdStartError, match="checksum"):
        coldstart.load(path)


def test_cold_start_file_of_another_version_is_refused(tmp_path: Path) -> None:
    """Records that this version cannot read make the whole file unusable."""
    path = tmp_path / "edge.cold"
    coldstart.save(path, coldstart.ColdStart(records=((b"heartbeat", b'{"type":"heartbeat.v9"}'),), frozen=False))
    with pytest.raises(coldstart.ColdStartError, match="another version"):
        coldstart.load(path)
