"""The texts of notices: golden files for each kind in both languages, and what must hold for any values."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.ledger import OpenNotice
from services.notifier.mail import Composer, message_id
from services.notifier.texts import Signature, Text, write
from shared.domain import events as e
from shared.domain.build import parse_build
from shared.domain.catalogue import load_catalogue
from shared.domain.floors import Floor
from tests.support.notices import DAY_0, LINE, SERVER, contact, notice_due, rows, told

GOLDEN = Path(__file__).parents[1] / "data" / "notices"
SIGNED = Signature(receiver="Example Ltd", whom="postmaster@mx.example, +49 30 5550000")
ZONES = {"en": "America/New_York", "de": "Europe/Berlin"}
E2007 = "Microsoft Exchange 2007"
MAPI_LINE = (
    "from ex07.alt.example ([10.0.0.2]) by ex07.alt.example ([10.0.0.2]) with mapi; Tue, 24 Nov 2026 11:00:00 +0000"
)

CASES: dict[str, tuple[e.NoticeDue, datetime]] = {
    "opening": (notice_due(), DAY_0),
    "opening-again": (
        notice_due(
            stage=3, rows=(msgspec.structs.replace(rows()[2], since=DAY_0), rows(DAY_0 - timedelta(days=40))[3])
        ),
        DAY_0,
    ),
    "before-throttling": (notice_due("before-throttling", 2), DAY_0 + timedelta(days=23)),
    "stage-throttled": (notice_due("stage", 3), DAY_0 + timedelta(days=40)),
    "before-blocking": (notice_due("before-blocking", 5), DAY_0 + timedelta(days=53)),
    "stage-blocked": (notice_due("stage", 6), DAY_0 + timedelta(days=70)),
    "stage-closed": (notice_due("stage", 8), DAY_0 + timedelta(days=90)),
    "release": (notice_due("release", 6, rows=rows(), blocking=()), DAY_0 + timedelta(days=75, minutes=7)),
    "opening-no-patch": (
        notice_due(
            server="ex07.alt.example@branch",
            product=E2007,
            floor=Floor(product=E2007),
            line=MAPI_LINE,
        ),
        DAY_0,
    ),
}


def _written(notice: e.NoticeDue, at: datetime, language: Literal["en", "de"], zone: str) -> Text:
    return write(notice, at, contact(language=language, zone=zone), load_catalogue(), SIGNED)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, language: Literal["en", "de"]) -> None:
    """Each kind reads exactly as the file says, which people have read; PATCHGATE_GOLDEN=write writes them anew."""
    text = _written(*CASES[name], language, ZONES[language])
    file = GOLDEN / f"{name}.{language}.txt"
    found = f"Subject: {text.subject}\n\n{text.body}"
    if os.environ.get("PATCHGATE_GOLDEN") == "write":
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("name", CASES)
def test_lines_are_short_but_for_the_evidence(name: str, language: Literal["en", "de"]) -> None:
    """Below 78 characters, as plain mail wants it; only the seen line stays in one piece."""
    notice, at = CASES[name]
    lines = _written(notice, at, language, ZONES[language]).body.splitlines()
    assert [line for line in lines if len(line) >= 78 and notice.line not in line] == []
    assert f"    {notice.line}" in lines


def test_dates_stand_in_utc_and_in_the_readers_zone() -> None:
    """A stage that begins after Berlin has changed its clocks is two hours ahead of UTC there, one before."""
    day_0 = datetime(2027, 2, 20, 11, 0, tzinfo=UTC)
    body = _written(notice_due(rows=rows(day_0)), day_0, "en", "Europe/Berlin").body
    assert "    2027-03-22 11:00      2027-03-22 12:00      5 min/h    -\n" in body
    assert "    2027-04-01 11:00      2027-04-01 13:00      10 min/h   -\n" in body


def test_dates_in_utc_stand_once() -> None:
    """For a reader in UTC there is no second column."""
    body = _written(notice_due(), DAY_0, "en", "UTC").body
    assert "    from (UTC)            delayed    refused\n    2026-12-24 11:00      5 min/h    -\n" in body


def test_an_unknown_zone_is_utc() -> None:
    """Zones come and go with the system: a notice is sent all the same, with the dates in UTC."""
    assert _written(notice_due(), DAY_0, "en", "Mars/Olympus") == _written(notice_due(), DAY_0, "en", "UTC")


def test_dates_that_wait_are_not_before() -> None:
    """Rows that are not granted yet stand apart, as the earliest dates."""
    body = _written(notice_due(), DAY_0, "en", "UTC").body
    granted, _, waiting = body.partition("not before (UTC)")
    assert "2027-01-13 11:00" in granted
    assert "2027-01-23 11:00" not in granted
    assert "    2027-02-22 11:00      -          60 min/h\n" in waiting


@pytest.mark.parametrize(("days", "now"), [(39, "2026-12-24"), (40, "2027-01-03"), (49, "2027-01-03")])
def test_the_row_in_force_is_marked(days: int, now: str) -> None:
    """It is the newest that has begun when the log told of the notice."""
    body = _written(notice_due("stage", 3), DAY_0 + timedelta(days=days), "en", "UTC").body
    assert [line.strip()[:10] for line in body.splitlines() if line.endswith("(now)")] == [now]


def test_no_patch_is_told_instead_of_an_update() -> None:
    """Where no build is acceptable the advice is another server, and no update is named."""
    body = _written(*CASES["opening-no-patch"], "en", "UTC").body
    assert "There is no update that would help" in body
    assert "Install" not in body
    assert "or newer" not in body


def test_a_floor_that_was_never_published_is_no_patch() -> None:
    """A least build above everything that the catalogue lists cannot be installed: the advice is another server."""
    floor = Floor(product="Microsoft Exchange 2016", builds=(parse_build("15.1.2507.999"),))
    assert "There is no update that would help" in _written(notice_due(floor=floor), DAY_0, "en", "UTC").body


def test_each_branch_of_the_floor_is_named_with_its_update() -> None:
    """Who runs another cumulative update must find his own least build."""
    floor = Floor(product="Microsoft Exchange 2019", builds=(parse_build("15.2.1544.36"), parse_build("15.2.1748.39")))
    body = _written(notice_due(product="Microsoft Exchange 2019", floor=floor), DAY_0, "en", "UTC").body
    words = " ".join(body.split())
    assert "at least 15.2.1544.36 (CU14 Oct25SU, KB5066368) or 15.2.1748.39 (CU15 Oct25SU, KB5066367)" in words


def test_a_line_that_hides_updates_says_up_to_where() -> None:
    """Who is judged by a range is told its upper end, and that even this is not enough."""
    line = LINE.replace("15.1.2507.39", "15.1.2308.8")
    words = " ".join(_written(notice_due(line=line), DAY_0, "en", "UTC").body.split())
    assert "build 15.1.2308.8 (CU21)" in words
    assert "up to build 15.1.2308.27; that, too, would not be enough" in words


@given(st.text(max_size=2000), st.text(max_size=100), st.text(max_size=40))
def test_any_seen_text_stays_inside_its_line(line: str, server: str, edge: str) -> None:
    """Whatever a stranger wrote into his line or name adds no line, no header and nothing unprintable."""
    notice = notice_due(line=line, server=server, line_edge=edge)
    text = _written(notice, DAY_0, "en", "UTC")
    assert text.subject.isprintable()
    assert all(part.isprintable() for part in text.body.split("\n"))
    assert max(map(len, text.body.split("\n"))) <= 998
    message = _composer().compose(_open(notice), contact(), now=DAY_0)
    assert message.keys() == ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", *_CONTENT_HEADERS]
    message.as_bytes()


@pytest.mark.parametrize(("length", "cut"), [(900, False), (901, True), (60_000, True)])
def test_a_long_line_is_cut_and_that_is_said(length: int, cut: bool) -> None:
    """A stranger's line of 60,000 bytes is shown by its beginning: mail lines have at most 998 characters."""
    body = _written(notice_due(line=LINE.ljust(length, "x")), DAY_0, "en", "UTC").body
    assert max(map(len, body.split("\n"))) == 904
    assert ("this is its beginning" in body) is cut


