"""Bad input: told with place and reason, skipped, counted at the end, and the exit code says so; never a traceback."""

import gzip
import io
import json
import lzma
import os
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import pytest
import zstandard

from services.cli.__main__ import run
from services.cli.look import jsonl, mailbox, postfix_log, sources
from services.cli.look.own_names import Own
from services.cli.look.scan import chains_of, tally_of
from services.cli.look.sources import Piece, Trouble, pieces_of
from services.cli.look.tally import Tally
from tests.support import logs, mailboxes
from tests.support.mailboxes import FIRST, mail, mbox, own_line

OWN = Own(frozenset({mailboxes.OWN}))
GOOD = mail("ex.example", "15.1.2507.27")


class Looked(NamedTuple):
    """Exit code, mails, and what could not be read: place below the directory, and reason."""

    code: int
    mails: int
    troubles: list[tuple[str, str]]


@pytest.fixture
def look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], Looked]:
    """Lend `patchgate look` on all that lies in `tmp_path`."""

    def looked() -> Looked:
        code = run(["look", str(tmp_path), "--json", "--jobs", "1"])
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        read = report["read"]
        assert read["troubles_all"] == len(read["troubles"])
        told = [(place.removeprefix(f"{tmp_path}/"), why) for place, why in read["troubles"]]
        return Looked(code, read["mails"], told)

    return looked


def _pieces(path: Path) -> list[Piece]:
    found = list(pieces_of([str(path)]))
    assert all(isinstance(one, Piece) for one in found), found
    return [one for one in found if isinstance(one, Piece)]


def _tally(path: Path) -> Tally:
    [piece] = _pieces(path)
    chains_of(piece)
    return tally_of(piece, OWN)


def test_a_mailbox_that_ends_in_a_header_is_told(tmp_path: Path, look: Callable[[], Looked]) -> None:
    """What is there of it counts."""
    whole = mbox(GOOD, GOOD)
    second = whole.index(b"From ", 10)
    (tmp_path / "box").write_bytes(whole[: whole.index(b"Subject", second)])
    assert look() == (3, 2, [(f"box, byte {second}", "ends in the middle of its header: what is there of it counts")])


def test_a_mail_that_breaks_off_takes_no_other_along(tmp_path: Path, look: Callable[[], Looked]) -> None:
    """Behind a header without end the next mail begins where its `From ` line is, and neither's lines are the other's."""
    cut = own_line("a.example", "a.example", "192.0.2.1", FIRST)
    text = f"From x Mon Sep  7 08:00:00 2026\n{cut}".encode() + mbox(GOOD)
    (tmp_path / "box").write_bytes(text)
    told = look()
    assert told == (3, 2, [("box, byte 0", "breaks off in its header, and another mail begins there: both count")])
    senders = _tally(tmp_path / "box").senders
    assert {(one.peer, one.run.name) for one in senders} == {("192.0.2.1", ""), ("192.0.2.7", "ex.example")}


@pytest.mark.parametrize("cut", range(1, 900, 61))
def test_a_mail_that_breaks_off_is_told_wherever_parts_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Each of the two belongs to the piece that it begins in."""
    text = f"From x Mon Sep  7 08:00:00 2026\n{own_line('a', 'a.example', '192.0.2.1', FIRST)}".encode() + mbox(
        GOOD, GOOD
    )
    (tmp_path / "box").write_bytes(text)
    monkeypatch.setattr(sources, "PIECE_BYTES", cut)
    assert sum(tally_of(piece, OWN).mails for piece in _pieces(tmp_path / "box")) == 3


def test_what_is_no_mail_is_told_beside_what_is(tmp_path: Path, look: Callable[[], Looked]) -> None:
    """Binary files, CR alone as a line end, words."""
    (tmp_path / "a-box").write_bytes(mbox(GOOD))
    (tmp_path / "binary").write_bytes(b"\x7fELF\x00\x01\x02")
    (tmp_path / "mac").write_bytes(GOOD.replace("\n", "\r").encode())
    (tmp_path / "words").write_bytes(b"just some words\n")
    code, mails, troubles = look()
    assert (code, mails) == (3, 1)
    assert [place for place, _ in troubles] == ["binary", "mac", "words"]
    assert "CR alone" in troubles[1][1]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.compress], ids=["gz", "xz", "zst"])
@pytest.mark.parametrize("harm", ["cut", "bits"])
def test_a_packed_file_that_is_broken_counts_as_far_as_it_goes(
    tmp_path: Path, look: Callable[[], Looked], pack: Callable[[bytes], bytes], harm: str
) -> None:
    """Cut off, or with bits that fell over: told once, whatever the packer's error is."""
    noise = b"".join(os.urandom(3_000).hex().encode() + b"\n" for _ in range(60))
    packed = bytearray(pack(b"".join(mbox(GOOD + noise[n * 6_001 : (n + 1) * 6_001].decode()) for n in range(60))))
    place = len(packed) * 2 // 3
    if harm == "cut":
        del packed[place:]
    else:
        packed[place : place + 40] = bytes(byte ^ 0xFF for byte in packed[place : place + 40])
    (tmp_path / "good").write_bytes(mbox(GOOD))
    (tmp_path / "old.gz").write_bytes(packed)
    code, mails, troubles = look()
    assert code == 3
    assert mails >= 1
    assert [(place, why.partition(":")[0]) for place, why in troubles if "header" not in why] == [
        ("old.gz", "breaks off")
    ]


