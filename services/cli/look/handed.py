"""Where a mail was handed to one's own servers: by whom, when, and with which lines of the sender's."""

from collections.abc import Sequence
from itertools import dropwhile
from typing import NamedTuple

from services.cli.look.headers import seconds_of
from services.cli.look.logged import Logged
from services.cli.look.own_line import Handover, by_of, handover, handover_of, normal
from services.cli.look.own_names import Own
from shared.domain.registrable import same_owner

LINES_LOOKED_AT = 60
"""Lines of one mail, top first; an own run has below 10, and Postfix refuses mail of over 50 hops."""


class Handed(NamedTuple):
    """
    One mail that came from outside. by: None where our line names no address in a known form.

    received: the sender's `Received` values as they stood, top first; lines: the same in `normal` form. seconds: when it
    came, since 1970 UTC, None without a readable date.
    """

    by: Handover | None
    received: Sequence[bytes]
    lines: Sequence[bytes]
    seconds: int | None


def handed_over(received: Sequence[bytes], own: Own) -> Handed | None:
    """Where a stored mail with these `Received` values, one at least, came in; None for one that never left the own servers."""
    received = received[:LINES_LOOKED_AT]
    lines = [normal(value) for value in received]
    found = border(lines, own)
    if found is None:
        return None
    last_own, by = found
    return Handed(by, received[last_own + 1 :], lines[last_own + 1 :], seconds_of(received[last_own]))


def handed_over_by(mail: Logged, own: Own) -> Handed | None:
    """Where a mail of a log came in; None for one of a user, or from an own address."""
    by = handover(mail.address, mail.helo, mail.name, mail.resolve)
    if mail.auth or by is None or by.inside:
        return None
    pairs = [(value, normal(value)) for value in mail.received or ()]
    if mail.own_on_top:
        pairs = list(dropwhile(lambda pair: by_of(pair[1]) in own.names, pairs))
    return Handed(by, [value for value, _ in pairs], [line for _, line in pairs], mail.seconds)


def run_length(lines: Sequence[bytes]) -> int:
    """How many of the sender's lines, top first, are its own: those of one host, or the top one where that names none."""
    name = by_of(lines[0]) if lines else ""
    if not name:
        return min(1, len(lines))
    return next((index for index, line in enumerate(lines) if by_of(line) != name), len(lines))


def border(lines: Sequence[bytes], own: Own) -> tuple[int, Handover | None] | None:
    """The index of the last own line, and who handed over to it; None for a mail that never left the own servers."""
    index = 0
    while True:
        by = handover_of(lines[index])
        inside = by is not None and by.inside
        if index + 1 >= len(lines):
            return None if by is None or inside else (index, by)
        if not inside and not _is_relay(by_of(lines[index + 1]), by, own):
            return index, by
        index += 1


def _is_relay(below: str, by: Handover | None, own: Own) -> bool:
    """
    Whether the line below is one of our own relay's, and not one that a stranger wrote in its name.

    Who handed over must be that relay, as DNS confirms; a line that names no client is of a delivery inside.
    """
    if below not in own.names:
        return False
    return by is None or (by.resolve == "ok" and (by.client_name == below or same_owner(by.client_name, below)))
