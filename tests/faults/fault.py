"""What a fault of the table is, and how its injection says that something is wrong already."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.world import World


class FaultError(Exception):
    """The fault did not do what it must: a process that should have ended lives, a table that should pass refuses."""


Inject = Callable[["World", Random], Awaitable[None]]
"""Draws its parameters, tells them by `world.drawn`, does the damage, and returns when nothing stands in the way of recovery."""


def _nothing() -> str:
    return ""


@dataclass(frozen=True)
class Fault:
    """
    One row of the table.

    meaning: what happens, in the world outside. holds: what must hold beyond what is checked after every fault.
    weight: how often it is drawn, beside the others. needs: why it cannot be injected here, "" if it can.
    """

    name: str
    meaning: str
    holds: str
    inject: Inject
    weight: int = 4
    needs: Callable[[], str] = _nothing
