"""The notifier as a real process, between a real Kafka and a real SMTP server; and the command that sets contacts."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.domain import events as e
from shared.domain.events import encode_log
from shared.domain.evidence import Reading
from shared.domain.records import ReportNotice
from shared.messaging import admin, codec
from shared.messaging.kafka import running
from tests.support.notices import PRODUCT, SERVER, contact, notice_due, told
from tests.support.smtp_sink import Mail, SmtpSink
from tests.support.topic_io import ROOT, ServiceProcess, read_all, until, write

pytestmark = pytest.mark.broker

Starter = Callable[..., ServiceProcess]
NOW = datetime.now(UTC)


@pytest.fixture
async def topics(broker_bootstrap: str, prefix: str) -> str:
    """Make the topics, and lend their prefix."""
    await admin.apply(broker_bootstrap, prefix, partitions=1)
    return prefix


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    """Lend a relay."""
    async with SmtpSink() as server:
        yield server


@pytest.fixture
async def start(broker_bootstrap: str, prefix: str, tmp_path: Path, sink: SmtpSink) -> AsyncIterator[Starter]:
    """Lend a starter of notifiers; all are ended at the end."""
    started: list[ServiceProcess] = []

    def one(**changes: str) -> ServiceProcess:
        settings = {
            "bootstrap": broker_bootstrap,
            "topic_prefix": prefix,
            "relay": sink.address,
            "notice_from": "notices@mx.example",
            "retry_first_s": "0.2",
            "retry_max_s": "0.5",
        }
        started.append(ServiceProcess("notifier", tmp_path / f"n{len(started)}", **{**settings, **changes}))
        return started[-1]

    yield one
    for process in started:
        process.terminate()


class Bus:
    """What the enforcer and people write, and what the notifier answers."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap, self.prefix = bootstrap, prefix

    async def tell(self, *happened: e.Event, at: datetime | None = None) -> list[int]:
        """Write events to the log."""
        at = at or datetime.now(UTC)
        return await write(self.bootstrap, self.prefix + "log", [encode_log(told(event, at)) for event in happened])

    async def set_contact(self, contact_id: str = "anna", **changes: str) -> None:
        """Write a contact as the command does."""
        await write(
            self.bootstrap,
            self.prefix + "contacts",
            [codec.encode(contact(contact_id, **changes))],
            key=contact_id.encode(),
        )

    async def reports(self, count: int) -> list[ReportNotice]:
        """Wait for so many reports, and see that there are no more."""

        async def enough() -> bool:
            return len(await read_all(self.bootstrap, self.prefix + "requests")) >= count

        await until(enough, f"{count} reports")
        records = await read_all(self.bootstrap, self.prefix + "requests")
        assert len(records) == count
        return [codec.decode("requests", record.value) for record in records]

    async def kept_offset(self) -> int | None:
        """The offset that the notifier keeps."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.prefix + "notifier", enable_auto_commit=False
        )
        async with running(consumer):
            kept: int | None = await consumer.committed(TopicPartition(self.prefix + "log", 0))
        return kept

    async def until_kept(self, offset: int) -> None:
        """Wait until the notifier keeps *offset*."""

        async def is_kept() -> bool:
            return await self.kept_offset() == offset

        await until(is_kept, f"kept offset {offset}")


@pytest.fixture
def bus(broker_bootstrap: str, topics: str) -> Bus:
    """Lend the bus of this test."""
    return Bus(broker_bootstrap, topics)


def _settled(notice: str = "12-1") -> e.NoticeSettled:
    return e.NoticeSettled(server=SERVER, product=PRODUCT, notice=notice, outcome="delivered", at_law=NOW)


def _released() -> e.CaseReleased:
    cure = Reading(product=PRODUCT, shown=None, low=None, high=None, form="smtp", reason="exact")
    return e.CaseReleased(server=SERVER, product=PRODUCT, cure=cure, by=SERVER, seen_at=NOW, ends_at=NOW)


def _ids(mails: list[Mail]) -> list[str]:
    return [str(mail.message["Message-ID"]) for mail in mails]


def _outcomes(reports: list[ReportNotice]) -> list[tuple[str, str, int, str]]:
    return [(report.notice, report.outcome, report.code, report.enhanced) for report in reports]


async def test_a_due_notice_is_mailed_once_and_reported(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """The text in the reader's language, our address for bounces, and a report that names no person."""
    await bus.set_contact(language="de", zone="Europe/Berlin")
    notifier = start()
    await notifier.ready()
    (offset,) = await bus.tell(notice_due())

    (mail,) = await sink.wait_for_mails(1)
    assert (mail.sender, mail.recipients) == ("notices@mx.example", ("anna@firm.example",))
    assert mail.message["Subject"] == "ex16.alt.example: Ihr Mailserver ist veraltet; Einschränkungen ab 2026-12-24"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert "    2026-12-24 11:00      2026-12-24 12:00      5 Min/h" in mail.message.get_content()
    (report,) = await bus.reports(1)
    assert _outcomes([report]) == [("12-1", "delivered", 250, "2.0.0")]
    assert (report.id, report.who, report.server) == ("notice-12-1-delivered", "notifier", SERVER)
    await bus.until_kept(offset)

    await bus.tell(_settled())
    await bus.until_kept(offset + 2)
    assert notifier.terminate() == 0
    assert len(sink.mails) == 1
    assert "firm.example" not in notifier.log
    for name in ("log", "requests", "dead-letters"):
        assert b"firm.example" not in b"".join(r.value for r in await read_all(bus.bootstrap, bus.prefix + name))


