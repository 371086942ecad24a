"""The scaled clock: one file, many readers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.domain.errors import ConfigError
from shared.runtime import clock as module
from shared.runtime.clock import ScaledClock, Segment, SystemClock, append_segment, begin_scaled, open_clock

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class FixedDatetime(datetime):
    """The real time, as the test sets it."""

    at = NOON

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # only UTC is ever asked for
        """The set time."""
        assert tz is UTC
        return cls.at


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> type[FixedDatetime]:
    """A real time that stands still until the test moves it, and files that are looked at each time."""
    FixedDatetime.at = NOON
    monkeypatch.setattr(module, "datetime", FixedDatetime)
    monkeypatch.setattr(module, "_REREAD_S", -1.0)
    return FixedDatetime


def test_a_clock_runs_at_its_rate_and_changes_when_the_line_says(real: type[FixedDatetime], tmp_path: Path) -> None:
    """Ten minutes a second, and from a second ahead on a day a second; UTC does not jump."""
    path = tmp_path / "clock"
    begin_scaled(path, utc=NOON, rate=600)
    clock = ScaledClock(path)
    real.at = NOON + timedelta(seconds=1)
    assert clock.now() == NOON + timedelta(minutes=10)
    append_segment(path, rate=86400)
    assert clock.now() == NOON + timedelta(minutes=10)
    real.at = NOON + timedelta(seconds=2)
    assert clock.now() == NOON + timedelta(minutes=20)
    real.at = NOON + timedelta(seconds=3)
    assert clock.now() == NOON + timedelta(days=1, minutes=20)


def test_real_age_goes_back_through_the_rates(real: type[FixedDatetime], tmp_path: Path) -> None:
    """An instant of a slow stretch is as old as the seconds since; one still to come is negative."""
    path = tmp_path / "clock"
    begin_scaled(path, utc=NOON, rate=600)
    clock = ScaledClock(path)
    append_segment(path, rate=86400, ahead=timedelta(seconds=2))
    real.at = NOON + timedelta(seconds=3)
    assert clock.real_age(NOON + timedelta(minutes=10)) == timedelta(seconds=2)
    assert clock.real_age(clock.now()) == timedelta()
    assert clock.real_age(clock.now() + timedelta(days=2)) == timedelta(seconds=-2)
    assert clock.real_age(NOON - timedelta(days=9)) == timedelta(seconds=3)


def test_a_clock_that_stands_still_ages_since_it_stopped(real: type[FixedDatetime], tmp_path: Path) -> None:
    """Rate 0: now does not move, but real age does."""
    path = tmp_path / "clock"
    begin_scaled(path, utc=NOON, rate=0)
    clock = ScaledClock(path)
    real.at = NOON + timedelta(seconds=5)
    assert clock.now() == NOON
    assert clock.real_age(NOON) == timedelta(seconds=5)


def test_a_line_that_is_being_written_is_not_read(real: type[FixedDatetime], tmp_path: Path) -> None:
    """Only whole lines count."""
    path = tmp_path / "clock"
    begin_scaled(path, utc=NOON, rate=1)
    clock = ScaledClock(path)
    with path.open("ab") as file:
        file.write(b'{"real":"2026-11-24T12:00')
    assert clock.now() == real.at


def test_a_missing_or_empty_clock_file_is_one_clear_error(tmp_path: Path) -> None:
    """The line names the file and the way out."""
    with pytest.raises(ConfigError, match=r"cannot be read.*PATCHGATE_CLOCK_FILE"):
        ScaledClock(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match="holds no line"):
        ScaledClock(tmp_path / "empty")


def test_without_a_file_it_is_the_real_time(tmp_path: Path) -> None:
    """The settings name a scaled clock, or none."""
    clock = open_clock("")
    assert isinstance(clock, SystemClock)
    assert not clock.scaled
    assert abs(clock.now() - clock.real_now()) < timedelta(seconds=5)
    assert timedelta() <= clock.real_age(clock.now()) < timedelta(seconds=5)
    path = tmp_path / "clock"
    assert begin_scaled(path, utc=NOON, rate=2.5).rate == 2.5
    assert open_clock(str(path)).scaled
    assert Segment(real=NOON, utc=NOON, rate=1.0).rate == 1.0
