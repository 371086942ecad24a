"""What survived is asked of that which lives longer: the law against its second reading, then the properties of lives."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

Noticed = Literal["second law", "properties", ""]
"""Who noticed; "": nobody."""

STEPS = 20_000
STEPS_AT_FIRST = 3_000

_PROPERTIES = ("pytest", "-x", "-q", "tests/property/test_law_properties.py", "tests/property/test_acts_properties.py")
_TIMEOUT_S = 600
"""A mutant that takes so much longer than the law itself never ends, and that is noticed."""


def read(folder: Path) -> dict[str, Noticed]:
    """Who noticed which mutant, of those that were asked so far."""
    path = _path(folder)
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Noticed]) if path.exists() else {}


def ask(folder: Path, names: Iterable[str], *, first: bool) -> Iterator[tuple[str, Noticed]]:
    """
    Ask one after the other; each answer is kept before the next is asked.

    first: of mutants that were not run yet, only a few lives of both laws; that nobody noticed is not kept, for tests come after.
    """
    found = read(folder)
    steps = STEPS_AT_FIRST if first else STEPS
    asked: dict[Noticed, tuple[str, ...]] = {"second law": ("tests.second_law", "--steps", str(steps), "--seed", "1")}
    if not first:
        asked["properties"] = _PROPERTIES
    for name in names:
        by: Noticed = next((one for one, tool in asked.items() if _notices(folder, name, tool)), "")
        if by or not first:
            found[name] = by
            _path(folder).write_bytes(msgspec.json.format(msgspec.json.encode(found)))
        yield name, by


def _notices(folder: Path, mutant: str, tool: tuple[str, ...]) -> bool:
    told = {**os.environ, "MUTANT_UNDER_TEST": mutant}
    try:
        done = subprocess.run(
            [sys.executable, "-m", *tool], cwd=folder, env=told, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def _path(folder: Path) -> Path:
    return folder / "harder.json"
