"""
What another policy would change for each server, from the state as it is now. Pure; one server at a time.

What adopting brings at once is decided by `decide.py` itself, as the enforcer would; floors and verdicts come from the same
functions as everywhere. Only what needs another sighting is told ahead: that a server falls below, and that its case could open.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, timedelta
from typing import Any, Literal

import msgspec

from shared.domain import caps, decide
from shared.domain import events as e
from shared.domain.evidence import UtcDatetime
from shared.domain.explain import row_in_force, server_state
from shared.domain.explanation import ServerState
from shared.domain.floors import Standing
from shared.domain.identity import Naming
from shared.domain.policy import Policy
from shared.domain.reprieves import Reprieves
from shared.domain.schedule import expires_at
from shared.domain.state import Case, Law, Server

Change = Literal["falls-below", "may-open", "starts", "steps", "waits", "ends", "stands", "passes", "accepted"]
"""
falls-below: its newest reading is below the new floor and not below the old. may-open: and its case opens when that is seen
in enough hours. starts: its case begins at day 0, for now it is enforced. steps: blocking is granted at once.
waits: it would be, but for the cap of the day.
ends: its case expires at once. stands: its case goes back to day 0 and harms nobody. passes: what it shows now is
accepted by the new floors, though its case goes on. accepted: without a case, it is below the old floor and not below the new.
"""

HARSHER: frozenset[Change] = frozenset({"falls-below", "may-open", "starts", "steps", "waits"})
"""The changes that are against a server; the others are for it."""


class ServerChange(msgspec.Struct, frozen=True, kw_only=True):
    """What changes for one server about one product. state: before the change, of the mildest case."""

    server: str
    connector: str
    product: str
    shown: str
    state: ServerState
    changes: tuple[Change, ...]


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the document that differs, as in `stages[2].from_day`; None where it is not there."""

    key: str
    old: Any
    new: Any


