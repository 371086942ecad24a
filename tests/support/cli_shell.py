"""Commands typed over the world in memory, with cases to act on."""

import io
from datetime import datetime
from typing import NamedTuple

import pytest

from services.cli.__main__ import run
from shared.domain.answer import AnyRequest
from shared.domain.policy import Policy
from tests.support.cli_world import CliWorld, put_below
from tests.support.scenario import E2007, E2016, NAME, SERVER, World, reading

BRANCH = f"{NAME}@branch"
WHO = ["--who", "anna", "--why", "test"]


class Typed(io.StringIO):
    """What somebody types at a terminal."""

    def isatty(self) -> bool:
        """Somebody is there."""
        return True


class Told(NamedTuple):
    """What a command did, and told."""

    code: int
    out: str
    err: str


class Shell:
    """Commands over a world with three cases: one on the internet, two (of one server) in the branch."""

    def __init__(self, capsys: pytest.CaptureFixture[str], policy: Policy | None = None) -> None:
        self.world = World(policy)
        self.world.open_case()
        self.world.open_case(peer="198.51.100.7")
        self.world.open_case(reading(E2007, None), peer="198.51.100.7")
        self.bus = CliWorld(self.world)
        self._capsys = capsys

    def patchgate(self, *arguments: str) -> Told:
        """Run one command."""
        code = run(arguments)
        told = self._capsys.readouterr()
        return Told(code, told.out, told.err)

    def asks(self, *arguments: str) -> list[AnyRequest]:
        """What a command asks for, whatever the law says of it."""
        self.bus.asked.clear()
        self.patchgate(*arguments, *WHO)
        return self.bus.asked

    def number(self, server: str = SERVER, product: str = E2016) -> str:
        """The number of a case."""
        case = self.world.fold.servers[server].case_of(product)
        assert case is not None
        return str(case.opened_seq)

    def refused(self, *arguments: str) -> str:
        """The one line of a command that asks for nothing."""
        self.bus.asked.clear()
        told = self.patchgate(*arguments)
        assert told.code in {1, 2}
        assert told.err.startswith("patchgate: ")
        assert told.err.count("\n") == 1
        assert not told.out
        assert not self.bus.asked
        return told.err


def shell_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, policy: Policy | None = None
) -> Shell:
    """One, its world under *policy*; the commands go by the world's clock."""
    made = Shell(capsys, policy)
    put_below(monkeypatch, made.bus)
    for module in ("act_asking", "acts", "account", "explain", "freeze"):
        monkeypatch.setattr(f"services.cli.{module}.open_clock", lambda _: Now(made.world))
    return made


class Now:
    """The world's clock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        """Its instant."""
        return self._world.now
