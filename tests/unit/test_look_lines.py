"""Headers by bytes, dates, the line of one's own server, and which servers are one's own."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from services.cli.look.headers import RECEIVED_MAX, instant_of, received_of, seconds_of
from services.cli.look.own_line import handover_of, normal, text_of
from services.cli.look.own_names import Chains, infer, merged, note_chain
from shared.domain.received import read_line
from tests.support.mailboxes import exchange_line, mail, own_line

WHEN = datetime(2026, 9, 7, 8, 0, tzinfo=UTC)


def _value(line: str) -> bytes:
    return line.partition(":")[2].encode()


@pytest.mark.parametrize(
    "headers",
    [
        b"Received: one\nSubject: x\nReceived: two\n  folded\n\tagain\nX-Received: no",
        b"received: one\r\nRECEIVED : two\r\n\tfolded\r\nSubject: Received: no",
        b"Received-SPF: pass\nReceived: one\nReceivedX: no\nReceived\t: two",
        b"Subject: none\nX: y",
        b"",
    ],
)
def test_values_are_those_of_a_whole_parser(headers: bytes) -> None:
    """Any case, folded or not, top first; other headers are not taken for it."""
    expected = [
        " ".join(str(value).split())
        for value in message_from_bytes(headers.replace(b" :", b":").replace(b"\t:", b":")).get_all("Received", [])
    ]
    assert [b" ".join(value.split()).decode() for value in received_of(headers)] == expected


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 7 Sep 2026 08:00:00 +0000",
        "Mon, 07 Sep 2026 10:00:00 +0200 (CEST)",
        "Sun, 6 Sep 2026 22:30:00 -0930",
        "7 Sep 2026 08:00 +0000",
        "Thu, 29 Feb 1996 23:59:59 -0500",
    ],
)
def test_dates_are_those_of_the_standard_library(date: str) -> None:
    """With and without day of week, seconds, and words behind the zone."""
    assert seconds_of(f" from x by y; {date}".encode()) == int(parsedate_to_datetime(date).timestamp())


@pytest.mark.parametrize(
    "written",
    [
        '(envelope-from "a; Sun, 1 Nov 2026 00:00:00 +0000"@x.example)',
        "(envelope-from <a;1 Nov 2026 00:00:00 +0000@x.example>)",
        "(envelope-from a@x.example)\n\t(from x; 1 Nov 2026 00:00:00)",
    ],
)
def test_what_stands_behind_the_date_dates_nothing(written: str) -> None:
    """Some builds of Sendmail write the envelope sender there, and that is a stranger's text, as HELO is."""
    value = f" from 1 Nov 2026 00:00:00 (ex.example [192.0.2.7])\n\tby mx.own.example (8.14.4/8.14.4) with ESMTP id 1;\n\tMon, 7 Sep 2026 08:00:00 GMT\n\t{written}"
    assert seconds_of(value.encode()) == int(WHEN.timestamp())


@pytest.mark.parametrize(
    ("seconds", "instant"),
    [(0, None), (631_152_000, 631_152_000), (1.7e9, 1_700_000_000), (4_133_980_800, None), (1e300, None)],
)
def test_an_instant_is_of_1990_to_2100(seconds: float, instant: int | None) -> None:
    """What another program tells as a number of seconds can be anything."""
    assert instant_of(seconds) == instant


def test_the_values_of_one_mail_are_bounded() -> None:
    """Top first; no server lets a mail make as many hops."""
    values = received_of(b"".join(b"Received: %d\n" % number for number in range(RECEIVED_MAX + 20)))
    assert values == [b" %d" % number for number in range(RECEIVED_MAX)]


@pytest.mark.parametrize("date", ["31 Dec 2026 99:99:99 +0000", "31 Dec 2026 24:00:00 +0000", "31 Dec 2026 23:61:00"])
def test_an_hour_that_is_none_dates_nothing(date: str) -> None:
    """As a day that is none does not."""
    assert seconds_of(f" from x by y; {date}".encode()) is None


@pytest.mark.parametrize(
    "date", ["", "yesterday", "31 Feb 2026 08:00:00 +0000", "7 Sep 1626 08:00:00 +0000", "7 Foo 2026 08:00:00"]
)
def test_what_is_no_date_is_none(date: str) -> None:
    """A day that is none, or out of all reason, dates nothing."""
    assert seconds_of(f" from x by y; {date}".encode()) is None