class PolicyDiff:
    """Compares two policies for servers as they come."""

    def __init__(
        self, old: Policy, new: Policy, law: Law, *, on: date | None = None, reprieves: Reprieves | None = None
    ) -> None:
        """*on*: the UTC day whose floors are compared; None: that of the newest record."""
        self._old, self._new, self._law = old, new, law
        self._day = on or law.at.astimezone(UTC).date()
        self._naming = Naming(old)
        self._reprieves = reprieves or Reprieves()
        self._open: dict[int, int] = {}  # hash of the server id: its open cases
        self._granted: dict[str, list[tuple[caps.Waiter, str]]] = {}  # by server: who, and about which product

    def of(self, server: Server) -> tuple[ServerChange, ...]:
        """What changes for *server*, by product."""
        self._open[hash(server.server)] = caps.open_cases(server)
        self._granted.pop(server.server, None)
        found: dict[str, list[Change]] = {}
        for product, change in (*self._of_cases(server), *self._of_reading(server)):
            found.setdefault(product, []).append(change)
        state = server_state(server, self._law) if found else "no-case"
        return tuple(
            ServerChange(
                server=server.server,
                connector=server.connector,
                product=product,
                shown=str(server.reading.shown or ""),
                state=state,
                changes=tuple(changes),
            )
            for product, changes in sorted(found.items())
        )

    def in_turn(self, changes: Iterable[ServerChange]) -> tuple[ServerChange, ...]:
        """The same changes once all servers were asked: of those that are granted blocking, the cap of the day lets so many."""
        law, cap = self._law, caps.cap_of(self._new, sum(self._open.values()))
        granted = sorted(one for of_server in self._granted.values() for one in of_server)
        room = len(granted) if cap is None else max(0, cap - caps.blocked_on(law, law.at.astimezone(UTC).date()))
        wait = {(one.server, product) for one, product in granted[room:]}
        return tuple(
            msgspec.structs.replace(change, changes=tuple("waits" if c == "steps" else c for c in change.changes))
            if (change.server, change.product) in wait
            else change
            for change in changes
        )

    # -- cases --------------------------------------------------------------------------------------------------------

    def _of_cases(self, server: Server) -> Iterator[tuple[str, Change]]:
        living = [case for case in server.cases if case.released_at is None]
        if not living:
            return
        ending = {case.product for case in living if self._ends(server, case)}
        yield from ((product, "ends") for product in ending)
        standing: set[str] = set()
        for event in self._adopted(server):
            if isinstance(event, e.ClockStarted | e.ClockStopped | e.BlockingGranted) and event.product not in ending:
                self._note(server, event)
                standing |= {event.product} if isinstance(event, e.ClockStopped) else set()
                yield event.product, _OF_EVENT[type(event)]
        for case in living:
            if case.product not in ending | standing and self._passes(server, case):
                yield case.product, "passes"

    def _adopted(self, server: Server) -> Iterator[e.Event]:
        view = _OneServer(server, self._law, self._old, self._naming)
        view.reprieves = self._reprieves
        # The rule alone: asking for the whole request would check the whole policy anew for each server.
        return decide.adapted(view, self._new, self._day)

    def _note(self, server: Server, event: e.Event) -> None:
        """Remember who is granted his first blocking row, and since when he waits for it."""
        if isinstance(event, e.BlockingGranted) and event.newly:
            case = server.case_of(event.product)
            # Who newly asks stands behind all who wait.
            since = case.waits.since if case and case.waits else self._law.now + timedelta(microseconds=1)
            waiter = caps.Waiter(since, server.server, server.cases.index(case) if case else 0)
            self._granted.setdefault(server.server, []).append((waiter, event.product))

    def _ends(self, server: Server, case: Case) -> bool:
        instants = [expires_at(server, case, policy) for policy in (self._old, self._new)]
        before, after = (instant is not None and instant <= self._law.now for instant in instants)
        return after and not before

    def _passes(self, server: Server, case: Case) -> bool:
        if server.reading.product != case.product or row_in_force(server, case, self._law) is None:
            return False
        accused = case.floor.standing(server.reading) is Standing.BELOW
        return accused and self._below(self._old, server, self._day) and not self._below(self._new, server, self._day)

    # -- readings -----------------------------------------------------------------------------------------------------

    def _of_reading(self, server: Server) -> Iterator[tuple[str, Change]]:
        product = server.reading.product
        before, after = (self._below(policy, server, self._day) for policy in (self._old, self._new))
        if after and not before:
            yield product, "falls-below"
        if server.case_of(product) is not None:
            return
        if self._opens(self._new, server, below=after) and not self._opens(self._old, server, below=before):
            yield product, "may-open"
        if before and not after:
            yield product, "accepted"

    @staticmethod
    def _below(policy: Policy, server: Server, day: date) -> bool:
        floor = policy.floor_for(server.reading.product, day)
        return floor is not None and floor.standing(server.reading) is Standing.BELOW

    @staticmethod
    def _opens(policy: Policy, server: Server, *, below: bool) -> bool:
        return below and server.tie in policy.open_ties


_OF_EVENT: dict[type, Change] = {e.ClockStarted: "starts", e.ClockStopped: "stands", e.BlockingGranted: "steps"}


class _OneServer:
    """The state as `decide` looks at it, with one server in it: adopting a policy changes each by itself."""

    def __init__(self, server: Server, law: Law, policy: Policy, naming: Naming) -> None:
        self.law = law
        self.servers: Mapping[str, Server] = {server.server: server}
        self.policy = policy
        self.naming = naming
        self.requests: dict[str, UtcDatetime] = {}
        self.reprieves = Reprieves()
        self.queue = caps.Queue()


def key_changes(old: Policy, new: Policy) -> tuple[KeyChange, ...]:
    """The keys that differ, in the order of the document; entries of lists by their place, from 1."""
    before, after = dict(_flat(_whole(old), "")), dict(_flat(_whole(new), ""))
    keys = [*before, *(key for key in after if key not in before)]
    return tuple(
        KeyChange(key=key, old=before.get(key), new=after.get(key)) for key in keys if before.get(key) != after.get(key)
    )


def _whole(policy: Policy) -> dict[str, object]:
    """With the keys whose absence says the same."""
    return {key: msgspec.to_builtins(getattr(policy, key)) for key in policy.__struct_fields__}


def _flat(value: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, start=1):
            yield from _flat(inner, f"{name}[{number}]")
    elif value not in ([], ()):  # an empty list says what an absent one says
        yield name, value
