"""
Who handed a stored mail over, as the line says that our own server wrote of it, and what that is as evidence.

Which lines are our own is for whoever reads the mailbox to say.
"""

import ipaddress
import re
from datetime import datetime

import msgspec

from shared.domain.evidence import ClientResolve, Facts, OwnRun
from shared.domain.header_text import by_clause_of, comments_of, redact
from shared.domain.identity import peer_of

_NAME_LENGTH_MAX = 256

_ADDRESS = r"(?:IPv6:)?(?P<address>[0-9A-Fa-f:.]{2,45})(?:%\w{1,20})?"
_CLIENTS = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        # Postfix, Sendmail: (NAME [ADDRESS]), with `unknown` or `may be forged` where DNS did not confirm the name
        rf"@?(?P<name>[\w.-]{{1,255}})? ?\[{_ADDRESS}\](?::\d{{1,5}})?(?P<forged> \(may be forged\))?",
        rf"{_ADDRESS}",  # Exchange, qmail
        rf"\[{_ADDRESS}\](?::\d{{1,5}})? helo=(?P<helo>[^\s()]{{1,255}})",  # Exim: the name in front is confirmed by DNS
        r"(?:port=\d{1,5} )?helo=(?P<helo>[^\s()]{1,255})",  # Exim: [ADDRESS] stands in front, without a name
        rf'\[{_ADDRESS}\]:\d{{1,5}} "(?:EHLO|HELO) (?P<helo>[^\s"]{{1,255}})"[\w -]{{0,60}}',  # ZMailer
    )
)
_LITERAL = re.compile(rf"\[{_ADDRESS}\]", re.ASCII | re.IGNORECASE)
_HELO_OF_QMAIL = re.compile(r"HELO (?P<helo>[^\s()]{1,255})", re.ASCII)


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who a line says that connected. name, resolve: what DNS said of the address, as the server that wrote the line tells it."""

    address: str
    helo: str = ""
    name: str = ""
    resolve: ClientResolve = "unknown"


def imported_facts(client: Client, run: OwnRun, *, seen_at: datetime, origin: str) -> Facts:
    """What a stored mail showed of who handed it over, as imported evidence; *run* as `read_own_run` reads the lines."""
    return Facts(
        peer=peer_of(client.address),
        helo=client.helo[:_NAME_LENGTH_MAX],
        client_name=client.name[:_NAME_LENGTH_MAX],
        client_resolve=client.resolve,
        tls_name="",
        name=run.name,
        own_lines=tuple(redact(line) for line in run.lines),
        seen_at=seen_at,
        edge=origin,
        imported=True,
    )


def client_of(line: str) -> Client | None:
    """
    The client that a redacted line names; None where it names no address.

    The last comment before `by` that has the form of a server's own note counts: a HELO name stands before it.
    """
    by = by_clause_of(line)
    if by is None or line[:5].lower() != "from ":
        return None
    front = line[: by.start]
    said = front[5:].partition(" ")[0]
    for begin, end in reversed(comments_of(front)):
        for form in _CLIENTS:
            found = form.fullmatch(front, begin + 1, end - 1)
            if found is not None:
                return _client(found.groupdict(), said, front)
    literal = _LITERAL.fullmatch(said)
    return Client(address=literal["address"]) if literal and _is_address(literal["address"]) else None


def _client(found: dict[str, str | None], said: str, front: str) -> Client | None:
    literal = _LITERAL.fullmatch(said)
    address = found.get("address") or (literal["address"] if literal else "")
    if not address or not _is_address(address):
        return None
    helo, name = found.get("helo"), found.get("name")
    if helo is not None:  # Exim and ZMailer: the name in front is what DNS said
        confirmed = "" if literal else said
        return Client(address=address, helo=helo, name=confirmed, resolve="ok" if confirmed else "failed")
    qmail = next((m for b, e in comments_of(front) if (m := _HELO_OF_QMAIL.fullmatch(front, b + 1, e - 1))), None)
    if qmail is not None:
        return Client(address=address, helo=qmail["helo"])
    if name is None:
        return Client(address=address, helo=said)
    if name.lower() == "unknown":
        return Client(address=address, helo=said, resolve="failed")
    return Client(address=address, helo=said, name=name, resolve="forged" if found.get("forged") else "ok")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
