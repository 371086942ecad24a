"""
The verdict on one message: its own reading, the cases of its ids, the law's instant, the edge's minute.

Refused is only a message whose own lines themselves prove what its case accuses, that is below the floor of the policy
in force, too, and whose connector that policy enforces. Of several cases the mildest row holds.
The row in force is the one at h - held of the last heartbeat; only the minute window uses the edge's own clock.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Literal

import msgspec

from shared.domain.evidence import Reading
from shared.domain.floors import Standing
from shared.domain.policy import Policy
from shared.domain.records import CaseSchedule, Decision, Row
from shared.smtp.replies import SmtpReply, render

MINUTES_PER_HOUR = 60


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with a message, and why. row, decision: None where no case accuses it. enforced: whether the row binds."""

    action: Literal["accept", "defer", "reject"]
    why: str
    reply: SmtpReply | None = None
    case: CaseSchedule | None = None
    decision: Decision | None = None
    row: Row | None = None
    enforced: bool = False
    window_from_minute: int = 0


def window_start(salt: str, server: str, now: datetime) -> int:
    """
    First minute of this UTC hour's window of *server*, 0..59; it moves hourly, and all edges agree.

    Source: first 8 bytes of SHA-256(salt LF server LF hour), big-endian, mod 60.
    """
    text = f"{salt}\n{server}\n{now:%Y-%m-%dT%H}Z"
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") % MINUTES_PER_HOUR


def action_in(row: Row, start: int, minute: int) -> Literal["accept", "defer", "reject"]:
    """What *row* says for this minute of the hour: first the block minutes from *start* on, then the throttle minutes."""
    into = (minute - start) % MINUTES_PER_HOUR
    if into < row.block_minutes_per_hour:
        return "reject"
    if into < row.block_minutes_per_hour + row.throttle_minutes_per_hour:
        return "defer"
    return "accept"


def row_at(case: CaseSchedule, law_now: datetime) -> Row | None:
    """The row of *case* in force at an instant of law time; None before its first."""
    index = bisect_right(case.rows, law_now, key=lambda row: row.since)
    return case.rows[index - 1] if index else None


def judge(
    reading: Reading | None,
    decisions: Iterable[Decision],
    policy: Policy,
    *,
    law_now: datetime,
    now: datetime,
    connector: str | None = None,
) -> Verdict:
    """
    The verdict on a message with *reading* and the *decisions* of all ids that it matches.

    law_now: h - held of the last heartbeat. now: the edge's own clock, UTC; gives the minute only.
    connector: the message's own, "" for none, by *policy*; None where there is no message: then the cases alone say.
    """
    if reading is None:
        return _NO_PRODUCT
    decisions = tuple(decisions)
    if any(struck.covers(reading) for decision in decisions for struck in decision.struck):
        return _STRUCK
    accusing = [
        (row, case, decision)
        for decision in decisions
        for case in decision.cases
        if case.floor.standing(reading) is Standing.BELOW and (row := row_at(case, law_now)) is not None
    ]
    if not accusing or not _below_today(reading, policy, now):
        return _NOT_ACCUSED
    binds = connector is None or policy.enforced(connector)
    row, case, decision = min(accusing, key=lambda found: _harshness(found[0], enforced=binds and found[1].enforced))
    enforced = binds and case.enforced
    start = window_start(policy.salt, decision.server, now)
    action = action_in(row, start, now.minute) if enforced else "accept"
    return Verdict(
        action=action,
        why=_WHY[action] if enforced else "observed only",
        reply=_reply(policy, action, row),
        case=case,
        decision=decision,
        row=row,
        enforced=enforced,
        window_from_minute=start,
    )


def _below_today(reading: Reading, policy: Policy, now: datetime) -> bool:
    """Whether the policy in force does not accept it either: it may ask for less than the one that opened the case."""
    floor = policy.floor_for(reading.product, now.date())
    return floor is not None and floor.standing(reading) is Standing.BELOW


def _harshness(row: Row, *, enforced: bool) -> tuple[int, int]:
    return (row.block_minutes_per_hour, row.throttle_minutes_per_hour) if enforced else (-1, -1)


def _reply(policy: Policy, action: str, row: Row) -> SmtpReply | None:
    if action == "defer":
        # The seed's texts name the minutes of the own kind: throttled for n, blocked for n.
        return render(
            policy.replies.throttle,
            product=policy.product,
            receiver=policy.receiver,
            minutes=row.throttle_minutes_per_hour,
        )
    if action == "reject":
        return render(
            policy.replies.block, product=policy.product, receiver=policy.receiver, minutes=row.block_minutes_per_hour
        )
    return None


_NO_PRODUCT = Verdict(action="accept", why="no product that we judge")
_NOT_ACCUSED = Verdict(action="accept", why="no case accuses what this message shows")
_STRUCK = Verdict(action="accept", why="an operator said that what this message shows counts no more")
_WHY = {
    "accept": "outside the server's minutes of this hour",
    "defer": "inside the server's throttle minutes",
    "reject": "inside the server's block minutes",
}
