"""
The words of the policy, read by the second law: standing, ids, plan, window.

Written from the design's text, not from `shared/domain`: of the policy only its fields are read here. Instants are whole
seconds since `START`.
"""

from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Literal, NamedTuple

from shared.domain.build import Build
from shared.domain.evidence import Facts, Reading
from shared.domain.policy import Policy
from tests.support.scenario import START

MINUTE, HOUR, DAY = 60, 3600, 86_400
Action = Literal["pass", "defer", "reject"]
MILDNESS: dict[Action, int] = {"pass": 0, "defer": 1, "reject": 2}
Builds = tuple[Build, ...]


class Span(NamedTuple):
    """A row of a schedule, from an instant of law time on."""

    since: int
    throttle: int
    block: int


def utc_hour(instant: int) -> int:
    """Which UTC hour, counted from the midnight before `START`."""
    return (instant + START.hour * HOUR) // HOUR


def utc_day(instant: int) -> date:
    """The UTC day."""
    return (START + timedelta(seconds=instant)).date()


# --- standing ------------------------------------------------------------------------------------------------------


def floor_on(policy: Policy, product: str, day: date) -> Builds | None:
    """The builds of the newest wave about *product* that is in effect on *day*; None where there is none."""
    found = None
    for wave in sorted(policy.floors, key=lambda wave: wave.effective):
        if wave.product == product and wave.effective <= day:
            found = tuple(wave.builds)
    return found


def acceptable(build: Build, floor: Builds) -> bool:
    """At or above the least build of its branch, or newer than all that are named."""
    same_branch = [least for least in floor if least[:3] == build[:3]]
    return any(build >= least for least in same_branch) or (bool(floor) and build >= floor[-1])


def is_below(reading: Reading, floor: Builds | None) -> bool:
    """Whether the whole range is below; a range lies in one branch, so its upper end tells."""
    if floor is None:
        return False
    return not floor or (reading.high is not None and not acceptable(reading.high, floor))


def is_met(reading: Reading, floor: Builds | None) -> bool:
    """Whether the range is at or above the floor as a whole: its lower end tells."""
    return bool(floor) and reading.low is not None and acceptable(reading.low, floor or ())


# --- who -----------------------------------------------------------------------------------------------------------


def connector_of(facts: Facts, policy: Policy) -> tuple[str, bool]:
    """The connector's name, and whether it ties; in this world ranges are IPv4 of whole bytes."""
    for connector in policy.connectors:
        for written in connector.ranges:
            network, _, bits = written.partition("/")
            prefix = ".".join(network.split(".")[: int(bits) // 8]) + "."
            if facts.peer.startswith(prefix):
                return connector.name, True
    return next((c.name for c in policy.connectors if c.kind == "internet"), ""), False


def ids_of(facts: Facts, policy: Policy) -> tuple[str, list[tuple[str, str]]]:
    """The connector, and each (tie, server id) that a message matches, best tie first."""
    connector, ties = connector_of(facts, policy)
    found = [("connector", f"{facts.name}@{connector}")] if ties else []
    if facts.client_resolve == "ok" and facts.client_name == facts.name:
        found.append(("verified", facts.name))
    if facts.helo == facts.name:
        found.append(("helo", f"{facts.name}@{facts.peer}"))
    return connector, found if facts.name else []


def enforces(policy: Policy, connector: str) -> bool:
    """Whether policy and connector both say enforce."""
    modes = {c.name: c.mode for c in policy.connectors}
    return policy.mode == "enforce" and modes.get(connector) == "enforce"


def may_refuse(policy: Policy, *, connector: str, tie: str, product: str, day: date, accused: Reading) -> bool:
    """Whether the policy in force still lets a case refuse: its connector, its tie, its product, and what accused it last."""
    floor = floor_on(policy, product, day)
    return enforces(policy, connector) and tie in policy.open_ties and is_below(accused, floor)


# --- rows ----------------------------------------------------------------------------------------------------------


def spans_from(policy: Policy, day0: int) -> list[Span]:
    """The policy's table, dated from *day0* of law time on."""
    return [
        Span(day0 + stage.from_day * DAY, stage.throttle_minutes_per_hour, stage.block_minutes_per_hour)
        for stage in policy.stages
    ]


def slows_from(policy: Policy) -> int:
    """When the first stage begins that slows mail and blocks none; never, where there is none."""
    stages = [stage for stage in policy.stages if stage.throttle_minutes_per_hour and not stage.block_minutes_per_hour]
    return stages[0].from_day * DAY if stages else 1 << 40


def spans_again(policy: Policy, now: int, stood: int) -> list[Span]:
    """The table for one that had stood so long: from the row of that day on, the last without blocking at most."""
    spans = spans_from(policy, now - stood)
    mild, harsh = [span for span in spans if not span.block], [span for span in spans if span.block]
    begun = [span for span in mild if span.since <= now]
    told = now + policy.notices.hours_before_blocking * HOUR
    later = moved_to(harsh, max(harsh[0].since, told)) if harsh else []
    return [begun[-1]._replace(since=now), *mild[len(begun) :], *later]


def moved_to(spans: list[Span], first: int) -> list[Span]:
    """The same distances, beginning at *first*."""
    return [span._replace(since=span.since + first - spans[0].since) for span in spans]


def first_minute(salt: str, server: str, instant: int) -> int:
    """The first of a server's minutes in a UTC hour."""
    return _first_of(salt, server, instant // HOUR)


@lru_cache(4096)
def _first_of(salt: str, server: str, hours: int) -> int:
    hour = (START + timedelta(hours=hours)).strftime("%Y-%m-%dT%H")
    seed = sha256("\n".join((salt, server, hour + "Z")).encode()).digest()
    return int.from_bytes(seed[:8], byteorder="big") % 60


def action_at(span: Span, salt: str, server: str, instant: int) -> Action:
    """What a row says of a minute: block minutes come first, then throttle minutes, wrapping in the hour."""
    start = first_minute(salt, server, instant)
    minute = instant // MINUTE % 60
    if minute in {(start + n) % 60 for n in range(span.block)}:
        return "reject"
    if minute in {(start + n) % 60 for n in range(span.block, span.block + span.throttle)}:
        return "defer"
    return "pass"
