"""
The demo.

`make demo` as a user sees it, set-up done: from its start to its end, and how many of its expectations were met. How long the
tests take is told by the tests.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

from bench.table import Row, Tell, not_run, single

_MOST_S = 600


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """Run it once, or not at all."""
    if quick:
        return [not_run("demo, s", "it takes a minute")]
    tell("the demo")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=_MOST_S,
        check=False,
    )
    took_s = time.monotonic() - began
    met = re.search(r"\d+ of \d+ expectations met", done.stdout)
    return [single("demo, s", took_s, note=met[0] if met else f"it ended with {done.returncode}")]
