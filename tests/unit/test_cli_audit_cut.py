"""`audit show`, `audit what-if` and the table of an export conclude nothing from one that was cut off or changed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli import log_source
from services.cli.__main__ import run
from services.cli.policy_text import policy_text
from shared.domain import events as e
from tests.support import golden
from tests.support.scenario import policy_for

LINES = golden.export_of(golden.known()[-1])
MIDDLE = 400  # far from both ends
INSTANT = f"{e.decode_log(LINES[MIDDLE]).at:%Y-%m-%dT%H:%M:%S.%fZ}"


def last_before(instant: str) -> int:
    """The place of the last record written by then."""
    at = log_source.instant_of(instant)
    return max(place for place, line in enumerate(LINES[:-1]) if e.decode_log(line).at <= at)


LAST = last_before(INSTANT)


def changed(lines: list[bytes], place: int) -> list[bytes]:
    """One record with another h, which reads as well as before."""
    new = lines[place].replace(b'"h":"20', b'"h":"19', 1)
    assert new != lines[place]
    return [*lines[:place], new, *lines[place + 1 :]]


def swapped(lines: list[bytes], place: int) -> list[bytes]:
    """Two neighbours in the other order."""
    return [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]


TAMPERED = [
    pytest.param(lambda lines: changed(lines, LAST), f"record {LAST + 2} ", id="the last before the instant"),
    pytest.param(lambda lines: changed(lines, LAST + 300), f"record {LAST + 302} ", id="a later one"),
    pytest.param(lambda lines: swapped(lines, LAST + 300), f"record {LAST + 301} ", id="two later ones"),
    pytest.param(lambda lines: [*lines[:-2], b"{" + lines[-2], lines[-1]], "cannot be read", id="no record"),
    pytest.param(lambda lines: lines[:-1], "does not end with the seal", id="no seal"),
    pytest.param(lambda lines: lines[: LAST + 1], "does not end with the seal", id="cut off at the instant"),
    pytest.param(lambda lines: lines[: LAST + 20], "does not end with the seal", id="cut off later"),
    pytest.param(lambda lines: [*lines[:-3], lines[-1]], "does not end with the seal", id="cut off above the seal"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a policy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.toml").write_text(policy_text(policy_for()))
    return tmp_path


COMMANDS = [
    ["show", "log.jsonl", "--at", INSTANT],
    ["what-if", "other.toml", "log.jsonl", "--to", INSTANT],
    ["export", "log.parquet", "--parquet", "--of", "log.jsonl"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
@pytest.mark.parametrize(("tamper", "told"), TAMPERED)
def test_nothing_is_told_of_a_cut_or_changed_export(
    command: list[str],
    tamper: Callable[[list[bytes]], list[bytes]],
    told: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever the instant; one sentence that names the record, and no half file."""
    (here / "log.jsonl").write_bytes(b"".join(tamper(LINES)))
    assert run(["audit", *command]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert told in shown.err
    assert sorted(file.name for file in here.iterdir()) == ["log.jsonl", "other.toml"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
def test_a_whole_export_is_told_of(command: list[str], here: Path) -> None:
    """The same commands."""
    (here / "log.jsonl").write_bytes(b"".join(LINES))
    assert run(["audit", *command]) == 0


class _Bus:
    """A log on the bus; how many of its records were read."""

    def __init__(self, stored: list[bytes]) -> None:
        self.stored, self.read = stored, 0

    @asynccontextmanager
    async def reading(self, _: Any) -> AsyncIterator[None]:
        """A reader."""
        yield None

    async def each(self, *_: Any) -> AsyncIterator[Any]:
        """The records."""
        for stored in self.stored:
            self.read += 1
            yield SimpleNamespace(value=stored)


@pytest.mark.parametrize(("tamper", "code"), [(lambda lines: lines, 0), (lambda lines: changed(lines, LAST), 1)])
def test_of_the_bus_one_record_more_is_read(
    tamper: Callable[[list[bytes]], list[bytes]],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It proves the last one, and the rest of a long log costs nothing."""
    bus = _Bus([line.removesuffix(b"\n") for line in tamper(LINES)[:-1]])
    monkeypatch.setattr(log_source, "reading", bus.reading)
    monkeypatch.setattr(log_source, "each", bus.each)
    assert run(["audit", "show", "--at", INSTANT]) == code
    assert bus.read == LAST + 2
    assert ("does not follow" in capsys.readouterr().err) == bool(code)
