"""
A separate check of what an enforcer left: it reads the topics as they stand and folds the log anew, by itself.

It shares `evolve` with the enforcer, and nothing of how the enforcer reads, decides or commits.
"""

from collections import Counter
from datetime import UTC, datetime

import msgspec

from shared.domain import events as e
from shared.domain.fold import Fold, digest_of, encode_server
from shared.domain.policy import parse_policy, shipped_policy_text
from shared.domain.records import Heartbeat, PolicyRecord
from shared.domain.state import Position, decision_of
from shared.domain.verify import Audit
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support.law import read_table, read_topic


class Checked(msgspec.Struct):
    """What stands in the topics, after it was found right."""

    fold: Fold
    log: list[e.LogRecord]
    position: Position
    heartbeat: Heartbeat


async def check_law(bootstrap: str, prefix: str) -> Checked:
    """Assert that log, state, decisions and heartbeat tell one story, and each input was taken at most once."""
    fold, log = await _fold_whole(bootstrap, prefix)
    _assert_inputs_once(log)
    state = await read_table(bootstrap, prefix, t.ENFORCER_STATE)
    position = msgspec.json.decode(state.pop(t.KEY_POSITION), type=Position)
    assert (position.law.seq, position.law.head) == (fold.law.seq, fold.law.head)
    assert msgspec.structs.replace(position.law, h=fold.law.h, at=fold.law.at) == fold.law
    assert state.pop(t.KEY_POLICY) == encode(PolicyRecord(policy=fold.policy, exemptions=fold.reprieves.in_force()))
    ids = {key: state.pop(key) for key in list(state) if key.startswith(t.KEY_REQUEST_PREFIX)}
    assert ids == {t.KEY_REQUEST_PREFIX + k.encode(): msgspec.json.encode(v) for k, v in fold.requests.items()}
    accounts = {key: state.pop(key) for key in list(state) if key.startswith(t.KEY_ACCOUNT_PREFIX)}
    assert accounts == {
        t.KEY_ACCOUNT_PREFIX + name.encode(): msgspec.json.encode(one) for name, one in fold.reprieves.accounts.items()
    }
    assert state == {name.encode(): encode_server(server) for name, server in fold.servers.items()}
    heartbeat = _assert_decisions(fold, await read_table(bootstrap, prefix, t.DECISIONS))
    return Checked(fold, log, position, heartbeat)


async def _fold_whole(bootstrap: str, prefix: str) -> tuple[Fold, list[e.LogRecord]]:
    """Every record applied and decided again: seq without a gap, the chain whole, and what the rules say."""
    fold, log = Fold(parse_policy(shipped_policy_text())), list[e.LogRecord]()
    audit, latest = Audit(), datetime.min.replace(tzinfo=UTC)
    for stored in await read_topic(bootstrap, prefix, t.LOG):
        record = e.decode_log(stored.value)
        assert record.seq == len(log) + 1
        assert record.at >= latest
        latest = record.at
        fold.apply(record, stored.value)
        audit.take(stored.value)
        log.append(record)
    assert audit.report().ok, audit.report().what
    return fold, log


def _assert_inputs_once(log: list[e.LogRecord]) -> None:
    """An input's records stand together, and its offset is the cause of no others."""
    blocks = [
        record.cause
        for before, record in zip([None, *log], log, strict=False)
        if record.cause is not None and (before is None or before.cause != record.cause)
    ]
    twice = [cause for cause, count in Counter((c.topic, c.offset) for c in blocks).items() if count > 1]
    assert not twice, f"taken twice: {twice}"


def _assert_decisions(fold: Fold, table: dict[bytes, bytes]) -> Heartbeat:
    heartbeat = msgspec.json.decode(table.pop(t.KEY_HEARTBEAT), type=Heartbeat)
    assert table.pop(t.KEY_POLICY) == encode(PolicyRecord(policy=fold.policy, exemptions=fold.reprieves.in_force()))
    decisions = {name: decision_of(server) for name, server in fold.servers.items()}
    assert table == {name.encode(): encode(decision) for name, decision in decisions.items() if decision is not None}
    digest = sum(digest_of(key.decode(), value) for key, value in table.items()) % (1 << 128)
    assert (heartbeat.count, heartbeat.digest) == (len(table), f"{digest:032x}")
    assert heartbeat.policy_digest == fold.policy.digest
    assert heartbeat.frozen == fold.law.frozen
    assert heartbeat.seq <= fold.law.seq
    return heartbeat
