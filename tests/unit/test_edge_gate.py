from datetime import timedelta
from pathlib import Path

import pytest

from services.edge.core import EvidenceKey
from services.edge.novelty import NAMES_PER_PEER, Novelty
from shared.domain.records import SetFreeze
from shared.messaging.codec import encode
from tests.support.decisions import (
    NOON,
    PATCHED,
    decision,
    heartbeat,
    line_of,
    records_of,
    released,
    table_of,
)
from tests.support.edge import Bench, StoredRecord, later, message

BLOCKED = [decision(block=60)]


def refuses(bench: Bench) -> bool:
    """Ask the gate about the old server's message."""
    return bench.gate.answer(message()) is not None


def test_table_and_no_trouble_refuses() -> None:
    """With a fresh heartbeat and nothing wrong the verdict is given, told and counted."""
    bench = Bench(table_of(BLOCKED))
    assert refuses(bench)
    assert not bench.outlet.verdicts[0].would_be
    assert (bench.counts["messages"], bench.counts["rejected"]) == (1, 1)


def test_no_table_passes_but_evidence_is_published() -> None:
    """An edge without decisions still shows what it saw."""
    bench = Bench()
    assert not refuses(bench)
    assert bench.counts["pass_no_verdict_possible"] == 1
    assert len(bench.outlet.evidence) == 1


def spared_why(bench: Bench) -> str:
    """Ask about the old server's message, see it pass, and give the reason of the would-be verdict."""
    assert not refuses(bench)
    (told,) = bench.outlet.verdicts
    assert told.would_be
    return told.spared_why


def test_old_heartbeat_observes() -> None:
    """When H is older than stale_after, mail passes."""
    bench = Bench(table_of(BLOCKED))
    bench.clock.utc = NOON + timedelta(hours=6)
    assert refuses(bench)
    bench.clock.utc = NOON + timedelta(hours=6, seconds=1)
    bench.outlet.verdicts.clear()
    assert spared_why(bench) == "the newest heartbeat is too old"


def test_frozen_heartbeat_observes() -> None:
    """What the enforcer says of a freeze is obeyed."""
    assert spared_why(Bench(table_of(BLOCKED, heartbeat(BLOCKED, frozen=True)))) == "frozen"


def freeze_record(*, frozen: bool) -> StoredRecord:
    """Give a record of topic `control`."""
    request = SetFreeze(id="12345678", who="anna", why="", made_at=NOON, frozen=frozen)
    return StoredRecord(key=b"freeze", value=encode(request))


def test_control_is_obeyed_on_sight_both_ways() -> None:
    """A freeze on `control` holds at once, and so does its end."""
    bench = Bench(table_of(BLOCKED))
    bench.freeze.begin()
    bench.freeze.loaded()
    bench.freeze.take(freeze_record(frozen=True))
    assert not refuses(bench)
    bench.freeze.take(freeze_record(frozen=False))
    assert refuses(bench)


def test_a_freeze_holds_while_control_is_read_again() -> None:
    """And when that reading breaks off: what was read last holds until a reading is whole."""
    bench = Bench(table_of(BLOCKED))
    bench.freeze.begin()
    bench.freeze.take(freeze_record(frozen=True))
    bench.freeze.loaded()
    bench.freeze.begin()
    assert not refuses(bench)
    bench.freeze.take(freeze_record(frozen=False))
    assert not refuses(bench)
    bench.freeze.away(OSError("away"))
    assert not refuses(bench)
    bench.freeze.begin()
    bench.freeze.loaded()
    assert refuses(bench)


def test_unreadable_control_record_freezes() -> None:
    """A record that cannot be read may have been a freeze: mail passes."""
    bench = Bench(table_of(BLOCKED))
    bench.freeze.begin()
    bench.freeze.take(StoredRecord(key=b"freeze", value=b"\xff{"))
    bench.freeze.loaded()
    assert spared_why(bench) == "frozen"
    assert bench.counts["control_unreadable"] == 1


def test_control_not_read_yet_observes() -> None:
    """Before `control` was read, nobody knows whether there is a freeze."""
    bench = Bench(table_of(BLOCKED))
    bench.freeze.frozen = None
    assert "control" in spared_why(bench)


