"""Imported evidence: what one mail gives, once an hour, never dated later than now; and what gives none."""

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from services.cli.__main__ import run
from services.cli.look import evidence as door
from services.cli.look.evidence import Maker
from services.cli.look.mailbox import Block
from services.cli.look.own_names import Own
from services.cli.look.sources import Trouble
from shared.domain.catalogue import load_catalogue
from shared.domain.records import MailEvidence
from tests.support import mailboxes
from tests.support.mailboxes import FIRST, exchange_line, mail, mbox, own_line

NOW = datetime(2026, 11, 25, tzinfo=UTC)
CATALOGUE = load_catalogue()


def _maker(now: datetime = NOW) -> Maker:
    return Maker(Own(frozenset({mailboxes.OWN})), CATALOGUE, now)


def _record(maker: Maker, text: str) -> MailEvidence | None:
    return maker.record_of(Block(text.partition("\n\n")[0].encode(), "x", cut=False))


def test_a_mail_gives_what_an_edge_would_have_seen() -> None:
    """Peer, names, the sender's own lines redacted and as they stood, the day it came; and that it was imported."""
    record = _record(_maker(), mail("ex.example", "15.1.2507.27", address="2001:db8::7"))
    assert record is not None
    facts = record.facts
    assert (facts.peer, facts.helo, facts.client_name, facts.client_resolve) == (
        "2001:db8::/64", "ex.example", "ex.example", "ok",
    )  # fmt: skip
    assert (facts.name, facts.seen_at, facts.edge, facts.imported) == ("ex.example", FIRST, "import", True)
    assert facts.own_lines == (
        "from ex.example (10.0.0.5) by ex.example (10.0.0.5) with Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.1.2507.27; Mon, 07 Sep 2026 07:59:58 +0000",
    )


def test_one_record_an_hour_for_the_same_peer_name_and_reading() -> None:
    """Another hour, build, peer or tie makes another."""
    maker = _maker()
    weak = own_line("other", "other.example", "192.0.2.7", FIRST) + exchange_line("ex.example", "15.1.2507.27", FIRST)
    mails = [
        mail("ex.example", "15.1.2507.27", FIRST, number=1),
        mail("ex.example", "15.1.2507.27", FIRST + timedelta(minutes=59), number=2),
        mail("ex.example", "15.1.2507.27", FIRST + timedelta(minutes=60), number=3),
        mail("ex.example", "15.1.2507.61", FIRST, number=4),
        mail("ex.example", "15.1.2507.27", FIRST, number=5, address="192.0.2.8"),
        weak + "\n\n",
    ]
    made = [_record(maker, one) is not None for one in mails]
    assert made == [True, False, True, True, True, True]
    assert (maker.made.mails, maker.made.records, maker.made.repeated) == (6, 5, 1)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound the oldest is forgotten, and made once more."""
    monkeypatch.setattr(door, "KEYS_MAX", 2)
    maker = _maker()
    hours = [0, 1, 2, 0, 2]
    made = [
        _record(maker, mail("ex.example", "15.1.2507.27", FIRST + timedelta(hours=hour))) is not None for hour in hours
    ]
    assert made == [True, True, True, True, False]


def test_no_record_is_of_a_later_day_than_now() -> None:
    """A clock that is a little ahead dates nothing ahead."""
    record = _record(_maker(FIRST - timedelta(hours=1)), mail("ex.example", "15.1.2507.27"))
    assert record is not None
    assert record.facts.seen_at == FIRST - timedelta(hours=1)


def test_what_is_still_to_come_gives_no_record() -> None:
    """It would be the newest of all, and release, though nobody knows when it came."""
    maker = _maker(FIRST - timedelta(hours=1, seconds=1))
    assert _record(maker, mail("ex.example", "15.1.2507.27")) is None
    assert maker.made.undated == 1


def test_the_day_is_that_of_our_own_line() -> None:
    """Not that of the `Date` header or of the lines below, which strangers wrote."""
    later = FIRST + timedelta(days=30)
    text = own_line("ex.example", "ex.example", "192.0.2.7", FIRST) + exchange_line("ex.example", "15.1.2507.27", later)
    record = _record(_maker(), f"Date: {format_datetime(later)}\n{text}Date: {format_datetime(later)}\n\n")
    assert record is not None
    assert record.facts.seen_at == FIRST


def test_a_mail_that_no_own_server_took_in_proves_nothing() -> None:
    """Who put it into the mailbox could have written all of it: the line on top must be of an own server."""
    maker = _maker()
    put = own_line("ex.example", "ex.example", "192.0.2.7", FIRST, by="mx.elsewhere.example")
    assert _record(maker, put + exchange_line("ex.example", "15.1.2507.27", FIRST)) is None
    assert (maker.made.not_ours, maker.made.records) == (1, 0)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Subject: draft", "own"),
        (own_line("pc", "pc.own.example", "10.0.0.9", FIRST), "own"),
        (own_line("mx.example", "mx.example", "192.0.2.7", FIRST), "nothing_judged"),
        (
            f"Received: by {mailboxes.OWN} (odd); x\n" + exchange_line("ex.example", "15.1.2507.27", FIRST),
            "nothing_judged",
        ),
        (mail("ex.example", "15.1.2507.27").replace("Mon, 07 Sep 2026", "some day", 1), "undated"),
    ],
)
def test_what_shows_nothing_gives_no_record_and_is_counted(text: str, field: str) -> None:
    """Own mail, no product that is judged, nobody who handed it over, no day."""
    maker = _maker()
    assert _record(maker, text) is None
    assert getattr(maker.made, field) == 1
    assert maker.made.mails == 1


def test_a_trouble_is_no_mail() -> None:
    """It is told at the end."""
    maker = _maker()
    assert maker.record_of(Trouble("x", "y")) is None
    assert (maker.made.mails, maker.troubles.troubles) == (0, [Trouble("x", "y")])


def test_without_a_broker_one_line_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What failed, how far it came, what to do; and nothing is sent of paths that hold no mail."""
    monkeypatch.setenv("PATCHGATE_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("PATCHGATE_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "box").write_bytes(gzip.compress(mbox(mail("ex.example", "15.1.2507.27"))))
    assert run(["import", str(tmp_path / "box")]) == 1
    error = capsys.readouterr().err
    assert "the broker at 127.0.0.1:1 cannot be used" in error
    assert error.count("\n") == 1
    assert run(["import", str(tmp_path / "absent")]) == 1
    assert "absent: cannot be read: no such file or directory" in capsys.readouterr().err
