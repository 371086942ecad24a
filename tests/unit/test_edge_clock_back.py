"""An edge that hears nothing more, and whose clock is set: its table grows old all the same."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from services.edge import follower
from tests.support.decisions import decision, heartbeat, records_of, table_of
from tests.support.edge import Bench, StoredRecord, message

BLOCKED = [decision(block=60)]
HOUR = timedelta(hours=1)


class Moment:
    """A monotonic clock that the test moves, beside the edge's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(follower, "time", SimpleNamespace(monotonic=lambda: self.now))

    def passes(self, bench: Bench, real: timedelta, *, shown: timedelta | None = None) -> None:
        """Let *real* pass; the edge's clock shows that *shown* did."""
        self.now += real.total_seconds()
        bench.clock.utc += real if shown is None else shown


def refuses(bench: Bench) -> bool:
    """Whether the gate refuses the old server's message."""
    return bench.gate.answer(message()) is not None


def test_a_clock_that_is_set_back_makes_the_table_no_younger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set back by four hours, four hours after the last heartbeat: H looks young, and the clock is not believed."""
    moment, bench = Moment(monkeypatch), Bench(table_of(BLOCKED))
    bench.decisions.hear(bench.clock.utc)
    moment.passes(bench, 4 * HOUR)
    assert refuses(bench)
    moment.passes(bench, 3 * HOUR, shown=-HOUR)
    assert not refuses(bench)
    assert bench.outlet.verdicts[-1].spared_why == "own clock and broker's differ"


def test_a_clock_that_is_set_right_again_knows_how_old_the_table_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was heard meanwhile: it is believed as before, and H is as old as it says."""
    moment, bench = Moment(monkeypatch), Bench(table_of(BLOCKED))
    bench.decisions.hear(bench.clock.utc)
    moment.passes(bench, HOUR, shown=-HOUR)
    assert not refuses(bench)
    moment.passes(bench, HOUR, shown=3 * HOUR)
    assert refuses(bench)
    moment.passes(bench, 4 * HOUR + timedelta(seconds=1))
    assert not refuses(bench)
    assert bench.outlet.verdicts[-1].spared_why == "the newest heartbeat is too old"


def test_reading_the_same_heartbeat_again_makes_it_no_younger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is set back, and the table is read again from its beginning: H is the old one."""
    moment, bench = Moment(monkeypatch), Bench(table_of(BLOCKED))
    bench.decisions.hear(bench.clock.utc)
    assert refuses(bench)
    moment.passes(bench, 7 * HOUR, shown=HOUR)
    bench.decisions.begin()
    for key, value in records_of(BLOCKED):
        bench.decisions.take(StoredRecord(key, value))
    bench.decisions.loaded()
    assert not refuses(bench)


def test_a_newer_heartbeat_makes_the_table_young_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven hours of silence, then the enforcer is back."""
    moment, bench = Moment(monkeypatch), Bench(table_of(BLOCKED))
    bench.decisions.hear(bench.clock.utc)
    assert refuses(bench)
    moment.passes(bench, 7 * HOUR)
    assert not refuses(bench)
    beat = records_of(BLOCKED, heartbeat(BLOCKED, h=bench.clock.utc))[-1]
    bench.decisions.take(StoredRecord(*beat))
    assert refuses(bench)


@pytest.mark.parametrize(("behind_s", "refused"), [(301, False), (299, True)])
def test_a_clock_that_is_behind_the_heartbeat_itself_is_not_believed(behind_s: int, refused: bool) -> None:
    """Nobody can have folded what is still to come: the clock is wrong, and what it says of age too."""
    bench = Bench(table_of(BLOCKED))
    bench.clock.utc -= timedelta(seconds=behind_s)
    assert refuses(bench) is refused
