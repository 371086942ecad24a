"""Who a message speaks for, where a reading stands to a floor: as the design says it, in the plainest way."""

import ipaddress
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from shared.domain.evidence import Facts, Reading
from shared.domain.floors import Floor
from shared.domain.policy import Policy

MICRO = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

Stands = Literal["below", "unknown", "at or above"]


class Who(NamedTuple):
    """tie, connector ("" for none) and the ids that a message matches, the best first."""

    tie: str
    connector: str
    ids: tuple[str, ...]


def accepts(floor: Floor, build: tuple[int, ...]) -> bool:
    """At or above the least build of its branch, or of a branch newer than all that are named."""
    for least in floor.builds:
        if build[:3] == least[:3]:
            return build >= least
    return bool(floor.builds) and build[:3] > max(floor.builds)[:3]


def stands(floor: Floor | None, reading: Reading) -> Stands:
    """Below if the whole range is, at or above if its lower end is, else unknown. The worlds here keep a range in one branch."""
    if floor is None or reading.product != floor.product:
        return "unknown"
    if not floor.builds:
        return "below"
    if reading.low is None or reading.high is None:
        return "unknown"
    if accepts(floor, reading.low):
        return "at or above"
    return "unknown" if accepts(floor, reading.high) else "below"


@lru_cache(4096)
def floor_on(policy: Policy, product: str, day: date) -> Floor | None:
    """The newest wave of the product by that UTC day."""
    found = None
    for wave in sorted(policy.floors, key=lambda wave: wave.effective):
        if wave.product == product and wave.effective <= day:
            found = Floor(product=product, builds=wave.builds)
    return found


def who(facts: Facts, policy: Policy) -> Who:
    """Connector, then the name that DNS confirmed, then HELO; by the domain alone only if the policy opens by it."""
    scope, tied = _scope(policy, facts.peer, facts.tls_name.lower())
    names = names_of(policy, scope)
    name, confirmed = facts.name, facts.client_name.lower() if facts.client_resolve == "ok" else ""
    ids = []
    if name and tied:
        ids += [("connector", f"{name}@{one}") for one in names]
    if name and confirmed == name and "." in name:
        ids.append(("verified", name))
    if name and facts.helo.lower() == name:
        ids.append(("helo", f"{name}@{facts.peer}"))
    related = name and (_same_domain(name, facts.helo.lower()) or _same_domain(name, confirmed))
    if not ids and related and "domain" in policy.open_ties:
        ids.append(("domain", f"{name}@{facts.peer}"))
    return Who(ids[0][0] if ids else "untied", scope, tuple(server for _, server in ids))


@lru_cache(4096)
def names_of(policy: Policy, connector: str) -> tuple[str, ...]:
    """All names that a connector has and had, by any of them, its own first; only this one if the policy knows none such."""
    for one in policy.connectors:
        names = (one.name, *(one.formerly or ()))
        if connector in names:
            return names
    return (connector,)


@lru_cache(4096)
def _scope(policy: Policy, peer: str, tls_name: str) -> tuple[str, bool]:
    """The connector of a peer, and whether it is one by range or TLS name; everybody else is of kind internet."""
    for connector in policy.connectors:
        if tls_name and tls_name in [known.lower() for known in connector.tls_names]:
            return connector.name, True
    address = ipaddress.ip_address(peer)
    ranges = [(ipaddress.ip_network(text), c.name) for c in policy.connectors for text in c.ranges]
    holding = [(network.prefixlen, name) for network, name in ranges if address in network]
    if holding:
        return max(holding)[1], True
    return next((c.name for c in policy.connectors if c.kind == "internet"), ""), False


def _same_domain(name: str, other: str) -> bool:
    """Names of one owner: the worlds here have owners below `com` only, for nobody owns a name below an unknown suffix."""
    return name.endswith(".com") and name.split(".")[-2:] == other.split(".")[-2:]
