"""Commands that stop before the end of the log, or fail on the way, close its reader themselves: no later task does it for them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.cli import audit, log_source, request
from services.cli.__main__ import run
from services.cli.audit_tables import Tables
from services.cli.policy_text import policy_text
from services.cli.progress import Tell
from shared.runtime.settings import CommonSettings
from tests.support.scenario import START, World, policy_for

ID = "request-1"


class Bus:
    """A log in memory. closed: what was closed, and whether in the task that had opened it."""

    def __init__(self, stored: list[bytes]) -> None:
        self.stored = stored
        self.closed: list[tuple[str, bool]] = []

    @asynccontextmanager
    async def reading(self, _: CommonSettings) -> AsyncIterator[None]:
        """As `bus.reading`."""
        with self._told("reader"):
            yield None

    async def each(self, _: CommonSettings, __: object, ___: str) -> AsyncGenerator[SimpleNamespace, None]:
        """As `bus.each`."""
        with self._told("records"):
            for value in self.stored:
                yield SimpleNamespace(value=value)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        opened_in = asyncio.current_task()
        try:
            yield
        finally:
            self.closed.append((what, asyncio.current_task() is opened_in))


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    """A log of some records, an adopted policy among them, below every command that reads it."""
    world = World(policy_for("observe"))
    world.open_case()
    world.adopt(policy_for(version=2), ID)
    made = Bus([stored for _, stored in world.log])
    for module in (log_source, audit, request):
        monkeypatch.setattr(module, "reading", made.reading)
        monkeypatch.setattr(module, "each", made.each)
    return made


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """A file with another policy."""
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(policy_for(version=3)))
    return str(file)


def closed_by(bus: Bus, *arguments: str, code: int) -> list[tuple[str, bool]]:
    """What a command closed, innermost first."""
    assert run(arguments) == code
    return bus.closed


BOTH = [("records", True), ("reader", True)]


def test_the_past_is_read_up_to_its_instant(bus: Bus) -> None:
    """`audit show` needs nothing behind it."""
    assert closed_by(bus, "audit", "show", "--at", START.isoformat(), code=0) == BOTH


def test_another_past_is_read_up_to_its_end(bus: Bus, policy: str) -> None:
    """`audit what-if --to`."""
    assert closed_by(bus, "audit", "what-if", policy, "--to", START.isoformat(), code=0) == BOTH


def test_the_first_wrong_record_ends_a_check(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """`audit verify` tells it, and reads on for nothing."""

    async def no_tables(_: CommonSettings) -> Tables:
        return Tables({}, {})

    monkeypatch.setattr(Tables, "read", no_tables)
    bus.stored[2] = b"no record"
    assert closed_by(bus, "audit", "verify", code=1) == BOTH


@pytest.mark.parametrize("how", [[], ["--parquet"]])
def test_an_export_that_cannot_be_written_ends(
    how: list[str], bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a full disk."""

    @contextmanager
    def full(_: str) -> Iterator[Tell]:
        def tell(count: int) -> None:
            if count == 2:
                raise OSError("no room")

        yield tell

    monkeypatch.setattr(audit, "counting", full)
    assert closed_by(bus, "audit", "export", str(tmp_path / "log"), *how, code=1) == BOTH


def test_a_request_is_looked_for_up_to_what_cannot_be_read(bus: Bus) -> None:
    """`request ID` tells that the log is damaged."""
    bus.stored.insert(1, ID.encode())
    assert closed_by(bus, "request", ID, code=1) == BOTH
