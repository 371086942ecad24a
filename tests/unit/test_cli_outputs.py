"""No command writes over what it reads, nor two answers into one file."""

from pathlib import Path

import pytest

from services.cli.__main__ import run
from shared.domain.policy import shipped_policy_text
from tests.support import golden
from tests.support.mailboxes import mail

FILES = {
    "log.jsonl": b"".join(golden.export_of(golden.known()[-1])),
    "m.eml": mail("ex.example", "15.1.2507.39").encode(),
    "pol.toml": shipped_policy_text().encode(),
    "pc": b"myhostname = mx.example.org\n",
}
SMALL = ("--servers", "5", "--days", "2")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with something to read and other names of it."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "log.parquet.part").write_bytes(FILES["log.jsonl"])
    (tmp_path / ".new.toml.new").write_bytes(FILES["pc"])
    (tmp_path / "soft").symlink_to("m.eml")
    (tmp_path / "hard").hardlink_to(tmp_path / "m.eml")
    (tmp_path / "dir").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("audit export log.jsonl --parquet --of log.jsonl", "log.jsonl would be written over log.jsonl, which is read"),
        ("audit export log.parquet --parquet --of log.parquet.part", "would be written over log.parquet.part"),
        ("look m.eml --html m.eml", "m.eml would be written over m.eml, which is read: name another file"),
        ("look m.eml --html dir/../m.eml", "dir/../m.eml would be written over m.eml"),
        ("look m.eml --html soft", "soft would be written over m.eml"),
        ("look soft --html m.eml", "m.eml would be written over soft"),
        ("look m.eml --html hard", "hard would be written over m.eml"),
        ("look m.eml --policy pol.toml --html pol.toml", "pol.toml would be written over pol.toml"),
        ("simulate pol.toml --html pol.toml", "pol.toml would be written over pol.toml"),
        ("simulate pol.toml --svg pol.toml", "pol.toml would be written over pol.toml"),
        ("simulate pol.toml --html same --svg same", "same and same are one file: name two"),
        ("simulate pol.toml --html same --svg dir/../same", "same and dir/../same are one file: name two"),
        ("init pc --postconf pc --force", "pc would be written over pc, which is read"),
        ("init new.toml --postconf .new.toml.new", "would be written over .new.toml.new"),
        ("init dir/main.cf --config-dir dir --force", "dir/main.cf would be written over dir/main.cf"),
    ],
)
def test_what_is_read_stays(command: str, told: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By whatever name; one sentence, before anything is done."""
    before = {file.name: file.read_bytes() for file in here.iterdir() if file.is_file()}
    assert run(command.split()) == 2
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert told in found.err
    assert {file.name: file.read_bytes() for file in here.iterdir() if file.is_file()} == before


def test_other_files_are_written(here: Path) -> None:
    """A file that is there already, too; and two answers may both be thrown away."""
    (here / "page").write_text("old")
    assert run(["look", "m.eml", "--html", "page"]) == 0
    assert run(["simulate", "pol.toml", *SMALL, "--html", "page", "--svg", "picture"]) == 0
    assert run(["simulate", "pol.toml", *SMALL, "--html", "/dev/null", "--svg", "/dev/null"]) == 0
    assert run(["init", "page", "--postconf", "pc", "--force"]) == 0
    assert run(["audit", "export", "page", "--parquet", "--of", "log.jsonl"]) == 0
