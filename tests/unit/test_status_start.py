"""Starting status: where it listens, and what it says when it cannot."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.status.__main__ import listening
from services.status.settings import StatusSettings
from shared.domain.errors import ConfigError
from shared.runtime.settings import from_env

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("mx.example", False),
    ],
)
def test_only_loopback_is_local(host: str, local: bool) -> None:
    """Everything else is warned of at the start."""
    assert StatusSettings(status_host=host).is_local is local


def test_it_binds_to_loopback_unless_told() -> None:
    """No setting: this machine only."""
    assert from_env(StatusSettings, {}).is_local


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_port_0_takes_any_free_one(host: str) -> None:
    """The bound socket knows its port before anybody asks."""
    with listening(StatusSettings(status_host=host, status_port=0)) as bound:
        assert bound.getsockname()[1] > 0


def test_a_taken_port_is_one_clear_line() -> None:
    """Address, port, and the variables to set."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}: .*in use; set PATCHGATE_STATUS_HOST"):
            listening(StatusSettings(status_port=port))


@pytest.mark.parametrize(("host", "words"), [("no such host", "cannot listen"), ("192.0.2.1", "cannot listen")])
def test_a_host_that_is_not_ours_is_one_clear_line(host: str, words: str) -> None:
    """A name that nobody knows, an address of somebody else."""
    with pytest.raises(ConfigError, match=words):
        listening(StatusSettings(status_host=host, status_port=0))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PATCHGATE_STATUS_PORT", "66000", "65535"),
        ("PATCHGATE_STATUS_PORT", "web", "status_port"),
        ("PATCHGATE_STATUS_HOST", "", "status_host"),  # an empty one would be every address of this machine
        ("PATCHGATE_CLOCK_FILE", "/nowhere/clock", "cannot be read"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_line(variable: str, value: str, words: str) -> None:
    """Exit code 1, one line that names it, no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "services.status"],
        cwd=ROOT,
        env={variable: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
