"""Readiness of detector and notifier: by answers of the broker, since an empty poll looks the same where it is away."""

import time

import pytest
import structlog
from aiokafka import TopicPartition

from services.detector.app import _is_fresh
from services.notifier.feeds import LogFeed


class _Consumer:
    """Says when each partition last got an answer."""

    def __init__(self, *ages_s: float | None) -> None:
        now = time.time()
        self._answers = [None if age is None else int((now - age) * 1000) for age in ages_s]

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("t.mail-evidence", number) for number in range(len(self._answers))}

    def last_poll_timestamp(self, partition: TopicPartition) -> int | None:
        answered: int | None = self._answers[partition.partition]
        return answered


@pytest.mark.parametrize(("age_s", "fresh"), [(0.0, True), (20.0, True), (40.0, False), (None, False)])
async def test_a_silent_log_makes_the_notifier_unready(age_s: float | None, *, fresh: bool) -> None:
    """Half a minute without an answer, or none ever: no progress."""
    feed = LogFeed("127.0.0.1:1", "t.", structlog.get_logger())
    await feed.consumer.stop()
    feed.consumer = _Consumer(age_s)
    assert feed.is_fresh() is fresh


@pytest.mark.parametrize(
    ("ages_s", "fresh"), [((), True), ((1.0, 20.0), True), ((1.0, 40.0), False), ((1.0, None), False)]
)
def test_one_silent_partition_makes_the_detector_unready(ages_s: tuple[float | None, ...], *, fresh: bool) -> None:
    """All of them must answer; a detector that was given none is as ready as it can be."""
    assert _is_fresh(_Consumer(*ages_s)) is fresh