def test_one_bad_mail_of_many_loses_no_other(tmp_path: Path) -> None:
    """Of five hundred single mails some are gone, or broken inside; the others count."""
    for number in range(500):
        (tmp_path / f"{number:03d}").write_text(GOOD)
    (tmp_path / "017").write_bytes(gzip.compress(GOOD.encode() * 99)[:-30])
    (tmp_path / "019").write_bytes(b"\x1f\x8b")
    found = list(pieces_of([str(tmp_path)]))
    [piece] = [one for one in found if isinstance(one, Piece)]
    assert [one.place[-3:] for one in found if isinstance(one, Trouble)] == ["019"]
    (tmp_path / "400").unlink()
    broken = bytearray(gzip.compress(os.urandom(90_000).hex().encode()))
    broken[400:900] = bytes(500)
    (tmp_path / "018").write_bytes(broken)
    chains_of(piece)
    tally = tally_of(piece, OWN)
    assert tally.mails == 496
    assert [(trouble.place[-3:], trouble.why.partition(":")[0]) for trouble in tally.troubles] == [
        ("017", "cannot be read"),
        ("018", "cannot be read"),
        ("400", "cannot be read"),
    ]


@pytest.mark.parametrize("kind", ["mbox", "jsonl", "log", "rspamd"])
def test_a_file_that_vanishes_is_told(tmp_path: Path, kind: str) -> None:
    """Between listing and reading it may be rotated or moved."""
    path = tmp_path / "gone"
    path.write_bytes(
        {
            "mbox": mbox(GOOD),
            "jsonl": b'{"received": []}\n',
            "log": logs.mail("Nov  2 10:11:12", "4Zq1abcde", "a[192.0.2.7]").encode(),
            "rspamd": b'{"rows": []}',
        }[kind]
    )
    [piece] = _pieces(path)
    assert piece.kind == kind
    path.unlink()
    chains_of(piece)
    assert tally_of(piece, OWN).troubles == [Trouble(str(path), "breaks off: no such file or directory")]


def test_a_mailbox_that_shrinks_meanwhile_just_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail program may compact it while it is read."""
    path = tmp_path / "box"
    path.write_bytes(mbox(*[GOOD] * 9))
    monkeypatch.setattr(sources, "PIECE_BYTES", 2_000)
    pieces = _pieces(path)
    path.write_bytes(mbox(GOOD))
    assert sum(tally_of(piece, OWN).mails for piece in pieces) == 1


def test_a_directory_without_rights_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[], Looked]
) -> None:
    """What else is there is read."""
    (tmp_path / "box").write_bytes(mbox(GOOD))
    (tmp_path / "secret").mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("secret"):  # root may enter any directory, so it cannot be shut for this test
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert look() == (3, 1, [("secret", "cannot be read: permission denied")])


def test_a_link_to_a_directory_elsewhere_is_told(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, look: Callable[[], Looked]
) -> None:
    """It is not followed, so that no circle has us; one to a directory that is read anyway is nothing."""
    (tmp_path / "box").write_bytes(mbox(GOOD))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "round").symlink_to(tmp_path)
    (tmp_path / "deep" / "out").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    why = "is a link to a directory elsewhere, and is not followed: name that directory, too"
    assert look() == (3, 1, [("deep/out", why)])


def test_a_log_of_another_year_s_form_is_told(tmp_path: Path, look: Callable[[], Looked]) -> None:
    """Its mails count, without their day."""
    text = logs.mail("2019 Nov  2 10:11:12", "4Zq1abcde", "ex.example[192.0.2.7]")
    (tmp_path / "mail.log").write_text(text)
    code, mails, [(place, why)] = look()
    assert (code, mails, place) == (3, 1, "mail.log, byte 0")
    assert why.startswith("has a time in no form that is known here")


NAME = b"caf\xe9-\n\x1b[31m"


@pytest.fixture
def odd_name(tmp_path: Path) -> Path:
    """A directory with a good mailbox, and a bad file with a name that is no UTF-8 and would move a terminal's cursor."""
    (tmp_path / "box").write_bytes(mbox(GOOD))
    with open(os.fsencode(tmp_path) + b"/" + NAME, "wb") as odd:  # noqa: PTH123  (a name that no text has)
        odd.write(b"\x00\x01")
    return tmp_path


