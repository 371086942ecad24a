"""
Mails out of the log of a Postfix: who connected, and what its lines say where the log has the lines of `patchgate recipe postfix-log`.

A mail is what smtpd opened with `QID: client=NAME[ADDRESS]` and qmgr took over. Between the two cleanup tells each `Received` line of it;
our own holds the queue id, those below are the sender's. A mail of a user who logged in, or from an own address, is our own.
Stamps without a year get the latest year that does not lie beyond the file's own time, and count as UTC.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

from services.cli.look.headers import day_number, day_of
from services.cli.look.logged import Logged
from services.cli.look.sources import Piece, Trouble, lines_of, open_plain

OPEN_MAX = 4_000
"""Mails that smtpd has opened and qmgr not taken; more than any smtpd has clients at once. The oldest ends then as it stands."""

LINES_KEPT = 12
"""`Received` lines of one mail, top first; those beyond are not looked at, so they acquit nobody either."""

LINE_BYTES_MAX = 16_384
"""Of one line of the log; the rest of a longer one is passed over. Postfix and syslog write below 10,000."""

BEYOND_BYTES = 1_000_000
"""Behind the end of a piece in which the mails that it opened are looked for."""

CUT = b""
"""Stands for a `Received` line that the log has not whole: it names nothing, and no deeper line takes its place."""

_PROGRAMS = (b"/smtpd[", b"/cleanup[", b"/qmgr[")
_QUEUE_ID = re.compile(rb"[0-9A-Za-z]{5,25}")
_CLIENT = re.compile(
    rb"client=(?P<name>[\w.-]{1,255})\[(?P<address>[0-9A-Fa-f:.]{2,45})(?:%\w{1,20})?\](?::\d{1,5})?(?P<rest>.*)",
    re.ASCII,
)
_HEADER = re.compile(rb"[a-z]{3,12}: header received:", re.IGNORECASE)  # INFO, or what another table does
_MARK = b">: patchgate ["  # what stands before it is `helo=<NAME`; the last one in a line is Postfix's
_HELO = b" helo=<"
_SYSLOG = re.compile(rb"([A-Z][a-z]{2}) {1,2}(\d{1,2}) ([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.\d{1,9})? ")
_RFC3339 = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:[.,]\d{1,9})?(?:Z|([+-])([01]\d|2[0-3]):?([0-5]\d))? "
)
_YEARS_BACK = 8  # to a year that has a 29 February
_DAY_S = 86_400


class _Open:
    """A mail that is not wholly told."""

    def __init__(self, client: re.Match[bytes], seconds: int | None) -> None:
        self.client = client
        self.seconds = seconds
        self.helo = b""
        self.own = b""
        self.told = False
        self.received: list[bytes] = []

    def line(self, queue_id: bytes, rest: bytes) -> None:
        """Take what cleanup tells of one `Received` line."""
        mark = rest.rfind(_MARK)
        whole = mark >= 0 and rest.endswith(b"]")
        value = rest[mark + len(_MARK) : -1].replace(b"?", b" ") if whole else CUT
        self.told = self.told or mark >= 0
        if not self.received and b" id " + queue_id in rest:
            self.own = value
            return
        if not self.received and mark >= 0:
            self.helo = rest[rest.rfind(_HELO, 0, mark) + len(_HELO) : mark]
        if len(self.received) < LINES_KEPT:
            self.received.append(value)

    def mail(self) -> Logged:
        """The mail as it stands."""
        name = self.client["name"].decode("ascii", "replace")
        confirmed = name.lower() != "unknown"
        return Logged(
            address=self.client["address"].decode(),
            name=name if confirmed else "",
            resolve="ok" if confirmed else "failed",
            helo=self.helo.decode("latin-1"),
            auth=b" sasl_" in self.client["rest"],
            received=tuple(self.received) if self.told else None,
            own=self.own,
            seconds=self.seconds,
        )


def logged_in(piece: Piece) -> Iterator[Logged | Trouble]:
    """The mails of a piece of kind `log`: those that smtpd opened in it, wherever they end."""
    path = piece.paths[0]
    last_line = piece.end + BEYOND_BYTES if piece.end else None
    with open_plain(path) as stream:
        reader = _Reader(Stamps(os.stat(path).st_mtime))  # noqa: PTH116  (a text, as all paths here)
        too_long, lines, any_line = None, 0, False
        for at, line, whole in lines_of(stream, piece.start, last_line, LINE_BYTES_MAX):
            beyond = bool(piece.end) and at >= piece.end
            if beyond and not reader.opened:
                break
            lines += 1
            if not whole and too_long is None and not beyond:
                too_long = at
            parts = _parts(line)
            if parts is not None:
                any_line = True
                yield from reader.mails(*parts, line, None if beyond else at)
        yield from (mail.mail() for mail in reader.opened.values() if mail.told)
        if lines and not any_line:
            place = f"{path}, bytes {piece.start} to {piece.end}" if piece.end else path
            yield Trouble(place, "holds no line that a Postfix writes of a mail")
        if too_long is not None:
            why = f"has a line of more than {LINE_BYTES_MAX} bytes: its rest is passed over"
            yield Trouble(f"{path}, byte {too_long}", why)
        yield from reader.stamps.troubles(path)


class _Reader:
    """The mails that are open, by queue id."""

    def __init__(self, stamps: "Stamps") -> None:
        self.stamps = stamps
        self.opened: dict[bytes, _Open] = {}

    def mails(self, program: bytes, queue_id: bytes, rest: bytes, line: bytes, at: int | None) -> Iterator[Logged]:
        """Take a line of a mail; the mails that end by it. at: where the line begins, None where no mail may be opened any more."""
        opened = self.opened
        if program == b"smtpd":
            client = _CLIENT.fullmatch(rest) if at is not None else None
            if client is not None and at is not None:
                yield from self._makes_place(queue_id)
                opened[queue_id] = _Open(client, self.stamps.seconds_of(line, at))
        elif queue_id not in opened:
            return
        elif program == b"cleanup" and _HEADER.match(rest):
            opened[queue_id].line(queue_id, rest)
        elif program == b"qmgr" and rest.startswith(b"from=<"):
            yield opened.pop(queue_id).mail()

    def _makes_place(self, queue_id: bytes) -> Iterator[Logged]:
        """What goes before one more is opened: one of its id, and at the bound the oldest. One without lines never came in."""
        oldest = next(iter(self.opened)) if len(self.opened) >= OPEN_MAX else b""
        for gone in {queue_id, oldest} & self.opened.keys():
            mail = self.opened.pop(gone)
            if mail.told:
                yield mail.mail()


def _parts(line: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Program, queue id and the rest; None for a line of anybody else, or of no mail."""
    if not any(program in line for program in _PROGRAMS):
        return None
    head, found, text = line.partition(b"]: ")
    program = head[head.rfind(b" ") + 1 :].partition(b"[")[0].rpartition(b"/")[2]
    queue_id, _, rest = text.partition(b": ")
    if not found or program not in (b"smtpd", b"cleanup", b"qmgr") or not _QUEUE_ID.fullmatch(queue_id):
        return None
    return program, queue_id, rest


