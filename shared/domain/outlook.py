"""
What is worked out of a server's state and the policy, so that neither has to be looked at for each input.

Most acts that change the policy leave this as it is: a mode, a connector, a text moves nothing that falls due. What it
hangs on are the policy's terms; where they are the same, so is all that was worked out.
"""

from datetime import datetime, timedelta
from functools import cache

from shared.domain.floors import FloorWave
from shared.domain.policy import Notices, Policy, Protected, Tie, parse_policy, shipped_policy_text
from shared.domain.repeats import Repeat, Repeats
from shared.domain.schedule import next_due
from shared.domain.state import Server

Names = tuple[tuple[str, ...], ...]
Terms = tuple[timedelta, Notices, tuple[FloorWave, ...], tuple[Tie, ...], tuple[Protected, ...], Names]


class Outlook:
    """What is ahead of servers under one policy."""

    def __init__(self, policy: Policy) -> None:
        self.terms: Terms = (
            policy.expire_after,
            policy.notices,
            policy.floors,
            policy.open_ties,
            policy.protected,
            # Who is protected by his connector is so under the name that it has now.
            tuple(one.names for one in policy.connectors) if any(one.connectors for one in policy.protected) else (),
        )
        self._policy = policy
        self._repeats = Repeats(policy)

    def due(self, server: Server) -> datetime | None:
        """The law time at which something next falls due for it; None: nothing ever will by itself."""
        return next_due(server, self._policy)

    def repeat(self, server: Server) -> Repeat | None:
        """Which sightings of it are surely no news; None where that cannot be said."""
        return self._repeats.of(server)


@cache
def shipped() -> Outlook:
    """That of the policy that ships: a good guess as long as the policy in force is not known."""
    return Outlook(parse_policy(shipped_policy_text()))