@pytest.mark.parametrize("options", [(), ("--json",), ("--csv",), ("--html", "page.html")])
def test_a_name_that_is_no_text_is_told_all_the_same(
    odd_name: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each form of the report, without its control characters."""
    (odd_name / "out").mkdir()
    monkeypatch.chdir(odd_name / "out")
    assert run(["look", str(odd_name), *options, "--jobs", "1"]) == 3
    out, err = capsys.readouterr()
    page = (odd_name / "out" / "page.html").read_text() if "--html" in options else ""
    for text in filter(None, (out + err, page)):
        assert "\x1b[31m" not in text
        assert "udce9" in text


def _huge(path: Path, kind: str, size: int) -> str:
    """A file of *kind* that has one line of *size* bytes in the middle; where that begins."""
    line = b"y" * 1_000_000
    good, front = {
        "mbox": (mbox(GOOD), mbox(GOOD) + b"\n"),
        "header": (b"\n\n" + mbox(GOOD), mbox(GOOD) + b"From x Mon Sep  7 08:00:00 2026\nX: "),
        "jsonl": (b'\n{"received": []}\n', b'{"received": []}\n{"x": "'),
        "log": (
            b"\n" + logs.mail("Nov  2 10:11:12", "4Zq1abcde", "a[192.0.2.7]").encode(),
            logs.mail("Nov  2 10:11:12", "4Zq1abcdf", "a[192.0.2.7]").encode(),
        ),
    }[kind]
    with path.open("wb") as out:
        out.write(front)
        for _ in range(size // len(line)):
            out.write(line)
        out.write(b"\n\n" + good if kind == "mbox" else good)
    return {"header": f"byte {len(mbox(GOOD))}", "jsonl": "line 2", "log": f"byte {len(front)}"}.get(kind, "")


@pytest.mark.parametrize("kind", ["mbox", "header", "jsonl", "log"])
def test_a_line_of_any_size_costs_a_bounded_part_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Mails before and behind it count; where it is more than a body it is told with its place. The bounds are lowered for speed."""
    monkeypatch.setattr(mailbox, "READ_BYTES", 100_000)
    monkeypatch.setattr(mailbox, "HEADER_BYTES_MAX", 50_000)
    monkeypatch.setattr(jsonl, "LINE_BYTES_MAX", 50_000)
    monkeypatch.setattr(postfix_log, "LINE_BYTES_MAX", 2_000)
    place = _huge(tmp_path / "huge", kind, 16_000_000)
    _tally(tmp_path / "huge")  # what is loaded once does not count
    tracemalloc.start()
    tally = _tally(tmp_path / "huge")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert tally.mails == (3 if kind == "header" else 2)
    assert [trouble.place.partition(", ")[2] for trouble in tally.troubles] == ([place] if place else [])


def test_a_mail_that_begins_where_none_may_is_told(tmp_path: Path, look: Callable[[], Looked]) -> None:
    """Behind a body, a header or a line that breaks off, and not where it is quoted: with its place, passed over, and its lines are nobody else's."""
    begins = mbox(mail("other.example", "15.1.2507.27", address="192.0.2.9"))
    body, header, line = mbox(GOOD + "a half"), mbox(GOOD)[:100], mbox(GOOD)[:-9]
    (tmp_path / "body").write_bytes(body.rstrip(b"\n") + b"\n" + begins + mbox(GOOD))
    (tmp_path / "header").write_bytes(header + begins + mbox(GOOD))
    (tmp_path / "line").write_bytes(line + begins + mbox(GOOD))
    (tmp_path / "quoted").write_bytes(mbox(GOOD + "\n>" + begins.decode()))
    why = "another mail begins in the midst of one that breaks off: it is passed over"
    told = [(f"{name}, byte {len(text)}", why) for name, text in (("body", body), ("header", header), ("line", line))]
    assert look() == (3, 7, told)
    peers = {one.peer for name in ("body", "header", "line", "quoted") for one in _tally(tmp_path / name).senders}
    assert peers == {"192.0.2.7"}


def test_what_stands_before_the_first_mail_is_told(tmp_path: Path, look: Callable[[], Looked]) -> None:
    """Blank lines and the mark of UTF-8, which some programs write, are nothing."""
    (tmp_path / "a-text").write_bytes(b"From all of us\n\n" + mbox(GOOD))
    (tmp_path / "b-none").write_bytes(b"From all of us\n")
    for number, front in enumerate((b"", b"\n", b"\r\n\n\n", b"\xef\xbb\xbf", b">")):
        (tmp_path / f"c-good{number}").write_bytes(front + mbox(GOOD))
    why = "begins with no mail: what stands before the first one is passed over"
    assert look() == (3, 6, [("a-text, byte 0", why), ("b-none, byte 0", why)])


def test_mails_whose_lines_end_with_cr_alone_are_told_one_by_one(tmp_path: Path, look: Callable[[], Looked]) -> None:
    """In a mailbox that others write rightly."""
    bad = mbox(GOOD).replace(b"\n", b"\r")
    (tmp_path / "a").write_bytes(mbox(GOOD) + bad + b"\n\n" + mbox(GOOD))
    (tmp_path / "b").write_bytes(bad + b"\n\n" + mbox(GOOD))
    assert look() == (3, 3, [(f"a, byte {len(mbox(GOOD))}", sources.CR_ALONE), ("b, byte 0", sources.CR_ALONE)])


def test_a_mail_that_holds_a_nul_is_no_binary_file(tmp_path: Path, look: Callable[[], Looked]) -> None:
    """Anybody can send one, and the mailbox around it counts."""
    text = GOOD.replace("Hello", "\0Hello")
    (tmp_path / "box").write_bytes(mbox(text, GOOD))
    (tmp_path / "mail").write_text(text)
    assert look() == (0, 3, [])


@pytest.mark.parametrize("seconds", ["1e300", "-5", "-1e300", "0", "99999999999"])
def test_a_time_out_of_all_reason_is_none(tmp_path: Path, look: Callable[[], Looked], seconds: str) -> None:
    """In a history; the mail counts without its day."""
    (tmp_path / "history").write_text(f'{{"rows": [{{"ip": "192.0.2.7", "unix_time": {seconds}}}]}}')
    assert look() == (0, 1, [])
    assert _tally(tmp_path / "history").undated == 1


@pytest.mark.parametrize("stamp", ["9999-12-31T23:00:00-23:00", "0001-01-01T00:00:00+23:00", "2026-11-02T99:99:99Z"])
def test_a_stamp_out_of_all_reason_is_told(tmp_path: Path, look: Callable[[], Looked], stamp: str) -> None:
    """In a log; the mail counts without its day."""
    (tmp_path / "log").write_text(logs.mail(stamp, "4Zq1abcde", "ex.example[192.0.2.7]"))
    code, mails, [(place, why)] = look()
    assert (code, mails, place) == (3, 1, "log, byte 0")
    assert why.startswith("has a time in no form that is known here")


def test_a_mail_of_the_future_is_not_the_newest_of_all(tmp_path: Path) -> None:
    """One wrong clock, and every other server would not have been seen lately; it counts without its day."""
    later = datetime.now(UTC) + timedelta(days=3)
    (tmp_path / "box").write_bytes(mbox(GOOD, mail("ex.example", "15.1.2507.27", later)))
    tally = _tally(tmp_path / "box")
    [(_, count)] = tally.senders.items()
    assert (tally.undated, count.mails, count.last) == (1, 2, int(FIRST.timestamp()))


def test_a_line_of_a_log_without_end_is_passed_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece reads its own bytes and a bounded part behind them, and one in which no line begins has nothing to tell."""
    monkeypatch.setattr(sources, "PIECE_BYTES", 1_000_000)
    place = _huge(tmp_path / "huge", "log", 20_000_000)
    pieces, read = _pieces(tmp_path / "huge"), 0
    real = sources.open_plain

    def counting(path: str) -> Any:
        stream = real(path)
        plain = stream.readline

        def readline(size: int) -> bytes:
            nonlocal read
            line = plain(size)
            read += len(line)
            return line

        lent = MagicMock(wraps=stream, readline=readline)
        lent.__enter__.return_value = lent
        return lent

    monkeypatch.setattr(postfix_log, "open_plain", counting)
    tallies = [tally_of(piece, OWN) for piece in pieces]
    assert sum(tally.mails for tally in tallies) == 2
    assert [one.place.partition(", ")[2] for tally in tallies for one in tally.troubles] == [place]
    assert read < 46_000_000


def test_lines_are_given_that_begin_between_two_bytes() -> None:
    """A line that begins before the end is given whole; the next is not even read."""
    stream = io.BytesIO(b"one\ntwo\nthree\nfour\nfive\n")
    assert list(sources.lines_of(stream, 2, 9, 99)) == [(4, b"two", True), (8, b"three", True)]
    assert stream.tell() == len(b"one\ntwo\nthree\n")