@pytest.mark.parametrize("minutes_off", [-6, 6])
def test_clock_guard_observes_and_publishes_no_evidence(minutes_off: int) -> None:
    """An edge whose clock is off by more than the guard believes itself in nothing, until a heartbeat agrees again."""
    bench = Bench(table_of(BLOCKED))
    for off, trusted in ((minutes_off, False), (0, True)):
        stamp = int(later(off).timestamp() * 1000)
        bench.decisions.take(StoredRecord(*records_of(BLOCKED)[-1], timestamp=stamp))
        bench.decisions.batch_done()
        bench.outlet.verdicts.clear()
        assert refuses(bench) is trusted
        assert bool(bench.outlet.evidence) is trusted
        assert bench.gate.clock_wrong() is not trusted


@pytest.mark.parametrize("minutes", [-240, -6, 6, 240])
def test_a_clock_that_is_set_while_the_bus_is_away_is_known_to_be_wrong(minutes: int) -> None:
    """No heartbeat tells it then: the time that the machine counts by itself does."""
    bench = Bench(table_of(BLOCKED))
    bench.decisions.take(StoredRecord(*records_of(BLOCKED)[-1]))
    bench.decisions.batch_done()
    assert refuses(bench)
    for off, trusted in ((minutes, False), (0, True)):
        bench.clock.utc = NOON + timedelta(minutes=off)
        assert bench.gate.clock_wrong() is not trusted
        assert bool(bench.gate.observing()) is not trusted


def test_clock_is_not_compared_while_loading() -> None:
    """A heartbeat found at load is old by nature and says nothing about a clock: until something does, mail passes."""
    bench = Bench(table_of(BLOCKED))
    bench.decisions.begin()
    for key, value in records_of(BLOCKED):
        bench.decisions.take(StoredRecord(key, value, timestamp=0))
    bench.decisions.loaded()
    bench.decisions.batch_done()
    assert spared_why(bench) == "own clock not yet compared with the broker's"
    bench.decisions.hear(NOON)
    assert refuses(bench)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_report_that_the_broker_took_tells_that_the_clock_is_wrong(minutes: int) -> None:
    """So an edge knows it while no enforcer writes heartbeats."""
    bench = Bench(table_of(BLOCKED))
    bench.decisions.hear(NOON + timedelta(minutes=minutes))
    assert spared_why(bench) == "own clock and broker's differ"
    bench.decisions.hear(NOON)
    assert refuses(bench)


def test_table_that_differs_from_its_heartbeat_observes_and_asks_to_be_read_again() -> None:
    """A digest that does not agree means that something was missed: mail passes until the table was read anew."""
    bench = Bench(table_of(BLOCKED))
    bench.decisions.take(StoredRecord(*records_of([*BLOCKED, released("other.example")])[-1]))
    assert bench.decisions.batch_done() is True
    assert "differs" in spared_why(bench)
    assert bench.counts["decisions_differ"] == 1
    bench.decisions.take(StoredRecord(*records_of(BLOCKED)[-1]))
    assert bench.decisions.batch_done() is False
    assert refuses(bench)


def test_unreadable_decision_lets_that_server_pass() -> None:
    """A record that cannot be read may have been the release: the old decision is forgotten, and it is counted."""
    bench = Bench(table_of(BLOCKED))
    assert refuses(bench)
    bench.decisions.take(StoredRecord(BLOCKED[0].server.encode(), b"{broken"))
    assert not refuses(bench)
    assert bench.counts["decisions_unreadable"] == 1


def test_old_table_serves_until_the_new_one_is_whole() -> None:
    """While the topic is read again, and when that fails midway, the verdicts stay what they were."""
    bench = Bench(table_of(BLOCKED))
    bench.decisions.hear(NOON)
    bench.decisions.source = "kafka"
    bench.decisions.begin()
    assert refuses(bench)
    bench.decisions.away(OSError("gone"))
    assert refuses(bench)


