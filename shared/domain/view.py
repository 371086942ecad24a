"""What deciding may look at: the state as the log made it, and nothing else."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from shared.domain.caps import Queue
from shared.domain.identity import Naming
from shared.domain.policy import Policy
from shared.domain.reprieves import Reprieves
from shared.domain.state import Law, Server


class View(Protocol):
    """As a fold shows itself."""

    @property
    def law(self) -> Law:
        """The globals."""
        ...

    @property
    def servers(self) -> Mapping[str, Server]:
        """All servers by their id."""
        ...

    @property
    def queue(self) -> Queue:
        """Who waits for the cap of blocking, and how many cases are open."""
        ...

    policy: Policy
    naming: Naming
    requests: dict[str, datetime]
    reprieves: Reprieves
