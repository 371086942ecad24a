"""The small parts of `patchgate up`: the merged log, lines, the lock."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import up_lock
from services.cli.merged_log import LineReader, MergedLog
from shared.domain.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_each_line_has_its_service_in_front_in_both_places(tmp_path: Path) -> None:
    """The terminal and the file say the same."""
    shown: list[str] = []
    log = MergedLog(tmp_path, shown.append)
    log.write("edge", "ready")
    log.write("detector", "ünï")
    log.close()
    assert shown == ["edge      | ready", "detector  | ünï"]
    assert log.path.read_text(encoding="utf-8").splitlines() == shown


def test_the_file_is_bounded(tmp_path: Path) -> None:
    """Two files at most, and the newest lines are there."""
    log = MergedLog(tmp_path, lambda _: None, max_bytes=1000)
    for number in range(500):
        log.write("edge", f"line {number}")
    log.close()
    files = sorted((tmp_path / "log").iterdir())
    assert [file.name for file in files] == ["patchgate.log", "patchgate.log.1"]
    assert all(file.stat().st_size < 1100 for file in files)
    assert "line 499" in log.path.read_text()


def test_a_later_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    """What happened before is not thrown away."""
    for text in ("first", "second"):
        log = MergedLog(tmp_path, lambda _: None)
        log.write("edge", text)
        log.close()
    assert (tmp_path / "log" / "patchgate.log").read_text().splitlines() == ["edge      | first", "edge      | second"]


def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    """It says what to set."""
    (tmp_path / "log").write_text("in the way")
    with pytest.raises(ConfigError, match="PATCHGATE_STATE_DIR"):
        MergedLog(tmp_path, lambda _: None)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_come_out_whole_however_they_arrive(size: int) -> None:
    """A pipe knows no lines; the last one may have no end."""
    lines: list[str] = []
    reader = LineReader(lines.append)
    data = "eins\nzwei äö\n\nlast".encode()
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    reader.end()
    assert lines == ["eins", "zwei äö", "", "last"]


def test_a_line_without_end_is_cut() -> None:
    """A child that writes no line end costs no memory."""
    lines: list[str] = []
    reader = LineReader(lines.append)
    for _ in range(100):
        reader.feed(b"x" * 1000)
    assert len(lines) == 100_000 // LineReader.LONGEST
    assert {len(line) for line in lines} == {LineReader.LONGEST}


def test_a_second_holder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """Another process, as another terminal would be."""
    code = (
        f"from pathlib import Path; from services.cli import up_lock\nwith up_lock.held(Path({str(tmp_path)!r})): pass"
    )
    with up_lock.held(tmp_path):
        holder = up_lock.holder_of(tmp_path)
        assert holder is not None
        assert holder.process() is not None
        assert up_lock.is_held(tmp_path)
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
        assert other.returncode == 1
        assert f"patchgate is up already in {tmp_path} (process {holder.pid})" in other.stderr
    assert not up_lock.is_held(tmp_path)
    assert up_lock.holder_of(tmp_path) is None


def test_a_pid_that_was_used_again_is_nobody(tmp_path: Path) -> None:
    """What was started at another time is another process, and is never signalled."""
    with up_lock.held(tmp_path):
        holder = up_lock.holder_of(tmp_path)
        assert holder is not None
        assert up_lock.Holder(holder.pid, holder.started - 100).process() is None
    assert up_lock.Holder(2**22 + 1, 0.0).process() is None


def test_a_lock_is_free_or_awaited_within_its_bound(tmp_path: Path) -> None:
    """`down` waits, but not for ever; a directory that is not there holds nothing."""
    assert not up_lock.is_held(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with up_lock.held(tmp_path):
        assert not up_lock.await_free(tmp_path, 0.2)
    assert up_lock.await_free(tmp_path, 0.2)


def test_a_state_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """It says what to set."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="PATCHGATE_STATE_DIR"), up_lock.held(tmp_path / "file" / "state"):
        pass
