from datetime import timedelta
from ipaddress import ip_network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.core import (
    NAME_LENGTH_MAX,
    Exemptions,
    MessageSeen,
    Outcome,
    ReceivedLines,
    Scope,
    decide,
    no_evidence,
    resolve_of,
    see,
)
from shared.domain.catalogue import load_catalogue
from shared.domain.identity import Identity
from shared.domain.received import OWN_RUN_LINES_MAX
from shared.domain.records import Decision, Exemption, PolicyRecord
from shared.domain.verdict import window_start
from shared.messaging.codec import encode
from shared.messaging.decisions import DecisionTable
from shared.messaging.topics import KEY_HEARTBEAT, KEY_POLICY
from tests.support.decisions import (
    BLOCK,
    BY_NAME,
    FLOOR_2007,
    NOON,
    PATCHED,
    PEER,
    SERVER,
    THROTTLE,
    decision,
    heartbeat,
    line_2007,
    line_of,
    records_of,
    released,
    shipped_policy,
    table_of,
)
from tests.support.edge import message

CATALOGUE = load_catalogue()
NOBODY = Exemptions()


def outcome(
    seen_message: MessageSeen, *decisions: Decision, observing: str = "", exempt: Exemptions = NOBODY
) -> Outcome:
    """Judge a message by decisions written by hand."""
    seen = see(seen_message, CATALOGUE, now=NOON, edge="mx1")
    return decide(seen, seen_message, table_of(decisions), now=NOON, observing=observing, exempt=exempt)


def test_throttled_server_is_deferred_with_the_text_of_the_policy() -> None:
    """Inside the throttle minutes the reply is the seed's 450, with the row's minutes."""
    found = outcome(message(), decision(throttle=60))
    assert str(found.reply) == THROTTLE.format(60)
    assert found.reason == "deferred"


def test_blocked_server_is_rejected_with_the_text_of_the_policy() -> None:
    """Inside the block minutes the reply is the seed's 550."""
    found = outcome(message(), decision(block=60))
    assert str(found.reply) == BLOCK.format(60)
    assert found.reason == "rejected"


def test_refusal_is_recorded_with_what_explains_it() -> None:
    """The verdict names server, build, row, window and the records that it rests on."""
    record = outcome(message(), decision(block=60)).record
    assert record is not None
    assert (record.server, record.shown, record.action, record.would_be) == (SERVER, "15.1.2507.6", "reject", False)
    assert (record.decision_seq, record.heartbeat_seq, record.queue_id) == (7, 10, "4XyZ9q1Bz2")
    assert record.window_from_minute == window_start("k7", SERVER, NOON)
    assert record.reply == BLOCK.format(60)
    assert (record.product, record.at, record.edge) == ("Microsoft Exchange 2016", NOON, "mx1")
    assert record.row == decision(block=60).cases[0].rows[0]


def test_a_server_in_its_case_passes_outside_its_minutes_and_is_no_verdict() -> None:
    """Told apart from a case that is only observed."""
    start = window_start("k7", SERVER, NOON)
    seen = see(message(), CATALOGUE, now=NOON, edge="mx1")
    after = NOON + timedelta(minutes=(start + 5) % 60)
    found = decide(seen, message(), table_of([decision(throttle=5)]), now=after, observing="", exempt=NOBODY)
    assert found == Outcome(reason="pass_outside_minutes")


def test_patched_server_passes_though_its_case_says_sixty_minutes() -> None:
    """A message whose own line is at the floor passes before anybody has released the case."""
    found = outcome(message(line_of(PATCHED)), decision(block=60))
    assert found == Outcome(reason="pass_not_accused")


def test_neighbour_behind_the_same_address_passes() -> None:
    """Another server of the same peer is not harmed by the case of its neighbour."""
    neighbour = message(line_of(name="ok.alt.example"), helo="ok.alt.example")
    assert outcome(neighbour, decision(block=60)).reply is None


def test_message_without_product_passes() -> None:
    """Lines that no Exchange wrote prove nothing, whatever the case of the peer says."""
    other = f"from a ([10.0.0.1]) by {BY_NAME} (Postfix) with ESMTP id 1; Tue, 24 Nov 2026 11:59:00 +0000"
    assert outcome(message(other), decision(block=60)) == Outcome(reason="pass_no_product")


def test_released_server_passes() -> None:
    """A decision without cases refuses nothing."""
    assert outcome(message(), released()).reply is None


