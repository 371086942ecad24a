"""Stored mail: which lines are our own, who the peer is, and what a peer can forge of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.look.handed import Handed, handed_over
from services.cli.look.own_line import handover
from services.cli.look.own_names import Own
from shared.domain.catalogue import load_catalogue
from shared.domain.header_text import redact
from shared.domain.received import read_own_run
from shared.domain.stored import Client, client_of, imported_facts

DATE = "Tue, 4 Apr 2023 10:00:00 +0000"
OWN = Own(names=frozenset({"mx.contoso.example", "filter.contoso.example"}))
OURS = f"from ex01.fabrikam.example (ex01.fabrikam.example [192.0.2.7]) by mx.contoso.example (Postfix) with ESMTPS id 1; {DATE}"
INSIDE = f"from mx.contoso.example (mx.contoso.example [10.0.0.1]) by filter.contoso.example (Postfix) with ESMTP id 2; {DATE}"
BESIDE = f"from localhost (localhost [127.0.0.1]) by mx.contoso.example (Postfix) with ESMTP id 3; {DATE}"
AMAVIS = f"from mx.contoso.example ([127.0.0.1]) by localhost (mx.contoso.example [127.0.0.1]) (amavis, port 10024) with ESMTP id 4; {DATE}"
LMTP = f"by mx.contoso.example with LMTP id 5; {DATE}"
THEIRS = f"from pc (192.0.2.8) by ex01.fabrikam.example (192.0.2.7) with Microsoft SMTP Server id 15.1.2106.2; {DATE}"
FORGED = f"from evil (victim.example [198.51.100.9]) by mx.contoso.example (Postfix) with ESMTP id 6; {DATE}"


def handed(lines: list[str]) -> Handed | None:
    """Where a mail with these lines was handed to us."""
    return handed_over([line.encode() for line in lines], OWN)


@pytest.mark.parametrize("above", [[], [INSIDE], [LMTP], [BESIDE, AMAVIS], [LMTP, INSIDE, BESIDE, AMAVIS]])
def test_lines_of_ours_are_dropped_down_to_the_one_that_names_the_peer(above: list[str]) -> None:
    """Delivery, filters beside the server, and relays of ours: what stands below the hand-over is the peer's."""
    found = handed([*above, OURS, THEIRS, FORGED])
    assert found is not None
    assert found.by is not None
    assert list(found.received) == [THEIRS.encode(), FORGED.encode()]
    told = found.by.address, found.by.helo, found.by.client_name, found.by.resolve
    assert told == ("192.0.2.7", "ex01.fabrikam.example", "ex01.fabrikam.example", "ok")


def test_a_line_that_claims_our_name_below_the_hand_over_is_content() -> None:
    """Who sends a line in our name names no other peer by it."""
    found = handed([OURS, FORGED, THEIRS])
    assert found is not None
    assert found.by is not None
    assert (found.by.address, list(found.received)) == ("192.0.2.7", [FORGED.encode(), THEIRS.encode()])


@pytest.mark.parametrize("helo", ["mx.contoso.example", "filter.contoso.example"])
def test_who_says_helo_in_our_name_is_no_relay_of_ours(helo: str) -> None:
    """A client may say anything: only what DNS confirms makes the line below ours."""
    stranger = f"from {helo} (unknown [192.0.2.7]) by mx.contoso.example (Postfix) with ESMTPS id 1; {DATE}"
    found = handed([stranger, FORGED, THEIRS])
    assert found is not None
    assert found.by is not None
    assert found.by.address == "192.0.2.7"


def test_a_relay_of_ours_outside_is_known_by_its_name_in_dns() -> None:
    """A filter with a public address and another name of the same owner hands over; its own line names the peer."""
    ours = f"from out.contoso.com (out.contoso.com [203.0.113.1]) by mx.contoso.com (Postfix) with ESMTPS id 1; {DATE}"
    filtered = OURS.replace("by mx.contoso.example", "by filter.contoso.com")
    own = Own(names=frozenset({"mx.contoso.com", "filter.contoso.com"}))
    found = handed_over([line.encode() for line in (ours, filtered, THEIRS)], own)
    assert found is not None
    assert found.by is not None
    assert (found.by.address, list(found.received)) == ("192.0.2.7", [THEIRS.encode()])


@pytest.mark.parametrize(
    "lines",
    [
        [THEIRS],
        [THEIRS, OURS],
        [INSIDE],
        [INSIDE, THEIRS],
        [LMTP, THEIRS],
        ["(qmail 1 invoked by uid 0); x", OURS],
        [f"from x (y [not.an.address]) by mx.contoso.example with ESMTP; {DATE}", THEIRS],
        [INSIDE] * 70 + [OURS],
    ],
)
def test_where_no_line_of_ours_names_a_peer_nobody_is_accused(lines: list[str]) -> None:
    """Mail of our own, mail that came another way, and a name of ours that is not known to be ours: no peer has a reading."""
    found = handed(lines)
    if found is not None and found.by is not None:
        assert read_own_run([line.decode() for line in found.received], load_catalogue()).reading is None


