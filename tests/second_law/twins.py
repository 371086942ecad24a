"""The same inputs once more, at other instants and from stored state: the end must be the same."""

import random
from datetime import datetime

from shared.domain.fold import Fold, Input
from shared.domain.records import Origin
from shared.domain.reprieves import Reprieves
from tests.support.scenario import stored_servers

Move = tuple[datetime, datetime, bool, tuple[Input, Origin] | None]
"""Clock, H, blind, and an input with its cause."""

CHECKPOINT_NEAR = 800
"""A checkpoint is a record of its own and moves the numbers of those after it, so it must come with the same look."""


class TwinsDiffer(AssertionError):
    """A fold that was ticked or cut elsewhere ends otherwise."""


def replayed(first: Fold, moves: list[Move], drawn: random.Random) -> Fold:
    """*moves* on *first*, with ticks in between and, once, from its own stored state."""
    fold, cut = first, drawn.randrange(len(moves) + 1)
    for number, (at, h, blind, message) in enumerate(moves):
        if number == cut:
            fold = _restored(fold)
        if message is None:
            _ticks_between(fold, at, h, drawn)
            fold.advance(h, at=at)
            fold.tick(at=at, blind=blind)
            fold.tick(at=at, blind=blind)
        else:
            fold.tick(at=at, blind=blind)
            fold.take(*message, at=at)
    return fold


def _restored(fold: Fold) -> Fold:
    again = Fold(fold.policy, fold.law)
    kept = fold.reprieves
    again.restore(stored_servers(fold.servers), dict(fold.requests), Reprieves(kept.accounts, kept.in_force()))
    return again


def _ticks_between(fold: Fold, at: datetime, h: datetime, drawn: random.Random) -> None:
    """
    Looks on the way, wherever H comes along; while the law is blind nobody would see anything of it.

    Caps count by the UTC day of the look, so looks stay within the day of the next.
    """
    if fold.law.since_checkpoint > CHECKPOINT_NEAR:
        return
    begun = max(fold.law.at, at.replace(hour=0, minute=0, second=0))
    if h == at and not fold.law.blind and begun < at:
        for share in sorted(drawn.random() for _ in range(2)):
            between = begun + (at - begun) * share
            if between > fold.law.h:
                fold.advance(between, at=between)
                fold.tick(at=between, blind=False)


def same(one: Fold, other: Fold) -> None:
    """All that is kept is the same."""
    if one.servers != other.servers:
        names = [name for name in one.servers if one.servers.get(name) != other.servers.get(name)]
        raise TwinsDiffer(
            "\n".join(f"{name}:\n  {one.servers.get(name)}\n  {other.servers.get(name)}" for name in names[:2])
        )
    if (one.law.now, one.law.held_so_far, one.requests) != (other.law.now, other.law.held_so_far, other.requests):
        raise TwinsDiffer(f"{one.law}\n{other.law}")