_CONTENT_HEADERS = ["Content-Type", "Content-Transfer-Encoding", "MIME-Version"]


def _composer() -> Composer:
    return Composer(catalogue=load_catalogue(), signed=SIGNED, notice_from="notices@mx.example", id_domain="mx.example")


def _open(notice: e.NoticeDue) -> OpenNotice:
    record = told(notice)
    return OpenNotice(due=notice, due_at=record.at, told_at=record.at, offset=0)


def test_headers_of_a_mail() -> None:
    """It says who writes, that no person wrote it, and when; the body can be read back letter by letter."""
    message = _composer().compose(_open(notice_due()), contact(language="de", zone="Europe/Berlin"), now=DAY_0)
    assert message["From"] == "Example Ltd <notices@mx.example>"
    assert message["To"] == "anna@firm.example"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Tue, 24 Nov 2026 11:00:00 +0000"
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == _written(notice_due(), DAY_0, "de", "Europe/Berlin").body


def test_the_message_id_is_fixed_by_notice_and_reader() -> None:
    """The same mail has the same id however often it is made; another reader, notice or log has another; no name is in it."""
    due = notice_due()
    first = message_id(due, contact(), "mx.example")
    others = [
        message_id(due, contact("bert"), "mx.example"),
        message_id(notice_due(notice="12-2"), contact(), "mx.example"),
        message_id(notice_due(opened_at=DAY_0 + timedelta(seconds=1)), contact(), "mx.example"),
    ]
    assert first == message_id(due, contact(address="other@firm.example"), "mx.example")
    assert len({first, *others}) == 4
    assert first.startswith("<12-1.")
    assert first.endswith("@mx.example>")
    assert "anna" not in first
    assert SERVER not in first
