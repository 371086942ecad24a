"""
Nobody is treated harsher by what is meant to help: a life lived twice, with one thing more or less, and compared after each move.

Both worlds have the same inputs and a notifier that delivers at once. What the two may differ in by design is left out of them, for
an act that spares one shifts these for others, or because they count law time, which stands still for what stops the law: caps (the
queue moves up), expiry and relapses (a case that stood still is remembered longer), and policies that change on the way.
"""

import random
from collections import Counter
from collections.abc import Container, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from unittest import mock

from msgspec.structs import replace

from shared.domain import decide
from shared.domain import events as e
from shared.domain import records as r
from shared.domain.fold import Fold, Written
from shared.domain.policy import Policy, Relapses
from shared.domain.state import decision_of
from tests.second_law.twins import Move
from tests.second_law.words import who

Key = tuple[str, str]
Numbers = dict[int, Key]


class Message(NamedTuple):
    """One that could come: for whom it speaks, by which connector and peer, and the product that it shows."""

    ids: tuple[str, ...]
    connector: str
    peer: str
    product: str


Harshness = dict[Message, tuple[int, int]]
LONG_DAYS = 3650
_DUES_A_STEP = 10_000
LAG = timedelta(hours=1)  # then the law stands still


class Harsher(AssertionError):
    """Somebody is treated harsher by what is meant to help him."""


def plain(policy: Policy) -> Policy:
    """Without what two worlds may differ in by design; a floor that comes by date would be that of a case that opens later."""
    floors = {wave.product: wave for wave in sorted(policy.floors, key=lambda wave: wave.effective, reverse=True)}
    return replace(
        policy,
        caps=None,
        expire_days=LONG_DAYS,
        relapses=Relapses(days=0),
        floors=tuple(floors.values()),
        new_names_per_day=100_000,  # a name that finds no place leaves it to another
    )


class World:
    """One fold; numbers: the case that a number of the life's log meant."""

    def __init__(self, policy: Policy, moves: list[Move], numbers: Numbers) -> None:
        self.fold, self.numbers = Fold(policy), numbers
        self.fold.begin(at=moves[0][0], version="second law")
        seen = [move[3][0] for move in moves if move[3] is not None and isinstance(move[3][0], r.ServerSeen)]
        known = [(who(one.facts, policy), one.facts.peer, one.reading.product) for one in seen if one.reading]
        self.spoken = sorted({Message(of.ids, of.connector, peer, product) for of, peer, product in known if of.ids})
        self._ended: Counter[Key] = Counter()

    def move(self, move: Move) -> None:
        """One move, and whatever notices fell due are delivered."""
        at, h, blind, message = move
        if message is None:
            self._pass_to(min(h, at))
            self.fold.advance(h, at=at)
        self._note(self.fold.tick(at=at, blind=blind))
        meant = self._meant(message[0]) if message else None
        if message is not None and meant is not None:
            self._note(self.fold.take(meant, message[1], at=at))
        self._deliver(at)

    def _pass_to(self, h: datetime) -> None:
        """Let fall due one after another what does up to H, so that each notice is delivered when it is due, however long the step."""
        fold, law = self.fold, self.fold.law
        for _ in range(_DUES_A_STEP):
            dues = [law.utc_of(s.due) for _, s in fold.servers.slots() if isinstance(s.due, datetime)]
            due = min([*dues, *([fold.reprieves.due] if fold.reprieves.due else [])], default=h)
            if law.hold_since is not None or due >= h:
                return
            instant = max(due, law.at)
            fold.advance(instant, at=instant)
            self._note(fold.tick(at=instant, blind=False))
            self._deliver(instant)
            law = fold.law
        raise AssertionError("what is due never ends")

    def _note(self, written: list[Written]) -> None:
        """How many cases ended."""
        for record, _ in written:
            event = record.event
            if isinstance(event, e.CaseEnded):
                self._ended[event.server, event.product] += 1

    def _meant(self, message: Any) -> Any:
        """The same case of this world; None: left out, or there is none."""
        if isinstance(message, r.AdoptPolicy | r.ReportNotice | r.SetMode):
            return None
        if not hasattr(message, "case"):
            return message
        server, product = self.numbers.get(message.case, ("", ""))
        case = self.fold.servers[server].case_of(product) if server in self.fold.servers else None
        return replace(message, case=case.opened_seq) if case else None

    def _deliver(self, at: datetime) -> None:
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

    def lasting(self, other: "World") -> set[Message]:
        """Messages that meet a case which was opened again after a release, or one that has ended in one of two worlds only."""
        mixed = {(s.server, c.product) for s in self.fold.servers.values() for c in s.cases if c.mixed}
        keys = self._ended.keys() | other._ended.keys()
        return self._messages(mixed | {key for key in keys if self._ended[key] != other._ended[key]})

    def moved(self) -> set[Message]:
        """Messages of an id that a case left for a better one: who is seen by either is met by the case in one world only."""
        gone = {name for name, server in self.fold.servers.items() if server.moved}
        return {message for message in self.spoken if gone.intersection(message.ids)}

    def _messages(self, cases: Container[Key]) -> set[Message]:
        return {one for one in self.spoken if any((server, one.product) in cases for server in one.ids)}

    def harshness(self) -> Harshness:
        """For each message that could come: block and throttle minutes of the mildest case that accuses it."""
        rows = self._rows()
        found: Harshness = {}
        spares, policy = self.fold.reprieves.spare, self.fold.policy
        for one in self.spoken:
            met = [rows[server, one.product] for server in one.ids if (server, one.product) in rows]
            if met and min(met) > (0, 0) and not spares(policy, one.ids, one.connector, one.peer):
                found[one] = min(met)
        return found

    def met(self, message: Message) -> int:
        """How many cases it meets."""
        known = [self.fold.servers[one] for one in message.ids if one in self.fold.servers]
        return sum(
            case.product == message.product and not case.released_at for server in known for case in server.cases
        )

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
        # A freeze that comes and goes while H stands is no time of the law's, and so is none that was held.
        moves = _but(moves, r.PauseAccount, r.DisputeCase, r.SetFreeze)
        compare(policy, moves, [watched(move) for move in moves], numbers, "an outage", but_lasting=True)
        return "outages"
    act = moves[drawn.choice(acts)]
    helps = act[3][0] if act[3] else None
    if isinstance(helps, r.SetFreeze):  # a pause outlives its days while the law stands still, and the next is refused
        moves = _but(moves, r.PauseAccount)
    if isinstance(helps, r.SetFreeze | r.SetExemption):  # a dispute of a case that is exempt meanwhile has no effect
        moves = _but(moves, r.DisputeCase)
    left_out = {move[3][0].id for move in moves if move[3] is not None and alike(move, act)}  # type: ignore[union-attr]
    moves = [move if alike(move, act) or not _asks_again(move, left_out) else (*move[:3], None) for move in moves]
    fewer = [move if not alike(move, act) else (*move[:3], None) for move in moves]
    assert act[3] is not None
    frozen = isinstance(act[3][0], r.SetFreeze)
    compare(policy, moves, fewer, numbers, f"{act[3][0]}", but_lasting=frozen)
    return type(act[3][0]).__name__


