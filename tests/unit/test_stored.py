"""Stored mail: which lines are our own, who the peer is, and what a peer can forge of it."""

from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.catalogue import load_catalogue
from shared.domain.header_text import redact
from shared.domain.received import read_own_run
from shared.domain.stored import LOOPBACK, OWN_LINES_MAX, Client, OwnHosts, client_of, hand_over_of

DATE = "Tue, 4 Apr 2023 10:00:00 +0000"
OWN = OwnHosts(
    names=frozenset({"mx.contoso.example", "filter.contoso.example"}), networks=(*LOOPBACK, ip_network("10.0.0.0/8"))
)
OURS = f"from ex01.fabrikam.example (ex01.fabrikam.example [192.0.2.7]) by mx.contoso.example (Postfix) with ESMTPS id 1; {DATE}"
INSIDE = f"from mx.contoso.example (mx.contoso.example [10.0.0.1]) by filter.contoso.example (Postfix) with ESMTP id 2; {DATE}"
BESIDE = f"from localhost (localhost [127.0.0.1]) by mx.contoso.example (Postfix) with ESMTP id 3; {DATE}"
AMAVIS = f"from mx.contoso.example ([127.0.0.1]) by localhost (mx.contoso.example [127.0.0.1]) (amavis, port 10024) with ESMTP id 4; {DATE}"
LMTP = f"by mx.contoso.example with LMTP id 5; {DATE}"
THEIRS = f"from pc (192.0.2.8) by ex01.fabrikam.example (192.0.2.7) with Microsoft SMTP Server id 15.1.2106.2; {DATE}"
FORGED = f"from evil (victim.example [198.51.100.9]) by mx.contoso.example (Postfix) with ESMTP id 6; {DATE}"


@pytest.mark.parametrize("above", [[], [INSIDE], [LMTP], [BESIDE, AMAVIS], [LMTP, INSIDE, BESIDE, AMAVIS]])
def test_lines_of_ours_are_dropped_down_to_the_one_that_names_the_peer(above: list[str]) -> None:
    """Delivery, filters beside the server, and relays of ours: what stands below the hand-over is the peer's."""
    found = hand_over_of([*above, OURS, THEIRS, FORGED], OWN)
    assert found is not None
    assert (found.own, found.lines) == (len(above) + 1, (THEIRS, FORGED))
    assert found.client == Client(
        address="192.0.2.7", helo="ex01.fabrikam.example", name="ex01.fabrikam.example", resolve="ok"
    )


def test_a_line_that_claims_our_name_below_the_hand_over_is_content() -> None:
    """Who sends a line in our name names no other peer by it."""
    found = hand_over_of([OURS, FORGED, THEIRS], OWN)
    assert found is not None
    assert (found.client.address, found.lines) == ("192.0.2.7", (FORGED, THEIRS))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [THEIRS],
        [THEIRS, OURS],
        [INSIDE],
        [INSIDE, THEIRS],
        [LMTP, THEIRS],
        ["(qmail 1 invoked by uid 0); x", OURS],
        [f"from x (y [not.an.address]) by mx.contoso.example with ESMTP; {DATE}", THEIRS],
        [INSIDE] * OWN_LINES_MAX + [OURS],
    ],
)
def test_where_no_line_of_ours_names_a_peer_nothing_is_known(lines: list[str]) -> None:
    """Mail of our own, mail that came another way, and a name of ours that is not known to be ours."""
    assert hand_over_of(lines, OWN) is None


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
    found = hand_over_of([OURS.replace("192.0.2.7", "2001:db8::7"), THEIRS], OWN)
    assert found is not None
    run = read_own_run(found.lines, load_catalogue())
    facts = found.facts(run, seen_at=datetime(2026, 11, 24, tzinfo=UTC), origin="mailbox")
    assert (facts.peer, facts.name, facts.imported) == ("2001:db8::/64", "ex01.fabrikam.example", True)
    assert facts.own_lines == (THEIRS,)
    assert run.reading is not None


def test_own_addresses() -> None:
    """Mapped ones are folded; what is no address is nobody's."""
    assert OWN.has_address("::ffff:10.1.2.3")
    assert OWN.has_address("::1")
    assert not OWN.has_address("192.0.2.1")
    assert not OWN.has_address("x")


@given(st.lists(st.text(max_size=80), max_size=4), st.text(max_size=60))
def test_any_lines_give_an_answer(lines: list[str], helo: str) -> None:
    """Whatever stands in a mailbox; and a HELO name cannot take the place of the client's address."""
    hand_over_of(lines, OWN)
    line = f"from x{helo} (n.example [192.0.2.7]) by mx.contoso.example (Postfix) with ESMTP id 1; {DATE}"
    found = hand_over_of([line, *lines], OWN)
    if found is not None:
        assert found.client.address == "192.0.2.7"
