"""
The loop that sends: it brings ledger, contacts, clock and relay together, and does what `delivery` says. One mail at a time.

1. A mail is handed to the relay. A crash here: after the restart it goes out, for the first time as far as anybody knows.
2. The relay answers 250. A crash here: the mail goes out once more after the restart, with the same Message-ID.
3. The outcome is reported through `requests`. From here on it does not go out again, whoever crashes.
4. The enforcer writes `notice-settled`, and the offset kept in the group moves past the notice.
"""

import asyncio
import time
from contextlib import suppress

import structlog

from services.notifier.contacts import Contacts
from services.notifier.delivery import Answer, Backoff, Delivery, Done, Report, Rest, Send, Step
from services.notifier.feeds import Reporter
from services.notifier.ledger import Ledger, OpenNotice
from services.notifier.mail import Composer
from services.notifier.relay import Mailer
from shared.domain.records import Contact, ReportNotice
from shared.runtime.clock import Clock

_LOOK_AT_LEAST_EVERY_S = 60.0


class Sender:
    """Settles what the ledger holds. already: notices whose outcome was reported before this process began."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        contacts: Contacts,
        already: set[str],
        mailer: Mailer,
        reporter: Reporter,
        composer: Composer,
        clock: Clock,
        backoff: Backoff,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._ledger = ledger
        self._contacts = contacts
        self._already = already
        self._mailer = mailer
        self._reporter = reporter
        self._composer = composer
        self._clock = clock
        self._backoff = backoff
        self._log = log
        self._deliveries: dict[str, Delivery] = {}
        self._changed = asyncio.Event()
        self._relay_failures = 0

    def wake(self) -> None:
        """The ledger or the contacts changed: look at once."""
        self._changed.set()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            self._changed.clear()
            rest_s = await self.round()
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._changed.wait()

    async def round(self) -> float:
        """Do all that can be done now; returns the real seconds after which to look again."""
        self._take_new()
        rest_s = _LOOK_AT_LEAST_EVERY_S
        for notice_id, delivery in list(self._deliveries.items()):
            step = await self._settle(delivery)
            if isinstance(step, Rest):
                rest_s = min(rest_s, max(0.0, step.seconds))
            elif notice_id not in self._ledger.open:
                del self._deliveries[notice_id]
        return rest_s

    def _take_new(self) -> None:
        """Begin what is newly open, note what became void, and drop what the log has settled without our doing."""
        for notice_id, notice in self._ledger.open.items():
            delivery = self._deliveries.get(notice_id)
            if delivery is None:
                reported = notice_id in self._already
                self._deliveries[notice_id] = Delivery(notice, self._backoff, reported=reported)
            else:
                delivery.notice = notice
        for notice_id, delivery in list(self._deliveries.items()):
            if notice_id not in self._ledger.open and not delivery.sent:
                del self._deliveries[notice_id]

    async def _settle(self, delivery: Delivery) -> Step:
        """Take steps with one notice until it rests or is done."""
        while True:
            step = self._next_step(delivery)
            match step:
                case Send(contacts=contacts):
                    await self._send(delivery, contacts)
                case Report():
                    await self._report(delivery, step)
                case Rest() | Done():
                    return step

    def _next_step(self, delivery: Delivery) -> Step:
        notice = delivery.notice
        contacts = self._contacts.for_notice(notice.due)
        return delivery.next_step(contacts, age=self._clock.real_age(notice.due_at), now_s=time.monotonic())

    async def _send(self, delivery: Delivery, contacts: tuple[Contact, ...]) -> None:
        for contact in contacts:
            answer = await self._mail(delivery.notice, contact)
            delivery.note(contact.id, answer, now_s=time.monotonic())
            if answer.kind == "unreachable":
                self._postpone_all()
                break
            self._relay_failures = 0
        delivery.tried()

    async def _mail(self, notice: OpenNotice, contact: Contact) -> Answer:
        try:
            message = self._composer.compose(notice, contact, now=self._clock.now())
        except Exception as error:  # noqa: BLE001  (one notice that we cannot write must not keep the others back)
            # Its name only: the text of an error can hold the address.
            self._log.error(
                "notice_not_written", notice=notice.due.notice, contact=contact.id, error=type(error).__name__
            )
            return Answer(kind="refused")
        answer = await self._mailer.send(message, contact.address)
        self._log.info(
            "notice_mailed",
            notice=notice.due.notice,
            kind=notice.due.kind,
            server=notice.due.server,
            contact=contact.id,
            answer=answer.kind,
            code=answer.code,
            enhanced=answer.enhanced,
        )
        return answer

    def _postpone_all(self) -> None:
        """Nobody waits for the same silence twice: with the relay away all notices wait for the next attempt."""
        self._relay_failures += 1
        until_s = time.monotonic() + self._backoff.after(self._relay_failures)
        for delivery in self._deliveries.values():
            delivery.postpone(until_s)

    async def _report(self, delivery: Delivery, step: Report) -> None:
        due = delivery.notice.due
        await self._reporter.report(
            ReportNotice(
                id=f"notice-{due.notice}-{step.outcome}",
                who="notifier",
                why="",
                made_at=self._clock.now(),
                notice=due.notice,
                server=due.server,
                outcome=step.outcome,
                code=step.code,
                enhanced=step.enhanced,
            )
        )
        delivery.was_reported(step.outcome)
        self._log.info("notice_reported", notice=due.notice, server=due.server, outcome=step.outcome, code=step.code)
