"""
A made-up population of mail servers: what each runs, how its admin patches, and how it sends. Pure, the same for the same seed.

It is made to fit a policy: its products are those that the policy has floors of, its addresses lie in the policy's connectors.
Nothing in it is measured; the habits and their shares are plain assumptions that stand in this file, to be argued with.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import TypeVar

import msgspec

from shared.domain.build import Build
from shared.domain.evidence import Facts, Introduction, Reading
from shared.domain.floors import FloorWave
from shared.domain.policy import Connector, Policy

_Choice = TypeVar("_Choice")

Days = tuple[int, int]
"""From so many days to so many, both included."""

RETRIES = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60))
GIVES_UP_AFTER = (timedelta(hours=4), timedelta(days=5))
"""A device or a script; and what RFC 5321, section 4.5.4.1, asks of a mail server."""

MAILS_A_DAY = (4, 12, 48, 240)
_WEEKLY_PERCENT = 25
_CONTACT_PERCENT = 60
_ON_A_CONNECTOR_PERCENT = 50
_EDGE = "mx1"
_OPEN_INTERNET = ipaddress.ip_network("198.18.0.0/15")  # RFC 2544: nobody's
_JUDGED_BY_NOBODY = "Microsoft Exchange SE"
_UNJUDGED_BUILD = Build(15, 2, 2562, 17)


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """
    How the admins of a group patch. share: percent of all servers. outdated: whether they begin below the floor.

    told_days: so long after they were told (a notice that arrived, or the first refused mail) they act; anyway_days: so long
    after the beginning they act even if nobody tells them; None: they do not. replaces: by another product, not by an update.
    back_days: so long after they acted an old backup is restored; from then on they are as slow as told_days_again says.
    """

    name: str
    share: int
    means: str
    outdated: bool = True
    told_days: Days | None = None
    anyway_days: Days | None = None
    replaces: bool = False
    back_days: Days | None = None
    told_days_again: Days | None = None


HABITS = (
    Habit(name="current", share=70, means="always on the newest build", outdated=False),
    Habit(name="prompt", share=8, means="patches 1 to 14 days after it is told", told_days=(1, 14), anyway_days=(30, 90)),
    Habit(name="late", share=10, means="patches 2 to 5 months after it is told", told_days=(60, 150), anyway_days=(120, 300)),
    Habit(
        name="replaces",
        share=5,
        means="puts up another server 45 to 120 days after it is told",
        told_days=(45, 120),
        anyway_days=(150, 360),
        replaces=True,
    ),
    Habit(
        name="relapses",
        share=2,
        means="patches promptly, restores an old backup 20 to 60 days later, then is late",
        told_days=(1, 14),
        anyway_days=(30, 90),
        back_days=(20, 60),
        told_days_again=(60, 150),
    ),
    Habit(name="never", share=5, means="never patches"),
)  # fmt: skip
"""The groups; their shares are 100 together."""


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """
    One server. old, new: what its lines say before and after its admin acts; the same where it is current.

    weekday: the only day of the week on which it sends, 0 for Monday; None: daily. mails: of each day on which it sends.
    """

    number: int
    habit: Habit
    introduction: Introduction
    old: Reading
    new: Reading
    mails: int
    weekday: int | None
    retry: timedelta
    gives_up: timedelta
    contact: bool

    def sends_on(self, day: date) -> bool:
        """Whether it sends on that day."""
        return self.weekday is None or day.weekday() == self.weekday

    def facts(self, what: Reading, seen_at: datetime) -> Facts:
        """What one of its messages shows."""
        one = self.introduction
        line = f"from {one.name} (10.0.0.1) by {one.name} (10.0.0.1) with Microsoft SMTP Server id {what.shown or '8.3.83.6'}"
        return Facts(
            peer=one.peer,
            helo=one.helo,
            client_name=one.client_name,
            client_resolve=one.client_resolve,
            tls_name=one.tls_name,
            name=one.name,
            own_lines=(line,),
            seen_at=seen_at,
            edge=_EDGE,
        )


class Draw:
    """Numbers that look drawn, and are the same for the same seed and the same words."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def below(self, end: int, *of: str | int) -> int:
        """A number from 0 on, below *end*."""
        text = "\n".join(str(word) for word in (self._seed, *of))
        return int.from_bytes(sha256(text.encode()).digest()[:8], "big") % end

    def between(self, days: Days, *of: str | int) -> int:
        """One of *days*."""
        return days[0] + self.below(days[1] - days[0] + 1, *of)


def first_day(policy: Policy) -> date:
    """The first day on which every floor of *policy* is in force; where it has none, any day will do."""
    return max((wave.effective for wave in policy.floors), default=date(2026, 1, 1))