def test_only_observed_case_passes() -> None:
    """A case of a connector in observe mode refuses nothing, even with minutes in its row."""
    assert outcome(message(), decision(block=60, enforced=False)) == Outcome(reason="pass_observed_case")


def test_product_without_acceptable_build_is_refused_though_it_shows_none() -> None:
    """An Exchange 2007 names no build; the floor accuses the product as a whole."""
    found = outcome(message(line_2007()), decision(block=60, floor=FLOOR_2007))
    assert found.reason == "rejected"


def test_mildest_of_several_cases_holds() -> None:
    """A message that matches two servers gets the milder row."""
    twice = message(client_name=BY_NAME, client_resolve="ok")
    found = outcome(twice, decision(block=60), decision(throttle=60, server=BY_NAME))
    assert found.reason == "deferred"


@pytest.mark.parametrize("minutes", [5, 20])
def test_deferred_minutes_of_an_hour_are_those_of_the_row(minutes: int) -> None:
    """Of the sixty minutes of an hour as many are refused as the row says, in one window that may wrap."""
    seen_message, table = message(), table_of([decision(throttle=minutes)])
    seen = see(seen_message, CATALOGUE, now=NOON, edge="mx1")
    refused = [
        minute
        for minute in range(60)
        if decide(seen, seen_message, table, now=NOON + timedelta(minutes=minute), observing="", exempt=NOBODY).reply
    ]
    start = window_start("k7", SERVER, NOON)
    assert sorted((start + number) % 60 for number in range(minutes)) == refused


def test_row_in_force_is_that_of_law_time_not_of_the_clock() -> None:
    """A row that begins after H less held is not in force, however late the edge's own clock is."""
    row_begins = NOON - timedelta(hours=1)
    seen_message = message()
    seen = see(seen_message, CATALOGUE, now=NOON, edge="mx1")
    for held, reason in ((timedelta(), "deferred"), (timedelta(hours=2), "pass_not_accused")):
        one = decision(throttle=60, since=row_begins)
        table = table_of([one], heartbeat([one], held=held))
        found = decide(seen, seen_message, table, now=NOON + timedelta(days=9), observing="", exempt=NOBODY)
        assert found.reason == reason


def test_empty_table_means_no_verdict() -> None:
    """Without policy and heartbeat every message passes, counted as such."""
    seen_message = message()
    seen = see(seen_message, CATALOGUE, now=NOON, edge="mx1")
    found = decide(seen, seen_message, DecisionTable(), now=NOON, observing="", exempt=NOBODY)
    assert found == Outcome(reason="pass_no_verdict_possible")


@pytest.mark.parametrize("known", [KEY_POLICY, KEY_HEARTBEAT])
def test_half_of_what_a_verdict_needs_is_no_verdict(known: bytes) -> None:
    """A policy without a heartbeat, or a heartbeat without a policy: as while a table is read for the first time."""
    table = DecisionTable()
    for key, value in records_of([decision(block=60)]):
        if key in {known, SERVER.encode()}:
            table.apply(key, value)
    seen = see(message(), CATALOGUE, now=NOON, edge="mx1")
    found = decide(seen, message(), table, now=NOON, observing="", exempt=NOBODY)
    assert found == Outcome(reason="pass_no_verdict_possible")


def test_policy_in_force_that_enforces_nothing_refuses_nothing() -> None:
    """Before the case hears of it, the first mails after such a policy pass, as those of an observed case do."""
    policy = msgspec.structs.replace(shipped_policy(), mode="observe")
    seen = see(message(), CATALOGUE, now=NOON, edge="mx1")
    table = table_of([decision(block=60)], policy=policy)
    found = decide(seen, message(), table, now=NOON, observing="", exempt=NOBODY)
    assert (found.reason, found.reply, found.record) == ("pass_observed_case", None, None)


# -- never judged, never refused -----------------------------------------------------------------------------------

