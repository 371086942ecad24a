"""What a policy would do to the fleet if it were switched on today: by day, how many servers and mails it meets. Pure."""

import msgspec

from services.cli.look.fleet import Fleet
from shared.domain.policy import Policy, Stage

DAYS = (0, 30, 60, 90)
"""Days after switching on for which the report says who is met."""

DRAWN_DAYS = range(0, 101, 2)
"""Days of the picture: ten days more than the shipped policy takes to block wholly."""

_MINUTES_AN_HOUR = 60


class DayAhead(msgspec.Struct, frozen=True, kw_only=True):
    """
    One day of the outlook. Mails are those of a usual day of the servers that have a case then.

    deferred, refused: mails whose first attempt falls into such minutes; a deferred mail comes later, a refused one bounces.
    """

    day: int
    stage: int
    throttle_minutes_per_hour: int
    block_minutes_per_hour: int
    servers: int
    mails: float
    deferred: float
    refused: float


def outlook_of(fleet: Fleet, policy: Policy) -> tuple[DayAhead, ...]:
    """The outlook for DAYS, if all whose case would open stay as they are and all are enforced."""
    return tuple(day_ahead(fleet, policy, day) for day in DAYS)


def day_ahead(fleet: Fleet, policy: Policy, day: int) -> DayAhead:
    """What *policy* does on one day after it was switched on, in whole days."""
    number, stage = stage_on(policy, day)
    met = [server for server in fleet.servers if server.opens]
    mails = sum(server.mails_a_day for server in met)
    return DayAhead(
        day=day,
        stage=number,
        throttle_minutes_per_hour=stage.throttle_minutes_per_hour,
        block_minutes_per_hour=stage.block_minutes_per_hour,
        servers=len(met),
        mails=round(mails, 1),
        deferred=round(mails * stage.throttle_minutes_per_hour / _MINUTES_AN_HOUR, 1),
        refused=round(mails * stage.block_minutes_per_hour / _MINUTES_AN_HOUR, 1),
    )


def stage_on(policy: Policy, day: int) -> tuple[int, Stage]:
    """Number, from 1, and row of the stage in force on *day*."""
    begun = [(number, stage) for number, stage in enumerate(policy.stages, start=1) if stage.from_day <= day]
    return begun[-1]