def test_local_freeze_and_exemption(tmp_path: Path) -> None:
    """The local file freezes with the bus away, is read again when it changes, and freezes when it cannot be read."""
    path = tmp_path / "local.toml"
    bench = Bench(table_of(BLOCKED), local_file=path)
    assert refuses(bench)
    for text, refused in (
        ("freeze = true", False),
        ('[exempt]\nservers = ["other.example"]', True),
        ('[exempt]\npeers = ["192.0.2.0/24"]', False),
        ("freeze = maybe", False),
        ('[exempt]\npeers = ["192.0.2.0/240"]', False),
        ("freeze = false\n# back in order", True),
    ):
        path.write_text(text)
        bench.gate._local_file._looked_at = float("-inf")
        assert refuses(bench) is refused, text
    path.unlink()
    bench.gate._local_file._looked_at = float("-inf")
    assert refuses(bench)


def test_error_of_our_own_lets_mail_pass() -> None:
    """Whatever breaks inside, the message passes and it is counted."""
    bench = Bench(table_of(BLOCKED))
    bench.decisions.table._servers[BLOCKED[0].server] = b"not a record"
    assert not refuses(bench)
    assert bench.counts["pass_internal_error"] == 1


def test_never_judged_leaves_no_evidence() -> None:
    """A message of our own users is not even seen."""
    bench = Bench(table_of(BLOCKED))
    assert bench.gate.answer(message(auth=True)) is None
    assert not bench.outlet.evidence
    assert bench.counts["pass_auth"] == 1


def test_refused_message_is_seen_like_any_other() -> None:
    """A refusal does not keep the evidence back."""
    bench = Bench(table_of(BLOCKED))
    assert refuses(bench)
    assert len(bench.outlet.evidence) == 1


# -- what is new -----------------------------------------------------------------------------------------------------


def test_evidence_is_the_first_of_its_kind_and_hour() -> None:
    """The same again says nothing new, another build and another hour do."""
    bench = Bench(table_of(BLOCKED))
    for _ in range(3):
        bench.gate.answer(message())
    assert len(bench.outlet.evidence) == 1
    bench.gate.answer(message(line_of(PATCHED)))
    assert len(bench.outlet.evidence) == 2
    bench.clock.utc = later(60)
    bench.gate.answer(message())
    assert len(bench.outlet.evidence) == 3


def test_lost_evidence_is_published_by_the_next_message() -> None:
    """What could not be kept is forgotten; what Kafka has is remembered."""
    bench = Bench(table_of(BLOCKED))
    bench.gate.answer(message())
    bench.novelty.lost(bench.outlet.evidence[0][0])
    bench.gate.answer(message())
    bench.novelty.published(bench.outlet.evidence[1][0])
    bench.gate.answer(message())
    assert len(bench.outlet.evidence) == 2


def test_seventeenth_new_name_of_a_peer_is_counted_only() -> None:
    """One address cannot fill the law with names; servers that a decision knows need no place."""
    bench = Bench(table_of([decision(server="known.example@192.0.2.9")]))
    for number in range(NAMES_PER_PEER + 3):
        bench.gate.answer(message(line_of(name=f"n{number}.example"), helo=f"n{number}.example"))
    assert len(bench.outlet.evidence) == NAMES_PER_PEER
    assert bench.counts["evidence_too_many_names"] == 3
    bench.gate.answer(message(line_of(name="known.example"), helo="known.example"))
    bench.gate.answer(message(line_of(name="n0.example"), helo="elsewhere"))
    bench.gate.answer(message(line_of(name="n99.example"), address="192.0.2.10"))
    assert len(bench.outlet.evidence) == NAMES_PER_PEER + 3


def test_evidence_that_crosses_the_hour_is_not_taken_for_this_hour() -> None:
    """Kafka's answer to last hour's evidence does not silence this hour's."""
    novelty = Novelty()
    key = EvidenceKey("192.0.2.9", "a.example", "", None, None, by_helo=True, by_dns=False, tls_name="")
    assert novelty.ask(key, NOON, known_server=False) == "publish"
    assert novelty.ask(key, NOON, known_server=False) == "known"
    assert novelty.ask(key, later(60), known_server=False) == "publish"
    novelty.published(key)
    assert novelty.ask(key, later(61), known_server=False) == "known"
    assert novelty.ask(key, later(120), known_server=False) == "publish"