SCOPE = Scope(
    networks=[ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")],
    submission_ports={"587", "465"},
    reply_addresses={"help@neu.example"},
)


@pytest.mark.parametrize(
    ("seen_message", "reason"),
    [
        (message(auth=True), "pass_auth"),
        (message(daemon_port="587"), "pass_submission_port"),
        (message(address="10.1.2.3"), "pass_network"),
        (message(address="::ffff:10.1.2.3"), "pass_network"),
        (message(address="2001:db8:1::7"), "pass_network"),
        (message(address=""), "pass_no_peer_address"),
        (message(address="/var/run/x.sock"), "pass_no_peer_address"),
        (message(has_headers=False), "pass_no_headers"),
        (message(), ""),
        (message(address="2001:db8:2::7"), ""),
    ],
)
def test_never_judged(seen_message: MessageSeen, reason: str) -> None:
    """AUTH, submission ports, own networks, no address and no header take a message out, each by its reason."""
    assert SCOPE.never_judged(seen_message) == reason


@pytest.mark.parametrize(
    "recipient",
    [
        "<postmaster@neu.example>",
        "<Postmaster>",
        "<ABUSE@neu.example>",
        '<"postmaster"@neu.example>',
        "<@relay.example,@b.example:abuse@neu.example>",
        "<help@neu.example>",
        "Help@NEU.example",
    ],
)
def test_protected_recipients(recipient: str) -> None:
    """Postmaster, abuse and our reply addresses are known in every way a client may write them."""
    assert SCOPE.protects(recipient)


@pytest.mark.parametrize("recipient", ["<b@neu.example>", "<postmaster.b@neu.example>", "<help@alt.example>", "<>", ""])
def test_other_recipients_are_not_protected(recipient: str) -> None:
    """An address that only looks like one of those is nothing special."""
    assert not SCOPE.protects(recipient)


@pytest.mark.parametrize(
    ("seen_message", "reason"),
    [
        (message(null_sender=True), "pass_null_sender"),
        (message(protected=True), "pass_protected_recipient"),
        (message(client_resolve="tempfail"), "pass_dns_tempfail"),
    ],
)
def test_never_refused(seen_message: MessageSeen, reason: str) -> None:
    """The null sender and a protected recipient pass whole, and are no verdict."""
    assert outcome(seen_message, decision(block=60)) == Outcome(reason=reason)


def test_observing_spares_and_records_what_it_would_have_been() -> None:
    """While the edge observes, mail passes and the verdict says so, with its reason."""
    found = outcome(message(), decision(block=60), observing="frozen")
    assert (found.reply, found.reason) == (None, "pass_observing")
    assert found.record is not None
    assert (found.record.would_be, found.record.spared_why, found.record.action) == (True, "frozen", "reject")


@pytest.mark.parametrize(
    ("exempt", "spared"),
    [
        (Exemptions(servers=(SERVER,)), True),
        (Exemptions(peers=("192.0.2.0/24",)), True),
        (Exemptions(connectors=("internet",)), True),
        (Exemptions(servers=("other.example",), peers=("198.51.100.1",), connectors=("plant",)), False),
    ],
)
def test_local_exemptions(exempt: Exemptions, spared: bool) -> None:
    """The local file takes out servers, peers and connectors, and nobody else."""
    found = outcome(message(), decision(block=60), exempt=exempt)
    assert (found.reply is None) is spared


def test_a_verdict_that_an_exemption_spared_tells_when_and_why() -> None:
    """By an act, or by the local file."""
    seen = see(message(), CATALOGUE, now=NOON, edge="mx1")
    table = table_of([decision(block=60)])
    act = Exemption(kind="server", target=SERVER, owner="ops", until=NOON)
    table.apply(KEY_POLICY, encode(PolicyRecord(policy=shipped_policy(), exemptions=(act,))))
    by_act = decide(seen, message(), table, now=NOON, observing="", exempt=NOBODY)
    by_file = outcome(message(), decision(block=60), exempt=Exemptions(servers=(SERVER,)))
    told = [(found.reason, found.record.at, found.record.spared_why) for found in (by_act, by_file) if found.record]
    assert told == [("pass_exempt", NOON, "exempt"), ("pass_observing", NOON, "exempt by the local file")]


def test_an_address_of_the_local_file_may_have_host_bits_behind_its_range() -> None:
    """As people write them."""
    nobody = Identity(tie="untied", connector="", server=None, matches=())
    assert Exemptions(peers=("192.0.2.7/24",)).cover(nobody, "192.0.2.200")


def test_a_scope_is_what_it_was_made_of() -> None:
    """Reply addresses, a mapped address of an own network, and one with a zone."""
    scope = Scope(networks=[ip_network("127.0.0.0/8"), ip_network("fe80::/10")], reply_addresses={"help@neu.example"})
    assert scope.protects("<help@neu.example>")
    assert not scope.protects("<b@neu.example>")
    assert scope.never_judged(message(address="::ffff:127.0.0.9")) == "pass_network"
    assert scope.never_judged(message(address="fe80::1%eth0")) == "pass_network"
    one_host = Scope(networks=[ip_network("fe80::1/128")])
    assert one_host.never_judged(message(address="fe80::1%eth0")) == "pass_network"


def test_exemption_of_a_range_covers_an_ipv6_peer() -> None:
    """An IPv6 peer is written as its /64; a wider range of the file covers it."""
    nobody = Identity(tie="untied", connector="", server=None, matches=())
    assert Exemptions(peers=("2001:db8::/32",)).cover(nobody, "2001:db8:0:1::/64")
    assert not Exemptions(peers=("192.0.2.0/24",)).cover(nobody, "2001:db8:0:1::/64")


# -- evidence ------------------------------------------------------------------------------------------------------


def test_facts_hold_no_recipient_and_no_local_part() -> None:
    """What is published of a line has no `for` and nothing before an `@`."""
    line = line_of().replace("; Tue", " for <secret@neu.example>; Tue").replace("from ex16", "from (anna@pc) ex16")
    facts = see(message(line), CATALOGUE, now=NOON, edge="mx1").facts
    assert facts.own_lines
    assert "secret" not in str(facts)
    assert "anna" not in str(facts)


def test_ipv6_peer_is_its_subnet() -> None:
    """Hosts of one /64 are one peer."""
    facts = see(message(address="2001:db8::7"), CATALOGUE, now=NOON, edge="mx1").facts
    assert facts.peer == "2001:db8::/64"


@pytest.mark.parametrize(
    ("seen_message", "reason"),
    [
        (message("nonsense"), "nameless"),
        (message(client_resolve="tempfail"), "dns_tempfail"),
        (message(), ""),
    ],
)
def test_no_evidence(seen_message: MessageSeen, reason: str) -> None:
    """A message without a name, or while DNS failed for the moment, leaves no evidence."""
    assert no_evidence(see(seen_message, CATALOGUE, now=NOON, edge="mx1")) == reason


def test_key_tells_ties_apart() -> None:
    """A message tied by HELO is other evidence than one with the same lines and no tie."""
    tied = see(message(), CATALOGUE, now=NOON, edge="mx1").key
    untied = see(message(helo="elsewhere.example"), CATALOGUE, now=NOON, edge="mx1").key
    assert tied != untied
    assert tied == see(message(helo=BY_NAME.upper()), CATALOGUE, now=NOON, edge="mx1").key


def test_ten_thousand_lines_leave_fifty() -> None:
    """Lines beyond the bound are counted, and the verdict is that of the first ones."""
    received = ReceivedLines()
    for number in range(10_000):
        received.add(line_of() if number == 0 else f"from x by relay{number}.example with SMTP; Tue, 24 Nov 2026")
    assert (len(received.kept), received.beyond) == (OWN_RUN_LINES_MAX, 10_000 - OWN_RUN_LINES_MAX)
    assert outcome(message(*received.kept), decision(block=60)).reason == "rejected"


def test_line_of_a_megabyte_is_cut() -> None:
    """A huge line is kept as short as a redacted one and hurts nobody."""
    received = ReceivedLines()
    received.add("from x " + "(a@b " * 200_000)
    assert len(received.kept[0]) <= 2000
    assert outcome(message(*received.kept), decision(block=60)).reply is None


def test_odd_bytes_are_published_as_printable_text() -> None:
    """NUL and 8-bit bytes in HELO, names and lines neither raise nor survive in a line."""
    odd = message("from \x00\xff by b\x00d.example\xe9; x", line_of(), helo="\x00\xff" * 400, client_name="\xfc" * 400)
    facts = see(odd, CATALOGUE, now=NOON, edge="mx1").facts
    assert len(facts.helo) == len(facts.client_name) == NAME_LENGTH_MAX
    assert all(" " <= letter <= "~" for line in facts.own_lines for letter in line)


@given(st.lists(st.text(max_size=300), max_size=5), st.text(max_size=50), st.booleans())
def test_any_text_gives_an_outcome(lines: list[str], helo: str, null_sender: bool) -> None:
    """Whatever a client writes, there is an outcome, and it is no refusal."""
    odd = MessageSeen(address=PEER, helo=helo, received=tuple(lines), null_sender=null_sender)
    assert outcome(odd, decision(block=60)).reply is None


@pytest.mark.parametrize(
    ("text", "resolve"), [("OK", "ok"), ("FAIL", "failed"), ("FORGED", "forged"), ("TEMP", "tempfail"), ("", "unknown")]
)
def test_what_the_mta_says_of_dns(text: str, resolve: str) -> None:
    """The macro's words become ours; an unknown one verifies nothing."""
    assert resolve_of(text) == resolve
