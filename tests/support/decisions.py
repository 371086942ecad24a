"""Decisions written by hand, as the enforcer would write them, and lines of the servers that they are about."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from shared.domain.build import Build
from shared.domain.floors import Floor
from shared.domain.fold import digest_of
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.records import CaseSchedule, Decision, Heartbeat, PolicyRecord, Row
from shared.messaging.codec import encode
from shared.messaging.decisions import DecisionTable
from shared.messaging.topics import KEY_HEARTBEAT, KEY_POLICY

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BY_NAME = "ex16.alt.example"
PEER = "192.0.2.9"
SERVER = f"{BY_NAME}@{PEER}"
FLOOR_2016 = Floor(product="Microsoft Exchange 2016", builds=(Build(15, 1, 2507, 61),))
FLOOR_2007 = Floor(product="Microsoft Exchange 2007")
OLD, PATCHED = "15.1.2507.6", "15.1.2507.61"
THROTTLE = "450 4.7.230 Connecting Exchange server version is out-of-date; connection to Exchange Online throttled for {} mins/hr."
BLOCK = "550 5.7.230 Connecting Exchange server version is out-of-date; connection to Exchange Online blocked for {} mins/hr."


def line_of(build: str = OLD, name: str = BY_NAME) -> str:
    """Give the top `Received` value of an Exchange that shows *build*: a MAPI line, which shows what is installed."""
    return f"from {name} ([fe80::1]) by {name} ([fe80::1%5]) with mapi id {build.replace('15.1.', '15.01.')}; Tue, 24 Nov 2026 11:59:00 +0000"


def line_2007(name: str = BY_NAME) -> str:
    """Give the top `Received` value of an Exchange 2007."""
    return f"from {name} ([10.0.0.1]) by {name} ([10.0.0.1]) with mapi; Tue, 24 Nov 2026 11:59:00 +0000"


def decision(
    *,
    throttle: int = 0,
    block: int = 0,
    server: str = SERVER,
    floor: Floor = FLOOR_2016,
    since: datetime = NOON - timedelta(days=60),
    enforced: bool = True,
    seq: int = 7,
) -> Decision:
    """Give a server's decision with one case of one row."""
    row = Row(since=since, stage=2, throttle_minutes_per_hour=throttle, block_minutes_per_hour=block)
    case = CaseSchedule(product=floor.product, floor=floor, opened_at=since, enforced=enforced, rows=(row,))
    return Decision(server=server, seq=seq, policy_version=1, cases=(case,))


def released(server: str = SERVER, seq: int = 9) -> Decision:
    """Give the decision of a server that was released."""
    return Decision(server=server, seq=seq, policy_version=1, cases=())


def shipped_policy() -> Policy:
    """Give the policy that ships, enforced for everybody, as the decisions here take it."""
    shipped = parse_policy(shipped_policy_text())
    connectors = tuple(msgspec.structs.replace(connector, mode="enforce") for connector in shipped.connectors)
    return msgspec.structs.replace(shipped, mode="enforce", connectors=connectors)


def heartbeat(
    decisions: Iterable[Decision] = (),
    *,
    h: datetime = NOON,
    held: timedelta = timedelta(),
    frozen: bool = False,
    seq: int = 10,
    policy: Policy | None = None,
) -> Heartbeat:
    """Give the heartbeat that goes with a table of *decisions*."""
    live = list(decisions)
    digest = sum(digest_of(one.server, encode(one)) for one in live) % (1 << 128)
    return Heartbeat(
        at=h,
        h=h,
        held=held,
        seq=seq,
        count=len(live),
        digest=f"{digest:032x}",
        policy_digest=(policy or shipped_policy()).digest,
        frozen=frozen,
    )


def records_of(
    decisions: Iterable[Decision], beat: Heartbeat | None = None, policy: Policy | None = None
) -> list[tuple[bytes, bytes]]:
    """Give the records of topic `decisions`, heartbeat last."""
    live = list(decisions)
    policy = policy or shipped_policy()
    records: list[tuple[bytes, msgspec.Struct]] = [(KEY_POLICY, PolicyRecord(policy=policy))]
    records += [(one.server.encode(), one) for one in live]
    records.append((KEY_HEARTBEAT, beat or heartbeat(live, policy=policy)))
    return [(key, encode(record)) for key, record in records]


def table_of(
    decisions: Iterable[Decision], beat: Heartbeat | None = None, policy: Policy | None = None
) -> DecisionTable:
    """Give a table as an edge would have read it."""
    table = DecisionTable()
    for key, value in records_of(decisions, beat, policy):
        table.apply(key, value)
    return table
