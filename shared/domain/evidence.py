"""
What one message showed (facts), and what the lines say (reading).

Facts are what the edge saw and no opinion: the peer, its names, its own `Received` lines, redacted.
A reading is a function of the own lines and the catalogue alone (see `received.py`).
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from shared.domain.build import Build

UtcDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
"""Aware; every service writes UTC."""

ClientResolve = Literal["ok", "failed", "forged", "tempfail", "unknown"]
"""What DNS said of the client's name, as the MTA tells it: only `ok` verifies it; `tempfail` gives no sighting."""


class Introduction(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=False, kw_only=True):
    """
    How a server introduced itself, in one message.

    peer: the address that connected; IPv6 as its /64 prefix, `::ffff:` folded (see `identity.peer_of`).
    name: the `by` host of the own lines, lower case; "" when there is none.
    """

    peer: str
    helo: str
    client_name: str
    client_resolve: ClientResolve
    tls_name: str
    name: str


class Facts(Introduction, frozen=True, gc=False, kw_only=True):
    """
    What one message showed of the server that handed it over.

    own_lines: the sender's own `Received` lines, top first, redacted: no `for`, nothing before an `@`.
    """

    own_lines: tuple[str, ...]
    seen_at: UtcDatetime
    edge: str
    imported: bool = False


class Reading(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    Which product the own lines name, and between which builds the installed one must lie.

    product: as in the catalogue, such as `Microsoft Exchange 2016`.
    shown: the highest build that the own lines show; None where the product shows none.
    low, high: the range of the installed build, both ends included; None where no build is shown.
    form: the shape of the line that counted (`smtp`, `mapi`, ...). reason: why the range is what it is; docs explain each code.
    """

    product: str
    shown: Build | None
    low: Build | None
    high: Build | None
    form: str
    reason: str


class OwnRun(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    The run of lines from the top whose `by` host is the same: the sender's own.

    name: that host, lower case, "" when there is no readable line. lines: as they stood, unfolded, top first.
    reading: None when they name no product that we judge.
    """

    name: str
    lines: tuple[str, ...]
    reading: Reading | None
