"""Who sends in the model's world, what their lines show, and policies drawn at random."""

from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

import msgspec

from services.edge.core import MessageSeen, Seen, see
from shared.domain.build import Build
from shared.domain.catalogue import load_catalogue
from shared.domain.floors import FloorWave
from shared.domain.policy import Connector, Notices, Policy, Stage
from tests.support.edge import message
from tests.support.scenario import START, policy_for

E2007, E2016, E2019 = (f"Microsoft Exchange {year}" for year in (2007, 2016, 2019))


class Sender(NamedTuple):
    """A server. shows: what it may be found to run; the first one is old."""

    name: str
    peer: str
    shows: tuple[str, ...]
    verified: bool = False
    helo: bool = True


SENDERS = (
    Sender("ex16.alt.example", "192.0.2.9", ("old2016", "mid2016", "ok2016", "new2016", "hidden2016", "postfix")),
    Sender("beside.example", "192.0.2.9", ("postfix", "new2016")),  # a neighbour, never old
    Sender("known.example", "203.0.113.5", ("old2016", "ok2016", "old2019"), verified=True),
    Sender("named.example", "203.0.113.6", ("mid2016", "ok2016"), verified=True, helo=False),
    Sender("plant.example", "198.51.100.7", ("old2016", "mid2016", "ok2016")),
    Sender("old07.example", "192.0.2.77", ("e2007", "ok2016", "postfix")),
    Sender("twin.example", "192.0.2.88", ("old2019", "old2016", "ok2019", "ok2016")),
)

_LINE_OF = {
    "old2016": "mapi id 15.01.2507.006",
    "mid2016": "mapi id 15.01.2507.044",
    "ok2016": "mapi id 15.01.2507.061",
    "new2016": "mapi id 15.01.2507.066",
    "hidden2016": "Microsoft SMTP Server id 15.1.2507.6",  # such a line hides anything up to revision 43
    "old2019": "mapi id 15.02.1544.004",
    "ok2019": "mapi id 15.02.1748.039",
    "e2007": "mapi",
    "postfix": "ESMTP id 1",
}


class Shown(NamedTuple):
    """One message of a sender. above: by every floor of this world it is at or above."""

    sender: Sender
    show: str
    message: MessageSeen
    seen: Seen
    above: bool


def _shown(sender: Sender, show: str, **changes: Any) -> Shown:
    by = f"by {sender.name} (Postfix) with" if show == "postfix" else f"by {sender.name} ([10.0.0.2]) with"
    line = f"from pc.example ([10.0.0.1]) {by} {_LINE_OF[show]}; Tue, 24 Nov 2026 07:59:00 +0000"
    plain: dict[str, Any] = {
        "address": sender.peer,
        "helo": sender.name if sender.helo else "elsewhere.example",
        "client_name": sender.name if sender.verified else "unknown",
        "client_resolve": "ok" if sender.verified else "failed",
    }
    whole = message(line, **{**plain, **changes})
    return Shown(sender, show, whole, see(whole, load_catalogue(), now=START, edge="mx1"), show[:3] in {"new", "pos"})


MESSAGES = {sender: {show: _shown(sender, show) for show in sender.shows} for sender in SENDERS}
UNVERIFIED = {
    sender: {show: _shown(sender, show, client_resolve="failed", client_name="unknown") for show in sender.shows}
    for sender in SENDERS
}
BOUNCES = {sender: _shown(sender, sender.shows[0], null_sender=True) for sender in SENDERS}
TO_POSTMASTER = {sender: _shown(sender, sender.shows[0], protected=True) for sender in SENDERS}
NEVER_REFUSED = (BOUNCES, TO_POSTMASTER)
UNSURE_DNS = {s: _shown(s, s.shows[0], client_resolve="tempfail", client_name="unknown") for s in SENDERS}


# --- policies ------------------------------------------------------------------------------------------------------