@pytest.mark.parametrize(
    ("line", "peer", "helo", "name", "resolve"),
    [
        ("from ex.example (ex.example [192.0.2.7]) by mx.own.example (Postfix) with ESMTP", "192.0.2.7", "ex.example", "ex.example", "ok"),
        ("from EX (unknown [IPv6:2001:db8:1:2::7]) by mx (Postfix)", "2001:db8:1:2::/64", "ex", "", "failed"),
        ("from ex.example (host.example [192.0.2.7] (may be forged)) by mx (8.14.4/8.14.4)", "192.0.2.7", "ex.example", "host.example", "ok"),
        ("from ex.example (host.example [192.0.2.7](may be forged)) by mx (8.14.4/8.14.4)", None, "", "", ""),
        ("from x (IDENT:root@ex.example [192.0.2.7]) by mx (8.9.3/8.9.3)", "192.0.2.7", "x", "ex.example", "ok"),
        ("from mail.example (mail.example. [192.0.2.9]) by mx.google.example with ESMTPS id x", "192.0.2.9", "mail.example", "mail.example", "unknown"),
        ("from ex.example ([192.0.2.7] helo=other.example)\n\tby mx with esmtp (Exim 4.96)", "192.0.2.7", "other.example", "ex.example", "ok"),
        ("from ex.example ([192.0.2.7]) by mx with esmtp (Exim 4.96)", "192.0.2.7", "ex.example", "", "unknown"),
        ("from [192.0.2.7] (port=4711 helo=ex.example) by mx with esmtp (Exim 4.96)", "192.0.2.7", "ex.example", "", "failed"),
        ("from [192.0.2.7] (helo=ex.example) by mx with esmtp (Exim 4.96)", "192.0.2.7", "ex.example", "", "failed"),
        ("from ex.example (192.0.2.7) by mx.own.example (10.0.0.1) with Microsoft SMTP Server id 15.2.1748.39", "192.0.2.7", "ex.example", "", "unknown"),
        ("from unknown (HELO ex.example) (192.0.2.7) by 0 with SMTP", "192.0.2.7", "ex.example", "", "unknown"),
        ("from ex.example (HELO ex) (192.0.2.7) by mx with SMTP", "192.0.2.7", "ex", "", "unknown"),
        ("from ex.example ([192.0.2.7]) by mx.own.example ([10.0.0.1]) with mapi id 15.02.1748.039", "192.0.2.7", "ex.example", "", "unknown"),
        ("by 2002:a05:6402:0:b0 with SMTP id x", None, "", "", ""),
        ("from x by mx with ESMTP", None, "", "", ""),
        ("from ex.example (ex.example [999.0.2.7]) by mx (Postfix)", None, "", "", ""),
    ],
)  # fmt: skip
def test_own_lines_name_the_client(line: str, peer: str | None, helo: str, name: str, resolve: str) -> None:
    """Each form of the common servers gives peer, HELO and the name of DNS; what is not known gives nobody."""
    found = handover_of(line.encode())
    if peer is None:
        assert found is None
        return
    assert found is not None
    expected = "forged" if "may be forged" in line else resolve
    assert (found.peer, found.helo, found.client_name, found.resolve) == (peer, helo, name, expected)
    assert not found.inside


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "127.0.0.1", "172.31.0.1", "192.168.1.1", "IPv6:::1", "IPv6:fd00::1", "100.64.0.9"]
)
def test_addresses_inside_are_told(address: str) -> None:
    """A private or loopback address is one's own network."""
    found = handover_of(f"from x (x [{address}]) by mx (Postfix)".encode())
    assert found is not None
    assert found.inside


def test_what_a_client_says_as_helo_names_no_other_peer() -> None:
    """The address is the one that the own server put into its brackets, whatever stands before them."""
    found = handover_of(b"from [198.51.100.1] (ex.example [192.0.2.7]) by mx (Postfix)")
    assert found is not None
    assert found.peer == "192.0.2.7"
    found = handover_of(b"from a (b [198.51.100.1]) (ex.example [192.0.2.7]) by mx (Postfix)")
    assert found is not None
    assert found.peer == "192.0.2.7"


def _chains(mails: list[list[str]]) -> Chains:
    chains = Chains()
    for lines in mails:
        note_chain(chains, [_value(line) for line in lines])
    return chains


