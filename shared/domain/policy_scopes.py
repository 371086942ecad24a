"""How a policy names who is meant: address ranges, TLS names, host names. What of such a text can never hold. Pure."""

import ipaddress
import re

_PEER_BITS_IPV6 = 64  # what a peer is of an IPv6 address, see `identity.peer_of`
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def spelled(text: str) -> str:
    """One spelling of a range or a TLS name, so that `2001:0db8::/32` and `2001:db8::/32` are seen to be the same."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        return text.lower()


def complaint_of_range(text: str) -> str:
    """Why no peer can lie in the range *text*; "" if one can."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        return str(error)
    if network != _strictly(text):
        return f"an address and not a range; write {network}, or {text.partition('/')[0]} for that one address"
    if isinstance(network, ipaddress.IPv6Network):
        if network.network_address.ipv4_mapped is not None:
            return "write it as an IPv4 range, which is how such peers are known"
        if network.prefixlen > _PEER_BITS_IPV6:
            return "IPv6 peers are known by their /64, so nobody can match a narrower range"
    return ""


def _strictly(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def complaint_of_domain(text: str) -> str:
    """Why no server can have the host name *text* or one below it; "" if one can."""
    if _DOMAIN.fullmatch(text):
        return ""
    return "write a host name in lower case, without a dot before or behind it, such as clinic.example"
