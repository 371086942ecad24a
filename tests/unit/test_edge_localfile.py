"""The local file: a freeze and exemptions that hold with the bus away."""

import os
from pathlib import Path

import pytest

from services.edge.localfile import LocalFile


def written(path: Path, text: str, *, moved_s: int = 0) -> None:
    """Write the file, its time of change moved so that two writings within a tick differ."""
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1_000_000 + moved_s, 1_000_000 + moved_s))


def test_no_file_freezes_nothing(tmp_path: Path) -> None:
    """Neither an unset name nor a missing file."""
    for name in ("", str(tmp_path / "none.toml")):
        local = LocalFile(name)
        local.refresh(0.0)
        assert not local.freeze


def test_it_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Within a second of looking, both ways."""
    path = tmp_path / "local.toml"
    written(path, 'freeze = true\n[exempt]\nservers = ["x@192.0.2.9"]\n')
    local = LocalFile(str(path))
    local.refresh(0.0)
    assert local.freeze
    assert local.exempt.servers == ("x@192.0.2.9",)
    written(path, "freeze = false\n", moved_s=5)
    local.refresh(2.0)
    assert not local.freeze
    assert local.exempt.servers == ()


@pytest.mark.parametrize("text", ["freeze = yes", "freze = true", '[exempt]\npeers = ["nowhere"]'])
def test_one_that_cannot_be_read_freezes_and_says_so(tmp_path: Path, text: str) -> None:
    """The mildest that it may have meant."""
    path = tmp_path / "local.toml"
    written(path, text)
    local = LocalFile(str(path))
    local.refresh(0.0)
    assert local.freeze
    assert str(path) in local.error
