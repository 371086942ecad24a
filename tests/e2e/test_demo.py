"""The demo is the end-to-end test of the whole: all services, real Kafka, real SMTP, and it checks itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(400)
def test_the_demo_meets_all_its_expectations_and_leaves_nothing_running(tmp_path: Path) -> None:
    """Exit code 0, every check told, and no process of its state directory left."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PATCHGATE_", "KAFKA_"))}
    env["PATCHGATE_STATE_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "19 of 19 expectations met" in done.stdout
    assert "blocked for 10" in done.stdout
    left = [
        path.name
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and str(tmp_path).encode() in _command_of(path)
    ]
    assert left == []


def _command_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:  # it ended while we looked, or is not ours
        return b""
