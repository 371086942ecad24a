"""
Run a command that dies with who started it: `python tether.py PARENT_PID COMMAND...`.

It asks the kernel to be killed when its parent dies (Linux, PR_SET_PDEATHSIG, which stays in force across exec), and
becomes the command; the pid stays the same. A little program and no hook between fork and exec, because such hooks can
lock up a process that has threads. SIGKILL, since nothing gentler is sure to be obeyed: for the child it is a power cut,
which every part must survive. The kernel watches the *thread* that started it: that must be one that lives as long as
the parent. Where there is no such call, the command runs untethered.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, command: list[str]) -> None:
    """Become *command*, tethered to *parent*."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we had asked
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - that is what this program is for


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
