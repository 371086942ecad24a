"""
The random world: senders, edges, bus, detector, enforcer, people, and what befalls them; one step is one instant.

Seeded: the same seed gives the same steps. What happens is drawn here; what must hold is in `oracle.py`.
"""

from collections import Counter, deque
from datetime import timedelta
from pathlib import Path
from random import Random

import msgspec

from shared.domain.records import AdoptPolicy, MailEvidence, Mark, ReportNotice, SetFreeze
from shared.domain.records import Origin as RecordOrigin
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.model.bus import StoredRecord, Topic
from tests.model.edge_model import EdgeModel, ModelTime
from tests.model.law_model import LawModel
from tests.model.oracle import Oracle
from tests.model.senders import MESSAGES, SENDERS, UNVERIFIED, random_policy, varied
from tests.support.edge import FakeClock
from tests.support.scenario import START

MINUTE, HOUR, DAY = 60, 3600, 86_400
GUARD = 300
PARTITIONS = 2
ACTIONS_KEPT = 20


class World:
    """
    One world from its first step on. actions: the last ones, to tell of a failure; counts: what happened.

    calm: how rare what befalls it is; drawn, so that some worlds are quiet and others wild.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.steps = seed, 0
        self.random = Random(seed)  # noqa: S311  (a model, no secret)
        self.calm = self.random.choice((0.3, 1, 3, 10))
        self.time = ModelTime()
        self.counts: Counter[str] = Counter()
        self.actions: deque[str] = deque(maxlen=ACTIONS_KEPT)
        self.enforcer_error = 0
        self.law = LawModel(random_policy(self.random, 1), FakeClock(START))
        self.partitions = [Topic(t.MAIL_EVIDENCE) for _ in range(PARTITIONS)]
        self.sightings, self.requests, self.control = Topic(t.SIGHTINGS), Topic(t.REQUESTS), Topic(t.CONTROL)
        self.read_to = {t.CONTROL: 0, t.REQUESTS: 0, t.SIGHTINGS: 0}
        self.detected = [0] * PARTITIONS
        self.away_until: dict[str, int] = {}  # what stands still, until when
        self.shows = {sender: sender.shows[0] for sender in SENDERS}
        self.reports: list[tuple[int, str, str]] = []
        self._outcomes: dict[str, str] = {}
        self.sparse_until = 0
        self.edges = [EdgeModel(f"mx{number}", folder, self.time) for number in (1, 2)]
        self.law.begin(at=0)
        self.oracle = Oracle(self.law, self.counts, self.random)

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Time goes on, something may befall, and everybody does what they do."""
        self.steps += 1
        self._pass_time()
        self._befall()
        self.law.clock.utc = START + timedelta(seconds=self.time.now + self.enforcer_error)
        self._send()
        if self._up("bus"):
            self._edges_publish()
            self._detect()
            self._enforce()
        self._notify()
        self._edges_hear()
        for edge in self.edges:
            if edge.running:
                self.oracle.check(edge, self.time.now, dense=self.steps > self.sparse_until)

    def _pass_time(self) -> None:
        sparse = self.steps <= self.sparse_until
        self.time.now += MINUTE * (self.random.randint(20, 55) if sparse else 1)
        if not sparse and self.random.random() < 0.01:
            self.sparse_until = self.steps + self.random.randint(100, 500)
        for edge in self.edges:
            edge.set_time()

    def _up(self, what: str) -> bool:
        return self.time.now >= self.away_until.get(what, 0)

    def _chance(self, one_in: float) -> bool:
        return self.random.random() * one_in * self.calm < 1

    def _tell(self, text: str) -> None:
        self.actions.append(f"step {self.steps}, {timedelta(seconds=self.time.now)}: {text}")
        self.counts[text.partition(":")[0]] += 1

    # -- what befalls -------------------------------------------------------------------------------------------------

    def _befall(self) -> None:
        for what, one_in, longest in (("bus", 400, 14 * HOUR), ("enforcer", 400, 12 * HOUR), ("part0", 300, 8 * HOUR)):
            if self._chance(one_in) and self._up(what):
                self.away_until[what] = self.time.now + self.random.randint(1, self.random.choice((HOUR, longest)))
                self._tell(f"outage of {what}: {self.away_until[what] - self.time.now} s")
                self._befall_within(self.random.choice(self.edges))
        if self._chance(30 if abs(self.enforcer_error) > GUARD else 300):
            self.enforcer_error = self._error()
            self._tell(f"enforcer's clock: off by {self.enforcer_error} s")
        if self._chance(60 if self.law.fold.law.frozen else 500):
            self._freeze(frozen=self.random.random() < (0.2 if self.law.fold.law.frozen else 0.8))
        if self._chance(200):
            self._adopt()
        if self._chance(100):
            self._tell("compaction")
            self.law.decisions.compact(keep_from=self.law.decisions.end - self.random.randint(1, 100))
        if self._chance(1000):
            mark = Mark(edge="mx9", at=self.law.clock.now(), partition=0, of=self.random.choice((1, 3, 10_000)))
            self.partitions[0].append(None, None, at=self.time.now, what=mark)
            self._tell(f"broken mark: of {mark.of} partitions")
        for edge in self.edges:
            self._befall_edge(edge)

    def _befall_edge(self, edge: EdgeModel) -> None:
        if self._chance(120 if edge.cut else 400):
            edge.cut = not edge.cut
            self._tell(f"edge {'cut off' if edge.cut else 'joined'}: {edge.name}")
            edge.lose_bus()
        if self._chance(50 if abs(edge.error) >= GUARD else 250):
            edge.error, edge.known_off = self._error(), False
            self._tell(f"edge's clock: {edge.name} off by {edge.error} s")
            edge.set_time()
        if self._chance(500 if edge.running else 40):
            self._turn_edge(edge)
        if self._chance(400):
            self._write_local(edge)

    def _befall_within(self, edge: EdgeModel) -> None:
        """In an outage its clock may be set back, which nothing shows, and its process or machine start anew."""
        again = edge.running and self.random.random() < 0.3
        if again:
            self._turn_edge(edge)
        if self.random.random() < 0.3:
            self._set_back(edge)
        if again:
            self._turn_edge(edge)

    def _set_back(self, edge: EdgeModel) -> None:
        edge.error, edge.known_off = -self.random.choice((HOUR, 4 * HOUR, 40 * DAY)), False
        edge.set_time()
        self._tell(f"edge's clock: {edge.name} set back by {-edge.error} s")

    def _error(self) -> int:
        """Mostly within the guard, at times far beyond it, at times right again."""
        draw = self.random.random()
        if draw < 0.3:
            return 0
        if draw < 0.5:
            return self.random.randint(1 - GUARD, GUARD - 1)
        return self.random.choice((-1, 1)) * self.random.choice((600, 3 * HOUR, 40 * DAY))

    def _turn_edge(self, edge: EdgeModel) -> None:
        if edge.running:
            edge.stop(cleanly=self.random.random() < 0.5)
            self._tell(f"edge stopped: {edge.name}")
            return
        torn = self.random.random() < 0.2
        up_s = self.random.choice((HOUR, 3 * HOUR, 40 * DAY)) if self.random.random() < 0.2 else 0
        edge.write_cold_file(torn=torn, up_s=up_s)
        edge.start()
        if self.random.random() < 0.7:
            edge.cut = True
            edge.lose_bus()
        self._tell(f"edge started: {edge.name}, cut {edge.cut}, file torn {torn}, machine booted {up_s > 0}")

    def _write_local(self, edge: EdgeModel) -> None:
        kind = self.random.choice(("", "", "freeze = true", "freeze = maybe", "exempt"))
        peer = self.random.choice(SENDERS).peer
        text = f'[exempt]\npeers = ["{peer}"]' if kind == "exempt" else kind
        if kind:
            edge.local.write_text(text)
        else:
            edge.local.unlink(missing_ok=True)
        edge.exempt_peer = peer if kind == "exempt" else ""
        edge.app.local_file._stamp = None  # two writings within one tick of the file system's clock
        edge.app.local_file._looked_at = float("-inf")
        edge.app.local_file.refresh(self.time.now)
        self._tell(f"local file: {edge.name} {kind or 'none'} {edge.exempt_peer}")

    # -- people -------------------------------------------------------------------------------------------------------

    def _asked(self) -> dict[str, object]:
        made_at = self.law.clock.now() - timedelta(hours=25 if self.random.random() < 0.2 else 0)
        return {"id": f"request-{self.steps}", "who": "ops", "why": "", "made_at": made_at}

    def _freeze(self, *, frozen: bool) -> None:
        if not self._up("bus"):
            return
        request = SetFreeze(frozen=frozen, **self._asked())  # type: ignore[arg-type]  # fields as they are
        told = [what for what in map(self._could_come_again, self.control.records) if what is not None]
        if told and self.random.random() < 0.2:  # one of before is told again, perhaps after what was asked since
            request = self.random.choice(told)
        for _ in range(self.random.choice((1, 1, 1, 2))):
            self.control.append(t.KEY_FREEZE, encode(request), at=self.time.now, what=request)
        self._tell(f"{'freeze' if request.frozen else 'unfreeze'} asked")

    def _could_come_again(self, record: StoredRecord) -> SetFreeze | None:
        """Whoever sends again, or reads again, does so within the 14 days for which a request is kept."""
        age_s = int(START.timestamp()) + self.time.now - record.timestamp // 1000
        return record.what if isinstance(record.what, SetFreeze) and age_s < 14 * DAY else None

    def _adopt(self) -> None:
        policy = varied(self.random, self.law.fold.policy)
        request = AdoptPolicy(policy=policy, **self._asked())  # type: ignore[arg-type]  # fields as they are
        self.requests.append(None, encode(request), at=self.time.now, what=request)
        self._tell(f"policy asked: version {policy.version}")

    def _notify(self) -> None:
        """What becomes of notices, some time after they fell due; some never, some twice."""
        for notice, (server, _) in self.law.notices.items():
            if self.random.random() < 0.9:
                wait = self.random.choice((0, HOUR, DAY))
                outcome = self.random.choice(("delivered", "delivered", "failed", "lapsed"))
                self.reports.append((self.time.now + self.random.randint(0, wait), notice, server))
                self._outcomes[notice] = outcome
        self.law.notices.clear()
        due = [report for report in self.reports if report[0] <= self.time.now]
        self.reports = [report for report in self.reports if report[0] > self.time.now]
        for _, notice, server in due:
            request = msgspec.convert(
                {
                    **self._asked(),
                    "type": "report-notice.v1",
                    "notice": notice,
                    "server": server,
                    "outcome": self._outcomes.pop(notice),
                },
                ReportNotice,
            )
            for _ in range(self.random.choice((1, 1, 1, 2))):
                self.requests.append(None, encode(request), at=self.time.now, what=request)
            self.counts["notice reported"] += 1

    # -- mail ---------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        for sender in SENDERS:
            if self.random.random() < 1 / 600:
                self.shows[sender] = self.random.choice((*sender.shows, sender.shows[0], sender.shows[0]))
                self._tell(f"build changed: {sender.name} shows {self.shows[sender]}")
            if self.random.random() < 0.03:
                show = self.shows[sender] if self.random.random() < 0.98 else self.random.choice(sender.shows)
                edge = self.random.choice(self.edges)
                if edge.running:
                    self.counts["mails"] += 1
                    known = (
                        self.steps // 500 % 2 or not sender.verified
                    )  # the DNS knows the name for 500 steps, then not
                    edge.receive((MESSAGES if known else UNVERIFIED)[sender][show])
        if self.random.random() < 0.002:
            self._import()

    def _import(self) -> None:
        """Imported evidence may release; it opens and ages nothing."""
        sender = self.random.choice(SENDERS)
        facts = MESSAGES[sender][self.random.choice(sender.shows)].seen.facts
        seen_at = self.law.clock.now() - timedelta(seconds=self.random.randint(0, DAY))
        facts = msgspec.structs.replace(facts, seen_at=seen_at, imported=True)
        self.partitions[0].append(None, None, at=self.time.now, what=MailEvidence(facts=facts))
        self._tell(f"imported: {sender.name}")

    def _edges_publish(self) -> None:
        for edge in self.edges:
            if edge.running and not edge.cut:
                edge.publish(self.partitions, reports=self.random.random() < 0.8)

    def _detect(self) -> None:
        for number, topic in enumerate(self.partitions):
            if not self._up(f"part{number}"):
                continue
            for record in topic.since(self.detected[number]):
                what = record.what
                if isinstance(what, MailEvidence):
                    origin = RecordOrigin(topic=t.MAIL_EVIDENCE, partition=number, offset=record.offset)
                    what = self.law.reader.sighting_of(what.facts, origin)
                assert isinstance(what, msgspec.Struct)
                self.sightings.append(None, encode(what), at=self.time.now, what=what)
            self.detected[number] = topic.end
            topic.forget_before(topic.end)

    def _enforce(self) -> None:
        if not self._up("enforcer") or abs(self.enforcer_error) > GUARD:
            return
        records = []
        for topic in (self.control, self.requests, self.sightings):
            most = self.random.choice((3, 1000, 1000, 1000))
            batch = topic.since(self.read_to[topic.name])[:most]
            if batch:
                self.read_to[topic.name] = batch[-1].offset + 1
            records += batch
        for record, _ in self.law.turn(records, at=self.time.now):
            self.counts[type(record.event).__name__] += 1
        self.sightings.forget_before(self.read_to[t.SIGHTINGS])
        self.requests.forget_before(self.read_to[t.REQUESTS])

    def _edges_hear(self) -> None:
        for edge in self.edges:
            if not edge.running:
                continue
            edge.tend()
            if edge.cut or not self._up("bus"):
                if self.random.random() < 0.2:
                    edge.lose_bus()
                continue
            if self.random.random() < 0.002:
                edge.begin_and_fail(self.law.decisions, self.control, records=self.random.randint(0, 50))
                self._tell(f"reading broke off: {edge.name}")
                continue
            slow = self.random.random() < 0.2
            skip = self.random.random() < 0.2
            if self.random.random() < 0.8:  # two followers: one may be behind the other
                edge.hear_control(self.control)
            edge.hear_decisions(self.law.decisions, pieces=self.random.randint(1, 3) if slow else 1000, skip=skip)
