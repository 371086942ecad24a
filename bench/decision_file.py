"""The records of topic `decisions` as an edge's cold-start file, written and read with the edge's own code."""

import time
from datetime import datetime
from pathlib import Path

from bench.world import decisions, policy
from services.edge.coldstart import ColdStart, save
from shared.domain.records import Heartbeat, PolicyRecord
from shared.messaging.codec import encode
from shared.messaging.decisions import DecisionTable
from shared.messaging.topics import KEY_HEARTBEAT, KEY_POLICY
from shared.runtime.clock import boot_id


def records(count: int, at: datetime) -> list[tuple[bytes, bytes]]:
    """Policy, *count* decisions, and the heartbeat that fits them."""
    table = DecisionTable()
    live = [(KEY_POLICY, encode(PolicyRecord(policy=policy())))]
    live += [(one.server.encode(), encode(one)) for one in decisions(count, at)]
    for key, value in live:
        table.apply(key, value)
    beat = Heartbeat(
        at=at,
        h=at,
        held=at - at,
        seq=1,
        count=table.count,
        digest=table.digest,
        policy_digest=policy().digest,
        frozen=False,
    )
    return [*live, (KEY_HEARTBEAT, encode(beat))]


def write(path: Path, count: int, at: datetime) -> int:
    """Write the file; gives the bytes of its decisions, keys and values."""
    live = records(count, at)
    broker_s = time.time() - time.monotonic()
    save(path, ColdStart(records=tuple(live), frozen=False, boot=boot_id(), broker_s=broker_s))
    return sum(len(key) + len(value) for key, value in live if b"@" in key)
