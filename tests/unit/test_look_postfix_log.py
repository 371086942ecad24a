"""Logs of a Postfix: each mail once with who handed it over, its day, and the sender's own lines."""

import gzip
import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.cli.look import postfix_log as door
from services.cli.look.logged import Logged
from services.cli.look.own_names import Own
from services.cli.look.postfix_log import logged_in
from services.cli.look.recipe import recipe_postfix_log
from services.cli.look.scan import tally_of
from services.cli.look.sources import Piece, Trouble, kind_of, pieces_of
from services.cli.look.tally import Tally
from tests.support import logs

AT = "Nov  2 10:11:12"
EX = logs.EXCHANGE.format(host="ex.example", build="15.1.2507.27")
NOISE = (
    "Nov  2 10:11:12 mx sshd[1]: Accepted publickey for root\n"
    "Nov  2 10:11:12 mx postfix/smtpd[123]: connect from ex.example[192.0.2.7]\n"
    "Nov  2 10:11:12 mx postfix/smtpd[123]: NOQUEUE: reject: RCPT from x[192.0.2.9]: 554; client=y[192.0.2.1]\n"
)


def _written(path: Path, text: str, *, mtime: datetime = datetime(2026, 11, 25, tzinfo=UTC)) -> Path:
    path.write_bytes(text.encode())
    os.utime(path, (mtime.timestamp(), mtime.timestamp()))
    return path


def _found(path: Path) -> list[Logged | Trouble]:
    [piece] = pieces_of([str(path)])
    assert isinstance(piece, Piece), piece
    assert piece.kind == "log"
    return list(logged_in(piece))


def _mails(path: Path) -> list[Logged]:
    found = _found(path)
    assert all(isinstance(one, Logged) for one in found), found
    return [one for one in found if isinstance(one, Logged)]


def _tally(path: Path) -> Tally:
    [piece] = pieces_of([str(path)])
    assert isinstance(piece, Piece)
    return tally_of(piece, Own(frozenset()))


def test_a_plain_log_gives_peer_name_and_time(tmp_path: Path) -> None:
    """Without the recipe there is no line and no HELO; what others write is passed over."""
    text = NOISE + logs.mail(AT, "4Zq1", "x") + logs.mail(AT, "4Zq1abcde", "ex.example[192.0.2.7]")
    text += logs.mail(AT, "4Zq1abcdf", "unknown[2001:db8::7]")
    one, two = _mails(_written(tmp_path / "log", text))
    assert (one.address, one.name, one.helo, one.received) == ("192.0.2.7", "ex.example", "", None)
    assert (two.address, two.name, two.resolve) == ("2001:db8::7", "", "failed")
    assert one.seconds == datetime(2026, 11, 2, 10, 11, 12, tzinfo=UTC).timestamp()


def test_the_sender_s_lines_are_those_below_ours(tmp_path: Path) -> None:
    """Ours is told by its queue id; folds come back as blanks, and HELO is that of the mail."""
    deeper = logs.EXCHANGE.format(host="inner.example", build="14.3.123.4")
    [mail] = _mails(_written(tmp_path / "log", logs.mail(AT, "4Zq1abcde", "ex.example[192.0.2.7]", EX, deeper)))
    assert mail.received == (EX.replace("?", " ").encode(), deeper.replace("?", " ").encode())
    assert mail.own.startswith(b"by mx.own.example (Postfix)")
    assert mail.helo == "ex.example"


def test_a_log_is_tallied_like_a_mailbox(tmp_path: Path) -> None:
    """The build counts for the peer; mail of users, of own addresses and of one's own programs is one's own."""
    text = logs.mail(AT, "4Zq1abcde", "ex.example[192.0.2.7]", EX)
    text += logs.mail(AT, "4Zq1abcdf", "pc[192.0.2.8], sasl_method=PLAIN, sasl_username=me", EX)
    text += logs.mail(AT, "4Zq1abcdg", "localhost[127.0.0.1]", EX)
    text += logs.mail(AT, "4Zq1abcdh", "other.example[192.0.2.9]")
    text += f"{AT} mx postfix/pickup[3]: 4Zq1abcdi: uid=0 from=<root>\n" + logs.queued(AT, "4Zq1abcdi")
    tally = _tally(_written(tmp_path / "log", text))
    assert (tally.mails, tally.own_only, tally.no_lines, tally.troubles_all) == (4, 2, 1, 0)
    [judged] = [sender for sender in tally.senders if sender.run.reading]
    assert (judged.peer, judged.helo, judged.client_name, judged.resolve) == (
        "192.0.2.7",
        "ex.example",
        "ex.example",
        "ok",
    )
    assert judged.run.reading is not None
    assert str(judged.run.reading.shown) == "15.1.2507.27"


