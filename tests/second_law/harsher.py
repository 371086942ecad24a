"""
Nobody is treated harsher by what is meant to help: a life lived twice, with one thing more or less, and compared after each move.

Both worlds have the same inputs and a notifier that delivers at once. What the two may differ in by design is left out of them, for
an act that spares one shifts these for others, or because they count law time, which stands still for what stops the law: caps (the
queue moves up), expiry and relapses (a case that stood still is remembered longer), and policies that change on the way.
"""

import random
from collections.abc import Container, Iterator
from typing import Any

from msgspec.structs import replace

from shared.domain import records as r
from shared.domain.fold import Fold
from shared.domain.policy import Policy, Relapses
from shared.domain.state import decision_of
from tests.second_law.twins import Move
from tests.second_law.words import who

Key = tuple[str, str]
Numbers = dict[int, Key]
Message = tuple[tuple[str, ...], str]
Harshness = dict[Message, tuple[int, int]]
LONG_DAYS = 3650


class Harsher(AssertionError):
    """Somebody is treated harsher by what is meant to help him."""


def plain(policy: Policy) -> Policy:
    """Without what two worlds may differ in by design."""
    return replace(policy, caps=None, expire_days=LONG_DAYS, relapses=Relapses(days=0))


class World:
    """One fold; numbers: the case that a number of the life's log meant."""

    def __init__(self, policy: Policy, moves: list[Move], numbers: Numbers) -> None:
        self.fold, self.numbers = Fold(policy), numbers
        self.fold.begin(at=moves[0][0], version="second law")
        seen = [move[3][0] for move in moves if move[3] is not None and isinstance(move[3][0], r.ServerSeen)]
        spoken = {(who(one.facts, policy).ids, one.reading.product) for one in seen if one.reading}
        self.spoken = sorted((ids, product) for ids, product in spoken if ids)

    def move(self, move: Move) -> None:
        """One move, and whatever notices fell due are delivered."""
        at, h, blind, message = move
        if message is None:
            self.fold.advance(h, at=at)
        self.fold.tick(at=at, blind=blind)
        meant = self._meant(message[0]) if message else None
        if message is not None and meant is not None:
            self.fold.take(meant, message[1], at=at)
        self._deliver(move)

    def _meant(self, message: Any) -> Any:
        """The same case of this world; None: left out, or there is none."""
        if isinstance(message, r.AdoptPolicy | r.ReportNotice | r.SetMode):
            return None
        if not hasattr(message, "case"):
            return message
        server, product = self.numbers.get(message.case, ("", ""))
        case = self.fold.servers[server].case_of(product) if server in self.fold.servers else None
        return replace(message, case=case.opened_seq) if case else None

    def _deliver(self, move: Move) -> None:
        at = move[0]
        origin = r.Origin(topic="requests", partition=0, offset=0)
        for server in list(self.fold.servers.values()):
            for notice in [notice.notice for case in server.cases for notice in case.pending]:
                report = r.ReportNotice(
                    id="notice-" + notice,
                    who="n",
                    why="",
                    made_at=at,
                    notice=notice,
                    server=server.server,
                    outcome="delivered",
                )
                self.fold.take(report, origin, at=at)

    def mixed(self) -> set[Message]:
        """Messages that a case meets which was opened again after a release."""
        return self._messages({(s.server, c.product) for s in self.fold.servers.values() for c in s.cases if c.mixed})

    def moved(self) -> set[Message]:
        """Messages of an id that a case left for a better one: who is seen by either is met by the case in one world only."""
        gone = {name for name, server in self.fold.servers.items() if server.moved}
        return {(ids, product) for ids, product in self.spoken if gone.intersection(ids)}

    def _messages(self, cases: Container[Key]) -> set[Message]:
        return {(ids, product) for ids, product in self.spoken if any((one, product) in cases for one in ids)}

    def harshness(self) -> Harshness:
        """For each message that could come: block and throttle minutes of the mildest case that accuses it."""
        rows = self._rows()
        found: Harshness = {}
        for ids, product in self.spoken:
            met = [rows[one, product] for one in ids if (one, product) in rows]
            if met and min(met) > (0, 0):
                found[ids, product] = min(met)
        return found

    def _rows(self) -> dict[Key, tuple[int, int]]:
        law, found = self.fold.law, dict[Key, tuple[int, int]]()
        for server in self.fold.servers.values():
            decision = decision_of(server)
            for case in decision.cases if decision and not law.frozen else ():
                row = next((row for row in reversed(case.rows) if row.since <= law.now), None)
                binds = row is not None and case.enforced
                found[server.server, case.product] = (
                    (row.block_minutes_per_hour, row.throttle_minutes_per_hour) if row is not None and binds else (0, 0)
                )
        return found


