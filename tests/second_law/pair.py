"""The real fold and the second law side by side: the same inputs, and after each the same must have been told and hold."""

from collections import Counter
from datetime import datetime, timedelta

from shared.domain import events as e
from shared.domain.fold import Fold, Input, Written
from shared.domain.policy import Policy
from shared.domain.records import Origin, ServerSeen
from shared.domain.state import decision_of
from tests.second_law.asked import asks
from tests.second_law.case import Case
from tests.second_law.due import fall_due, passes
from tests.second_law.law import SecondLaw, Server, Told
from tests.second_law.sighting import sees
from tests.second_law.twins import Move

NOT_YET = "no rule decides it yet"
BLIND_AFTER = timedelta(hours=1)


class LawsDiffer(AssertionError):
    """The law and its second reading say different things."""


def told_of(record: e.LogRecord) -> Told | None:
    """An event of the log in the words of the second law; None for those that it has none for."""
    event, kind = record.event, type(record.event).__name__
    words = _WORDS.get(kind)
    return None if words is None else (words[0], *(_value(event, record, name) for name in words[1:]))


_WORDS: dict[str, tuple[str, ...]] = {
    "PolicyAdopted": ("adopted", "policy.version"),
    "ServerSighted": ("sighted", "server", "below"),
    "RequestDecided": ("decided", "outcome"),
    "HoldBegan": ("hold", "reason"),
    "HoldEnded": ("hold over", "reason", "held"),
    "PauseBegan": ("pause", "account", "first", "last"),
    "PauseEnded": ("pause over", "account", "used_to", "due"),
    "Exempted": ("exempt", "exemption.kind", "exemption.target", "exemption.until"),
    "ExemptionEnded": ("exempt over", "kind", "target", "due"),
    "AccusationDropped": ("dropped", "server", "product"),
    "CaseOpened": ("opened", "server", "product", "enforced"),
    "ClockStarted": ("started", "server", "product"),
    "ClockStopped": ("stopped", "server", "product"),
    "CaseHeld": ("held", "server", "product", "reason", "until"),
    "CaseWentOn": ("went on", "server", "product", "reason", "plan?", "due"),
    "StageEntered": ("stage", "server", "product", "stage", "due"),
    "BlockingGranted": ("granted", "server", "product", "rows.0.since", "due"),
    "BlockingWaits": ("waits", "server", "product", "since", "until", "place", "due"),
    "NoticeDue": ("notice", "server", "product", "kind", "stage", "due"),
    "NoticeSettled": ("settled", "server", "product", "outcome"),
    "NoticeAcknowledged": ("acknowledged", "server", "product", "notices#"),
    "BlockingSigned": ("signed", "server", "product", "stage"),
    "ReadingsLifted": ("lifted", "server"),
    "CaseReleased": ("released", "server", "product", "by"),
    "CaseMoved": ("moved", "server", "product", "source"),
    "CaseMixed": ("mixed", "server", "product"),
    "CaseEnded": ("ended", "server", "product", "expired", "why", "due"),
}
"""Each event that the second law has, and what of it is compared: a field, `due` of the record, `?` whether it is there, `#` how many."""


def _value(event: object, record: e.LogRecord, name: str) -> object:
    if name == "due":
        return record.due
    if name[-1] in "?#":
        found = getattr(event, name[:-1])
        return found is not None if name[-1] == "?" else len(found)
    if name == "stage" and getattr(event, "kind", "") == "release":
        return 0
    for part in name.split("."):
        event = event[int(part)] if part.isdigit() else getattr(event, part)  # type: ignore[index]
    return event


def rows_of_case(case: Case, law: SecondLaw) -> list[tuple[datetime | None, int, int, int]]:
    """The row in force (since: None), and those that are sure to come: since, stage, throttle, block."""
    if not case.enforced or not case.stages:
        return [(None, 1, 0, 0)]
    if case.held_since is not None:
        return [(None, case.entered, 0, 0)]
    found: list[tuple[datetime | None, int, int, int]] = []
    for number, stage in enumerate(case.stages[case.entered - 1 :], case.entered):
        since = None
        if number > case.entered:
            clock = case.starts_at(number)
            if clock is None:
                break
            since = case.instant_of(clock)
            if since <= law.now:
                found.clear()
                since = None
        found.append((since, number, stage.throttle_minutes_per_hour, stage.block_minutes_per_hour))
    return found


