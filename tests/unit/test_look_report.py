"""Tallies, the fleet, the outlook and the command: who is counted how, and what is said of it."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from services.cli.__main__ import run
from services.cli.look import tally
from services.cli.look.fleet import Fleet, Server, fleet_of
from services.cli.look.headers import received_of
from services.cli.look.outlook import outlook_of
from services.cli.look.own_names import Own
from services.cli.look.scan import scan
from services.cli.look.tally import Tally, Teller, add
from shared.domain.catalogue import load_catalogue
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from tests.support import mailboxes
from tests.support.mailboxes import FIRST, exchange_line, fleet_mails, mail, mbox, own_line

CATALOGUE = load_catalogue()
POLICY = parse_policy(shipped_policy_text())
OWN = Own(frozenset({mailboxes.OWN}))
ON = date(2026, 11, 25)


def _tally(*mails: str) -> Tally:
    teller = Teller(OWN, CATALOGUE)
    for one in mails:
        teller.mail(received_of(one.partition("\n\n")[0].encode()))
    return teller.tally


def _fleet(*mails: str, policy: Policy = POLICY) -> Fleet:
    return fleet_of(_tally(*mails), policy, CATALOGUE, on=ON)


def _only(fleet: Fleet) -> Server:
    [server] = fleet.servers
    return server


def test_mails_that_differ_in_date_and_id_are_one_sender() -> None:
    """A year of mail from one server is one row, not one a mail."""
    tally = _tally(*(mail("ex.example", "15.1.2507.27", FIRST + timedelta(hours=n), number=n) for n in range(50)))
    assert len(tally.senders) == 1
    [count] = tally.senders.values()
    assert (count.mails, len(count.days), len(count.hours)) == (50, 3, 24)


def test_a_tally_is_the_sum_of_its_parts() -> None:
    """Pieces counted by different processes add up to the whole."""
    mails = fleet_mails({"a.example": "15.1.2507.27", "b.example": "15.2.1748.39"})
    parts = Tally()
    for start in range(0, len(mails), 3):
        add(parts, _tally(*mails[start : start + 3]))
    assert parts == _tally(*mails)


def test_peers_and_products_are_told_apart_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound a further one is not kept; those that are go on counting, and so do all mails."""
    monkeypatch.setattr(tally, "PEERS_MAX", 2)
    monkeypatch.setattr(tally, "PRODUCTS_MAX", 1)
    mails = [
        mail("ex.example", "15.1.2507.27" if n % 2 == 0 else "15.2.1748.39", address=f"192.0.2.{n}") for n in range(6)
    ]
    counted = _tally(*mails)
    assert (counted.mails, len(counted.senders), len(counted.peers)) == (6, 6, 2)
    assert [(named.product, count) for named, count in counted.products.items()] == [("Microsoft Exchange 2016", 3)]


@pytest.mark.parametrize("parts", [1, 4])
def test_senders_and_days_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """In one tally and in the sum of many: who is judged is kept, others count without a name, and days beyond without a day."""
    monkeypatch.setattr(tally, "SENDERS_MAX", 2)
    monkeypatch.setattr(tally, "DAYS_MAX", 3)
    other = "Received: from x by ex.example (Postfix) with ESMTP id 4Zq1; Mon, 7 Sep 2026 08:00:00 +0000\n\n"
    mails = [own_line("a", "a.example", f"192.0.2.{n}", FIRST) + other for n in range(8)]
    mails += [mail("ex.example", "15.1.2507.27", FIRST + timedelta(days=n)) for n in range(8)]
    whole = Tally()
    for part in range(parts):
        add(whole, _tally(*mails[part::parts]))
    assert (whole.mails, whole.beyond, len(whole.senders)) == (16, 6, 3)
    judged = [count for sender, count in whole.senders.items() if sender.run.reading is not None]
    assert [count.mails for count in judged] == [8]
    for one in (whole, _tally(*mails)):
        assert one.day_entries == sum(len(count.days) for count in one.senders.values()) == 3


def test_own_relays_are_passed_by() -> None:
    """A mail that came in through a filter on the own host and an own relay counts for who sent it."""
    lines = (
        own_line("localhost", "localhost", "127.0.0.1", FIRST)
        + own_line("mx2.own.example", "mx2.own.example", "10.0.0.2", FIRST)
        + own_line("ex.example", "ex.example", "192.0.2.7", FIRST, by="mx2.own.example")
        + exchange_line("ex.example", "15.1.2507.27", FIRST)
    )
    server = _only(_fleet(lines + "\n"))
    assert (server.server, server.tie, server.peers) == ("ex.example", "verified", ("192.0.2.7",))


