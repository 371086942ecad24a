"""Who is spared at the edge: what the law exempts, and readings that an operator struck; the edge's own clock ends neither."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from services.edge import coldstart
from services.edge.core import Exemptions, MessageSeen, Outcome, decide, see
from shared.domain.catalogue import load_catalogue
from shared.domain.records import Decision, Exemption, PolicyRecord, Struck
from shared.messaging.codec import encode
from shared.messaging.decisions import DecisionTable
from shared.messaging.topics import KEY_POLICY
from tests.contract.test_foreign_edge import folded
from tests.support.decisions import NOON, PEER, SERVER, decision, line_of, records_of, shipped_policy, table_of
from tests.support.edge import message

Kind = Literal["server", "peer", "connector"]


def exemption(kind: Kind, target: str, days: int = 1) -> Exemption:
    """In force until so many days after noon."""
    return Exemption(kind=kind, target=target, owner="ops", until=NOON + timedelta(days=days))


def with_exemptions(*exemptions: Exemption, of: Decision | None = None) -> list[tuple[bytes, bytes]]:
    """The records of a table with one decision that blocks all day, and these exemptions."""
    policy = encode(PolicyRecord(policy=shipped_policy(), exemptions=exemptions))
    return [
        (KEY_POLICY, policy) if key == KEY_POLICY else (key, value)
        for key, value in records_of([of or decision(block=60)])
    ]


def table(records: list[tuple[bytes, bytes]]) -> DecisionTable:
    """As an edge holds it."""
    found = DecisionTable()
    for key, value in records:
        found.apply(key, value)
    return found


def outcome(at: DecisionTable, asked: MessageSeen | None = None) -> Outcome:
    """What becomes of a message of the old server."""
    asked = asked or message(line_of())
    seen = see(asked, load_catalogue(), now=NOON, edge="mx1")
    return decide(seen, asked, at, now=NOON, observing="", exempt=Exemptions())


@pytest.mark.parametrize(("kind", "target"), [("server", SERVER), ("peer", PEER), ("connector", "internet")])
def test_what_is_exempt_passes_and_the_verdict_says_so(kind: Kind, target: str) -> None:
    """Counted, and published as one that would have been."""
    found = outcome(table(with_exemptions(exemption(kind, target))))
    assert (found.reply, found.reason) == (None, "pass_exempt")
    assert found.record is not None
    assert (found.record.would_be, found.record.spared_why) == (True, "exempt")


@pytest.mark.parametrize(("kind", "target"), [("server", "other@192.0.2.9"), ("peer", "192.0.2.8"), ("connector", "b")])
def test_nobody_else_is_spared(kind: Kind, target: str) -> None:
    """An exemption is of what it names."""
    assert outcome(table(with_exemptions(exemption(kind, target)))).reply is not None


def test_an_edge_ends_no_exemption_by_its_own_clock() -> None:
    """It is the law's to end, in law time; until the record comes anew, mail passes."""
    assert outcome(table(with_exemptions(exemption("peer", PEER, days=-9)))).reason == "pass_exempt"


def test_exemptions_go_with_the_policy_record() -> None:
    """A newer one without them, and one that cannot be read, in which case everything passes."""
    one = table(with_exemptions(exemption("peer", PEER)))
    one.apply(KEY_POLICY, encode(PolicyRecord(policy=shipped_policy())))
    assert outcome(one).reply is not None


def test_the_cold_start_file_keeps_exemptions(tmp_path: Path) -> None:
    """Whoever starts while the bus is away spares the same."""
    path = tmp_path / "table"
    records = tuple(table(with_exemptions(exemption("peer", PEER))).records().items())
    coldstart.save(path, coldstart.ColdStart(records=records, frozen=False))
    loaded = coldstart.load(path)
    assert loaded is not None
    assert outcome(loaded[0]).reason == "pass_exempt"


def test_a_record_without_exemptions_has_the_bytes_of_before() -> None:
    """So older edges read it, and its policy's digest stays what it was."""
    policy = shipped_policy()
    assert encode(PolicyRecord(policy=policy)) == b'{"type":"policy.v1","policy":' + msgspec.json.encode(policy) + b"}"


def test_a_struck_reading_passes_although_a_case_accuses_it() -> None:
    """Another case of the product may be open; of another build it still speaks."""
    seen = see(message(line_of()), load_catalogue(), now=NOON, edge="mx1").reading
    assert seen is not None
    for low, high, spared in (
        (seen.low, seen.high, True),
        (None, None, True),
        (seen.high, seen.low, seen.low == seen.high),
    ):
        struck = Struck(product=seen.product, low=low, high=high)
        one = msgspec.structs.replace(decision(block=60), struck=(struck,))
        assert (outcome(table_of([one])).reply is None) is spared
    other = msgspec.structs.replace(decision(block=60), struck=(Struck(product="Exim", low=None, high=None),))
    assert outcome(table_of([other])).reply is not None


def test_the_edge_that_knows_nothing_of_ours_spares_the_same() -> None:
    """By the contract's words: exemptions, and what was struck; its policy digest fits all the same."""
    seen = see(message(line_of()), load_catalogue(), now=NOON, edge="mx1").reading
    assert seen is not None
    plain, reading = decision(block=60), msgspec.json.decode(msgspec.json.encode(seen))
    struck = msgspec.structs.replace(plain, struck=(Struck(product=seen.product, low=seen.low, high=seen.high),))
    for of, exemptions, spared in (
        (plain, (exemption("peer", PEER), exemption("server", "x.example")), True),
        (plain, (exemption("peer", "192.0.2.1"),), False),
        (struck, (), True),
        (plain, (), False),
    ):
        records = with_exemptions(*exemptions, of=of)
        foreign, ours = folded(list(records))
        assert [found for _, found in foreign.compared] == [[]]
        assert foreign.spares([SERVER], PEER, "internet", reading) is spared
        assert (outcome(ours).reply is None) is spared
