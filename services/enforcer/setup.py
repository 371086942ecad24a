"""What the enforcer works with, handed in once by `__main__` or by a test."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import structlog

from services.enforcer.progress import Progress
from services.enforcer.settings import EnforcerSettings
from shared.runtime.clock import Clock


class Step(IntEnum):
    """What a turn has just done; `docs/architecture/enforcer.md` tells what a crash behind each leads to."""

    POLLED = 1
    DECIDED = 2
    BEGUN = 3
    SENT = 4
    COMMITTED = 5
    SHOWN = 6


Steps = Callable[[Step], None]


def no_steps(step: Step) -> None:
    """Nobody watches the steps; a crash test hands in a function that kills the process at one."""
    _ = step


@dataclass(frozen=True, kw_only=True)
class Setup:
    """instance: the name of this enforcer among others. version: of patchgate, for the log. steps: told each step of a turn."""

    settings: EnforcerSettings
    instance: str
    clock: Clock
    version: str
    log: structlog.stdlib.BoundLogger
    progress: Progress
    steps: Steps = no_steps

    @property
    def prefix(self) -> str:
        """Of topics, group and transactional id."""
        return self.settings.topic_prefix
