"""Ties and server ids: one pure function of facts and policy."""

import pytest

from shared.domain.identity import Identity, Naming, peer_of
from shared.domain.policy import Connector
from tests.support.scenario import NAME, PEER, START, facts, policy_for


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_peer_is_written_one_way(address: str, peer: str) -> None:
    """IPv6 by /64, mapped addresses folded, zones dropped."""
    assert peer_of(address) == peer


def test_what_is_no_address_is_refused() -> None:
    """The caller decides what to do with a Unix socket."""
    with pytest.raises(ValueError, match="unix"):
        peer_of("unix")


NAMING = Naming(policy_for())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("helo", "internet", f"{NAME}@{PEER}", (f"{NAME}@{PEER}",))),
        ({"helo": NAME.upper()}, ("helo", "internet", f"{NAME}@{PEER}", (f"{NAME}@{PEER}",))),
        ({"helo": "other.example"}, ("untied", "internet", None, ())),
        ({"name": ""}, ("untied", "internet", None, ())),
        (
            {"client_name": NAME, "client_resolve": "ok"},
            ("verified", "internet", NAME, (NAME, f"{NAME}@{PEER}")),
        ),
        ({"client_name": NAME, "client_resolve": "forged", "helo": "x.example"}, ("untied", "internet", None, ())),
        (
            {"name": "heartbeat", "client_name": "heartbeat", "client_resolve": "ok", "helo": "x"},
            ("untied", "internet", None, ()),
        ),
        (
            {"peer": "198.51.100.9", "helo": "relay.example"},
            ("connector", "branch", f"{NAME}@branch", (f"{NAME}@branch",)),
        ),
        (
            {"peer": "198.51.100.9"},
            ("connector", "branch", f"{NAME}@branch", (f"{NAME}@branch", f"{NAME}@198.51.100.9")),
        ),
        ({"peer": "unix"}, ("helo", "internet", f"{NAME}@unix", (f"{NAME}@unix",))),
    ],
)
def test_ties_from_strongest_to_weakest(changes: dict[str, str], expected: tuple[object, ...]) -> None:
    """Connector > verified > helo > untied; a name without a dot is never verified; all matching ids are named."""
    tie, connector, server, matches = expected
    found = NAMING.identify(facts(START, **changes))
    assert found == Identity(tie=tie, connector=connector, server=server, matches=matches)  # type: ignore[arg-type]


NAMED = {"name": "ex01.contoso.co.uk", "helo": "mail.contoso.co.uk"}
NAMED_ID = f"ex01.contoso.co.uk@{PEER}"


@pytest.mark.parametrize(
    ("changes", "tie"),
    [
        (NAMED, "domain"),
        (NAMED | {"helo": "MAIL.Contoso.CO.uk"}, "domain"),
        (NAMED | {"helo": "contoso.co.uk"}, "domain"),
        (NAMED | {"helo": "x", "client_name": "Out.contoso.co.uk", "client_resolve": "ok"}, "domain"),
        (NAMED | {"helo": "x", "client_name": "out.contoso.co.uk", "client_resolve": "failed"}, "untied"),
        (NAMED | {"helo": "mail.fabrikam.co.uk"}, "untied"),
        (NAMED | {"helo": "co.uk"}, "untied"),
        (NAMED | {"helo": ""}, "untied"),
        (NAMED | {"helo": "ex01.contoso.co.uk"}, "helo"),
        ({"name": "ex01.contoso.local", "helo": "mail.contoso.local"}, "untied"),
        ({"name": "a.blogspot.com", "helo": "b.blogspot.com"}, "untied"),
        ({"name": "10.0.0.1", "helo": "10.0.0.2"}, "untied"),
        ({"name": "a" * 300 + ".contoso.co.uk", "helo": "mail.contoso.co.uk"}, "untied"),
        ({"name": "ex01.contoso.co.uk", "helo": "m\u00fcller.contoso.co.uk"}, "untied"),
    ],
)
def test_a_domain_ties_its_hosts_by_the_public_suffix_list(changes: dict[str, str], tie: str) -> None:
    """One owner's names are tied; a public suffix, a private name, and an address belong to nobody."""
    assert NAMING.identify(facts(START, **changes)).tie == tie


def test_a_tie_by_domain_gives_an_id_only_where_the_policy_opens_cases_by_it() -> None:
    """By default it is told and nothing follows from it; a policy may let it open."""
    told = NAMING.identify(facts(START, **NAMED))
    assert told == Identity(tie="domain", connector="internet", server=None, matches=())
    opening = Naming(policy_for(open_ties=("connector", "verified", "helo", "domain")))
    assert opening.identify(facts(START, **NAMED)) == Identity(
        tie="domain", connector="internet", server=NAMED_ID, matches=(NAMED_ID,)
    )


def test_a_tls_name_that_the_mta_verified_ties_whatever_the_address() -> None:
    """The subject name of a certificate is stronger than where it connects from."""
    policy = policy_for(
        connectors=(Connector(name="hq", kind="on-premises", owner="it", tls_names=("Mail.HQ.example",)),)
    )
    found = Naming(policy).identify(facts(START, tls_name="mail.hq.example"))
    assert (found.tie, found.server) == ("connector", f"{NAME}@hq")


def test_the_narrowest_range_wins_and_ipv6_prefixes_are_matched() -> None:
    """One host can be taken out of a wider connector."""
    policy = policy_for(
        connectors=(
            Connector(name="wide", kind="partner", owner="it", ranges=("192.0.2.0/24", "2001:db8::/32")),
            Connector(name="one", kind="on-premises", owner="it", ranges=("192.0.2.7/32",)),
        )
    )
    naming = Naming(policy)
    assert naming.identify(facts(START)).connector == "one"
    assert naming.identify(facts(START, peer="192.0.2.8")).connector == "wide"
    assert naming.identify(facts(START, peer="2001:db8:1:2::/64")).connector == "wide"
    assert naming.identify(facts(START, peer="203.0.113.1")).connector == ""


def test_the_table_of_peers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound it is dropped and built anew, with the same answers."""
    monkeypatch.setattr("shared.domain.identity._PEER_CACHE", 2)
    naming = Naming(policy_for())
    for _ in range(2):
        for last in range(5):
            assert naming.identify(facts(START, peer=f"198.51.100.{last}")).connector == "branch"
    assert len(naming._by_peer) <= 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("peer", "198.51.100.9"),
        ("helo", "other.example"),
        ("client_name", "other.example"),
        ("client_resolve", "forged"),
        ("tls_name", "MAIL.partner.example"),
        ("name", "other.example"),
    ],
)
def test_what_was_asked_before_says_nothing_of_other_facts(field: str, value: str) -> None:
    """The last answer is kept for whoever asks the same again, and only for him."""
    partner = Connector(name="p", kind="partner", tls_names=("mail.partner.example",), owner="x")
    policy = policy_for(connectors=(*policy_for().connectors, partner))
    verified = {"client_name": NAME, "client_resolve": "ok", "helo": NAME}
    before, other = facts(START, **verified), facts(START, **{**verified, field: value})
    assert Naming(policy).identify(before) != Naming(policy).identify(other)
    asked = Naming(policy)
    for one in (before, other, before):
        assert asked.identify(one) == Naming(policy).identify(one) == asked.identify(one)
