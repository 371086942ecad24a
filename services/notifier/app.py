"""The notifier's wiring, and its life: read log, contacts and reports to their ends, then follow, and send what is due."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from services.notifier.contacts import Contacts
from services.notifier.delivery import Backoff
from services.notifier.feeds import ContactFeed, KafkaReporter, LogFeed, reported_notices
from services.notifier.ledger import Ledger
from services.notifier.mail import Composer
from services.notifier.relay import Relay
from services.notifier.sender import Sender
from services.notifier.settings import NotifierSettings
from services.notifier.texts import Signature
from shared.domain.errors import TransientError
from shared.domain.records import Contact
from shared.messaging.kafka import await_broker, running
from shared.runtime.catalogue_files import load_catalogue_of
from shared.runtime.clock import Clock
from shared.runtime.readiness import ReadyFile


class Notifier:
    """One notifier. Only one may run for a prefix: a second would send every notice once more."""

    def __init__(self, settings: NotifierSettings, clock: Clock, log: structlog.stdlib.BoundLogger) -> None:
        self._place = place = (settings.bootstrap, settings.topic_prefix)
        self._settings = settings
        self._clock = clock
        self._log = log
        self._ready = ReadyFile(settings.state_dir, "notifier")
        self._reporter = KafkaReporter(*place, log)
        self._ledger = Ledger()
        self._contacts = Contacts()

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Run until *stopping* is set.

        Raises:
            TransientError: Kafka does not answer, or topics are missing; start it again.
            EventSchemaError: the log holds a record that this version cannot read.
            ConfigError: the catalogue, the clock or the state directory cannot be used.
        """
        self._ready.clear()
        bootstrap = self._settings.bootstrap
        if not await await_broker(bootstrap, stopping, lambda why: self._log.warning("waiting_for_broker", why=why)):
            return
        try:
            async with (
                running((log_feed := LogFeed(*self._place, self._log)).consumer),
                running((contact_feed := ContactFeed(*self._place, self._log)).consumer),
            ):
                sender = await self._load(log_feed, contact_feed)
                self._log.info("ready", open=len(self._ledger.open), contacts=len(self._contacts))
                self._ready.touch()
                works = self._follow_log(log_feed, sender), self._follow_contacts(contact_feed, sender), sender.run()
                await _until_stopped(stopping, *works)
        except KafkaError as error:
            raise TransientError(
                f"Kafka at {self._settings.bootstrap} does not answer as it should ({type(error).__name__}); is it running?"
            ) from error
        finally:
            await self._reporter.stop()

    async def _load(self, log_feed: LogFeed, contact_feed: ContactFeed) -> Sender:
        """Read everything to its end before anything is sent: what is settled, or reported, is not sent again."""
        await log_feed.begin()
        async for offset, record in log_feed.to_end():
            self._ledger.note(offset, record)
        already = await reported_notices(*self._place)
        async for contact_id, contact in contact_feed.to_end():
            self._note_contact(contact_id, contact)
        settings = self._settings
        signed = Signature(receiver=settings.receiver_name, whom=settings.whom_to_ask or settings.notice_from)
        return Sender(
            ledger=self._ledger,
            contacts=self._contacts,
            already=already,
            mailer=Relay(settings, self._log),
            reporter=self._reporter,
            composer=Composer(
                catalogue=load_catalogue_of(settings.state_dir),
                signed=signed,
                notice_from=settings.notice_from,
                id_domain=settings.id_domain,
            ),
            clock=self._clock,
            backoff=Backoff(first_s=settings.retry_first_s, max_s=settings.retry_max_s),
            log=self._log,
        )

    async def _follow_log(self, feed: LogFeed, sender: Sender) -> None:
        while True:
            found = await feed.poll()
            for offset, record in found:
                self._ledger.note(offset, record)
            if found:
                sender.wake()
            await feed.keep(self._ledger.keep_from(await feed.position()))
            if feed.is_fresh():
                self._ready.touch()

    async def _follow_contacts(self, feed: ContactFeed, sender: Sender) -> None:
        while True:
            found = await feed.poll()
            for contact_id, contact in found:
                self._note_contact(contact_id, contact)
            if found:
                sender.wake()

    def _note_contact(self, contact_id: str, contact: Contact | None) -> None:
        if contact is None:
            self._contacts.erase(contact_id)
        else:
            self._contacts.put(contact)


async def _until_stopped(stopping: asyncio.Event, *works: Coroutine[None, None, None]) -> None:
    """Run *works* until *stopping* is set, or one of them fails; then end all of them, and raise what failed."""
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(work) for work in works]
    told: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    try:
        done, _ = await asyncio.wait([told, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (told, *tasks):
            task.cancel()
        await asyncio.gather(told, *tasks, return_exceptions=True)