@pytest.mark.parametrize(
    ("front", "client"),
    [
        ("h (n.example [192.0.2.1])", Client(address="192.0.2.1", helo="h", name="n.example", resolve="ok")),
        ("h (unknown [192.0.2.1])", Client(address="192.0.2.1", helo="h", resolve="failed")),
        ("h (n.example [192.0.2.1] (may be forged))", Client(address="192.0.2.1", helo="h", name="n.example", resolve="forged")),
        ("h (jo@n.example [192.0.2.1])", Client(address="192.0.2.1", helo="h", name="n.example", resolve="ok")),
        ("h ([192.0.2.1])", Client(address="192.0.2.1", helo="h")),
        ("h (n.example [IPv6:2001:db8::1])", Client(address="2001:db8::1", helo="h", name="n.example", resolve="ok")),
        ("h (192.0.2.1)", Client(address="192.0.2.1", helo="h")),
        ("n.example ([192.0.2.1] helo=h)", Client(address="192.0.2.1", helo="h", name="n.example", resolve="ok")),
        ("n.example ([192.0.2.1]:5555 helo=h)", Client(address="192.0.2.1", helo="h", name="n.example", resolve="ok")),
        ("[192.0.2.1] (helo=h)", Client(address="192.0.2.1", helo="h", resolve="failed")),
        ("[192.0.2.1] (port=5555 helo=h)", Client(address="192.0.2.1", helo="h", resolve="failed")),
        ("[192.0.2.1]", Client(address="192.0.2.1")),
        ("unknown (HELO h) (192.0.2.1)", Client(address="192.0.2.1", helo="h")),
        ('n.example ([192.0.2.1]:5 "EHLO h" rhost-flags-OK-OK-OK-OK)', Client(address="192.0.2.1", helo="h", name="n.example", resolve="ok")),
        (
            'h (n.example [192.0.2.1]) (using TLSv1.3 with cipher X (256/256 bits)) (Client CN "[198.51.100.9]", Issuer "x" (verified OK))',
            Client(address="192.0.2.1", helo="h", name="n.example", resolve="ok"),
        ),
        ("h (evil [198.51.100.9]) (n.example [192.0.2.1])", Client(address="192.0.2.1", helo="h", name="n.example", resolve="ok")),
        ("h", None),
        ("h (999.1.1.1)", None),
        ("h (helo=x)", None),
        ("[999.1.1.1]", None),
    ],
)  # fmt: skip
def test_client_of_a_line(front: str, client: Client | None) -> None:
    """Each kind of server writes its client in its own way; the last note before `by` counts, as HELO stands in front."""
    assert client_of(redact(f"from {front} by mx.contoso.example with ESMTP id 1; {DATE}")) == client


def test_a_line_without_host_or_client_names_none() -> None:
    """Neither a line that begins otherwise nor one without `by`."""
    assert client_of(LMTP) is None
    assert client_of("from h (192.0.2.1)") is None


def test_facts_of_a_stored_mail_are_imported_evidence() -> None:
    """They are redacted, name the peer as all records do, and can open nothing."""
    client = client_of(redact(OURS.replace("192.0.2.7", "2001:db8::7")))
    assert client is not None
    run = read_own_run([THEIRS], load_catalogue())
    facts = imported_facts(client, run, seen_at=datetime(2026, 11, 24, tzinfo=UTC), origin="mailbox")
    assert (facts.peer, facts.name, facts.imported) == ("2001:db8::/64", "ex01.fabrikam.example", True)
    assert facts.own_lines == (THEIRS,)
    assert run.reading is not None


def test_own_addresses() -> None:
    """Mapped ones are folded; a public one is nobody's of ours."""
    for address, inside in (("::ffff:10.1.2.3", True), ("::1", True), ("192.0.2.1", False)):
        found = handover(address, "h", "", "unknown")
        assert found is not None
        assert found.inside is inside
    assert handover("x", "h", "", "unknown") is None


@given(st.lists(st.text(max_size=80), max_size=4), st.text(max_size=60))
def test_any_lines_give_an_answer(lines: list[str], helo: str) -> None:
    """Whatever stands in a mailbox; and a HELO name cannot take the place of the client's address."""
    line = f"from x{helo} (n.example [192.0.2.7]) by mx.contoso.example (Postfix) with ESMTP id 1; {DATE}"
    found = handed_over([one.encode("utf-8", "replace") for one in [line, *lines]], OWN)
    if found is not None and found.by is not None:
        assert found.by.address == "192.0.2.7"