_FLOORS_2016 = tuple(Build(15, 1, 2507, revision) for revision in (39, 61, 63))
_EFFECTIVE = date(2026, 9, 8)


def random_policy(random: Random, version: int) -> Policy:
    """Any policy that may be adopted: days of hours to weeks, with and without notices, ties, floors, connectors."""
    policy = policy_for(
        "observe" if random.random() < 0.1 else "enforce",
        version,
        salt=random.choice(("k7", "k8")),
        stages=_stages(random),
        notices=Notices(
            needed_for_blocking=random.random() < 0.6,
            hours_before_blocking=random.choice((0, 1, 24, 60)),
            before_throttling_days=random.choice((0, 1, 7)),
            before_blocking_days=random.choice((0, 1, 7)),
            repeat_days=random.choice((1, 3)),
        ),
        floors=_floors(random),
        connectors=_connectors(random),
        open_ties=("connector", "verified", "helo") if random.random() < 0.8 else ("connector", "verified"),
        opening_hours=random.choice((1, 2, 3)),
        expire_days=random.choice((1, 2, 5, 20)),
        release_hours=random.choice((1, 6, 24)),
        caps=None,  # they only spare; the lives of tests/second_law have them, and protected servers
    )
    return msgspec.structs.replace(policy, title=f"drawn {version}")


def varied(random: Random, policy: Policy) -> Policy:
    """The next version: one of its parts drawn anew, or back to what it was."""
    drawn = random_policy(random, policy.version + 1)
    part = random.choice(
        ("mode", "salt", "stages", "notices", "floors", "floors", "connectors", "open_ties", "expire_days")
    )
    return msgspec.structs.replace(policy, version=drawn.version, **{part: getattr(drawn, part)})


def _stages(random: Random) -> tuple[Stage, ...]:
    throttling = random.randint(0, 3)
    blocking = random.randint(0 if throttling else 1, 3)
    day, stages = 0, [Stage(from_day=0, throttle_minutes_per_hour=0, block_minutes_per_hour=0)]
    for number in range(throttling + blocking):
        day += random.choice((1, 1, 2, 5))
        block = random.choice((5, 10, 20, 60)) if number >= throttling else 0
        throttle = random.randint(0, 60 - block) if block else random.choice((5, 20, 40, 60))
        stages.append(Stage(from_day=day, throttle_minutes_per_hour=throttle, block_minutes_per_hour=block))
    return tuple(stages)


def _floors(random: Random) -> tuple[FloorWave, ...]:
    floors = []
    if random.random() < 0.85:
        floors.append(_wave(E2007, ()))
    if random.random() < 0.85:
        floors.append(_wave(E2016, (random.choice(_FLOORS_2016),)))
    if random.random() < 0.2:  # a wave that takes effect while the world runs
        floors.append(_wave(E2016, (random.choice(_FLOORS_2016),), START.date() + timedelta(days=random.randint(1, 9))))
    if random.random() < 0.85:
        floors.append(_wave(E2019, (Build(15, 2, 1544, 36), Build(15, 2, 1748, 39))))
    return tuple(floors)


def _wave(product: str, builds: tuple[Build, ...], effective: date = _EFFECTIVE) -> FloorWave:
    return FloorWave(product=product, effective=effective, builds=builds, source="drawn")


def _connectors(random: Random) -> tuple[Connector, ...]:
    def mode() -> Any:
        return "observe" if random.random() < 0.15 else "enforce"

    internet = Connector(name="internet", kind="internet", owner="postmaster", mode=mode())
    name = "works" if random.random() < 0.2 else "plant"
    ranges = ("198.51.100.0/24", "203.0.113.0/24") if random.random() < 0.2 else ("198.51.100.0/24",)
    plant = Connector(name=name, kind="on-premises", owner="it", ranges=ranges, mode=mode())
    return (internet, plant) if random.random() < 0.9 else (internet,)
