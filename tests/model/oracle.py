"""
What must hold at every step, for every edge and every message that could come in that minute.

1. The verdict is at most what the second law allowed at the turn whose heartbeat the edge judges by.
2. That turn's H lies no further back than `stale_after` (and the clock guard): so 1 speaks of the last `stale_after`.
   Else the edge observes, whether or not it has anything to refuse in that minute.
3. Nothing is refused that is frozen on sight, exempt by the local file, a bounce, to postmaster, or a neighbour's; nor
   by an edge that knows that its clock is off: frozen or off it observes.
4. In one clock hour no more minutes are refused than the row says.
"""

from collections import Counter
from itertools import product
from random import Random

from services.edge.core import Outcome
from tests.model.edge_model import EdgeModel
from tests.model.law_model import LawModel
from tests.model.ruling import Ruling, verdict_of
from tests.model.senders import MESSAGES, NEVER_REFUSED, SENDERS, UNSURE_DNS, Sender, Shown
from tests.model.truth import seconds
from tests.model.words import MILDNESS, Action

STALE_AFTER = 6 * 3600
TOLERANCE = 300  # the clock guard: so much an edge's clock may be off unnoticed
_ACTIONS: dict[str, Action] = {"4": "defer", "5": "reject"}


class Harsher(AssertionError):
    """An edge is harsher than what the policy allowed."""


class Oracle:
    """Asks each edge at each step. counts: what was asked and found."""

    def __init__(self, law: LawModel, counts: Counter[str], random: Random) -> None:
        self._law = law
        self._counts = counts
        self._random = random
        self._minutes: dict[tuple[object, ...], set[int]] = {}
        self._hour: dict[str, int] = {}
        self._sender: dict[str, Sender] = {}

    def check(self, edge: EdgeModel, now: int, *, dense: bool) -> None:
        """All probes at *now* (seconds since `START`)."""
        self._counts["edge minutes"] += 1
        if edge.heartbeat is not None and not edge.app.gate.observing():
            self._counts["edge minutes in which it would refuse"] += 1
            self._check_age(edge, now)
            self._check_sight(edge)
        watched = self._watched(edge)
        refused = self._ask(edge, MESSAGES[watched][watched.shows[0]], now, dense=dense) != "pass"
        sender = self._random.choice(SENDERS)
        refused |= self._ask(edge, MESSAGES[sender][sender.shows[0]], now) != "pass"
        self._ask(edge, MESSAGES[sender][self._random.choice(sender.shows)], now)
        special = self._random.choice((None, None, None, *NEVER_REFUSED, UNSURE_DNS))
        if special is not None and edge.judge(special[watched]).reply is not None:
            raise Harsher(f"{edge.name} refuses a bounce, a mail to postmaster, or one while DNS fails")
        self._counts["edge minutes with a refusal"] += refused

    def _watched(self, edge: EdgeModel) -> Sender:
        """The sender that is asked for at each minute of this clock hour; its minutes are counted."""
        hour = seconds(edge.clock.now()) // 3600
        if self._hour.get(edge.name) != hour:
            self._hour[edge.name] = hour
            self._sender[edge.name] = self._random.choice(SENDERS)
            self._minutes = {key: found for key, found in self._minutes.items() if key[0] != edge.name}
        return self._sender[edge.name]

    def _ask(self, edge: EdgeModel, shown: Shown, now: int, *, dense: bool = False) -> Action:
        outcome = edge.judge(shown)
        action: Action = "pass" if outcome.reply is None else _ACTIONS[str(outcome.reply)[0]]
        self._counts["probes"] += 1
        if action == "pass":
            self._count_truth(edge, shown, outcome)
            return action
        self._counts[f"probes: {action}"] += 1
        self._counts["probes: refused by the file of a start without the bus"] += edge.app.decisions.source == "file"
        allowed = self._allowed(edge, shown)
        if MILDNESS[action] > MILDNESS[allowed]:
            raise Harsher(
                f"{edge.name} says {action} to {shown.sender.name} showing {shown.show}; allowed is {allowed}"
            )
        self._check_age(edge, now)
        self._check_sight(edge)
        self._check_never(edge, shown)
        if dense:
            self._check_minutes(edge, shown, outcome)
        return action

    def _count_truth(self, edge: EdgeModel, shown: Shown, outcome: Outcome) -> None:
        """Now and then: what the newest ruling would have allowed, so that a world in which all passes is noticed."""
        if self._random.random() < 0.05:
            self._counts["passed, sampled"] += 1
            harsher = verdict_of(self._law.rulings[-1], shown.seen.facts, shown.seen.reading, seconds(edge.clock.now()))
            self._counts["passed, sampled: could be refused"] += harsher != "pass"
            self._counts[f"passed, sampled: {outcome.reason}"] += harsher != "pass"

    def _allowed(self, edge: EdgeModel, shown: Shown) -> Action:
        """
        By the turn of the heartbeat in use, and whatever records of later turns the edge has taken already.

        Those come piece by piece, a server's decision and the policy each whole.
        """
        heartbeat = edge.heartbeat
        if heartbeat is None:
            return "pass"
        turn = self._law.told[heartbeat]
        instant = seconds(edge.clock.now())
        base = self._law.rulings[turn]
        later = self._law.rulings[turn : max(turn, edge.newest_turn) + 1]
        cases = {id(ruling.cases): ruling.cases for ruling in later}.values()
        policies = {id(ruling.policy): ruling.policy for ruling in later}.values()
        mixed = [base._replace(cases=c, policy=p) for c, p in product(cases, policies)]
        return max((self._verdict(ruling, shown, instant) for ruling in mixed), key=MILDNESS.__getitem__)

    def _verdict(self, ruling: Ruling, shown: Shown, instant: int) -> Action:
        return verdict_of(ruling, shown.seen.facts, shown.seen.reading, instant)

    def _check_age(self, edge: EdgeModel, now: int) -> None:
        turn = self._law.told[edge.heartbeat or b""]
        age = now - self._law.rulings[turn].h
        if age > STALE_AFTER + TOLERANCE:
            raise Harsher(f"{edge.name} judges by an H that is {age} s old; {STALE_AFTER} is the bound")

    def _check_sight(self, edge: EdgeModel) -> None:
        if edge.is_frozen():
            raise Harsher(f"{edge.name} would refuse while frozen on sight")
        if edge.known_off:
            raise Harsher(f"{edge.name} would refuse though it knows that its clock is off")

    def _check_never(self, edge: EdgeModel, shown: Shown) -> None:
        if edge.exempt_peer == shown.sender.peer:
            raise Harsher(f"{edge.name} refuses {shown.sender.name}, whose peer is exempt")
        if shown.above or shown.sender.name == "beside.example":
            raise Harsher(f"{edge.name} refuses {shown.sender.name}, which shows {shown.show}")

    def _check_minutes(self, edge: EdgeModel, shown: Shown, outcome: Outcome) -> None:
        record = outcome.record
        assert record is not None
        own = seconds(edge.clock.now())
        row, table = record.row, edge.app.decisions.table
        salt = table.policy.salt if table.policy else ""
        bound = row.block_minutes_per_hour if record.action == "reject" else row.throttle_minutes_per_hour
        key = (edge.name, shown.sender.name, record.server, row, salt, record.action)
        minutes = self._minutes.setdefault(key, set())
        minutes.add(own // 60 % 60)
        if len(minutes) > bound:
            raise Harsher(f"{edge.name} refuses {len(minutes)} minutes of an hour; the row says {bound}")
        self._counts["minutes counted"] += 1