def test_a_line_that_is_not_whole_lets_no_deeper_one_stand_in(tmp_path: Path) -> None:
    """A syslog that cuts long lines, or a table of somebody else's, makes nobody an Exchange."""
    cut = logs.header(AT, "4Zq1abcde", f"{EX} (more)").removesuffix("(more)]\n") + "\n"
    inner = logs.header(AT, "4Zq1abcde", logs.EXCHANGE.format(host="inner.example", build="14.3.123.4"))
    opened = logs.smtpd(AT, "4Zq1abcde", "ex.example[192.0.2.7]")
    for top in (cut, cut.replace("from ex", "from " + "x" * door.LINE_BYTES_MAX, 1)):
        tally = _tally(_written(tmp_path / "log", opened + top + inner + logs.queued(AT, "4Zq1abcde")))
        assert (tally.mails, [sender.run.reading for sender in tally.senders]) == (1, [None])


def test_instances_have_names_of_their_own(tmp_path: Path) -> None:
    """`postfix-in/smtpd` and `postfix/submission/smtpd` are Postfixes too."""
    text = "".join(
        logs.smtpd(AT, f"4Zq1abcd{number}", "ex.example[192.0.2.7]", program=program)
        + logs.queued(AT, f"4Zq1abcd{number}")
        for number, program in enumerate(("postfix-in/smtpd", "postfix/submission/smtpd", "mta/in/smtpd"))
    )
    assert len(_mails(_written(tmp_path / "log", text))) == 3


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("Nov  2 10:11:12", "2026-11-02T10:11:12"),
        ("Nov 02 10:11:12.123", "2026-11-02T10:11:12"),
        ("Dec 31 23:59:59", "2025-12-31T23:59:59"),
        ("Nov 26 01:00:00", "2026-11-26T01:00:00"),
        ("Nov 27 01:00:00", "2025-11-27T01:00:00"),
        ("Feb 29 10:00:00", "2024-02-29T10:00:00"),
        ("2026-11-02T10:11:12.345678+01:00", "2026-11-02T09:11:12"),
        ("2026-11-02T10:11:12-0530", "2026-11-02T15:41:12"),
        ("2024-02-29T10:11:12Z", "2024-02-29T10:11:12"),
    ],
)
def test_a_stamp_without_a_year_is_the_latest_that_the_file_allows(tmp_path: Path, stamp: str, expected: str) -> None:
    """The file's time is the bound, with a day for zones; a stamp with a year needs none."""
    [mail] = _mails(_written(tmp_path / "log", logs.mail(stamp, "4Zq1abcde", "ex.example[192.0.2.7]")))
    assert mail.seconds == datetime.fromisoformat(expected + "+00:00").timestamp()


@pytest.mark.parametrize(
    "stamp", ["2026 Nov  2 10:11:12", "Mon 2026-11-02 10:11:12 UTC", "Foo  2 10:11:12", "2026-02-30T10:11:12Z"]
)
def test_a_time_in_no_known_form_is_told_once(tmp_path: Path, stamp: str) -> None:
    """Its mails count without their day."""
    text = "".join(logs.mail(stamp, f"4Zq1abcd{number}", "ex.example[192.0.2.7]") for number in range(3))
    path = _written(tmp_path / "log", text)
    *mails, trouble = _found(path)
    assert [mail.seconds for mail in mails if isinstance(mail, Logged)] == [None] * 3
    assert isinstance(trouble, Trouble)
    assert trouble.place == f"{path}, byte 0"
    assert "3 mails in all" in trouble.why


def test_a_log_of_more_than_a_year_is_told(tmp_path: Path) -> None:
    """Going back in time shows it; the turn of a year does not."""
    good = ["Nov 30 10:00:00", "Dec 31 23:59:59", "Jan  1 00:00:00", "Nov 24 10:00:00"]
    text = "".join(logs.mail(stamp, f"4Zq1abcd{number}", "ex.example[192.0.2.7]") for number, stamp in enumerate(good))
    assert len(_mails(_written(tmp_path / "good", text))) == 4
    back = text + logs.mail("Dec  1 10:00:00", "4Zq1abcdz", "ex.example[192.0.2.7]")
    *_, trouble = _found(_written(tmp_path / "bad", back))
    assert isinstance(trouble, Trouble)
    assert "from 2026-11-24 to 2025-12-01" in trouble.why
    assert trouble.place.endswith(f"byte {len(text)}")


