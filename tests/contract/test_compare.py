"""What the contract may become, and what readers of today could not bear: a sentence for each, and nothing written."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import build, run
from shared.contract import files
from shared.contract.compare import breaks, topic_breaks
from shared.contract.schema import ContractError

Change = Callable[[dict[str, Any]], object]
TEXT = {"type": "string", "description": "New."}


def made(name: str) -> dict[str, Any]:
    """A file of the contract as JSON values."""
    document: dict[str, Any] = json.loads(files.contract_files()[name])
    return document


def _field(definitions: dict[str, Any], name: str, field: str, *, required: bool = False) -> None:
    definitions[name]["properties"][field] = {**TEXT} if required else {**TEXT, "default": ""}
    if required:
        definitions[name]["required"].append(field)


@pytest.mark.parametrize(
    "change",
    [
        lambda types: _field(types, "Decision", "note"),
        lambda types: types.update(Later={"type": "object", "properties": {"type": {"const": "later.v1"}}}),
        lambda types: types["Heartbeat"]["properties"]["held"].update(description="Better words."),
        lambda types: types["Heartbeat"].update(description="Better words."),
        lambda types: types["LogRecord"]["properties"]["event"]["anyOf"].append({"$ref": "#/$defs/Decision"}),
    ],
    ids=["field with a default", "type", "words of a field", "words of a type", "event"],
)
def test_what_readers_can_bear(change: Change) -> None:
    """New fields with a default, new types, new events, and better words."""
    old, new = made(files.SCHEMA), made(files.SCHEMA)
    change(new["$defs"])
    assert breaks(old, new) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda types: _field(types, "Decision", "note", required=True),
            "Decision.note is new, and stored records lack it: give it a default",
        ),
        (
            lambda types: _field(types, "Policy", "note"),
            "Policy.note is new in a closed type, which readers of before refuse: bring all of them up to date first",
        ),
        (lambda types: types.pop("Decision"), "Decision is gone, and records of it stand in topics: bring it back"),
        (
            lambda types: types["Decision"]["properties"]["type"].update(const="decision.v2"),
            "Decision: its tag was decision.v1 and is decision.v2: keep Decision as it was, and give what is new a type of its own",
        ),
        (
            lambda types: types["Decision"]["properties"].pop("seq"),
            "Decision.seq is gone: keep it, or give what is new a tag of its own",
        ),
        (
            lambda types: types["Row"]["properties"]["stage"].update(type="string"),
            "Row.stage is another kind of value now: keep it, and add a field with a default beside it",
        ),
        (
            lambda types: types["Facts"]["properties"]["imported"].update(default=True),
            "Facts.imported is another kind of value now: keep it, and add a field with a default beside it",
        ),
        (
            lambda types: types["VerdictGiven"]["properties"]["action"]["enum"].append("quarantine"),
            "VerdictGiven.action is another kind of value now: keep it, and add a field with a default beside it",
        ),
        (
            lambda types: types["LogRecord"]["properties"]["event"]["anyOf"].pop(),
            "LogRecord.event is another kind of value now: keep it, and add a field with a default beside it",
        ),
        (
            lambda types: types["Facts"]["required"].append("imported"),
            "Facts.imported had a default, and stored records lack it: give it back",
        ),
        (
            lambda types: types["Row"]["required"].remove("stage"),
            "Row.stage was always there and may now be absent: go on writing it, and take its default away",
        ),
        (
            lambda types: types["Build"]["prefixItems"].pop(),
            "Build is another kind of value now: give what is new a type and a tag of its own",
        ),
        (
            lambda types: types["Duration"].update(pattern="^[0-9]+$"),
            "Duration is another kind of value now: give what is new a type and a tag of its own",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_readers_cannot_bear_is_one_sentence(change: Change, sentence: str) -> None:
    """It says where, what, and what to do instead."""
    old, new = made(files.SCHEMA), made(files.SCHEMA)
    change(new["$defs"])
    assert breaks(old, new) == [sentence]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda channels: channels.pop("log"), "topic log is gone, and others read it: bring it back"),
        (
            lambda channels: channels["log"]["bindings"]["kafka"].update(partitions=2),
            "topic log: partitions or settings differ, and `patchgate topics apply` refuses topics that stand: keep them",
        ),
        (
            lambda channels: channels["decisions"]["messages"].pop("Heartbeat"),
            "topic decisions: Heartbeat is gone, and records of it stand there: bring it back",
        ),
        (
            lambda channels: channels["decisions"]["messages"]["Heartbeat"]["bindings"]["kafka"]["key"].update(
                const="beat"
            ),
            "topic decisions: Heartbeat has another key now, so that old records live on beside new ones: keep the key",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_topics_stay_as_they_are(change: Change, sentence: str) -> None:
    """Partitions, settings, records and keys; new topics are free."""
    old, new = made(files.ASYNCAPI), made(files.ASYNCAPI)
    new["channels"]["later"] = new["channels"]["log"]
    assert topic_breaks(old, new) == []
    change(new["channels"])
    assert topic_breaks(old, new) == [sentence]


# --- the command -------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """Without an option, for a pipe."""
    assert run(["contract"]) == 0
    assert capsys.readouterr().out == files.contract_files()[files.SCHEMA]


def test_the_command_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a folder that need not be there; then check agrees, until a file is touched."""
    folder = tmp_path / "contract"
    assert run(["contract", "--check", str(folder)]) == 1
    assert capsys.readouterr().out.count(files.REMEDY) == 3
    assert run(["contract", "--write", str(folder)]) == 0
    assert capsys.readouterr().out == "".join(f"wrote {folder / name}\n" for name in files.contract_files())
    assert run(["contract", "--write", str(folder)]) == 0
    assert run(["contract", "--check", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "The contract was what the types give.",
        "The contract is what the types give.",
    ]
    page = folder / files.PAGE
    page.write_text(page.read_text() + "by hand\n")
    assert run(["contract", "--check", str(folder)]) == 1
    assert capsys.readouterr().out == f"{page} is not what the types give: {files.REMEDY}\n"


def test_nothing_is_written_that_readers_cannot_bear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files stay as they were, each break is told, and --breaking writes all the same."""
    files.write(tmp_path)
    schema = made(files.SCHEMA)
    schema["$defs"]["Decision"]["properties"]["note"] = TEXT
    (tmp_path / files.SCHEMA).write_text(json.dumps(schema))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run(["contract", "--write", str(tmp_path)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "patchgate: Decision.note is gone: keep it, or give what is new a tag of its own"
    assert told[1].startswith("patchgate: nothing was written")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert run(["contract", "--write", str(tmp_path), "--breaking"]) == 0
    assert files.compare(tmp_path) == files.Comparison(stale=(), breaks=())


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    """Both options at once, a file that is no JSON, a folder that cannot be made."""
    both = CliRunner().invoke(build("contract"), ["contract", "--write", "a", "--check", "b"])
    assert both.exit_code == 2
    (tmp_path / files.SCHEMA).write_text("{")
    with pytest.raises(ContractError, match=re.escape(f"{tmp_path / files.SCHEMA} is no JSON")):
        files.compare(tmp_path)
    (tmp_path / files.SCHEMA).write_bytes(b"\xff")
    with pytest.raises(ContractError, match="put it back as it was committed"):
        files.compare(tmp_path)
    with pytest.raises(ContractError, match="cannot be written"):
        files.write(tmp_path / files.SCHEMA / "below")