def test_mail_that_never_left_the_house_is_no_sender() -> None:
    """A draft, and a mail from one own host to another, count as such."""
    tally = _tally("Subject: draft\n\n", own_line("pc", "pc.own.example", "10.0.0.9", FIRST) + "\n")
    assert (tally.mails, tally.no_received, tally.own_only, len(tally.senders)) == (2, 1, 1, 0)


def test_a_tied_server_is_known_by_its_name_and_an_untied_one_accuses_nobody() -> None:
    """The same lines from a stranger stand apart, marked, and no case would open for them."""
    honest = [mail("ex.example", "15.1.2507.27", FIRST + timedelta(days=n), number=n) for n in range(5)]
    forged = own_line("spam.example", "spam.example", "198.51.100.9", FIRST) + exchange_line(
        "ex.example", "15.1.2507.27", FIRST
    )
    fleet = _fleet(*honest, forged + "\n")
    tied, untied = sorted(fleet.servers, key=lambda server: server.tie, reverse=True)
    assert (tied.server, tied.opens, tied.contradictions) == ("ex.example", True, ())
    assert (untied.server, untied.opens) == ("ex.example (198.51.100.9)", False)
    assert untied.contradictions == ("same-name-elsewhere",)
    assert untied.why_not == "untied"


def test_worst_comes_first_and_an_up_to_date_server_last() -> None:
    """Below the floor before the rest, whatever the mails a day."""
    fleet = _fleet(
        *fleet_mails({"new.example": "15.2.1748.39", "old.example": "14.3.123.4", "mid.example": "15.1.2507.27"})
    )
    assert [server.name for server in fleet.servers] == ["old.example", "mid.example", "new.example"]
    assert [server.standing for server in fleet.servers] == ["below", "below", "at or above"]
    assert fleet.servers[0].assessment.support_ended == date(2020, 10, 13)


def test_an_update_is_no_contradiction_and_a_step_back_is() -> None:
    """The newest reading counts; going back shows a second server."""
    better = [
        mail("ex.example", "15.1.2507.27", FIRST, number=1),
        mail("ex.example", "15.1.2507.61", FIRST + timedelta(days=9), number=2),
    ]
    server = _only(_fleet(*better))
    assert (server.standing, server.contradictions) == ("at or above", ())
    worse = [
        mail("ex.example", "15.1.2507.61", FIRST, number=1),
        mail("ex.example", "15.1.2507.27", FIRST + timedelta(days=9), number=2),
    ]
    assert _only(_fleet(*worse)).contradictions == ("build-went-back",)


def test_two_builds_at_the_same_time_are_told() -> None:
    """Two servers behind one name, or lines that were made up."""
    days = [
        mail("ex.example", build, FIRST + timedelta(days=day), number=day)
        for day in range(6)
        for build in ("15.1.2507.27", "15.1.2507.61")
    ]
    assert "two-readings-at-once" in _only(_fleet(*days)).contradictions


def test_a_gateway_is_told_with_what_it_hides() -> None:
    """What stands behind a server that is no Exchange is a hint, and judges nobody."""
    lines = (
        own_line("gw.example", "gw.example", "192.0.2.3", FIRST)
        + "Received: from ex.example (ex.example [10.0.0.5]) by gw.example (Postfix) with ESMTP id 4Zq1; Mon, 7 Sep 2026 08:00:00 +0000\n"
        + exchange_line("ex.example", "15.1.2507.27", FIRST)
    )
    fleet = _fleet(lines + "\n")
    assert fleet.servers == ()
    assert fleet.gateways == {"gw.example": {"Microsoft Exchange 2016": 1}}
    assert fleet.mails_unknown == 1


def test_the_outlook_counts_mails_by_the_minutes_of_each_stage() -> None:
    """Warned on day 0, a twelfth deferred from day 30, all refused from day 90."""
    mails = fleet_mails({f"ex{n}.example": "14.3.123.4" for n in range(4)}, days=28)
    fleet = _fleet(*mails)
    days = outlook_of(fleet, POLICY)
    assert [(day.day, day.servers, day.mails) for day in days] == [
        (0, 4, 4.0),
        (30, 4, 4.0),
        (60, 4, 4.0),
        (90, 4, 4.0),
    ]
    assert [(day.deferred, day.refused) for day in days] == [(0.0, 0.0), (0.3, 0.0), (2.0, 0.3), (0.0, 4.0)]


