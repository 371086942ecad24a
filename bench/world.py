"""The made-up world that is measured in: servers of one on-premises connector, their mails, their sightings, their cases."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache

import msgspec

from services.detector.core import Reader
from shared.domain.catalogue import load_catalogue
from shared.domain.evidence import Facts
from shared.domain.fold import Fold, Written
from shared.domain.policy import Connector, Policy, parse_policy, shipped_policy_text
from shared.domain.records import Decision, Origin, Sighting
from shared.domain.state import decision_of

SERVERS = 100_000
OLD, PATCHED = "15.01.2507.006", "15.01.2507.061"
CONNECTOR = "branch"
_DATE = "Tue, 24 Nov 2026 11:59:00 +0000"
_TLS = "(version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)"


def policy() -> Policy:
    """The shipped one, enforcing for one connector, so that names are not limited to 10,000 a day; it holds loopback for real mails."""
    shipped = parse_policy(shipped_policy_text())
    branch = Connector(
        name=CONNECTOR, kind="on-premises", owner="it", ranges=("10.0.0.0/8", "127.0.0.0/8"), mode="enforce"
    )
    return msgspec.structs.replace(shipped, mode="enforce", connectors=(*shipped.connectors, branch))


def name_of(number: int) -> str:
    """The name of a server, as its lines and its HELO say it."""
    return f"ex{number:06d}.bench.example"


def peer_of(number: int) -> str:
    """The address of a server."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def exchange_lines(name: str, build: str = OLD) -> tuple[str, str, str]:
    """The own lines of an Exchange 2016 with two roles, top first; the last one shows the installed build."""
    return (
        f"from {name} (10.0.0.1) by {name} (10.0.0.1) with Microsoft SMTP Server {_TLS} id {build.replace('.0', '.')}; {_DATE}",
        f"from {name} ([fe80::1]) by {name} ([fe80::1%5]) with Microsoft SMTP Server {_TLS} id {build.replace('.0', '.')}; {_DATE}",
        f"from {name} ([fe80::1]) by {name} ([fe80::1%5]) with mapi id {build}; {_DATE}",
    )


def postfix_lines(name: str) -> tuple[str, str, str]:
    """The lines of a Postfix with a content filter; nothing in them is ours to judge."""
    return (
        f"from localhost (localhost [127.0.0.1]) by {name} (Postfix) with ESMTP id 4XyZ9q1Bz2; {_DATE}",
        f"from {name} ([127.0.0.1]) by localhost ({name} [127.0.0.1]) (amavis, port 10024) with ESMTP id kq3Vd0cF8Zp1; {_DATE}",
        f"from pc.bench.example (pc.bench.example [10.200.0.7]) by {name} (Postfix) with ESMTPSA id 4XyZ9p6Nk1; {_DATE}",
    )


def facts_of(number: int, seen_at: datetime, build: str = OLD) -> Facts:
    """What a mail of a server shows."""
    name = name_of(number)
    return Facts(
        peer=peer_of(number),
        helo=name,
        client_name="",
        client_resolve="failed",
        tls_name="",
        name=name,
        own_lines=exchange_lines(name, build),
        seen_at=seen_at,
        edge="mx1",
    )


@cache
def _reader() -> Reader:
    return Reader(load_catalogue())


@cache
def _read(build: str, day: datetime) -> Sighting:
    return _reader().sighting_of(facts_of(0, day, build), Origin(topic="mail-evidence", partition=0, offset=0))


def sighting_of(number: int, seen_at: datetime, build: str = OLD) -> Sighting:
    """A sighting of a server as the detector makes it; the lines of all of them are read alike, so they are read once."""
    return msgspec.structs.replace(
        _read(build, seen_at.replace(hour=0, minute=0, second=0, microsecond=0)),
        facts=facts_of(number, seen_at, build),
        origin=Origin(topic="mail-evidence", partition=0, offset=number),
    )


def opening(number: int, at: datetime) -> Iterator[Sighting]:
    """Three sightings in three distinct hours: the last one opens a case."""
    return (sighting_of(number, at - timedelta(hours=back)) for back in (2, 1, 0))


def take_all(fold: Fold, sightings: Iterator[Sighting], at: datetime) -> Iterator[Written]:
    """Take *sightings* as the enforcer does, and give what is written to the log."""
    for offset, sighting in enumerate(sightings):
        yield from fold.tick(at=at, blind=False)
        yield from fold.take(sighting, Origin(topic="sightings", partition=0, offset=offset), at=at)


def decisions(count: int, at: datetime) -> Iterator[Decision]:
    """The decisions of *count* servers, each with a case at day 0, as the law makes the first of them."""
    fold = Fold(policy())
    fold.begin(at=at, version="bench")
    for _ in take_all(fold, opening(0, at), at):
        pass
    first = decision_of(fold.servers[f"{name_of(0)}@{CONNECTOR}"])
    if first is None:
        raise ValueError("three sightings opened no case: the world of the benchmarks no longer fits the law")
    for number in range(count):
        yield msgspec.structs.replace(first, server=f"{name_of(number)}@{CONNECTOR}")
