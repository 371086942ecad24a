"""
The line that one's own server wrote when it took a mail over: who connected, by which names.

Own lines are our own server's word, except for what stands as HELO. Each form is matched as a whole, from `from` to
`by`, and the address is the one that the server itself put into its brackets, the last one. What is not known here gives
no peer, and so no tie: it accuses nobody.
"""

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from shared.domain.evidence import ClientResolve
from shared.domain.identity import peer_of

# Each part is bounded and cannot take what its neighbour begins with, so matching is linear.
_BLANK = rb"[ \t\r\n]+"
_FORMS = tuple(
    re.compile(form)
    for form in (
        # Postfix, Sendmail, OpenSMTPD, Gmail: from HELO (NAME [IP]); Sendmail adds an ident and its doubt
        rb"from"
        + _BLANK
        + rb"(?P<helo>\S{1,255})"
        + _BLANK
        + rb"\((?:(?:IDENT:)?[^\s()@]{0,64}@)?(?P<name>[^\s()\[\]<>@\"]{1,255})"
        rb"[ \t\r\n]+\[(?:IPv6:)?(?P<ip>[0-9A-Fa-f:.]{3,45})\](?P<forged> \(may be forged\))?\)",
        # Exim: from NAME ([IP] helo=HELO), from [IP] (helo=HELO), with ports and idents between
        rb"from"
        + _BLANK
        + rb"(?P<name>[^\s()\[\]<>@\"]{1,255})"
        + _BLANK
        + rb"\(\[(?P<ip>[0-9A-Fa-f:.]{3,45})\](?::\d{1,5})?"
        rb"(?: port=\d{1,5})?(?: helo=(?P<helo>[^\s()]{1,255}))?(?: ident=[^\s()]{1,64})?\)(?=[^;]{1,400}\(Exim)",
        rb"from"
        + _BLANK
        + rb"\[(?P<ip>[0-9A-Fa-f:.]{3,45})\](?::\d{1,5})?(?:"
        + _BLANK
        + rb"\((?:port=\d{1,5} ?)?(?:helo=(?P<helo>[^\s()]{1,255}))?(?: ?ident=[^\s()]{1,64})?\))?",
        # Exchange: from HELO (IP), from HELO ([IP])
        rb"from"
        + _BLANK
        + rb"(?P<helo>[^\s()]{1,255})"
        + _BLANK
        + rb"\(\(?\[?(?P<ip>[0-9A-Fa-f:.]{3,45})(?:%\w{1,16})?\]?\)?\)",
        # qmail: from NAME (HELO helo) (IP); NAME is `unknown` without DNS
        rb"from"
        + _BLANK
        + rb"(?P<name>[^\s()]{1,255})"
        + _BLANK
        + rb"\((?:HELO|EHLO) (?P<helo>[^\s()]{1,255})\)"
        + _BLANK
        + rb"\((?:[^\s()@]{0,64}@)?(?P<ip>[0-9A-Fa-f:.]{3,45})\)",
    )
)
_BY = re.compile(rb"[ \t\r\n]+by[ \t\r\n]+([^\s();]{1,255})")
# Servers whose NAME is one that DNS confirmed both ways; of others it is not known what they looked up.
_CONFIRMS = re.compile(rb"[ \t\r\n]\((?:Postfix|Exim|8\.\d{1,2}\.)")


# Not `is_private`: that takes in the addresses of documentation, under which examples and made-up mails come.
_OWN_NETWORKS = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


_WORDS_BYTES = 300  # of a line behind its `by` host, in which the product stands


class Handover(NamedTuple):
    """Who handed the mail to the host *by*. peer: as in `identity.peer_of`; private: an address of an own network."""

    by: str
    peer: str
    private: bool
    helo: str
    client_name: str
    resolve: ClientResolve


def handover_of(value: bytes) -> Handover | None:
    """What an own `Received` value says of the client; None where it names no client address in a known form."""
    text = value.lstrip()
    for form in _FORMS:
        found = form.match(text)
        if found is None:
            continue
        by = _BY.match(text, found.end())
        if by is None:
            continue
        parts = found.groupdict()
        address = _address(parts["ip"])
        if address is None:
            return None
        name = (parts.get("name") or b"").rstrip(b".")
        confirmed = _CONFIRMS.search(text, by.end(), by.end() + _WORDS_BYTES) is not None
        resolve: ClientResolve = "forged" if parts.get("forged") else "ok" if confirmed else "unknown"
        return _handover(by[1], address, parts.get("helo") or b"", name, resolve)
    return None


def by_of(value: bytes) -> str:
    """The `by` host of an own line whose client is not known; "" where there is none."""
    found = _BY.search(value)
    return _text(found[1]) if found else ""


def _handover(by: bytes, address: tuple[str, bool], helo: bytes, name: bytes, resolve: ClientResolve) -> Handover:
    known = name and name.lower() != b"unknown"
    said = helo or name  # Exim leaves HELO out where it is the verified name
    return Handover(
        _text(by), *address, _text(said).strip("[]"), _text(name) if known else "", resolve if known else "failed"
    )


@lru_cache(65_536)
def _address(text: bytes) -> tuple[str, bool] | None:
    try:
        parsed = ip_address(text.decode("ascii"))
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    private = any(mapped.version == network.version and mapped in network for network in _OWN_NETWORKS)
    return peer_of(str(mapped)), private


def _text(name: bytes) -> str:
    return name.decode("latin-1").lower().rstrip(".")