class Stamps:
    """The instants of one log's lines. mtime: when the file was last written; a line cannot be of a later day."""

    def __init__(self, mtime: float) -> None:
        self._last = int(mtime) // _DAY_S + 1  # a day more: the stamps may be of any zone
        self._days: dict[bytes, int | None] = {}
        self._newest = 0
        self._back: tuple[int, int, int] | None = None  # place, day before, day after
        self._unknown = 0
        self._first_unknown: int | None = None

    def seconds_of(self, line: bytes, at: int) -> int | None:
        """Seconds since 1970 UTC of the stamp that *line*, at byte *at*, begins with; None where it cannot be told."""
        seconds = None
        if found := _SYSLOG.match(line):
            day = self._day(found[1] + b" " + found[2])
            if day is not None:
                self._note_order(day, at)
                seconds = day * _DAY_S + _of_clock(found[3], found[4], found[5])
        elif found := _RFC3339.match(line):
            seconds = _of_rfc3339(found)
        if seconds is None:
            self._first_unknown = at if self._first_unknown is None else self._first_unknown
            self._unknown += 1
        return seconds

    def troubles(self, path: str) -> Iterator[Trouble]:
        """What is wrong with the stamps as a whole."""
        if self._back is not None:
            at, before, after = self._back
            yield Trouble(
                f"{path}, byte {at}",
                f"goes back in time, from {_date_of(before)} to {_date_of(after)}: it spans over a year without telling years, or was"
                " joined in the wrong order. Days may be a year late: split it, and give each part the time of its last line (touch -d)",
            )
        if self._unknown:
            yield Trouble(
                f"{path}, byte {self._first_unknown}",
                f"has a time in no form that is known here, and so have {self._unknown} mails in all: they count without their day",
            )

    def _day(self, text: bytes) -> int | None:
        if text not in self._days:
            month, day = text.split()
            latest = _date_of(self._last).year
            days = (day_of(day + b" " + month + b" %d" % year) for year in range(latest, latest - _YEARS_BACK, -1))
            self._days[text] = next((one for one in days if one is not None and one <= self._last), None)
        return self._days[text]

    def _note_order(self, day: int, at: int) -> None:
        if day < self._newest - 1 and self._back is None:
            self._back = (at, self._newest, day)
        self._newest = max(self._newest, day)


def _of_clock(hours: bytes, minutes: bytes, seconds: bytes) -> int:
    return int(hours) * 3_600 + int(minutes) * 60 + int(seconds)


def _of_rfc3339(found: re.Match[bytes]) -> int | None:
    day = day_number(int(found[1]), int(found[2]), int(found[3]))
    if day is None:
        return None
    zone = _of_clock(found[8], found[9], b"0") if found[7] else 0
    return day * _DAY_S + _of_clock(found[4], found[5], found[6]) - (zone if found[7] == b"+" else -zone)


def _date_of(day: int) -> date:
    return datetime.fromtimestamp(day * _DAY_S, UTC).date()
