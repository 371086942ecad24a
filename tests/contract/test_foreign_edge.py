"""The edge that knows nothing of ours reads by the contract's words what ours reads by its code; without Kafka."""

import ast
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.records import Decision, Heartbeat, Row
from shared.domain.verdict import action_in, row_at, window_start
from shared.messaging.codec import encode
from shared.messaging.decisions import DecisionTable
from shared.messaging.topics import KEY_HEARTBEAT, KEY_POLICY
from tests.contract import foreign_edge
from tests.contract.foreign_edge import ForeignEdge
from tests.support.decisions import NOON, SERVER, decision, heartbeat, records_of, released

DOCS = Path(__file__).parents[2] / "docs" / "contract"
OTHER = "other.example"


def folded(records: list[tuple[bytes, bytes | None]]) -> tuple[ForeignEdge, DecisionTable]:
    """Both tables of the same records."""
    foreign, table = ForeignEdge(DOCS, "p."), DecisionTable()
    for key, value in records:
        foreign.take(key.decode(), value, loading=False)
        table.apply(key, value)
    return foreign, table


def test_it_imports_nothing_of_ours() -> None:
    """The standard library and a Kafka client; so it can prove that words and files suffice."""
    tree = ast.parse(Path(foreign_edge.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert all(node.level == 0 for node in froms)
    outside = {
        name.partition(".")[0] for name in names | {node.module or "" for node in froms}
    } - sys.stdlib_module_names
    assert outside == {"aiokafka"}
    assert not {"__import__", "importlib", "exec", "eval"} & {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def test_it_finds_the_topic_in_the_contract() -> None:
    """Under the prefix of the installation."""
    assert ForeignEdge(DOCS, "mail.").topic == "mail.decisions"


def test_the_window_of_the_contracts_example() -> None:
    """Salt k7, that server, that hour: 46."""
    foreign, _ = folded([*records_of([])])
    assert foreign.latest["policy"]["policy"]["salt"] == "k7"
    assert foreign.first_minute("ex07.alt.example@192.0.2.7", datetime(2026, 11, 24, 11, 20, tzinfo=UTC)) == 46


def test_its_table_is_ours_and_equals_the_heartbeat() -> None:
    """Through new, changed and deleted decisions; reserved keys do not count."""
    first, changed, other = decision(seq=1), decision(block=10, seq=2), decision(server=OTHER, seq=3)
    records = [*records_of([first]), *records_of([changed, other]), (OTHER.encode(), None), *records_of([changed])]
    foreign, table = folded(list(records))
    assert foreign.servers.keys() == {SERVER}
    assert foreign.digest() == table.digest
    assert [found for _, found in foreign.compared] == [[], [], []]


@pytest.mark.parametrize(
    ("strange", "found"),
    [
        ((OTHER.encode(), encode(decision(server=OTHER))), ["count", "digest"]),
        ((SERVER.encode(), None), ["count", "digest"]),
        ((SERVER.encode(), encode(decision(block=59))), ["digest"]),
        ((KEY_POLICY, b'{"type":"policy.v1","policy": {"salt":"k8"}}'), ["policy_digest"]),
    ],
)
def test_what_differs_from_the_heartbeat_is_found(strange: tuple[bytes, bytes | None], found: list[str]) -> None:
    """One that is too many, one that is missing, one that is another; while it loads, nothing is compared."""
    live = [decision()]
    foreign = ForeignEdge(DOCS, "p.")
    beat = (KEY_HEARTBEAT, encode(heartbeat(live)))
    for key, value in [*records_of(live)[:-1], strange]:
        foreign.take(key.decode(), value, loading=True)
    foreign.take(beat[0].decode(), beat[1], loading=True)
    assert foreign.compared == []
    foreign.take(beat[0].decode(), beat[1], loading=False)
    assert foreign.compared == [(10, found)]


def test_what_is_no_decision_is_refused_and_forgotten() -> None:
    """As our own edge does: the unread one may be the release."""
    foreign, _ = folded([*records_of([decision()])])
    with pytest.raises(ValueError, match="not a Decision"):
        foreign.take(SERVER, b'{"type":"decision.v1"}', loading=False)
    with pytest.raises(ValueError, match=r"not a Decision: decision\.v2"):
        foreign.take(SERVER, encode(released()).replace(b"decision.v1", b"decision.v2"), loading=False)
    assert foreign.servers == {}


_WHEN = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (the zone is given beside)


@st.composite
def _decisions(draw: st.DrawFn) -> Decision:
    """One with up to two cases of up to four rows."""
    cases = []
    for case in decision().cases * draw(st.integers(0, 2)):
        rows = tuple(
            Row(
                since=since,
                stage=number,
                throttle_minutes_per_hour=draw(_MINUTES),
                block_minutes_per_hour=draw(_MINUTES),
            )
            for number, since in enumerate(sorted(draw(st.lists(_WHEN, max_size=4))), start=1)
        )
        cases.append(msgspec.structs.replace(case, rows=rows, enforced=draw(st.booleans())))
    return msgspec.structs.replace(decision(), cases=tuple(cases))


_MINUTES = st.integers(0, 30)


@given(one=_decisions(), law=_WHEN, now=_WHEN)
def test_row_window_and_action_are_ours(one: Decision, law: datetime, now: datetime) -> None:
    """At any law time and in any minute."""
    foreign, table = folded([*records_of([one])])
    assert table.policy is not None
    start = window_start(table.policy.salt, SERVER, now)
    assert foreign.first_minute(SERVER, now) == start
    ours = [(row, case.enforced) for case in one.cases if (row := row_at(case, law)) is not None]
    theirs = foreign.rows(SERVER, law)
    assert theirs == [
        (msgspec.to_builtins(row) | {"since": msgspec.to_builtins(row.since)}, enforced) for row, enforced in ours
    ]
    for (row, _), (told, _) in zip(ours, theirs, strict=True):
        assert foreign.action(SERVER, told, now) == action_in(row, start, now.minute)


@given(h=_WHEN, held=st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_law_time_is_ours(h: datetime, held: timedelta) -> None:
    """Whatever was held, to the microsecond."""
    beat: Heartbeat = heartbeat(h=h, held=held)
    foreign, _ = folded([*records_of([], beat)])
    assert foreign.law_time() == h - held


def test_before_the_first_row_and_without_a_case_nothing_is_in_force() -> None:
    """Nobody is slowed by a row that has not begun."""
    foreign, _ = folded([*records_of([decision(since=NOON)])])
    assert foreign.rows(SERVER, NOON - timedelta(microseconds=1)) == []
    assert len(foreign.rows(SERVER, NOON)) == 1
    assert foreign.rows("nobody.example", NOON) == []