def test_the_writer_of_the_top_line_is_own() -> None:
    """In stored mail the top line is the receiver's."""
    mails = [
        [
            own_line(f"ex{n}.example", f"ex{n}.example", "192.0.2.7", WHEN),
            exchange_line(f"ex{n}.example", "15.1.2507.39", WHEN),
        ]
        for n in range(30)
    ]
    assert infer(_chains(mails)).names == {"mx.own.example"}


def test_a_gateway_that_nearly_all_mail_comes_through_is_own() -> None:
    """From a public address too: else it would be the only sender there is."""
    mails = [
        [
            own_line("gw.filter.example", "gw.filter.example", "192.0.2.1", WHEN),
            own_line(f"ex{n}.example", f"ex{n}.example", "192.0.2.7", WHEN, by="gw.filter.example"),
            exchange_line(f"ex{n}.example", "15.1.2507.39", WHEN),
        ]
        for n in range(30)
    ]
    assert infer(_chains(mails)).names == {"mx.own.example", "gw.filter.example"}


def test_a_frequent_sender_is_not_own() -> None:
    """Half of all mail from one server makes it no relay of ours; nor does all mail of a small box."""
    many = [
        [
            own_line("a.example", "a.example", "192.0.2.7", WHEN),
            exchange_line("a.example" if n % 2 else f"b{n}.example", "15.1.2507.39", WHEN),
        ]
        for n in range(40)
    ]
    few = [
        [own_line("a.example", "a.example", "192.0.2.7", WHEN), exchange_line("a.example", "15.1.2507.39", WHEN)]
        for _ in range(5)
    ]
    assert infer(_chains(many)).names == {"mx.own.example"}
    assert infer(_chains(few)).names == {"mx.own.example"}


def test_chains_add_up() -> None:
    """Counted apart and merged, or counted together: the same."""
    mails = [
        [
            own_line(f"ex{n % 3}.example", "x.example", "192.0.2.7", WHEN),
            exchange_line(f"ex{n % 3}.example", "15.1.2507.39", WHEN),
        ]
        for n in range(9)
    ]
    assert merged([_chains(mails[:4]), _chains(mails[4:])]) == _chains(mails)


def test_a_mail_reads_back() -> None:
    """The made-up mails of these tests have the two lines that they should have."""
    headers = mail("ex.example", "15.1.2507.39").encode().split(b"\n\n")[0]
    assert len(received_of(headers)) == 2


EXAMPLES = sorted((Path(__file__).parents[1] / "data" / "received").glob("*.txt"))
TAILS = (
    "",
    "; Mon, 7 Sep 2026 08:00:00 +0000",
    ";Mon, 7 Sep 2026 08:00:00 +0000",
    "; Mon,  7 Sep 2026 08:00:00 +0000 (UTC)",
    " id 4Zq1abcde\n\tfor <me@own.example>; Mon, 7 Sep 2026 08:00:00 +0000 (CEST)",
    " id 15.1.2507.27; Mon, 7 Sep 2026 08:00:00 +0000 (UTC)",
    "\n\tid 1abCDe-000abc-2f\n\tfor me@own.example;\n\tMon, 07 Sep 2026 08:00:00 +0000",
)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_what_is_made_equal_changes_no_reading(path: Path) -> None:
    """Date, queue id and recipient say nothing of product, build, host or client; whatever else stands at the end stays."""
    values = received_of(path.read_bytes().partition(b"\n\n")[2])
    assert values
    for value in values:
        stem = value.rpartition(b";")[0] or value
        for one in (value, *(stem + tail.encode() for tail in TAILS)):
            read = read_line(text_of(one))
            again = read_line(text_of(normal(one)))
            assert (again.name, again.product, again.build) == (read.name, read.product, read.build), one
            assert handover_of(normal(one)) == handover_of(one), one


def test_mails_of_one_way_are_one_line() -> None:
    """Lines that differ in queue id, recipient and date alone are read once."""
    ways = {normal(f" from a (a [192.0.2.7]) by b (Postfix){tail}".encode()) for tail in (
        " with ESMTP id 4Zq1abcde\n\tfor <me@own.example>; Mon, 7 Sep 2026 08:00:00 +0000 (UTC)",
        " with ESMTP id 4Zq1abcdf\n\tfor <you@own.example>; Tue, 18 Aug 2026 08:01:00 +0000 (UTC)",
    )}  # fmt: skip
    assert len(ways) == 1
