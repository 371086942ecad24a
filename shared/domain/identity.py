"""
Tie, server id and connector are law: one pure function of (facts, policy), used by enforcer and edge alike.

A tie says how we know that the own lines were written by who connected:
`connector` (address range, or the TLS name that the MTA verified) > `verified` (the client name that DNS confirmed)
> `helo` (the name of HELO) > `domain` (same registrable domain as one of these two names) > `untied`.
A server's id is `name@connector`, `name`, or `name@peer`. By `domain` alone there is an id only if the policy opens cases by it.
"""

import ipaddress
from typing import NamedTuple

import msgspec

from shared.domain.evidence import Introduction
from shared.domain.policy import Connector, Policy, Tie
from shared.domain.registrable import same_owner

_IPV6_SCOPE_BITS = 64  # one customer's subnet: hosts inside it change address at will (RFC 7421)
_PEER_CACHE = 65_536  # addresses remembered; at the bound the table is dropped and built anew


class Identity(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    Who a message speaks for.

    connector: the scope that the peer falls into, "" for none. server: the id of the best tie, None when untied.
    matches: every id that the message matches, best tie first.
    """

    tie: Tie
    connector: str
    server: str | None
    matches: tuple[str, ...]


def peer_of(address: str) -> str:
    """
    The peer as all records name it: IPv4 as it is, IPv6 as its /64 prefix, `::ffff:` folded, any zone dropped.

    Raises:
        ValueError: *address* is no IP address.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SCOPE_BITS), strict=False))


class _Range(NamedTuple):
    """One range of a connector, as numbers: matching a peer by `ipaddress` would be the dearest part of a new server."""

    version: int
    bits: int
    mask: int
    number: int
    connector: Connector


def _range_of(text: str, connector: Connector) -> _Range:
    network = ipaddress.ip_network(text)
    return _Range(network.version, network.prefixlen, int(network.netmask), int(network.network_address), connector)


class Naming:
    """`identify` for one policy, with its ranges parsed once."""

    def __init__(self, policy: Policy) -> None:
        self._internet = next((c.name for c in policy.connectors if c.kind == "internet"), "")
        self._tls = {name.lower(): c for c in policy.connectors for name in c.tls_names}
        networks = [_range_of(text, c) for c in policy.connectors for text in c.ranges]
        # The narrowest range wins, so that one host can be taken out of a wider connector.
        self._networks = sorted(networks, key=lambda network: network.bits, reverse=True)
        self._by_domain = "domain" in policy.open_ties
        self._by_peer: dict[str, Connector | None] = {}
        self._asked: tuple[str, ...] = ()
        self._told: Identity | None = None

    def identify(self, facts: Introduction) -> Identity:
        """The ties, ids and connector of one message's facts."""
        asked = (facts.peer, facts.helo, facts.client_name, facts.client_resolve, facts.tls_name, facts.name)
        # Of what is news, or may be refused, this is asked twice in a row.
        if self._told is None or asked != self._asked:
            self._asked, self._told = asked, self._identify(facts)
        return self._told

    def _identify(self, facts: Introduction) -> Identity:
        connector = self._connector_of(facts)
        scope = connector.name if connector else self._internet
        name = facts.name
        if not name:
            return Identity(tie="untied", connector=scope, server=None, matches=())
        tie: Tie | None = None
        ids: tuple[str, ...] = ()
        if connector is not None:
            tie, ids = "connector", tuple([f"{name}@{one}" for one in connector.names])
        # A name without a dot is nobody's in the DNS; it could also be taken for a reserved key of our tables.
        if facts.client_resolve == "ok" and facts.client_name.lower() == name and "." in name:
            tie, ids = tie or "verified", (*ids, name)
        if facts.helo.lower() == name:
            tie, ids = tie or "helo", (*ids, f"{name}@{facts.peer}")
        if tie is None:
            return self._loosely_tied(facts, scope)
        return Identity(tie=tie, connector=scope, server=ids[0], matches=ids)

    def _loosely_tied(self, facts: Introduction, scope: str) -> Identity:
        """
        By the domain at most: any host of one owner may have written such lines.

        Where the policy opens no case by that, it gives no id: else such a message would be refused for what another opened.
        """
        name = facts.name
        confirmed = facts.client_name.lower() if facts.client_resolve == "ok" else ""
        if not same_owner(name, facts.helo.lower()) and not same_owner(name, confirmed):
            return Identity(tie="untied", connector=scope, server=None, matches=())
        if not self._by_domain:
            return Identity(tie="domain", connector=scope, server=None, matches=())
        server = f"{name}@{facts.peer}"
        return Identity(tie="domain", connector=scope, server=server, matches=(server,))

    def _connector_of(self, facts: Introduction) -> Connector | None:
        if facts.tls_name and facts.tls_name.lower() in self._tls:
            return self._tls[facts.tls_name.lower()]
        try:
            return self._by_peer[facts.peer]
        except KeyError:
            if len(self._by_peer) >= _PEER_CACHE:
                self._by_peer.clear()
            found = self._by_peer[facts.peer] = self._in_range(facts.peer)
            return found

    def _in_range(self, peer: str) -> Connector | None:
        try:
            network = ipaddress.ip_network(peer) if "/" in peer else None
            address = network.network_address if network else ipaddress.ip_address(peer)
        except ValueError:
            return None  # a Unix socket or an odd literal: no range can hold it
        bits = network.prefixlen if network else address.max_prefixlen
        number, version = int(address), address.version
        for candidate in self._networks:
            if candidate.version == version and candidate.bits <= bits and number & candidate.mask == candidate.number:
                return candidate.connector
        return None
