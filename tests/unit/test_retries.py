"""What stages cost the mail of simulated senders."""

from functools import cache

import msgspec
import pytest

from shared.domain.policy import Stage
from shared.domain.retries import MAILS, RETRY_MINUTES, RetryCost, costs_of
from tests.support.scenario import policy_for

POINTS = 3.0  # of 100, where throttle and block minutes meet
ROUNDED = 0.06


@cache
def costs(throttle: int, block: int, salt: str = "k7", mails: int = MAILS) -> dict[int, RetryCost]:
    """Of one stage, by minutes between two tries."""
    first = Stage(from_day=0, throttle_minutes_per_hour=0, block_minutes_per_hour=0)
    stage = Stage(from_day=30, throttle_minutes_per_hour=throttle, block_minutes_per_hour=block)
    found = costs_of(policy_for(stages=(first, stage), salt=salt), mails=mails)[1]
    return {cost.retry_minutes: cost for cost in found.costs}


def test_a_stage_without_minutes_costs_nothing() -> None:
    """The first stage of every policy."""
    none = {"delayed_percent": 0.0, "bounced_percent": 0.0, "mean_delay_minutes": 0.0}
    assert [msgspec.structs.asdict(one) for one in costs(0, 0).values()] == [
        {"retry_minutes": minutes, **none} for minutes in RETRY_MINUTES
    ]


@pytest.mark.parametrize("block", [10, 20, 30])
def test_block_minutes_alone_bounce_their_share_of_the_hour_whatever_the_sender_does(block: int) -> None:
    """A refusal is final: nothing is tried again."""
    for cost in costs(0, block).values():
        assert cost.bounced_percent == pytest.approx(100 * block / 60, abs=ROUNDED)
        assert cost.delayed_percent == 0


@pytest.mark.parametrize("throttle", [5, 20, 40])
def test_throttle_minutes_alone_delay_their_share_and_bounce_nothing(throttle: int) -> None:
    """Also of a sender that comes back hourly in the same minute: the window moves."""
    for cost in costs(throttle, 0).values():
        assert cost.delayed_percent == pytest.approx(100 * throttle / 60, abs=ROUNDED)
        assert cost.bounced_percent == 0


def test_the_delay_is_at_least_one_retry_and_grows_with_it() -> None:
    """In minutes, of those that were late."""
    found = costs(20, 0)
    delays = [found[minutes].mean_delay_minutes for minutes in RETRY_MINUTES]
    assert all(delay >= minutes for delay, minutes in zip(delays, RETRY_MINUTES, strict=True))
    assert delays == sorted(delays)
    assert costs(5, 0)[60].mean_delay_minutes == pytest.approx(60, abs=10)  # hardly anybody is deferred twice


def test_throttling_beside_blocking_makes_more_of_the_mail_bounce() -> None:
    """Why the stages that refuse for long have no throttle minutes: who is told to come back may come back into the block."""
    both, alone = costs(30, 20), costs(0, 20)
    for minutes in (15, 30, 60):
        assert both[minutes].bounced_percent > alone[minutes].bounced_percent + 5


def test_a_sender_that_is_always_deferred_gives_up_and_a_full_block_bounces_all() -> None:
    """Sixty minutes of either leave nothing."""
    assert [cost.bounced_percent for cost in costs(0, 60).values()] == [100.0] * 4
    assert costs(60, 0, mails=5)[60].bounced_percent == 100.0


def test_the_same_policy_gives_the_same_figures_and_another_salt_others() -> None:
    """So that two people who check one file see one table."""
    assert costs(20, 5, mails=200) == costs.__wrapped__(20, 5, mails=200)
    assert costs(20, 5, mails=200) != costs(20, 5, "k8", mails=200)
