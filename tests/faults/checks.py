"""What must hold after each fault. Each check gives complaints, each one sentence; none: it holds."""

import time
from collections.abc import Iterable, Iterator

import msgspec

from shared.domain.records import PolicyRecord
from shared.domain.state import Position
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.faults.truth import HARSHNESS, Answer, Truth
from tests.faults.watch import Watch, request_ids

FRESH_S = 2.0
"""Real seconds by which H may lag where all is well: an edge's mark, the detector, a turn."""


def law_differs(watch: Watch) -> Iterator[str]:
    """State, position, decisions and heartbeat against the refolded log; at one instant between two commits they agree."""
    fold = watch.audit.fold
    if fold.is_empty:
        yield "the log is empty"
        return
    state = dict(watch.state)
    position = msgspec.json.decode(state.pop(t.KEY_POSITION, b"null"), type=Position | None)
    if position is None:
        yield "enforcer-state has no position"
        return
    if (position.law.seq, position.law.head) != (fold.law.seq, fold.law.head):
        yield f"the position stands at log record {position.law.seq}, the log at {fold.law.seq}"
    elif msgspec.structs.replace(position.law, h=fold.law.h, at=fold.law.at) != fold.law:
        yield "the position's law is not what the log folds to"
    policy = encode(PolicyRecord(policy=fold.policy, exemptions=fold.reprieves.in_force()))
    yield from _table_differs(
        "enforcer-state", state, watch.expected_state | request_ids(watch) | {t.KEY_POLICY: policy}
    )
    decisions = dict(watch.decisions)
    if decisions.pop(t.KEY_HEARTBEAT, None) is None:
        yield "there is no heartbeat"
    yield from _table_differs("decisions", decisions, watch.expected_decisions | {t.KEY_POLICY: policy})
    yield from _heartbeat_differs(watch)


def _table_differs(name: str, found: dict[bytes, bytes], expected: dict[bytes, bytes]) -> Iterator[str]:
    if found == expected:
        return
    keys = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    yield f"{name} is not what the log folds to: {len(keys)} keys differ, the first is {keys[0]!r}"


def _heartbeat_differs(watch: Watch) -> Iterator[str]:
    heartbeat = watch.heartbeat
    if heartbeat is None or (heartbeat.count, heartbeat.digest) != watch.expected_digest:
        yield "the heartbeat's digest is not that of the refolded table"


def edges_differ(watch: Watch, truth: Truth, edges: Iterable[str], since: float) -> Iterator[str]:
    """Each edge has reported since, follows the heartbeats since, holds the enforcer's table, and does not only observe."""
    first = truth.first_since(since)
    for edge in edges:
        at, report = watch.reports.get(edge, (0.0, None))
        if report is None or at < since:
            yield f"{edge} has not reported"
        elif report.observing:
            yield f"{edge} only observes: {report.observing}"
        elif first is None or report.heartbeat_seq < first.seq:
            yield f"{edge} still judges by what it knew before"
        elif (report.table_count, report.table_digest) != watch.digests.get(report.heartbeat_seq):
            yield f"the table of {edge} is not the enforcer's"


def not_fresh(watch: Watch, truth: Truth, since: float) -> Iterator[str]:
    """H has come beyond *since* (Unix seconds) and follows, and nothing holds the law."""
    beat = truth.newest
    if beat is None or time.time() - beat.at > FRESH_S:
        yield "no heartbeat comes"
    elif beat.h_at < max(since, time.time() - FRESH_S):
        yield f"H lags {time.time() - beat.h_at:.1f} s behind"
    elif watch.audit.fold.law.hold_since is not None:
        yield "the law is held"


def too_harsh(truth: Truth, answers: Iterable[Answer], skewed: Iterable[tuple[str, float, float]]) -> Iterator[str]:
    """Replies that the model does not allow. skewed: edge, and from when to when its clock was off (Unix seconds)."""
    spans = list(skewed)
    for answer in answers:
        off = [s for s in spans if s[0] == answer.edge and s[1] <= answer.ended and answer.began <= s[2] + FRESH_S]
        complaint = truth.complaint(answer, any_minute=bool(off))
        if complaint:
            yield f"{answer.edge}, mail of {answer.mail.server} ({answer.mail.kind}): {complaint}"
        elif answer.outcome in {"defer", "reject"} and any(
            answer.began > span[1] + FRESH_S and answer.ended < span[2] for span in off
        ):
            yield f"{answer.edge} refused a mail of {answer.mail.server} though its clock was off: {answer.text}"


def not_as_the_law_says(truth: Truth, answers: Iterable[Answer]) -> Iterator[str]:
    """In calm each reply is the law's own: an edge that lets everything pass would be found here."""
    for answer in answers:
        must = truth.must_be(answer)
        if must is not None and answer.outcome != must:
            harder = "milder" if HARSHNESS.get(answer.outcome, 0) < HARSHNESS[must] else "harsher"
            yield f"{answer.edge}, mail of {answer.mail.server}: {answer.outcome}, {harder} than the law's {must}"