async def test_a_restart_sends_what_is_not_settled_and_nothing_else(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """The log is read to its end before anything goes out: what settles further on was settled."""
    await bus.set_contact()
    await bus.tell(
        notice_due(), notice_due("before-throttling", 2, notice="12-2"), _settled(), notice_due(notice="30-1")
    )
    # More than one fetch brings: who sent after the first would send twice.
    await bus.tell(*[e.RulesAdopted(rules=1, version="x" * 4000)] * 1000)
    await bus.tell(_settled("30-1"))
    start()

    (mail,) = await sink.wait_for_mails(1)
    assert _ids([mail])[0].startswith("<12-2.")
    assert _outcomes(await bus.reports(1)) == [("12-2", "delivered", 250, "2.0.0")]
    assert len(sink.mails) == 1


async def test_what_was_reported_is_not_sent_again_though_the_enforcer_is_away(
    bus: Bus, sink: SmtpSink, start: Starter
) -> None:
    """Killed after its report, with nothing settled on the log, the next notifier knows from `requests`."""
    await bus.set_contact()
    (offset,) = await bus.tell(notice_due())
    first = start()
    await bus.reports(1)
    await bus.until_kept(offset)
    first.kill()
    second = start()
    await second.ready()
    await bus.tell(notice_due("stage", 2, notice="12-2"))

    mails = await sink.wait_for_mails(2)
    assert [mail_id.partition(".")[0] for mail_id in _ids(mails)] == ["<12-1", "<12-2"]
    await bus.reports(2)


async def test_killed_before_its_report_it_sends_the_same_message_id(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """A second mail is the price of not losing one; by its Message-ID mail programs know it as the same."""
    await bus.set_contact("anna")
    await bus.set_contact("bert")
    await bus.tell(notice_due())
    sink.data.extend(["", "451 4.3.0 later"])
    first = start(retry_first_s="60", retry_max_s="60")
    await sink.wait_for_attempts(2)
    (sent,) = _ids(sink.mails)
    await bus.reports(1)
    first.kill()
    # As if the report had not got out: another prefix with the same notice and no report.
    other = Bus(bus.bootstrap, f"{bus.prefix}again.")
    await admin.apply(other.bootstrap, other.prefix, partitions=1)
    await other.set_contact("anna")
    await other.tell(notice_due())
    start(topic_prefix=other.prefix)
    mails = await sink.wait_for_mails(2)
    assert _ids(mails) == [sent, sent]


async def test_a_4xx_is_tried_again_until_it_is_delivered(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """The Message-ID stays; only the outcome at the end is reported."""
    await bus.set_contact()
    sink.rcpt.append("450 4.7.1 greylisted")
    sink.data.append("451 4.3.0 try again")
    await bus.tell(notice_due())
    start()
    await sink.wait_for_mails(1)
    assert sink.attempts == 3
    assert _outcomes(await bus.reports(1)) == [("12-1", "delivered", 250, "2.0.0")]


async def test_a_5xx_has_failed_at_once(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """Nothing is tried again; the others get their mail."""
    await bus.set_contact()
    sink.rcpt.append("550 5.1.1 no such user")
    await bus.tell(notice_due(), notice_due(notice="12-2"))
    start()
    await sink.wait_for_mails(1)
    assert _outcomes(await bus.reports(2)) == [("12-1", "failed", 550, "5.1.1"), ("12-2", "delivered", 250, "2.0.0")]
    assert sink.attempts == 2


async def test_a_relay_that_is_away_delays_everything_and_loses_nothing(bus: Bus, start: Starter) -> None:
    """Notices wait for it, and go out when it is back."""
    async with SmtpSink() as first:
        port = first.port
    await bus.set_contact()
    await bus.tell(notice_due(), notice_due(notice="12-2"))
    notifier = start(relay=f"127.0.0.1:{port}")

    async def noticed() -> bool:
        return notifier.log.count("relay_unreachable") >= 2

    await until(noticed, "two attempts")
    async with SmtpSink(port=port) as back:
        await back.wait_for_mails(2)
    assert [report.outcome for report in await bus.reports(2)] == ["delivered", "delivered"]


async def test_without_a_contact_it_waits_until_one_is_set(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """The command sets one for the connector while the notifier runs, and the notice goes out."""
    (offset,) = await bus.tell(notice_due())
    notifier = start()
    await notifier.ready()
    await bus.until_kept(offset)
    assert not await read_all(bus.bootstrap, bus.prefix + "requests")

    assert _contact(bus, "set", "it", "it@firm.example", "--connector", "branch").returncode == 0
    (mail,) = await sink.wait_for_mails(1)
    assert mail.recipients == ("it@firm.example",)
    await bus.reports(1)


async def test_after_48_hours_it_lapses(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """An old notice is not sent; it is told whether there was nobody to send it to. A young one lapses while it waits."""
    await bus.set_contact()
    await bus.tell(notice_due(), at=datetime.now(UTC) - timedelta(hours=49))
    await bus.tell(
        notice_due(notice="12-2", server="other.alt.example", connector="internet"),
        at=datetime.now(UTC) - timedelta(hours=48) + timedelta(seconds=6),
    )
    start()
    outcomes = _outcomes(await bus.reports(2))
    assert outcomes == [("12-1", "lapsed", 0, ""), ("12-2", "no-contact", 0, "")]
    assert not sink.mails


async def test_a_release_voids_what_was_not_sent(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """Only the notice of the release goes out."""
    notifier = start()
    await notifier.ready()
    await bus.tell(notice_due(), _released(), notice_due("release", 1, notice="12-2"))
    assert _outcomes(await bus.reports(1)) == [("12-1", "lapsed", 0, "")]
    await bus.set_contact()
    (mail,) = await sink.wait_for_mails(1)
    assert "limits" in str(mail.message["Subject"])
    await bus.reports(2)


async def test_an_unreadable_contact_is_told_without_its_text(bus: Bus, sink: SmtpSink, start: Starter) -> None:
    """It is passed over, by its offset only; the others get their mail."""
    bad = b'{"type":"contact.v1","id":"x","address":"secret-address","server":"s"}'
    await write(bus.bootstrap, bus.prefix + "contacts", [bad], key=b"x")
    await bus.set_contact()
    await bus.tell(notice_due())
    notifier = start()
    await sink.wait_for_mails(1)
    assert "contact_unreadable" in notifier.log
    assert "secret" not in notifier.log


async def test_a_log_that_cannot_be_read_ends_the_notifier(bus: Bus, start: Starter) -> None:
    """It could have settled a notice: one clear line, and exit code 1."""
    await write(bus.bootstrap, bus.prefix + "log", [b'{"seq":1}'])
    notifier = start()
    assert await notifier.ended() == 1
    assert "audit verify" in notifier.log.splitlines()[-1]
    assert "Traceback" not in notifier.log


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"notice_from": ""}, "PATCHGATE_NOTICE_FROM"),
        ({}, "patchgate topics apply"),
    ],
)
async def test_what_it_lacks_is_one_clear_line(start: Starter, changes: dict[str, str], named: str) -> None:
    """A setting, the topics: exit code 1, and what to do."""
    notifier = start(**changes)
    assert await notifier.ended() == 1
    assert named in notifier.log.splitlines()[-1]
    assert "Traceback" not in notifier.log


async def test_without_a_broker_it_waits_and_says_so(start: Starter) -> None:
    """It does not die again and again while the broker is away, and ends in order when told."""
    notifier = start(bootstrap="127.0.0.1:1")

    async def says_so() -> bool:
        return "no Kafka answers at 127.0.0.1:1" in notifier.log

    await until(says_so, "it says that it waits")
    assert notifier.terminate() == 0
    assert "Traceback" not in notifier.log


def _contact(bus: Bus, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "contact", *arguments],
        cwd=ROOT,
        env={"PATCHGATE_BOOTSTRAP": bus.bootstrap, "PATCHGATE_TOPIC_PREFIX": bus.prefix, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_contacts_are_set_listed_and_erased(bus: Bus) -> None:
    """Set twice there is one, the newer; erased there is a tombstone."""
    assert _contact(bus, "list").stdout.startswith("No contacts yet")
    _contact(bus, "set", "anna", "old@firm.example", "--connector", "branch")
    _contact(bus, "set", "anna", "anna@firm.example", "--server", SERVER, "--language", "de", "--zone", "Europe/Berlin")
    (listed,) = json.loads(_contact(bus, "list", "--json").stdout)
    assert listed == {
        "type": "contact.v1",
        "id": "anna",
        "address": "anna@firm.example",
        "server": SERVER,
        "connector": "",
        "language": "de",
        "zone": "Europe/Berlin",
    }
    assert f"server {SERVER}" in _contact(bus, "list").stdout
    assert _contact(bus, "erase", "anna").returncode == 0
    assert json.loads(_contact(bus, "list", "--json").stdout) == []
    assert (await read_all(bus.bootstrap, bus.prefix + "contacts"))[-1].value is None
    again = _contact(bus, "erase", "anna")
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)


async def test_a_contact_that_cannot_be_read_can_be_erased(bus: Bus) -> None:
    """It is named, and not shown."""
    await write(bus.bootstrap, bus.prefix + "contacts", [b"garbage"], key=b"x")
    listed = _contact(bus, "list", "--json")
    assert json.loads(listed.stdout) == []
    assert "contact x cannot be read" in listed.stderr
    assert _contact(bus, "erase", "x").returncode == 0
    assert not _contact(bus, "list").stderr
