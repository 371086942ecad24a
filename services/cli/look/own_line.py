"""
The lines that one's own servers wrote, by bytes: who connected, and from inside or outside.

The reading itself is `shared.domain.stored`; here it is remembered for lines that differ in nothing that it looks at.
"""

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from shared.domain.evidence import ClientResolve
from shared.domain.header_text import by_host_of, redact
from shared.domain.identity import peer_of
from shared.domain.stored import client_of

LINES_KEPT = 16_384
"""Different lines whose reading is remembered, some 10 MB of them; the one not met for longest is read again."""

# What differs from mail to mail and says nothing stands at the end of a line: queue id (no build: no dots), recipient, date.
_ID_AND_RECIPIENT = re.compile(
    rb"id [A-Za-z0-9-]{5,40}(?:\s+for (?:<[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,255}>|[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,255}))?"
)
_DATE = re.compile(
    rb";\s+[A-Z][a-z]{2}, {1,2}\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}(?P<zone> \([A-Z]{1,5}\))?\s*"
)
_ANY_DATE = b"; Mon, 1 Jan 2001 00:00:00 +0000"
_ANY_END = b"id X" + _ANY_DATE

# Servers whose name in brackets is one that DNS confirmed both ways; of others it is not known what they looked up.
_CONFIRMS = re.compile(r" \((?:Postfix|Exim|8\.\d{1,2}\.)")

# Not `is_private`: that takes in the addresses of documentation, under which examples and made-up mails come.
_INSIDE = tuple(
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


class Handover(NamedTuple):
    """Who handed the mail over. address: as it connected; peer: as in `identity.peer_of`; inside: an address of an own network."""

    address: str
    peer: str
    inside: bool
    helo: str
    client_name: str
    resolve: ClientResolve


def normal(value: bytes) -> bytes:
    """The value with any date, queue id and plain recipient at its end made equal; other text stays, byte for byte."""
    end = value.rfind(b";")
    date = _DATE.fullmatch(value, end) if end >= 0 else None
    if date is None:
        return value
    zone = date["zone"] or b""  # kept: an Exchange writes none
    at = value.rfind(b"id ", 0, end)
    if at > 0 and value[at - 1] in b" \t" and _ID_AND_RECIPIENT.fullmatch(value, at, end):
        return value[:at] + _ANY_END + zone
    return value[:end] + _ANY_DATE + zone


def text_of(value: bytes) -> str:
    """Header bytes as text: each byte one character, so nothing is lost and nothing fails."""
    return value.decode("latin-1")


@lru_cache(LINES_KEPT)
def by_of(line: bytes) -> str:
    """The host that wrote a `normal` line, lower case; "" where it names none."""
    return by_host_of(redact(text_of(line)))


@lru_cache(LINES_KEPT)
def handover_of(line: bytes) -> Handover | None:
    """What a `normal` line of an own server says of the client; None where it names no address in a known form."""
    text = redact(text_of(line))
    client = client_of(text)
    if client is None:
        return None
    resolve = client.resolve
    if resolve == "ok" and not _CONFIRMS.search(text):
        resolve = "unknown"
    return handover(client.address, client.helo, client.name, resolve)


@lru_cache(LINES_KEPT)
def handover(address: str, helo: str, name: str, resolve: ClientResolve) -> Handover | None:
    """The hand-over that these are; None where *address* is none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    inside = any(mapped.version == network.version and mapped in network for network in _INSIDE)
    return Handover(
        str(mapped), peer_of(str(mapped)), inside, helo.lower().strip("[]"), name.lower().rstrip("."), resolve
    )