def test_two_hours_are_too_few_for_a_case() -> None:
    """The policy asks for three, and the report says how many there were."""
    fleet = _fleet(*(mail("ex.example", "14.3.123.4", FIRST + timedelta(hours=n), number=n) for n in range(2)))
    assert (_only(fleet).why_not, _only(fleet).hours_below) == ("too-few-hours", 2)
    assert outlook_of(fleet, POLICY)[3].servers == 0


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A mailbox with an old and an up-to-date server."""
    path = tmp_path / "box"
    path.write_bytes(mbox(*fleet_mails({"old.example": "14.3.123.4", "new.example": "15.2.1748.39"}, days=30)))
    return path


def test_many_processes_see_what_one_sees(box: Path, tmp_path: Path) -> None:
    """All cores or one: the same report, and progress that ends at the whole."""
    for number in range(5):
        (tmp_path / f"part{number}").write_bytes(box.read_bytes())
    told: list[tuple[int, int, int]] = []

    def tell(done: int, total: int, mails: int) -> None:
        told.append((done, total, mails))

    alone = scan([str(tmp_path)], own=frozenset(), jobs=1, progress=tell)
    both = scan([str(tmp_path)], own=frozenset(), jobs=2, progress=tell)
    assert alone == both
    assert told[-1][0] == told[-1][1]
    assert told[-1][2] == 6 * 60


def test_json_has_it_all(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script reads everything that the screen shows, and more."""
    assert run(["look", str(box), "--json", "--jobs", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["read"]["mails"] == 60
    assert report["read"]["own"] == [mailboxes.OWN]
    assert [server["name"] for server in report["fleet"]["servers"]] == ["old.example", "new.example"]
    assert len(report["outlook"]) == 4


def test_csv_has_a_line_a_server(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a header, worst first."""
    assert run(["look", str(box), "--csv", "--jobs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("server,name,peers,tie,product")
    assert [line.split(",")[0] for line in lines[1:]] == ["old.example", "new.example"]


def test_beside_csv_the_troubles_go_to_stderr(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be read is told where it spoils no table."""
    (box.parent / "binary").write_bytes(b"\x00\x01")
    assert run(["look", str(box.parent), "--csv", "--jobs", "1"]) == 3
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "binary: is a binary file" in err


def test_a_stranger_s_name_is_no_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A spreadsheet that opens the CSV runs nothing that a sender wrote."""
    path = tmp_path / "box"
    path.write_bytes(
        mbox(own_line("x", "x.example", "192.0.2.7", FIRST) + exchange_line("=cmd", "14.3.123.4", FIRST) + "\nx\n")
    )
    assert run(["look", str(path), "--csv", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("'=cmd")


def test_exit_codes_are_fit_for_cron(box: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 all read; 1 nothing; 3 some not read; 4 with --check when a server is below its floor."""
    assert run(["look", str(box), "--jobs", "1"]) == 0
    assert run(["look", str(box), "--check", "--jobs", "1"]) == 4
    assert run(["look", str(tmp_path / "absent"), "--jobs", "1"]) == 1
    assert "there is nothing to report" in capsys.readouterr().err
    (tmp_path / "binary").write_bytes(b"\x00\x01")
    assert run(["look", str(tmp_path), "--jobs", "1"]) == 3
    assert "is a binary file" in " ".join(capsys.readouterr().out.split())


def test_the_screen_tells_what_matters(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Servers, months behind, what the policy would do, and what a header cannot show."""
    assert run(["look", str(box), "--jobs", "1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in (
        "60 mails",
        "old.example: Exchange 2010, 14.3.123.4: out of date",
        "stage 8: 60",
        "What a header cannot show",
    ):
        assert words in out


def test_a_correction_overrules_what_was_inferred(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--own` names the own hosts, and nothing is inferred then."""
    assert run(["look", str(box), "--json", "--jobs", "1", "--own", "MX.own.example", "--own", "old.example"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["read"]["own"] == ["mx.own.example", "old.example"]
    assert not report["read"]["own_inferred"]
    assert [server["name"] for server in report["fleet"]["servers"]] == ["new.example"]
