"""
Which servers are the reader's own, inferred from stored mail.

The line on top of a stored mail is its receiver's. A line below it is the receiver's too if it was handed over inside (from a private or
loopback address, or from no address at all), or if nearly all mails come that way. What was inferred is printed,
and `--own` overrules it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from services.cli.look.own_line import by_of, handover_of, normal

TOP_SHARE = 0.05
"""A host that writes the top line of so many mails is an own one, wherever else its line stands."""

RELAY_SHARE = 0.6
"""Of the mails below an own host: so many through one and the same host make it an own relay or a gateway in front."""

RELAY_MAILS = 20  # below it a share says nothing

CHAIN_LINES = 6  # of a mail that are looked at; own ways inside are shorter


class Chains(msgspec.Struct):
    """
    How the top lines of mails follow each other. tops: host of the top line -> mails.

    outside: host -> host of the line below where that was handed over from outside -> mails; at most HOSTS_MAX pairs.
    """

    mails: int = 0
    tops: dict[str, int] = msgspec.field(default_factory=dict)
    outside: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)


HOSTS_MAX = 50_000
"""Pairs of hosts that are counted; further ones are rarer than any share that counts."""


class Own(msgspec.Struct, frozen=True):
    """The reader's own hosts, lower case. names: they write own lines; inferred: whether nobody named them."""

    names: frozenset[str]
    inferred: bool = True


def note_chain(chains: Chains, received: Sequence[bytes]) -> None:
    """Count the top lines of one mail."""
    if not received:
        return
    pairs = sum(map(len, chains.outside.values()))
    lines = [normal(value) for value in received[: CHAIN_LINES + 1]]
    note_top(chains, lines[0])
    for index, line in enumerate(lines[:CHAIN_LINES]):
        handover, by = handover_of(line), by_of(line)
        if handover is not None and handover.inside:
            continue
        below = by_of(lines[index + 1]) if index + 1 < len(lines) else ""
        if below and pairs < HOSTS_MAX:
            following = chains.outside.setdefault(by, {})
            following[below] = following.get(below, 0) + 1
        if handover is not None:
            return


def note_top(chains: Chains, line: bytes) -> None:
    """Count a mail by its top line, in `normal` form."""
    chains.mails += 1
    by = by_of(line)
    if by in chains.tops or len(chains.tops) < HOSTS_MAX:
        chains.tops[by] = chains.tops.get(by, 0) + 1


def infer(chains: Chains) -> Own:
    """The own hosts that *chains* show."""
    own = {host for host, mails in chains.tops.items() if host and mails >= TOP_SHARE * chains.mails}
    while added := {below for host in own for below in _relays_below(chains, host)} - own:
        own |= added
    return Own(frozenset(own))


def _relays_below(chains: Chains, host: str) -> Iterable[str]:
    following = chains.outside.get(host, {})
    everything = sum(following.values())
    if everything < RELAY_MAILS:
        return ()
    return (below for below, mails in following.items() if mails >= RELAY_SHARE * everything)


def merged(many: Iterable[Chains]) -> Chains:
    """All of *many* as one."""
    whole = Chains()
    tops: Counter[str] = Counter()
    for one in many:
        whole.mails += one.mails
        tops.update(one.tops)
        for host, following in one.outside.items():
            into = whole.outside.setdefault(host, {})
            for below, mails in following.items():
                into[below] = into.get(below, 0) + mails
    whole.tops = dict(tops)
    return whole
