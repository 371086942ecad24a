import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError

from services.edge import publisher as module
from services.edge.core import see
from services.edge.novelty import Novelty
from services.edge.publisher import Publisher
from shared.domain.catalogue import load_catalogue
from shared.domain.records import EdgeReport, MailEvidence, Mark
from shared.messaging import topics as t
from shared.messaging.codec import decode
from tests.support.decisions import NOON, line_of
from tests.support.edge import FakeClock, message

BROKER_S = 1_764_000_000


class FakeProducer:
    """Answers at once, or fails as a producer without a broker does; keeps what it was sent, in order."""

    def __init__(self) -> None:
        self.fails = False
        self.sent: list[tuple[str, int | None, bytes]] = []

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None = None, partition: int | None = None
    ) -> asyncio.Future[None]:
        """Take one record."""
        del key  # where a record lies is the real producer's business
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.fails:
            answer.set_exception(KafkaConnectionError("gone"))
        else:
            self.sent.append((topic, partition, value))
            answer.set_result(None)
        return answer

    async def send_and_wait(self, topic: str, value: bytes, *, key: bytes) -> SimpleNamespace:
        """Take one record, answered with the broker's time."""
        await (await self.send(topic, value, key=key))
        return SimpleNamespace(timestamp_type=1, timestamp=BROKER_S * 1000)

    async def partitions_for(self, topic: str) -> set[int]:
        """Give two partitions."""
        del topic
        return {0, 1}

    def evidence_and_marks(self) -> list[MailEvidence | Mark]:
        """What went to `mail-evidence`."""
        return [decode(t.MAIL_EVIDENCE, value) for topic, _, value in self.sent if topic == t.MAIL_EVIDENCE]


class Bench:
    """A publisher whose rounds are run by hand."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.counts: Counter[str] = Counter()
        self.novelty = Novelty()
        self.producer = FakeProducer()
        self.heard: list[datetime] = []
        self.publisher = Publisher(
            "127.0.0.1:1",
            "",
            self.clock,
            self.novelty,
            self.counts,
            edge="mx1",
            heartbeat_s=0.0,
            report=self.report,
            may_mark=lambda: True,
            hear=self.heard.append,
        )

    def report(self) -> EdgeReport:
        """Give an empty report."""
        return EdgeReport(
            edge="mx1",
            at=NOON,
            started_at=NOON,
            version="0",
            counts={},
            table_count=0,
            table_digest="",
            heartbeat_seq=0,
            observing="",
        )

    def offer(self, name: str) -> str:
        """Offer what a message of *name* shows, if it is new; give what the novelty says."""
        seen = see(message(line_of(name=name), helo=name), load_catalogue(), now=self.clock.now(), edge="mx1")
        answer = self.novelty.ask(seen.key, self.clock.now(), known_server=True)
        if answer == "publish":
            self.publisher.offer_evidence(seen.key, MailEvidence(facts=seen.facts))
        return answer

    async def round(self) -> None:
        """Run one round."""
        await self.publisher._round(self.producer)


async def test_marks_stand_behind_the_evidence_in_every_partition() -> None:
    """A round sends evidence first, then a mark with the round's time into each partition."""
    bench = Bench()
    bench.offer("a.example")
    bench.clock.utc = NOON + timedelta(seconds=1)
    await bench.round()
    first, *marks = bench.producer.evidence_and_marks()
    assert isinstance(first, MailEvidence)
    assert marks == [Mark(edge="mx1", at=bench.clock.utc, partition=number, of=2) for number in (0, 1)]


async def test_failed_round_keeps_its_evidence_and_claims_nothing() -> None:
    """Without Kafka's answer evidence stays, in its order, is not offered twice, and no mark goes out."""
    bench = Bench()
    bench.producer.fails = True
    assert [bench.offer("a.example"), bench.offer("b.example")] == ["publish"] * 2
    with pytest.raises(KafkaConnectionError):
        await bench.round()
    assert bench.offer("a.example") == "known"
    assert (bench.counts["marks"], bench.counts["evidence_published"]) == (0, 0)
    bench.producer.fails = False
    await bench.round()
    names = [one.facts.name for one in bench.producer.evidence_and_marks() if isinstance(one, MailEvidence)]
    assert names == ["a.example", "b.example"]
    assert bench.counts["marks"] == 1


async def test_no_mark_while_evidence_of_before_still_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """More evidence than fits one round: the mark comes with the round that took the last of it."""
    monkeypatch.setattr(module, "_ROUND_MAX", 1)
    bench = Bench()
    bench.offer("a.example")
    bench.offer("b.example")
    bench.clock.utc = NOON + timedelta(seconds=1)
    await bench.round()
    assert bench.counts["marks"] == 0
    await bench.round()
    assert bench.counts["marks"] == 1
    assert [type(one) for one in bench.producer.evidence_and_marks()] == [MailEvidence, MailEvidence, Mark, Mark]


def test_the_broker_s_time_comes_back_with_each_report() -> None:
    """So the edge's clock is compared with it though no heartbeat comes."""
    bench = Bench()
    asyncio.run(bench.publisher._round(bench.producer))
    assert bench.heard == [datetime.fromtimestamp(BROKER_S, UTC)]
