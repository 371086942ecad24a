"""An edge that starts without Kafka, by its file: it refuses only while it knows what time it is."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from services.edge import coldstart
from services.edge.app import EdgeApp
from services.edge.settings import EdgeSettings
from shared.runtime import clock as runtime_clock
from tests.support.decisions import decision, table_of
from tests.support.edge import FakeClock, message
from tests.unit.test_edge_clock_back import HOUR, Moment


class Machine:
    """One edge's machine: its clock, its monotonic time, its boot, and the processes that it starts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moment, self.clock, self.boot = Moment(monkeypatch), FakeClock(), "first"
        self._settings = EdgeSettings(edge="mx1", state_dir=str(folder))
        for module in ("app", "coldstart"):
            monkeypatch.setattr(f"services.edge.{module}.boot_id", lambda: self.boot)

    def runs_with_kafka(self) -> None:
        """An edge has a table with a block from Kafka, has compared its clock, and ends: the file is written."""
        app = EdgeApp(self._settings, self.clock)
        app.decisions.table, app.decisions.source, app.freeze.frozen = table_of([decision(block=60)]), "kafka", False
        app.decisions.hear(self.clock.utc)
        asyncio.run(app._save_cold_start())

    def starts_without(self) -> EdgeApp:
        """An edge that cannot reach Kafka."""
        app = EdgeApp(self._settings, self.clock)
        app.decisions.away(OSError("away"))
        return app


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which an edge ran with Kafka until a moment ago."""
    machine = Machine(tmp_path, monkeypatch)
    machine.runs_with_kafka()
    return machine


def refuses(app: EdgeApp) -> bool:
    """Whether the gate refuses the old server's message."""
    return app.gate.answer(message()) is not None


def test_a_young_file_is_judged_by(machine: Machine) -> None:
    """The machine has not booted since: the broker's time is known by what it counted."""
    machine.moment.now += 3 * 3600
    machine.clock.utc += 3 * HOUR
    assert refuses(machine.starts_without())


@pytest.mark.parametrize("minutes", [-60 * 24 * 40, -240, -6, 6, 240])
def test_a_clock_that_is_wrong_at_a_start_by_the_file_is_known_to_be(machine: Machine, minutes: int) -> None:
    """Set while no edge ran: how old the file is, such a clock cannot tell. Set right, it is believed."""
    machine.clock.utc += timedelta(minutes=minutes)
    app = machine.starts_without()
    assert app.gate.observing() == "own clock and broker's differ"
    assert not refuses(app)
    machine.clock.utc -= timedelta(minutes=minutes)
    assert refuses(app)


def test_a_clock_that_is_set_after_a_start_by_the_file_is_known_to_be_wrong(machine: Machine) -> None:
    """40 days behind at the start, so that the file lies in the future; then 3 hours behind, so that H looks young."""
    machine.moment.now += 6.5 * 3600
    machine.clock.utc -= timedelta(days=40)
    app = machine.starts_without()
    machine.clock.utc += timedelta(days=40) + 3.5 * HOUR
    assert not refuses(app)


def test_a_table_of_the_file_grows_old_too(machine: Machine) -> None:
    """H counts from when it was, not from the start; a clock that was behind then changes nothing of it."""
    machine.clock.utc -= timedelta(days=40)
    app = machine.starts_without()
    machine.moment.now += 6 * 3600
    machine.clock.utc += timedelta(days=40) + 6 * HOUR
    assert refuses(app)
    machine.moment.now += 1
    machine.clock.utc += timedelta(seconds=1)
    assert not refuses(app)


@pytest.mark.parametrize("file_age_h", [6, 7])
def test_a_file_that_is_too_old_is_refused(machine: Machine, file_age_h: int) -> None:
    """At the bound it still serves."""
    machine.moment.now += file_age_h * 3600
    machine.clock.utc += file_age_h * HOUR
    assert machine.starts_without().decisions.source == ("file" if file_age_h == 6 else "none")


@pytest.mark.parametrize(("before", "after"), [("first", "second"), ("", "")])
def test_a_file_of_another_boot_is_obeyed_once_the_clock_was_compared(
    machine: Machine, before: str, after: str
) -> None:
    """A machine that came up without Kafka may have any time, and so may one that does not tell its boots."""
    machine.boot = before
    machine.runs_with_kafka()
    machine.boot = after
    app = machine.starts_without()
    assert app.gate.observing() == "own clock not yet compared with the broker's"
    assert not refuses(app)
    app.decisions.hear(machine.clock.utc)
    assert refuses(app)


def test_what_was_heard_before_the_file_was_read_holds(machine: Machine) -> None:
    """The broker took a report of this process; then the decisions could not be read."""
    machine.boot = "second"
    app = EdgeApp(machine._settings, machine.clock)
    app.decisions.hear(machine.clock.utc)
    app.decisions.away(OSError("away"))
    assert refuses(app)


def test_a_file_of_the_version_before_is_read_and_only_observed_by(machine: Machine) -> None:
    """It says nothing of the broker's time."""
    path = Path(machine._settings.state_dir) / "edge-mx1.cold"
    stored = coldstart.load(path)
    assert stored is not None
    records = tuple(stored[0].records().items())
    coldstart.save(path, coldstart.ColdStart(records=records, frozen=False))
    app = machine.starts_without()
    assert (app.decisions.source, refuses(app)) == ("file", False)


def test_a_machine_tells_its_boot_where_it_can(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The system's file, else nothing."""
    (tmp_path / "boot_id").write_text("3c0f\n")
    monkeypatch.setattr(runtime_clock, "_BOOT_ID", tmp_path / "boot_id")
    assert runtime_clock.boot_id() == "3c0f"
    monkeypatch.setattr(runtime_clock, "_BOOT_ID", tmp_path / "none")
    assert runtime_clock.boot_id() == ""
