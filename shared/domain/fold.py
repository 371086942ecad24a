"""
The fold: inputs in, log records out, and the state that they make. What the enforcer runs, and what an audit runs again.

Order of each step: what is due is written first, in (due, server) order; then the input's event and its consequences.
"""

from datetime import datetime
from heapq import heapify, heappop, heappush

import msgspec

from shared.domain import acts, caps, schedule
from shared.domain import decide as d
from shared.domain import events as e
from shared.domain.evolve import evolve_law, evolve_move, evolve_server, server_of
from shared.domain.identity import Naming
from shared.domain.policy import Policy
from shared.domain.records import Act, AdoptPolicy, Origin, ReportNotice, SetFreeze, Sighting
from shared.domain.repeats import Glimpse
from shared.domain.reprieves import Reprieves
from shared.domain.servers import Servers, digest_of, encode_server
from shared.domain.state import Law, Server

__all__ = ["CHECKPOINT_EVERY", "RULES", "Asked", "Fold", "Input", "Written", "digest_of", "encode_server"]

RULES = 3
"""The number of this code's rules. A log of a higher one is refused; a lower one begins a new epoch."""

CHECKPOINT_EVERY = 1000
"""Log records between two digests of the state: an audit that finds a difference has at most so many to search."""

_HEAP_SLACK = 1000

Asked = AdoptPolicy | ReportNotice | SetFreeze | Act
Input = Sighting | Asked
Written = tuple[e.LogRecord, bytes]


