"""
The text of a notice: plain words, no HTML, lines below 78 characters but for the evidence. Pure.

Dates stand in UTC and in the reader's zone. All comes from the notice itself and from the catalogue, so that the same
notice always gives the same text.
"""

import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from services.notifier.phrases import EVERY_HOUR, GREETING, PHRASES, Phrases
from shared.domain.build import Build
from shared.domain.catalogue import BuildCatalogue
from shared.domain.catalogue_rows import branch_of
from shared.domain.events import NoticeDue
from shared.domain.received import read_own_run
from shared.domain.records import Contact, Row

_WIDTH = 76
_EVIDENCE_MAX = 900
"""Characters of the seen line; with its indent it stays below the 998 of RFC 5322, section 2.1.1."""
_WHOLE_HOUR = 60
_COMMAND = "Get-Command ExSetup.exe | ForEach-Object {$_.FileVersionInfo}"


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes, and whom to ask."""

    receiver: str
    whom: str


class Text(NamedTuple):
    """Subject and body."""

    subject: str
    body: str


def zone_of(contact: Contact) -> tuple[str, tzinfo]:
    """The reader's zone; UTC where the zone is not known here, for dates must not fail."""
    if contact.zone == "UTC":
        return "UTC", UTC
    try:
        return contact.zone, ZoneInfo(contact.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC", UTC


def write(notice: NoticeDue, told_at: datetime, contact: Contact, catalogue: BuildCatalogue, signed: Signature) -> Text:
    """Write *notice*, which the log told at *told_at*, in the language and zone of *contact*."""
    return _Writer(notice, told_at, contact, catalogue, signed).text()


class _Writer:
    def __init__(
        self, notice: NoticeDue, told_at: datetime, contact: Contact, catalogue: BuildCatalogue, signed: Signature
    ) -> None:
        self._notice = notice
        self._told_at = told_at
        self._language = contact.language
        self._say: Phrases = PHRASES[contact.language]
        self._zone_name, self._zone = zone_of(contact)
        self._catalogue = catalogue
        self._signed = signed
        self._host = _printable(notice.server.partition("@")[0])
        self._patch_exists = catalogue.patch_exists(notice.product, notice.floor.builds, told_at.astimezone(UTC).date())
        self._row = self._row_it_is_about()
        self._date = told_at if notice.kind == "release" or self._row is None else self._row.since

    def text(self) -> Text:
        """Subject and body."""
        parts = [GREETING[self._language], *self._opening(), *self._seen()]
        if self._notice.kind == "release":
            parts.append(_wrapped(self._say.after_release))
        else:
            parts += [
                *self._dates(),
                *self._todo(),
                *self._check(),
                self._heading(self._say.ends_heading),
                _wrapped(self._say.ends),
                self._heading(self._say.time_heading),
                _wrapped(self._say.time_pause),
                _wrapped(self._say.time_dispute),
            ]
        parts += self._end()
        blocking = self._notice.kind == "stage" and self._row is not None and self._row.block_minutes_per_hour
        subject = self._say.subject["stage-blocking" if blocking else self._kind()].format(
            host=self._host, stage=self._notice.stage, date=f"{self._date.astimezone(UTC):%Y-%m-%d}"
        )
        return Text(subject, "\n\n".join(parts) + "\n")

    # -- parts ------------------------------------------------------------------------------------------------------

    def _kind(self) -> str:
        """The kind of the notice; a case that inherits a clock opens with a row that has minutes, no other does."""
        again = self._notice.kind == "opening" and _minutes(self._notice.rows[0]) > 0
        return "opening-again" if again else self._notice.kind

    def _row_it_is_about(self) -> Row | None:
        """The row that the notice announces or tells of: at the opening the first with minutes, else that of its stage."""
        rows = [row for row in (*self._notice.rows, *self._notice.blocking) if _minutes(row)]
        if self._notice.kind == "opening":
            return rows[0] if rows else None
        return next((row for row in rows if row.stage == self._notice.stage), None)

    def _opening(self) -> Iterator[str]:
        row = self._row
        minutes = EVERY_HOUR[self._language].format(minutes=_minutes(row) if row else 0)
        date = f"{self._date.astimezone(UTC):%Y-%m-%d %H:%M}"
        opening = self._say.opening[self._kind()]
        yield _wrapped(opening.format(host=self._host, stage=self._notice.stage, date=date, minutes=minutes))
        if self._notice.kind == "stage" and row is not None:
            yield from self._stage(row)

    def _stage(self, row: Row) -> Iterator[str]:
        if row.throttle_minutes_per_hour:
            yield _wrapped(self._say.stage_throttled.format(throttle=row.throttle_minutes_per_hour))
        if row.block_minutes_per_hour == _WHOLE_HOUR:
            yield _wrapped(self._say.stage_closed)
        elif row.block_minutes_per_hour:
            yield _wrapped(self._say.stage_blocked.format(block=row.block_minutes_per_hour))

    def _seen(self) -> Iterator[str]:
        notice, say = self._notice, self._say
        seen = notice.line_seen_at
        local = f", {seen.astimezone(self._zone):%Y-%m-%d %H:%M} {self._zone_name}" if self._zone is not UTC else ""
        heading, lead = say.seen_heading, say.seen_by
        if notice.kind == "release":  # its evidence is still what was accused: the cure is the reason for the mail
            heading, lead = say.seen_before_heading, say.seen_before
        yield self._heading(heading)
        yield _wrapped(
            lead.format(edge=_printable(notice.line_edge), seen=f"{seen.astimezone(UTC):%Y-%m-%d %H:%M}", local=local)
        )
        line = _printable(notice.line)
        yield f"    {line[:_EVIDENCE_MAX]}"
        if len(line) > _EVIDENCE_MAX:
            yield _wrapped(say.seen_cut)
        yield _wrapped(" ".join(self._reading()))

    def _reading(self) -> Iterator[str]:
        say, product = self._say, self._notice.product
        reading = read_own_run((self._notice.line,), self._catalogue).reading
        if reading is not None and reading.shown is None:
            yield say.seen_no_number.format(product=product)
        elif reading is not None and reading.shown is not None:
            yield say.seen_number.format(product=product, shown=self._named(reading.shown))
            if reading.high not in {None, reading.shown} and self._notice.floor.builds:
                yield say.seen_range.format(high=reading.high)
        least = self._least()
        yield say.needed.format(least=least) if least else say.needed_none.format(product=product)

    def _dates(self) -> Iterator[str]:
        say, notice = self._say, self._notice
        granted = [row for row in notice.rows if _minutes(row)]
        yield self._heading(say.dates_heading)
        yield _wrapped(say.dates_words)
        if granted:
            yield "\n".join(self._table(say.date_column, granted))
        if notice.blocking:
            yield _wrapped(say.dates_blocking)
            yield "\n".join(self._table(say.not_before_column, notice.blocking))

    def _table(self, first: str, rows: Iterable[Row]) -> Iterator[str]:
        say = self._say
        second = f"{self._zone_name[:20]:<22}" if self._zone is not UTC else ""
        yield f"    {first + ' (UTC)':<22}{second}{say.delayed_column:<11}{say.refused_column}".rstrip()
        in_force = max((row.since for row in self._notice.rows if row.since <= self._told_at), default=None)
        for row in rows:
            local = f"{row.since.astimezone(self._zone):%Y-%m-%d %H:%M}{'':<6}" if second else ""
            times = f"{row.since.astimezone(UTC):%Y-%m-%d %H:%M}{'':<6}{local}"
            mark = f"  ({say.in_force})" if row.since == in_force else ""
            yield f"    {times}{self._span(row.throttle_minutes_per_hour):<11}{self._span(row.block_minutes_per_hour)}{mark}"

    def _span(self, minutes: int) -> str:
        return self._say.per_hour.format(minutes=minutes) if minutes else "-"

    def _todo(self) -> Iterator[str]:
        say, notice = self._say, self._notice
        on = self._told_at.astimezone(UTC).date()
        yield self._heading(say.todo_heading)
        if not self._patch_exists:
            yield _wrapped(say.todo_replace.format(product=notice.product))
            return
        yield _wrapped(say.todo_update.format(product=notice.product, least=self._least()))
        ended = self._catalogue.assess(notice.product, None, None, on=on).support_ended
        if ended is not None:
            yield _wrapped(say.todo_ended.format(product=notice.product, ended=ended))

    def _check(self) -> Iterator[str]:
        say = self._say
        yield self._heading(say.check_heading)
        if not self._patch_exists:
            yield _wrapped(say.check_product.format(host=self._host))
            return
        yield _wrapped(say.check_line.format(host=self._host))
        yield _wrapped(say.check_command)
        yield f"    {_COMMAND}"
        yield _wrapped(say.check_shell)
        yield _wrapped(say.check_higher)

    def _end(self) -> Iterator[str]:
        say = self._say
        yield self._heading(say.ask_heading)
        yield _wrapped(say.ask.format(whom=self._signed.whom, notice=self._notice.notice))
        yield "-- \n" + _wrapped(
            say.footer.format(receiver=self._signed.receiver, server=_printable(self._notice.server))
        )

    # -- words ------------------------------------------------------------------------------------------------------

    def _heading(self, words: str) -> str:
        return f"{words}\n{'-' * len(words)}"

    def _least(self) -> str:
        """The least acceptable build of each branch, with name and number of its update; "" where none is acceptable."""
        named = [self._named(build, with_number=True) for build in self._notice.floor.builds]
        return (" or " if self._language == "en" else " oder ").join(named)

    def _named(self, build: Build, *, with_number: bool = False) -> str:
        """The build, with what its update is called as far as the catalogue lists it."""
        rows = self._catalogue.builds_of_branch(branch_of(build))
        row = next((row for row in rows if row.build == build), None)
        if row is None:
            return str(build)
        return f"{build} ({row.name}, {row.kb})" if with_number and row.kb else f"{build} ({row.name})"


def _minutes(row: Row) -> int:
    return row.block_minutes_per_hour or row.throttle_minutes_per_hour


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _printable(text: str) -> str:
    """*text* on one line: what is not printable came from outside and could end a header or a line."""
    return "".join(character if character.isprintable() else "?" for character in text)