def _asks_again(move: Move, ids: Container[str]) -> bool:
    """A request whose id was used before: where that one is left out it would be done."""
    return move[3] is not None and getattr(move[3][0], "id", "") in ids


def _but(moves: list[Move], *acts: type) -> list[Move]:
    """Without acts of these kinds."""
    return [(*move[:3], None) if move[3] is not None and isinstance(move[3][0], acts) else move for move in moves]


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


@mock.patch.object(decide, "NEWS_PER_HOUR", 1_000_000)  # what finds no place says nothing, and that in one world only
def compare(
    policy: Policy,
    moves: list[Move],
    others: list[Move],
    numbers: Numbers,
    helped: str,
    since: int = 0,
    *,
    but_lasting: bool = False,
) -> None:
    """
    After each move from *since* on, nobody is harsher in the first than in the second; with but_lasting, for as long as H may lag.

    but_lasting: cases that were mixed, or have ended in one of the two only, are left out: the 24 hours after a release are law
    time, so they are longer where the law stood still, and later where the cure came late.
    """
    apart: set[Message] = set()
    begun: dict[Message, datetime] = {}
    lag = LAG if but_lasting else timedelta()
    first, second = World(policy, moves, numbers), World(policy, others, numbers)
    for number, (one, other) in enumerate(zip(moves, others, strict=True)):
        first.move(one)
        second.move(other)
        mine, theirs = first.harshness(), second.harshness()
        apart |= first.moved() | second.moved()
        if but_lasting:
            apart |= first.lasting(second) | second.lasting(first)
        harsher = {key for key, row in mine.items() if row > theirs.get(key, (0, 0))} if number >= since else set()
        # Of several cases the mildest row holds, so a case more is mildness, too.
        harsher = {key for key in harsher if second.met(key) <= first.met(key)}
        begun = {key: begun.get(key, one[0]) for key in harsher - apart}
        for key in [key for key, first_at in begun.items() if one[0] - first_at >= lag]:
            raise Harsher(f"{key} by {helped}: {mine[key]}, and without {theirs.get(key)}, at {one[0]}, move {number}")


def comes_late(message: Any, at: datetime) -> bool:
    """
    A live sighting, of a clock that is not ahead.

    An imported cure counts only while nothing newer accuses, so a late one may clear nothing at all. What was seen in the future
    counts as seen when it came, and so in another hour.
    """
    return isinstance(message, r.ServerSeen) and not message.facts.imported and message.facts.seen_at <= at


def _is_in_order(move: Move, kinds: tuple[type, ...]) -> bool:
    """One of these kinds, and no sighting that came late, or was imported: what is compared with must be the order in which it was seen."""
    message = move[3][0] if move[3] else None
    if isinstance(message, r.ServerSeen) and (message.facts.seen_at < move[0] or message.facts.imported):
        return False
    return isinstance(message, kinds)


def delayed(policy: Policy, moves: list[Move], numbers: Numbers, drawn: random.Random) -> str:
    """A life in which some sightings come late, and the same in order; compared from the last arrival on, for cures come late, too."""
    heard = (r.ServerSeen, r.SetFreeze)  # an act may find its case not there yet: what it does is another matter
    moves = [move if _is_in_order(move, heard) else (*move[:3], None) for move in moves]
    seen = [n for n, move in enumerate(moves) if move[3] is not None and comes_late(move[3][0], move[0])]
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
    compare(policy, late, ordered, numbers, "a delay", since=max(arrives) + len(chosen), but_lasting=True)
    return "delay"