def population(policy: Policy, *, seed: int, servers: int, begin: date) -> Iterator[Sender]:
    """So many servers, one after the other; *begin*: the floors of that day say what is old."""
    draw, places, products = Draw(seed), _Places(policy), _Products(policy, begin)
    for number in range(servers):
        habit = _habit(draw.below(100, "habit", number))
        old, new = products.of(habit, draw.below(1_000_000, "product", number))
        yield Sender(
            number=number,
            habit=habit,
            introduction=places.introduction(number, draw),
            old=old,
            new=new,
            mails=MAILS_A_DAY[draw.below(len(MAILS_A_DAY), "mails", number)],
            weekday=draw.below(7, "day", number) if draw.below(100, "weekly", number) < _WEEKLY_PERCENT else None,
            retry=RETRIES[draw.below(len(RETRIES), "retry", number)],
            gives_up=GIVES_UP_AFTER[draw.below(len(GIVES_UP_AFTER), "gives up", number)],
            contact=draw.below(100, "contact", number) < _CONTACT_PERCENT,
        )


def _habit(percent: int) -> Habit:
    for habit in HABITS:
        if percent < habit.share:
            return habit
        percent -= habit.share
    return HABITS[-1]


class _Products:
    """What servers run, by the floors of a policy."""

    def __init__(self, policy: Policy, begin: date) -> None:
        judged = [wave for wave in policy.floors if policy.floor_for(wave.product, begin) == wave.floor]
        self._updated = [_patchable(wave, policy) for wave in judged if wave.builds]
        self._out_of_support = [_reading(wave.product, None) for wave in judged if not wave.builds]
        self._unjudged = _reading(_JUDGED_BY_NOBODY, _UNJUDGED_BUILD)

    def of(self, habit: Habit, number: int) -> tuple[Reading, Reading]:
        """Old and new reading of a server with this habit; who cannot be updated, because no floor names a build, is replaced."""
        newest = self._updated[-1][1] if self._updated else self._unjudged
        never_acts = habit.told_days is None and habit.anyway_days is None
        if not habit.outdated or not (self._updated or self._out_of_support):
            return newest, newest
        if self._out_of_support and (habit.replaces or (never_acts and number % 2) or not self._updated):
            return _pick(self._out_of_support, number // 2), newest
        old, new = _pick(self._updated, number // 2)
        return old, newest if habit.replaces else new


def _pick(choices: Sequence[_Choice], number: int) -> _Choice:
    return choices[number % len(choices)]


def _patchable(wave: FloorWave, policy: Policy) -> tuple[Reading, Reading]:
    """Below that floor, and at the highest that the policy ever asks of the product: whoever patches is done for the year."""
    asked = [other for other in policy.floors if other.product == wave.product and other.builds]
    least, best = wave.builds[0], max(asked, key=lambda other: other.effective).builds[-1]
    old = least._replace(revision=0) if least.revision else least._replace(build=max(0, least.build - 1))
    return _reading(wave.product, old), _reading(wave.product, best)


def _reading(product: str, build: Build | None) -> Reading:
    return Reading(product=product, shown=build, low=build, high=build, form="smtp", reason="exact")


class _Places:
    """Where servers connect from, by the connectors of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._connectors = [one for one in policy.connectors if one.ranges or one.tls_names]

    def introduction(self, number: int, draw: Draw) -> Introduction:
        """Half of them belong to connectors that name somebody, as far as there are any; of the rest DNS confirms every other."""
        if self._connectors and draw.below(100, "place", number) < _ON_A_CONNECTOR_PERCENT:
            return _on(self._connectors[number % len(self._connectors)], number)
        name, confirmed = f"ex{number:06d}.sender.example", draw.below(2, "dns", number) == 0
        peer = str(_OPEN_INTERNET[number % _OPEN_INTERNET.num_addresses])
        return Introduction(
            peer=peer,
            helo=name,
            client_name=name if confirmed else "",
            client_resolve="ok" if confirmed else "failed",
            tls_name="",
            name=name,
        )


def _on(connector: Connector, number: int) -> Introduction:
    name = f"ex{number:06d}.{connector.name}.example"
    peer = str(_OPEN_INTERNET[number % _OPEN_INTERNET.num_addresses])
    if connector.ranges:
        network = ipaddress.ip_network(connector.ranges[number % len(connector.ranges)])
        address = network[number % network.num_addresses]
        peer = str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))  # noqa: PLR2004 - IPv4
    tls_name = "" if connector.ranges else connector.tls_names[0]
    return Introduction(peer=peer, helo=name, client_name="", client_resolve="failed", tls_name=tls_name, name=name)