def test_a_log_without_a_mail_of_postfix_is_told(tmp_path: Path) -> None:
    """It may be the wrong file."""
    [trouble] = _found(_written(tmp_path / "log", NOISE.splitlines(keepends=True)[0] * 3))
    assert trouble == Trouble(str(tmp_path / "log"), "holds no line that a Postfix writes of a mail")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9_000), max_size=6), st.integers(0, 2**32))
def test_cut_anywhere_every_mail_is_told_once(tmp_path: Path, cuts: list[int], seed: int) -> None:
    """Pieces that meet at any byte give the mails of the whole, with their lines, however the mails are mixed."""
    text = _mixed(seed)
    path = _written(tmp_path / "log", text)
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    parts = [one for s, e in pairwise(edges) for one in logged_in(Piece("log", (str(path),), s, e, e - s))]
    whole = sorted(one for one in logged_in(Piece("log", (str(path),), 0, 0, 1)))
    assert sorted(one for one in parts if isinstance(one, Logged)) == whole
    assert len(whole) == 12


def _mixed(seed: int) -> str:
    """Lines of twelve mails, mixed; those of one mail in their order."""
    mails = [
        logs.mail(AT, f"4Zq1abc{number:02d}", f"ex{number}.example[192.0.2.7]", EX).splitlines(keepends=True)
        for number in range(12)
    ]
    out = []
    while any(mails):
        seed = (seed * 1_103_515_245 + 12_345) % 2**31
        waiting = [mail for mail in mails if mail]
        out.append(waiting[(seed >> 8) % len(waiting)].pop(0))
    return "".join(out)


def test_mails_that_never_end_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound the oldest ends as it stands: told if it has lines, else it never came in."""
    monkeypatch.setattr(door, "OPEN_MAX", 3)
    opened = [logs.smtpd(AT, f"4Zq1abcd{number}", "ex.example[192.0.2.7]") for number in range(8)]
    opened[0] += logs.header(AT, "4Zq1abcd0", EX)
    found = _mails(
        _written(
            tmp_path / "log", "".join(opened) + "".join(logs.queued(AT, f"4Zq1abcd{number}") for number in (0, 1, 7))
        )
    )
    assert [mail.received is not None for mail in found] == [True, False]


def test_a_packed_log_is_read_too(tmp_path: Path) -> None:
    """Rotated ones are."""
    path = tmp_path / "mail.log.2.gz"
    path.write_bytes(gzip.compress(logs.mail(AT, "4Zq1abcde", "ex.example[192.0.2.7]", EX).encode()))
    assert len(_mails(path)) == 1


@pytest.mark.parametrize(
    "first",
    [
        b"Nov  2 10:11:12 mx systemd[1]: x\n",
        b"2026-11-02T10:11:12.1+01:00 mx kernel: x\n",
        b"-- Logs begin at Mon 2026-11-02 --\nNov 02",
        b"2026 Nov  2 10:11:12 mx postfix/smtpd[1]: connect from x\n",
        b"ted from x[192.0.2.7]\nNov  2 10:11:12 mx systemd[1]: x\n",
    ],
)
def test_a_log_is_told_by_its_first_line(first: bytes) -> None:
    """Whoever wrote that; where it is cut, by the second."""
    assert kind_of(first) == "log"


def test_the_recipe_keeps_what_is_there() -> None:
    """Tables that are there stay in front, attached mails keep their checks, and the undo lines name all of it."""
    text = recipe_postfix_log(
        {"header_checks": "pcre:/etc/postfix/old", "submission/inet/receive_override_options": "no_header_body_checks"}
    )
    assert "postconf -e 'header_checks = pcre:/etc/postfix/old, regexp:/etc/postfix/patchgate_received'\n" in text
    assert "\npostconf -e 'nested_header_checks = pcre:/etc/postfix/old'\n" in text
    assert "# postconf -e 'header_checks = pcre:/etc/postfix/old'\n# postconf -X nested_header_checks\n" in text
    assert "of submission/inet in master.cf says no_header_body_checks" in text
    chosen = recipe_postfix_log({"nested_header_checks": "pcre:/etc/postfix/nested"})
    assert "nested_header_checks" not in chosen
