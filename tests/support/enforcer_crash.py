"""An enforcer process that kills itself at a step of a turn: CRASH_AT=<step>:<nth>, with CRASH_DELAY_S behind it."""

import os
import signal
import sys
from threading import Timer

from services.enforcer.__main__ import main
from services.enforcer.setup import Step


class Crash:
    """Counts one step, and kills the process when it comes for the nth time."""

    def __init__(self, step: Step, nth: int, delay_s: float) -> None:
        self._step = step
        self._left = nth
        self._delay_s = delay_s

    def __call__(self, step: Step) -> None:
        """A step was done."""
        self._left -= step is self._step
        if self._left or step is not self._step:
            return
        if self._delay_s:
            # From a thread of its own, so that it strikes whatever the loop is doing by then: the commit in flight.
            Timer(self._delay_s, _die).start()
        else:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    step, nth = os.environ["CRASH_AT"].split(":")
    sys.exit(main(Crash(Step(int(step)), int(nth), float(os.environ.get("CRASH_DELAY_S", "0")))))
