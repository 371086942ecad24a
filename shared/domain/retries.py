"""
What a stage costs the mail of a server: simulated senders that try, meet the minutes of the hour, and try again. Pure.

Each server sends 60 mails in one hour, one a minute; the window is the edges' (`verdict.py`). A deferred
mail is tried again after a fixed time, until it passes, is refused, or its sender gives up. The same policy gives the
same figures: what is drawn is drawn from its salt.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec

from shared.domain.policy import Policy, Stage
from shared.domain.records import Row
from shared.domain.verdict import action_in, window_start

RETRY_MINUTES = (5, 15, 30, 60)
"""How long senders wait, in minutes: Exchange 5 to 15, Postfix 5 to 67, Sendmail and many appliances 30 and 60."""

MAILS = 2_400
"""
A cell of the table, 40 servers. Exact where a stage has throttle or block minutes only, for then the first try tells; where it
has both, right to about 2 points in 100.
"""

GIVE_UP_AFTER = timedelta(days=5)
"""Source: RFC 5321, section 4.5.4.1 (4 to 5 days), and the default of Postfix and Sendmail."""

_FROM = datetime(2026, 1, 5, tzinfo=UTC)  # any week will do
_HOURS_OF_WEEK = 7 * 24
_MINUTES = 60


class RetryCost(msgspec.Struct, frozen=True, kw_only=True):
    """Of 100 mails that are tried every *retry_minutes*: how many came late, how many bounced; mean delay of the late ones."""

    retry_minutes: int
    delayed_percent: float
    bounced_percent: float
    mean_delay_minutes: float


class StageCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage costs, for each way of trying again."""

    stage: int
    from_day: int
    throttle_minutes_per_hour: int
    block_minutes_per_hour: int
    costs: tuple[RetryCost, ...]


def costs_of(policy: Policy, *, mails: int = MAILS) -> tuple[StageCost, ...]:
    """What each stage of *policy* costs."""
    return tuple(
        StageCost(
            stage=number,
            from_day=stage.from_day,
            throttle_minutes_per_hour=stage.throttle_minutes_per_hour,
            block_minutes_per_hour=stage.block_minutes_per_hour,
            costs=tuple(_cost(policy.salt, _row_of(number, stage), retry, mails) for retry in RETRY_MINUTES),
        )
        for number, stage in enumerate(policy.stages, start=1)
    )


def _row_of(number: int, stage: Stage) -> Row:
    return Row(
        since=_FROM,
        stage=number,
        throttle_minutes_per_hour=stage.throttle_minutes_per_hour,
        block_minutes_per_hour=stage.block_minutes_per_hour,
    )


def _cost(salt: str, row: Row, retry_minutes: int, mails: int) -> RetryCost:
    ends = list(_ends(salt, row, timedelta(minutes=retry_minutes), mails))
    late = [delay for delay in ends if delay]
    return RetryCost(
        retry_minutes=retry_minutes,
        delayed_percent=_percent(len(late), mails),
        bounced_percent=_percent(ends.count(None), mails),
        mean_delay_minutes=round(sum(late, timedelta()) / timedelta(minutes=1) / len(late), 1) if late else 0.0,
    )


def _ends(salt: str, row: Row, retry: timedelta, mails: int) -> Iterator[timedelta | None]:
    """How late each mail passes; None where it bounces."""
    if not (row.throttle_minutes_per_hour or row.block_minutes_per_hour):
        yield from [timedelta()] * mails
        return
    for number in range(mails):
        server, minute = divmod(number, _MINUTES)
        begin = _FROM + timedelta(hours=_draw(salt, server, _HOURS_OF_WEEK), minutes=minute)
        yield _delay(salt, f"server{server}.example", row, retry, begin)


def _delay(salt: str, server: str, row: Row, retry: timedelta, begin: datetime) -> timedelta | None:
    now = begin
    while now - begin <= GIVE_UP_AFTER:
        action = action_in(row, window_start(salt, server, now), now.minute)
        if action == "accept":
            return now - begin
        if action == "reject":
            return None
        now += retry
    return None


def _draw(salt: str, number: int, below: int) -> int:
    """A number from 0 on, the same for the same salt."""
    return int.from_bytes(sha256(f"{salt}\nserver {number}".encode()).digest()[:8], "big") % below


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1)