class Pair:
    """Both laws. at: the clock. notices: those that fell due, and their servers, newest last."""

    def __init__(self, policy: Policy, at: datetime) -> None:
        self.at = at
        self.fold = Fold(policy)
        self.fold.begin(at=at, version="second law")
        self.law = SecondLaw(policy, at)
        self.written: list[e.LogRecord] = []
        self.notices: list[tuple[str, str]] = []
        self.moves: list[Move] = []
        self.numbers: dict[int, tuple[str, str]] = {}
        self.kinds: Counter[str] = Counter()
        self.offset = 0

    def passes(self, delta: timedelta, *, watched: bool) -> None:
        """Time passes; *watched*: edges mark, so that H keeps up."""
        self.at += delta
        if watched:
            self.fold.advance(self.at, at=self.at)
        self.ticks(self.at if watched else self.law.h)

    def ticks(self, h: datetime) -> None:
        """A turn without an input."""
        blind = self.at - max(self.law.h, h) > BLIND_AFTER
        self.moves.append((self.at, max(h, self.law.h), blind, None))
        passes(self.law, h, self.at, blind=blind)
        self._compare(self.fold.tick(at=self.at, blind=blind))

    def takes(self, message: Input) -> None:
        """One input, as the enforcer takes it: what is due before it."""
        blind = "blind" in self.law.holds
        written = self.fold.tick(at=self.at, blind=blind)
        self.offset += 1
        topic = "sightings" if isinstance(message, ServerSeen) else "requests"
        cause = Origin(topic=topic, partition=0, offset=self.offset)
        self.moves.append((self.at, self.law.h, blind, (message, cause)))
        written += self.fold.take(message, cause, at=self.at)
        if isinstance(message, ServerSeen):
            sees(self.law, message.facts, message.reading, self.at)
        elif any(getattr(r.event, "reason", "") == NOT_YET for r, _ in written):
            self.law.at = self.at
            fall_due(self.law)
            self.law.requests.setdefault(message.id, self.at)  # type: ignore[union-attr]
            self.law.told.append(("decided", "refused"))
        else:
            asks(self.law, message, self.at)  # type: ignore[arg-type]
        self._compare(written)

    def _compare(self, written: list[Written]) -> None:
        self.written += [record for record, _ in written]
        told, self.law.told = self.law.told, []
        real = [(found, record) for record, _ in written if (found := told_of(record)) is not None]
        if Counter(told) != Counter(found for found, _ in real):
            mine, logged = Counter(told), Counter(found for found, _ in real)
            raise LawsDiffer(f"only the second law: {_lines(mine - logged)}\nonly the log: {_lines(logged - mine)}")
        for found, record in real:
            self.kinds[f"log: {found[0]}"] += 1
            self._note(record)
        if (self.law.h, self.law.held_so_far) != (self.fold.law.h, self.fold.law.held_so_far):
            raise LawsDiffer(f"H, held: {self.law.h}, {self.law.held_so_far}; log {self.fold.law}")
        for name in self.fold.take_changed():
            self.compare_server(name)

    def _note(self, record: e.LogRecord) -> None:
        """Numbers of cases and ids of notices are the log's."""
        event = record.event
        if isinstance(event, e.NoticeDue):
            number = int(event.notice.partition("-")[0])
            case = self._case(self.law.gone_to(event.server, number), event.product)
            for notice in case.pending if case else ():
                if notice.kind == event.kind and not notice.id:
                    notice.id = event.notice
                    break
            self.notices = [*self.notices[-30:], (event.notice, event.server)]
        elif isinstance(event, e.CaseOpened):
            case = self._case(event.server, event.product)
            self.numbers[record.seq] = (event.server, event.product)
            if case is not None:
                case.number = record.seq

    def _case(self, server: str, product: str) -> Case | None:
        known = self.law.servers.get(server)
        return known.case_of(product) if known else None

    def compare_all(self) -> None:
        """Every server."""
        if set(self.law.servers) != set(self.fold.servers):
            raise LawsDiffer(f"servers: {sorted(self.law.servers)}; log {sorted(self.fold.servers)}")
        for name in self.law.servers:
            self.compare_server(name)

    def compare_server(self, name: str) -> None:
        """One server, as the edges are told of it, and what only the state has."""
        mine, real = self._mine(self.law.servers[name]), self._real(name)
        if mine != real:
            raise LawsDiffer(f"{name} at {self.law.now}:\n  second law {mine}\n  log        {real}")

    def _mine(self, server: Server) -> list[tuple[object, ...]]:
        return sorted(
            (
                (
                    case.product,
                    case.floor,
                    case.opened_at,
                    case.enforced,
                    case.ends,
                    sorted((notice.kind, notice.due) for notice in case.pending),
                    case.delivered,
                    None if case.released else rows_of_case(case, self.law),
                )
                for case in server.cases
            ),
            key=lambda one: str(one[0]),
        )

    def _real(self, name: str) -> list[tuple[object, ...]]:
        server = self.fold.servers[name]
        decision = decision_of(server)
        rows = {
            schedule.product: [
                (row.since, row.stage, row.throttle_minutes_per_hour, row.block_minutes_per_hour)
                for row in schedule.rows
            ]
            for schedule in (decision.cases if decision else ())
        }
        now = self.fold.law.now
        return sorted(
            (
                (
                    case.product,
                    case.floor,
                    case.opened_at,
                    case.enforced,
                    case.ends_law,
                    sorted((notice.kind, notice.due_at) for notice in case.pending),
                    case.delivered_law,
                    None if case.released_at is not None else _from_now(rows[case.product], now),
                )
                for case in server.cases
            ),
            key=lambda one: str(one[0]),
        )


def _lines(told: Counter[Told]) -> str:
    return "".join("\n    " + " ".join(map(str, one)) for one in told.elements()) or "nothing"


def _from_now(rows: list[tuple[datetime, int, int, int]], now: datetime) -> list[tuple[datetime | None, int, int, int]]:
    """Without what is over; a day 0 that H has not reached is in force as good as any."""
    begun = [number for number, row in enumerate(rows) if row[0] <= now]
    first = begun[-1] if begun else 0
    return [(None if number == first else row[0], *row[1:]) for number, row in enumerate(rows)][first:]