def helping(moves: list[Move]) -> Iterator[int]:
    """Moves that are meant to help, and stretches in which nobody looked."""
    for number, (_, _, _, message) in enumerate(moves):
        act = message[0] if message else None
        meant = isinstance(act, r.PauseAccount | r.DisputeCase)
        meant = meant or (isinstance(act, r.SetExemption) and act.until is not None)
        if meant or (isinstance(act, r.SetFreeze) and act.frozen):
            yield number


def without_help(policy: Policy, moves: list[Move], numbers: Numbers, drawn: random.Random) -> str:
    """A life, and the same without one helping act, or without its outages. Answers what was left out."""
    acts = list(helping(moves))
    if not acts or drawn.random() < 0.3:
        moves = [unpaused(move) for move in moves]
        compare(policy, moves, [watched(move) for move in moves], numbers, "an outage", but_mixed=True)
        return "outages"
    act = moves[drawn.choice(acts)]
    if isinstance(act[3][0] if act[3] else None, r.SetFreeze):
        moves = [unpaused(move) for move in moves]
    fewer = [move if not alike(move, act) else (*move[:3], None) for move in moves]
    assert act[3] is not None
    frozen = isinstance(act[3][0], r.SetFreeze)
    compare(policy, moves, fewer, numbers, f"{act[3][0]}", but_mixed=frozen)
    return type(act[3][0]).__name__


def unpaused(move: Move) -> Move:
    """Without pauses: while the law stands still one outlives its days, and the next that is asked for meanwhile is refused."""
    paused = move[3] is not None and isinstance(move[3][0], r.PauseAccount)
    return (*move[:3], None) if paused else move


def alike(move: Move, act: Move) -> bool:
    """The act, or a like one on the same: one that was refused as the second would be done where the first was left out."""
    if move[3] is None or act[3] is None or type(move[3][0]) is not type(act[3][0]):
        return False
    one, other = move[3][0], act[3][0]
    named = ("account", "kind", "target", "server")
    lifts = getattr(one, "until", 0) is None or getattr(one, "frozen", True) is False
    return not lifts and all(getattr(one, name, None) == getattr(other, name, None) for name in named)


def watched(move: Move) -> Move:
    """The same with edges that mark."""
    at, _, _, message = move
    return at, at, False, message


def compare(
    policy: Policy,
    moves: list[Move],
    others: list[Move],
    numbers: Numbers,
    helped: str,
    since: int = 0,
    *,
    but_mixed: bool = False,
) -> None:
    """
    After each move from *since* on, nobody is harsher in the first than in the second.

    but_mixed: cases that were mixed are left out: the 24 hours in which a released case can be are law time, so they are
    longer where the law stood still.
    """
    apart: set[Message] = set()
    first, second = World(policy, moves, numbers), World(policy, others, numbers)
    for number, (one, other) in enumerate(zip(moves, others, strict=True)):
        first.move(one)
        second.move(other)
        mine, theirs = first.harshness(), second.harshness()
        apart |= first.moved() | second.moved()
        if but_mixed:
            apart |= first.mixed() | second.mixed()
        for key, row in mine.items():
            if key not in apart and number >= since and row > theirs.get(key, (0, 0)):
                raise Harsher(f"{key} by {helped}: {row}, and without {theirs.get(key)}, at {one[0]}, move {number}")


def comes_late(message: Any) -> bool:
    """A live sighting: an imported cure counts only while nothing newer accuses, so a late one may clear nothing at all."""
    return isinstance(message, r.ServerSeen) and not message.facts.imported


def delayed(policy: Policy, moves: list[Move], numbers: Numbers, drawn: random.Random) -> str:
    """A life in which some sightings come late, and the same in order; compared from the last arrival on, for cures come late, too."""
    heard = (r.ServerSeen, r.SetFreeze)  # an act may find its case not there yet: what it does is another matter
    moves = [move if move[3] and isinstance(move[3][0], heard) else (*move[:3], None) for move in moves]
    seen = [n for n, move in enumerate(moves) if move[3] is not None and comes_late(move[3][0])]
    if not seen:
        return "nothing"
    chosen = drawn.sample(seen, min(len(seen), 3))
    arrives: dict[int, list[Move]] = {}
    for number in chosen:
        target = min(len(moves) - 1, number + drawn.randint(1, 40))
        arrives.setdefault(target, []).append((*moves[target][:3], moves[number][3]))
    late: list[Move] = []
    ordered: list[Move] = []
    for number, move in enumerate(moves):
        ordered.append(move)
        late.append((*move[:3], None) if number in chosen else move)
        for arriving in arrives.get(number, []):
            ordered.append((*arriving[:3], None))
            late.append(arriving)
    compare(policy, late, ordered, numbers, "a delay", since=max(arrives) + len(chosen))
    return "delay"
