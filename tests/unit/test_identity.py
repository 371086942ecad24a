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
