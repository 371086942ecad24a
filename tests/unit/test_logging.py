"""Logging: a library that repeats itself is heard once in a while."""

import logging
import time

import pytest

from shared.runtime.logging import RepeatFilter


def _line(message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, "x.py", 1, message, values, None)


def test_a_repeated_line_is_written_once_in_ten_seconds_with_the_count_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The values may differ; the kind is the unformatted message."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    kept = RepeatFilter()
    assert kept.filter(_line("cannot reach %s", "a"))
    assert not kept.filter(_line("cannot reach %s", "b"))
    assert kept.filter(_line("something else"))
    now[0] += 10
    again = _line("cannot reach %s", "c")
    assert kept.filter(again)
    assert again.getMessage() == "cannot reach c (and 1 more like it in the 10 s before)"


def test_the_table_of_kinds_is_bounded() -> None:
    """At the bound all may speak again."""
    kept = RepeatFilter()
    for number in range(500):
        assert kept.filter(_line(f"kind {number}"))
    assert len(kept._told) <= 200
