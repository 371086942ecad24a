"""A small world for tests of the law: one fold, a policy, and days that pass as real edges would let them pass."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.domain import events as e
from shared.domain.accounts import Account
from shared.domain.build import Build
from shared.domain.evidence import Facts, Reading
from shared.domain.fold import Fold, Input, Written
from shared.domain.policy import Connector, Policy, parse_policy, shipped_policy_text
from shared.domain.records import Act, AdoptPolicy, Origin, ReportNotice, ServerSeen, SetFreeze
from shared.domain.reprieves import Reprieves
from shared.domain.servers import Servers, encode_server
from shared.domain.state import Case, Server

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
PEER = "192.0.2.7"
NAME = "ex07.alt.example"
SERVER = f"{NAME}@{PEER}"
E2007 = "Microsoft Exchange 2007"
E2016 = "Microsoft Exchange 2016"
OLD_2016 = Build(15, 1, 2507, 39)
FLOOR_2016 = Build(15, 1, 2507, 61)


def policy_for(mode: str = "enforce", version: int = 1, **changes: Any) -> Policy:
    """The shipped policy with one on-premises connector (192.0.2.0/24 is not in it) and the internet in *mode*."""
    shipped = parse_policy(shipped_policy_text())
    connectors = (
        Connector(name="internet", kind="internet", owner="postmaster", mode="enforce"),
        Connector(name="branch", kind="on-premises", owner="it", ranges=("198.51.100.0/24",), mode="enforce"),
    )
    fields = {"mode": mode, "version": version, "connectors": connectors, **changes}
    return msgspec.convert({**msgspec.structs.asdict(shipped), **fields}, Policy)


def reading(product: str = E2016, build: Build | None = OLD_2016, high: Build | None = None) -> Reading:
    """An exact reading, or a range up to *high*."""
    return Reading(product=product, shown=build, low=build, high=high or build, form="smtp", reason="exact")


def facts(seen_at: datetime, *, name: str = NAME, peer: str = PEER, **changes: Any) -> Facts:
    """A message from *name* with a fitting HELO."""
    line = f"from pc ([10.0.0.5]) by {name} ([10.0.0.2]) with Microsoft SMTP Server id 15.1.2507.39; Tue, 24 Nov 2026 08:00:00 +0000"
    plain: dict[str, object] = {
        "peer": peer,
        "helo": name,
        "client_name": "",
        "client_resolve": "failed",
        "tls_name": "",
        "name": name,
        "own_lines": (line,),
        "seen_at": seen_at,
        "edge": "mx1",
    }
    return msgspec.convert({**plain, **changes}, Facts)


class World:
    """A fold with a clock that only its owner moves."""

    def __init__(self, policy: Policy | None = None, at: datetime = START) -> None:
        self.now = at
        self.fold = Fold(policy or policy_for())
        self.log: list[Written] = list(self.fold.begin(at=at, version="test"))
        self._offset = self._asked = 0

    # -- inputs -----------------------------------------------------------------------------------------------------

    def pass_time(
        self, delta: timedelta, *, step: timedelta = timedelta(hours=6), watched: bool = True
    ) -> list[e.Event]:
        """Let *delta* pass in steps; *watched*: edges mark, so that H keeps up."""
        before = len(self.log)
        end = self.now + delta
        while self.now < end:
            self.now = min(end, self.now + step)
            if watched:
                self.fold.advance(self.now, at=self.now)
            blind = self.now - self.fold.law.h > timedelta(hours=1)
            self.log += self.fold.tick(at=self.now, blind=blind)
        return self.events(before)

    def take(self, message: Input) -> list[e.Event]:
        """One input, as the enforcer takes it."""
        before = len(self.log)
        self.log += self.fold.tick(at=self.now, blind=self.fold.law.blind)
        self._offset += 1
        cause = Origin(topic="sightings", partition=0, offset=self._offset)
        self.log += self.fold.take(message, cause, at=self.now)
        return self.events(before)

    def see(self, what: Reading | None = None, *, seen_at: datetime | None = None, **of_facts: Any) -> list[e.Event]:
        """A message arrives."""
        seen = facts(seen_at or self.now, **of_facts)
        origin = Origin(topic="mail-evidence", partition=0, offset=self._offset)
        return self.take(ServerSeen(facts=seen, reading=what or reading(), origin=origin))

    def open_case(self, what: Reading | None = None, **of_facts: Any) -> None:
        """Three readings in three hours."""
        for _ in range(3):
            self.see(what, **of_facts)
            self.pass_time(timedelta(hours=1), step=timedelta(minutes=30))

    def settle(self, outcome: str = "delivered") -> None:
        """The notifier tells of every notice that is pending."""
        for server in list(self.fold.servers.values()):
            for notice in [notice for case in server.cases for notice in case.pending]:
                self.take(self.report(notice.notice, server.server, outcome))

    def report(self, notice: str, server: str, outcome: str = "delivered") -> ReportNotice:
        """What became of a notice."""
        plain = {
            "type": "report-notice.v1",
            "id": f"notice-{notice}-{outcome}",
            "who": "notifier",
            "why": "",
            "made_at": self.now,
            "notice": notice,
            "server": server,
            "outcome": outcome,
        }
        return msgspec.convert(plain, ReportNotice)

    def adopt(self, policy: Policy, request_id: str = "request-1") -> list[e.Event]:
        """An operator hands in a policy."""
        return self.take(AdoptPolicy(id=request_id, who="ops", why="test", made_at=self.now, policy=policy))

    def freeze(self, request_id: str, *, frozen: bool) -> list[e.Event]:
        """An operator freezes or lifts the freeze."""
        return self.take(SetFreeze(id=request_id, who="ops", why="test", made_at=self.now, frozen=frozen))

    def ask(self, act: Callable[..., Act], **fields: Any) -> list[e.Event]:
        """A person asks for an act; id, who, why and made_at are made up where they are not given."""
        self._asked += 1
        plain = {"id": f"act-{self._asked:05}", "who": "ops", "why": "test", "made_at": self.now}
        return self.take(act(**{**plain, **fields}))

    def ask_of_case(self, act: Callable[..., Act], server: str = SERVER, **fields: Any) -> list[e.Event]:
        """An act on the server's one case."""
        return self.ask(act, **{"server": server, "case": self.case(server).opened_seq, **fields})

    # -- looking ----------------------------------------------------------------------------------------------------

    def case(self, server: str = SERVER) -> Case:
        """The server's one case."""
        (case,) = self.fold.servers[server].cases
        return case

    def events(self, since: int = 0) -> list[e.Event]:
        """The events logged from a place on."""
        return [record.event for record, _ in self.log[since:]]

    def kinds(self, events: Iterable[e.Event]) -> list[str]:
        """Their names."""
        return [type(event).__name__ for event in events]


def refold(stored: Iterable[bytes], policy: Policy) -> Fold:
    """The state that a log folds to, from its stored bytes alone."""
    fold = Fold(policy)
    for value in stored:
        fold.apply(e.decode_log(value), value)
    return fold


def taken_over(reprieves: Reprieves) -> Reprieves:
    """The same, as they come back from what was stored of them."""
    accounts = {
        name: msgspec.json.decode(msgspec.json.encode(one), type=Account) for name, one in reprieves.accounts.items()
    }
    return Reprieves(accounts, reprieves.in_force())


def stored_servers(servers: Mapping[str, Server]) -> Servers:
    """The servers as they come back from what was stored of them."""
    table = Servers()
    for name, server in servers.items():
        table.put_stored(name, encode_server(server))
    return table
