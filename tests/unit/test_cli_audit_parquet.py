"""The log as Parquet, and the queries of the documentation run over it."""

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from services.cli import audit_parquet
from services.cli.__main__ import run
from shared.domain.events import chain
from shared.domain.verify import seal
from tests.support.scenario import E2016, SERVER, World, policy_for

PAGE = Path(__file__).parents[2] / "docs" / "architecture" / "audit.md"
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def world() -> World:
    """A case that has come to be blocked, told of at each step; one notice is still open."""
    one = World(policy_for("observe"))
    one.open_case()
    one.adopt(policy_for(version=2))
    for _ in range(15):
        one.pass_time(timedelta(days=5))
        one.settle()
        one.see()
    one.freeze("freeze-001", frozen=True)
    one.freeze("freeze-002", frozen=True)
    return one


@pytest.fixture
def here(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the export, in which the queries find `log.parquet`."""
    lines = [stored for _, stored in world.log]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join([*lines, seal(len(lines), world.fold.law.head)]) + b"\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export() -> None:
    """As somebody types it."""
    assert run(["audit", "export", "--parquet", "log.parquet", "--of", "log.jsonl"]) == 0


def rows(query: str) -> list[tuple[Any, ...]]:
    """What DuckDB finds."""
    return duckdb.connect().execute(query).fetchall()


def test_every_record_is_a_row_with_its_stored_bytes(world: World, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over more than one row group, in order."""
    monkeypatch.setattr(audit_parquet, "ROWS_PER_GROUP", 7)
    export()
    found = rows("SELECT seq, written_at, h, event, hash, record FROM 'log.parquet'")
    assert found == [
        (record.seq, record.at, record.h, record.event.__struct_config__.tag, chain(stored), stored.decode())
        for record, stored in world.log
    ]
    assert not list(here.glob("*.part"))


def test_fields_of_events_have_columns_of_their_own(world: World, here: Path) -> None:
    """Null where an event has no such field."""
    export()
    [first, *_] = rows(
        "SELECT server, product, shown, below, tie, stage FROM 'log.parquet' WHERE event = 'server-sighted.v1'"
    )
    assert first == (SERVER, E2016, "15.1.2507.39", True, "helo", None)
    assert rows("SELECT count(*) FROM 'log.parquet' WHERE cause_offset IS NOT NULL") == [
        (sum(record.cause is not None for record, _ in world.log),)
    ]
    assert here.exists()


def test_the_queries_of_the_documentation_tell_what_happened(world: World, here: Path) -> None:
    """Each is run as it stands on the page, and says what the scenario did."""
    assert here.exists()
    export()
    assert len(QUERIES) == 3
    [(server, product, since, notices)] = rows(QUERIES[0])
    opened = world.fold.servers[SERVER].cases[0].rows[0].since
    assert (server, product, since) == (SERVER, E2016, opened + timedelta(days=60))
    assert notices >= 5
    settled = {(kind, outcome): count for kind, outcome, count, _ in rows(QUERIES[1])}
    assert settled["opening", "delivered"] == 1
    assert sum(settled.values()) == sum(type(one).__name__ == "NoticeDue" for one in world.events())
    assert [(who, request, outcome, version) for _, who, request, outcome, _, version in rows(QUERIES[2])] == [
        ("ops", "adopt-policy.v1", "done", 2),
        ("ops", "set-freeze.v1", "done", None),
        ("ops", "set-freeze.v1", "no effect", None),
    ]


def test_a_changed_export_gives_no_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and what stood there before stays."""
    export()
    before = (here / "log.parquet").read_bytes()
    (here / "log.jsonl").write_bytes((here / "log.jsonl").read_bytes()[:-20])
    assert run(["audit", "export", "--parquet", "log.parquet", "--of", "log.jsonl"]) == 1
    assert "does not end with the seal" in capsys.readouterr().err
    assert (here / "log.parquet").read_bytes() == before
    assert sorted(file.name for file in here.iterdir()) == ["log.jsonl", "log.parquet"]


def test_without_pyarrow_it_says_what_to_install(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is an extra."""
    monkeypatch.delitem(sys.modules, "services.cli.audit_parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(["audit", "export", "--parquet", "log.parquet", "--of", "log.jsonl"]) == 1
    assert "install patchgate with the extra `parquet`" in capsys.readouterr().err
    assert not (here / "log.parquet").exists()
    assert run(["audit", "export", "out.jsonl", "--of", "log.jsonl"]) == 2
