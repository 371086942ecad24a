"""
What to do next about one notice. Pure: the caller brings contacts, age and the monotonic time, and does what is said.

The first contact that the relay took the mail for makes the notice delivered, and that is reported at once; the other
contacts are still tried, as long as this process lives. A contact that was refused (5xx) is not tried again. Where all are
refused the notice has failed. After 48 hours it lapses, as does a void one at once.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

import msgspec

from services.notifier.ledger import OpenNotice
from shared.domain.records import Contact

LAPSE = timedelta(hours=48)
"""Real time after which a notice says nothing useful any more: its dates have moved on. Source: design rule 13."""

Outcome = Literal["delivered", "failed", "lapsed", "no-contact"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the relay said of one mail. later: try again; unreachable: nobody could be asked, so other mails wait as well."""

    kind: Literal["delivered", "refused", "later", "unreachable"]
    code: int = 0
    enhanced: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Report what became of the notice."""

    outcome: Outcome
    code: int = 0
    enhanced: str = ""


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """Mail these contacts now."""

    contacts: tuple[Contact, ...]


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to do for so long, unless contacts or the log change."""

    seconds: float


class Done(msgspec.Struct, frozen=True):
    """Nothing more to do at all."""


Step = Report | Send | Rest | Done


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Real seconds between attempts: they double from first_s up to max_s."""

    first_s: float
    max_s: float

    def after(self, attempts: int) -> float:
        """The wait after so many attempts."""
        return float(min(self.max_s, self.first_s * 2 ** min(attempts - 1, 30)))


class Delivery:
    """The way of one notice. reported: its outcome was handed to the bus."""

    def __init__(self, notice: OpenNotice, backoff: Backoff, *, reported: bool = False) -> None:
        self.notice = notice
        self.reported = reported
        self.sent: dict[str, Answer] = {}
        self._refused: dict[str, Answer] = {}
        self._backoff = backoff
        self._had_contact = False
        self._ended = reported
        self._attempts = 0
        self._not_before = 0.0
        self._last = Answer(kind="later")

    def next_step(self, contacts: Sequence[Contact], *, age: timedelta, now_s: float) -> Step:
        """What to do now; age: real time since the notice fell due, now_s: monotonic."""
        self._had_contact = self._had_contact or bool(contacts)
        if self._ended:
            return Done()
        if self.sent and not self.reported:
            return self._report("delivered", next(iter(self.sent.values())))
        if self.notice.void or age >= LAPSE:
            return self._give_up()
        waiting = tuple(c for c in contacts if c.id not in self.sent and c.id not in self._refused)
        if contacts and not waiting:
            return Done() if self.sent else self._report("failed", self._last)
        if not contacts or now_s < self._not_before:
            until_lapse_s = (LAPSE - age).total_seconds()
            return Rest(seconds=min(until_lapse_s, self._not_before - now_s) if contacts else until_lapse_s)
        return Send(contacts=waiting)

    def note(self, contact_id: str, answer: Answer, *, now_s: float) -> None:
        """Take the relay's answer for one contact."""
        self._last = answer
        if answer.kind == "delivered":
            self.sent[contact_id] = answer
        elif answer.kind == "refused":
            self._refused[contact_id] = answer
        else:
            self._not_before = max(self._not_before, now_s + self._backoff.after(self._attempts + 1))

    def tried(self) -> None:
        """One round over the contacts is over."""
        self._attempts += 1

    def postpone(self, until_s: float) -> None:
        """Wait until then: the relay cannot be reached, which is no fault of this notice."""
        self._not_before = max(self._not_before, until_s)

    def was_reported(self, outcome: Outcome) -> None:
        """The report is on the bus; after "delivered" the other contacts are still tried."""
        self.reported = True
        self._ended = outcome != "delivered"

    def _give_up(self) -> Step:
        if self.sent:
            self._ended = True
            return Done()
        never = not self._had_contact and not self.notice.void
        return self._report("no-contact" if never else "lapsed", self._last)

    def _report(self, outcome: Outcome, answer: Answer) -> Report:
        return Report(outcome=outcome, code=answer.code, enhanced=answer.enhanced)