class Fold:
    """The state and the one way to change it. Not to be shared between threads."""

    def __init__(self, policy: Policy, law: Law | None = None) -> None:
        self.policy = policy
        self.naming = Naming(policy)
        self.servers = Servers()
        self.servers.look(policy)
        self.requests: dict[str, datetime] = {}
        self.reprieves = Reprieves()
        self.changed: set[str] = set()
        self._law = law
        self._due: list[tuple[datetime, str]] = []

    # -- reading ----------------------------------------------------------------------------------------------------

    @property
    def law(self) -> Law:
        """The globals; there are none before the first record."""
        if self._law is None:
            raise ValueError("nothing has been folded yet")
        return self._law

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been folded yet."""
        return self._law is None

    @property
    def queue(self) -> caps.Queue:
        """Who waits for the cap of blocking, and how many cases are open."""
        return self.servers.queue

    def digest(self) -> str:
        """The digest of all servers' state, hex."""
        return self.servers.digest()

    def repeats(self, glimpse: Glimpse, *, at: datetime) -> bool:
        """Whether a sighting is surely no news (see `repeats.py`): `take` would give nothing. Call `tick` first."""
        if glimpse.facts is None:
            return False
        who = self.naming.identify(glimpse.facts)
        slot = self.servers.slot(who.server or "")
        if slot is None:
            return False
        like = slot.repeat
        if like is None:
            like = slot.repeat = self.servers.outlook.repeat(self.servers[who.server or ""])
        return (
            like is not None
            and like.since <= min(glimpse.facts.seen_at, max(at, self.law.at)) < like.until
            and like.reading == bytes(glimpse.reading)
            and (like.connector, like.tie) == (who.connector, who.tie)
            and (len(who.matches) == 1 or not any(other in self.servers for other in who.matches[1:]))
        )

    # -- deciding: used at the tip only -----------------------------------------------------------------------------

    def begin(self, *, at: datetime, version: str) -> list[Written]:
        """The first records of an empty log, and those of a new epoch; nothing where the rules are in force already."""
        if self._law is None:
            first = self._write(e.RulesAdopted(rules=RULES, version=version), at=at, h=at)
            return [first, self._write(e.PolicyAdopted(policy=self.policy), at=at)]
        if self.law.rules < RULES:
            return [self._write(e.RulesAdopted(rules=RULES, version=version), at=at)]
        return []

    def advance(self, h: datetime, *, at: datetime) -> None:
        """H moves on: never above *at*, never back."""
        law = self.law
        self._law = msgspec.structs.replace(law, h=max(law.h, min(h, at)), at=max(law.at, at))

    def tick(self, *, at: datetime, blind: bool) -> list[Written]:
        """Write what is due up to H; nothing where nothing is. *blind*: H lags by more than blind_after, in real time."""
        at = max(at, self.law.at)
        written = [self._write(event, at=at) for event in d.decide_blind(self.law, blind=blind)]
        while (first := self.first_due()) is not None:
            due, events = first
            written += [self._write(event, at=at, due=due) for event in events]
        return written + self._checkpoint(at)

    def is_due(self) -> bool:
        """Whether `tick` may have something to write with H where it is, blindness apart."""
        law, ends = self.law, self.reprieves.due
        return (
            law.since_checkpoint >= CHECKPOINT_EVERY
            or (bool(self._due) and self._due[0][0] <= law.now)
            or (ends is not None and ends <= law.h)
        )

    def first_due(self) -> tuple[datetime, list[e.Event]] | None:
        """
        What falls due first, up to H, with its instant (UTC); None where nothing is, or a hold runs. Writes nothing.

        Who may be blocked newly is asked of the UTC day of `law.at`.
        """
        law, ends = self.law, self.reprieves.due
        if law.hold_since is not None:
            return None
        server = self._first_server()
        if ends is not None and ends <= law.h and (server is None or ends <= law.utc_of(server[0])):
            return ends, acts.fall_due(self, ends)
        if server is None:
            return None
        instant, name = server
        events = schedule.fall_due(self.servers[name], law, self.policy, instant)
        return law.utc_of(instant), [self._in_turn(event, instant) for event in events]

    def _first_server(self) -> tuple[datetime, str] | None:
        """The server of which something is due first, up to now, and the law time of that."""
        while self._due and self._due[0][0] <= self.law.now:
            instant, name = self._due[0]
            if self._due_of(name) == instant:  # the entry stays: what follows may be due at the same instant
                return instant, name
            heappop(self._due)  # the server moved on since this entry was made, and has a newer one
        return None

    def _in_turn(self, event: e.Event, instant: datetime) -> e.Event:
        """A grant of blocking waits where the cap of the day has no room for it."""
        if not isinstance(event, e.BlockingGranted):
            return event
        cases = self.servers[event.server].cases
        rank, case = next((rank, case) for rank, case in enumerate(cases) if case.product == event.product)
        waiter = caps.Waiter(case.waits.since if case.waits else instant, event.server, rank)
        return caps.in_turn(event, waiter, queue=self.servers.queue, law=self.law, policy=self.policy)

    def take(self, message: Input, cause: Origin, *, at: datetime) -> list[Written]:
        """Decide one input; empty where it is no news. Call `tick` first."""
        at = max(at, self.law.at)
        return [self._write(event, at=at, cause=cause) for event in self.decide(message, at=at)]

    def decide(self, message: Input, *, at: datetime) -> list[e.Event]:
        """What follows from one input. Writes nothing."""
        if isinstance(message, Act):
            return acts.decide_act(self, message, at=at)
        if isinstance(message, Asked):
            return d.decide_request(self, message, at=at)
        return d.decide_sighting(self, message, at=at)

    def _checkpoint(self, at: datetime) -> list[Written]:
        if self.law.since_checkpoint < CHECKPOINT_EVERY:
            return []
        return [self._write(self.checkpoint(), at=at)]

    def checkpoint(self) -> e.Checkpoint:
        """The digests of the state as it is."""
        return e.Checkpoint(servers=len(self.servers), digest=self.digest(), reprieves=self.reprieves.digest())

    def _write(
        self,
        event: e.Event,
        *,
        at: datetime,
        h: datetime | None = None,
        due: datetime | None = None,
        cause: Origin | None = None,
    ) -> Written:
        law = self._law
        record = e.LogRecord(
            seq=law.seq + 1 if law else 1,
            at=at,
            due=due,
            h=h or self.law.h,
            prev=law.head if law else "",
            cause=cause,
            event=event,
        )
        stored = self._stored(record)
        self.apply(record, stored)
        return record, stored

    def _stored(self, record: e.LogRecord) -> bytes:
        return e.encode_log(record)

    # -- evolving: used at the tip and in every replay ----------------------------------------------------------------

    def apply(self, record: e.LogRecord, stored: bytes) -> None:
        """
        Move the state on by one record of the log.

        Raises:
            InvariantError: the record does not follow, or speaks of what is not there.
        """
        self._law = evolve_law(self._law, record, head=e.chain(stored))
        name = server_of(record.event)
        if name is None:
            self._remember_request(record)
            if isinstance(record.event, e.PolicyAdopted):
                self._adopt(record.event.policy)
            self.reprieves.apply(record.event)
        elif isinstance(record.event, e.CaseMoved):
            self._move(record.event, record.seq)
        else:
            self._put(name, evolve_server(self.servers.get(name), record, self.policy.version))

    def _move(self, event: e.CaseMoved, seq: int) -> None:
        source, target = self.servers.get(event.source), self.servers.get(event.server)
        for server in evolve_move(source, target, event, seq, self.policy.version):
            self._put(server.server, server)

    def _adopt(self, policy: Policy) -> None:
        self.policy = policy
        self.naming = Naming(policy)
        if self.servers.look(policy):  # what is due may have moved for everybody
            self.servers.work_out()
            self._index()

    def _put(self, name: str, server: Server) -> None:
        slot = self.servers.put(name, server)
        self.changed.add(slot.name)
        before = slot.due
        due = self.servers.outlook.due(server)
        slot.due, slot.repeat = due, None
        if due == before:
            return
        if due is not None:
            heappush(self._due, (due, slot.name))
        if len(self._due) > _HEAP_SLACK + 2 * len(self.servers):
            self._index()  # entries of servers that moved on are left in the heap; at this bound it is built anew

    def _due_of(self, name: str) -> datetime | msgspec.UnsetType | None:
        slot = self.servers.slot(name)
        return slot.due if slot else None

    def _remember_request(self, record: e.LogRecord) -> None:
        request = record.event.request if isinstance(record.event, e.RequestDecided | e.PolicyAdopted) else None
        if request is None or isinstance(request, ReportNotice):
            return
        self.requests[request.id] = record.at
        for known, when in list(self.requests.items()):
            if record.at - when > d.REQUEST_IDS_KEPT:
                del self.requests[known]

    # -- restarting -------------------------------------------------------------------------------------------------

    def restore(self, servers: Servers, requests: dict[str, datetime], reprieves: Reprieves | None = None) -> None:
        """Take up a stored state, instead of folding the log to it. The servers are the fold's own from now on."""
        self.servers = servers
        servers.look(self.policy)
        servers.work_out()
        self.requests = dict(requests)
        self.reprieves = reprieves or Reprieves()
        self._index()

    def _index(self) -> None:
        self._due = [(slot.due, name) for name, slot in self.servers.slots() if isinstance(slot.due, datetime)]
        heapify(self._due)

    def take_changed(self) -> list[str]:
        """The ids whose state moved since the last call, sorted."""
        self.servers.settle()
        names = sorted(self.changed)
        self.changed.clear()
        return names
