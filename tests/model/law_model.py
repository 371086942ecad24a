"""Detector and enforcer of the model: their real pure parts, on the model's bus, beside the second law."""

from services.detector.core import Reader
from services.enforcer.books import Books
from services.enforcer.inputs import Inputs
from services.enforcer.turns import Blindness
from shared.domain import events as e
from shared.domain.catalogue import load_catalogue
from shared.domain.fold import Fold, Written
from shared.domain.policy import Policy
from shared.domain.records import AdoptPolicy, Heartbeat, Mark, ReportNotice, Row, SetFreeze
from shared.domain.state import decision_of
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.model.bus import StoredRecord, Topic
from tests.model.ruling import Accusation, Ruling
from tests.model.truth import CaseKey, Truth, seconds
from tests.model.words import Span
from tests.support.edge import FakeClock

BLIND_AFTER_S = 3600
_BEGINS_ANEW = e.CaseOpened | e.CaseMixed | e.ClockStarted | e.ClockStopped


class LawsDiffer(AssertionError):
    """The law and its second reading say different things."""


class LawModel:
    """
    One enforcer. rulings: what the second law said at the end of each turn; told: which turn wrote a heartbeat.

    notices: those that fell due and were not reported: id -> server, and what the second law takes it to be about.
    """

    def __init__(self, policy: Policy, clock: FakeClock) -> None:
        self.clock = clock
        self.fold = Fold(policy)
        self.events = self.fold.begin(at=clock.now(), version="model")
        self.inputs = Inputs(self.fold, prefix="", offsets={}, blind=Blindness(clock, BLIND_AFTER_S))
        self.books = Books()
        self.truth = Truth(policy, seconds(clock.now()))
        self.rulings: list[Ruling] = []
        self.told: dict[bytes, int] = {}
        self.notices: dict[str, tuple[str, CaseKey | None]] = {}
        self.decisions = Topic(t.DECISIONS)
        self.reader = Reader(load_catalogue())
        self._keys: dict[str, CaseKey | None] = {}
        self._policy_digest = ""

    def begin(self, *, at: int) -> None:
        """What a leader writes first: what is missing of `decisions`, and the heartbeat."""
        self._publish([(o.key, o.value) for o in self.books.heal_decisions(self.fold, {})], at=at)

    def turn(self, records: list[StoredRecord], *, at: int) -> list[Written]:
        """One turn, by the enforcer's own clock; *at* is the broker's."""
        written = self.inputs.decide(records, at=self.clock.now())
        self._second(records)
        self._note_notices(written)
        changes = [(o.key, o.value) for o in self.books.changes(self.fold, written) if o.topic == t.DECISIONS]
        self._publish(changes, at=at)
        self._compare(wrote=bool(written))
        return written

    def _publish(self, changes: list[tuple[bytes | None, bytes | None]], *, at: int) -> None:
        turn = len(self.rulings)
        self.rulings.append(self.truth.ruling())
        for key, value in changes:
            self.decisions.append(key, value, at=at, turn=turn)
        if not self._policy_digest or any(key == t.KEY_POLICY for key, _ in changes):
            self._policy_digest = self.fold.policy.digest
        beat: Heartbeat = self.books.heartbeat(self.fold, at=self.clock.now(), policy_digest=self._policy_digest)
        stored = encode(beat)
        self.told[stored] = turn
        self.decisions.append(t.KEY_HEARTBEAT, stored, at=at, turn=turn)

    def _second(self, records: list[StoredRecord]) -> None:
        """The same turn by the second law."""
        at = seconds(self.clock.now())
        self.truth.tick(at)
        for what in [record.what for record in records]:
            if isinstance(what, Mark):
                self.truth.note(what, at)
                continue
            self.truth.tick(at)
            if isinstance(what, SetFreeze):
                self.truth.freeze(what)
            elif isinstance(what, AdoptPolicy):
                self.truth.adopt(what)
            elif isinstance(what, ReportNotice):
                self.truth.report(self._keys.pop(what.notice, None), delivered=what.outcome == "delivered")
            elif what is not None:
                self.truth.see(what)  # type: ignore[arg-type]  # nothing else is read
        self.truth.tick(at)

    def _note_notices(self, written: list[Written]) -> None:
        # The second law stands at the end of the turn: what was told of a clock that ended in it is about nothing any more.
        begun_anew: set[tuple[str, str]] = set()
        homes: dict[tuple[str, str], str] = {}
        for record, _ in reversed(written):
            event = record.event
            if isinstance(event, _BEGINS_ANEW):
                begun_anew.add((event.server, event.product))
            elif isinstance(event, e.CaseMoved):
                homes[event.source, event.product] = homes.get((event.server, event.product), event.server)
            elif isinstance(event, e.NoticeDue):
                home = homes.get((event.server, event.product), event.server)
                over = {(event.server, event.product), (home, event.product)} & begun_anew
                self._keys[event.notice] = None if over else self.truth.key_of(home, event.product)
                self.notices[event.notice] = (event.server, self._keys[event.notice])

    def _compare(self, *, wrote: bool) -> None:
        """Both laws stand at the same instant, and say the same of every server."""
        law, ruling = self.fold.law, self.rulings[-1]
        ours = (seconds(law.h), seconds(law.now), law.frozen)
        if ours != ruling[:3]:
            raise LawsDiffer(f"h, law time, frozen: the law says {ours}, its second reading {ruling[:3]}")
        if not wrote and ruling.cases is self.rulings[-2].cases:
            return
        for name in sorted(self.fold.servers):
            said, expected = self._accusations(name), ruling.cases.get(name, ())
            if said != expected:
                raise LawsDiffer(f"{name}: the law says {said}, its second reading {expected}")

    def _accusations(self, name: str) -> tuple[Accusation, ...]:
        decision = decision_of(self.fold.servers[name])
        return tuple(
            Accusation(case.product, case.floor.builds, case.enforced, tuple(_spans(case.rows)))
            for case in (decision.cases if decision else ())
        )


def _spans(rows: tuple[Row, ...]) -> list[Span]:
    return [Span(seconds(row.since), row.throttle_minutes_per_hour, row.block_minutes_per_hour) for row in rows]
