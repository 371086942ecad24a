"""The command line itself: help at once, one line for every error, and the right exit code."""

import os
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest
import typer

from services.cli.__main__ import COMMANDS, build, run
from services.cli.common import fail

ROOT = Path(__file__).parents[2]


def spoken(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr: one line, whatever happened."""
    error = capsys.readouterr().err
    assert error.startswith("patchgate: ")
    assert error.count("\n") == 1
    return error


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without an argument, and with --help."""
    assert run([]) == 0
    bare = capsys.readouterr().out
    assert run(["--help"]) == 0
    assert capsys.readouterr().out == bare
    assert all(f"\n  {name} " in bare for name in COMMANDS)
    assert "..." not in bare.split("Commands:")[1]  # each line of help fits


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version of what is installed."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"patchgate {metadata.version('patchgate')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The table in `__main__` and the modules speak of the same commands."""
    assert run([name, "--help"]) == 0
    assert f"Usage: patchgate {name}" in capsys.readouterr().out


def test_only_the_called_commands_module_is_mounted() -> None:
    """The others have their names only, so help needs none of them."""
    app = build("freeze")
    real = [
        one.name
        for one in app.registered_commands
        if one.callback and one.callback.__module__ != "services.cli.__main__"
    ]
    assert real == ["freeze", "unfreeze"]
    assert len({one.name for one in app.registered_commands}) == len(app.registered_commands)


def test_help_imports_nothing_heavy() -> None:
    """It comes at once: no Kafka client, no web framework, no drawing."""
    code = (
        "import sys; from services.cli.__main__ import run; run(['--help']); "
        "print([m for m in ('aiokafka', 'fastapi', 'faststream', 'asyncio', 'rich') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--nonsense"], ["audit"], ["audit", "nonsense"], ["freeze"], ["up", "--partitions", "x"]],
)
def test_a_wrong_command_line_is_one_line_and_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It says where help is."""
    assert run(arguments) == 2
    assert "--help` tells what there is" in spoken(capsys)


def test_a_setting_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the field and where it is read from."""
    monkeypatch.setenv("PATCHGATE_HEARTBEAT_MS", "often")
    assert run(["audit", "verify"]) == 1
    error = spoken(capsys)
    assert "heartbeat_ms" in error
    assert "PATCHGATE_" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "verify"],
        ["audit", "export", "nowhere.jsonl"],
        ["explain", "a.example"],
        ["policy", "show"],
        ["freeze", "--who", "ops", "--why", "test"],
    ],
)
def test_a_broker_that_is_away_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    """Nothing of the client library's own complaints, and no file left."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env={**os.environ, "PATCHGATE_BOOTSTRAP": "127.0.0.1:1", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the broker at 127.0.0.1:1 cannot be used" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_error_of_many_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was in the text."""
    fail("first\n\tsecond\r\n third")
    assert spoken(capsys) == "patchgate: first second third\n"


def test_a_reader_that_has_enough_is_no_error_of_ours() -> None:
    """`patchgate ... | head -0` ends without a traceback."""
    command = f"{sys.executable} -m services.cli --help | head -c 0"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Traceback" not in done.stderr


def test_every_module_of_the_table_has_one_way_to_be_mounted() -> None:
    """`register` for plain commands, `app` for those with commands of their own."""
    for module, _ in COMMANDS.values():
        commands = import_module(module)
        assert hasattr(commands, "register") or isinstance(commands.app, typer.Typer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only some systems have a disk that is always full")  # noqa: PTH110
def test_an_output_without_room_is_one_line() -> None:
    """No traceback, and no second complaint when the process ends."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("patchgate: the output could not be written whole: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), (b"\xff\xfe", "it is no UTF-8 text")]
)
def test_a_named_file_that_cannot_be_read_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, why: str
) -> None:
    """With its path and the reason, in words and not as a library says it."""
    named = tmp_path / "policy.toml"
    if content is not None:
        named.write_bytes(content)
    assert run(["look", str(tmp_path), "--policy", str(named)]) == 1
    assert spoken(capsys) == f"patchgate: {named} cannot be read: {why}\n"
