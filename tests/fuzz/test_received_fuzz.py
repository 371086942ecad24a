"""A short run of the fuzzer, and what it does when a promise is broken."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = 20_000
SEED = 2026


def fuzz(*options: str, code: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer as a program of its own."""
    start = ["-c", code] if code else ["-m", "tests.fuzz.received"]
    return subprocess.run(
        [sys.executable, *start, *options], cwd=cwd, capture_output=True, text=True, check=False, timeout=280
    )


@pytest.mark.timeout(300)
def test_no_promise_is_broken_in_a_short_run() -> None:
    """As many inputs as fit into CI; the seed is fixed, so that a failure is the change's own."""
    done = fuzz(f"-runs={RUNS}", f"-seed={SEED}")
    assert done.returncode == 0, f"seed {SEED}: {done.stderr[-2000:]}"
    assert f"Done {RUNS} runs" in done.stderr


def test_a_broken_promise_ends_the_run(tmp_path: Path) -> None:
    """A reader that takes a product from HELO is found at once, and the input is kept in a file."""
    breaks = (
        "import sys; from tests.fuzz import received as f; from shared.domain.received import LineReading\n"
        "f.read_line = lambda text: LineReading(name='mx.example', product='Exim', version='1.1', reason='x')\n"
        "import atheris; atheris.Setup(['x', '-runs=100000', '-seed=1', sys.argv[1]], f.one_input); atheris.Fuzz()"
    )
    done = fuzz(f"-artifact_prefix={tmp_path}/", code=breaks)
    assert done.returncode != 0
    assert "client text changes nothing" in done.stdout + done.stderr
    assert list(tmp_path.iterdir())
