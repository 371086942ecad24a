"""
A service of the campaign: `python -m tests.faults.child NAME`. It is the service as it ships, with three hands on it.

FAULTS_HANDS names a directory. A file `crash` there, "step:nth:delay_s", kills an enforcer when a turn's step is done for
the nth time. A file `skew` there shifts the machine's clock, as this process sees it, by so many seconds. And what takes
its time in production (an edge's report, its cold-start file, its second reading of a table that differs) is quicker.
"""

import importlib
import os
import sys
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from services.edge import coldstart, follower, publisher
from services.enforcer.setup import Step
from shared.runtime import clock
from tests.support.enforcer_crash import Crash

REPORT_EVERY_S = 0.4
COLD_START_EVERY_S = 1.0
RELOAD_EVERY_S = 2.0


class Shifted(datetime):
    """`datetime` to the clock of the service: `now` is off by what the file says."""

    skew_file = Path("skew")

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain datetime will do
        """The wrong time."""
        try:
            skew_s = float(cls.skew_file.read_text())
        except (FileNotFoundError, ValueError):  # being written just now
            skew_s = 0.0
        return datetime.now(tz) + timedelta(seconds=skew_s)


class ArmedSteps:
    """Looks at each step whether a crash was asked for meanwhile."""

    def __init__(self, crash_file: Path) -> None:
        self._file = crash_file
        self._crash: Crash | None = None

    def __call__(self, step: Step) -> None:
        """A step was done."""
        if self._crash is None:
            with suppress(FileNotFoundError):
                number, nth, delay_s = self._file.read_text().split(":")
                self._file.unlink()
                self._crash = Crash(Step(int(number)), int(nth), float(delay_s))
        if self._crash is not None:
            self._crash(step)


def _quicker() -> None:
    publisher.REPORT_EVERY_S = REPORT_EVERY_S
    coldstart.WRITE_EVERY_S = COLD_START_EVERY_S
    defaults = follower.DecisionSink.__init__.__kwdefaults__
    assert defaults is not None
    defaults["reload_every_s"] = RELOAD_EVERY_S


def main(service: str) -> int:
    """Run *service*; its exit code."""
    hands = Path(os.environ["FAULTS_HANDS"])
    Shifted.skew_file = hands / "skew"
    clock.datetime = Shifted  # type: ignore[attr-defined]  # the name that the module imported
    _quicker()
    module = importlib.import_module(f"services.{service}.__main__")
    code = module.main(ArmedSteps(hands / "crash")) if service == "enforcer" else module.main()
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
