"""`audit show` and `audit what-if` of an export: the past as it was, and as it could have been; and nothing can be sent."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from services.cli.__main__ import run
from services.cli.policy_text import policy_text
from shared.domain.explain import server_state
from shared.domain.fold import Fold
from shared.domain.verify import seal
from tests.support.scenario import SERVER, START, World, policy_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def world() -> World:
    """A case that has come to its first throttling, under its second policy."""
    one = World(policy_for("observe"))
    one.open_case()
    one.adopt(policy_for(version=2))
    one.pass_time(timedelta(days=35))
    one.see()
    return one


@pytest.fixture
def export(world: World, tmp_path: Path) -> Path:
    """Its log, sealed."""
    file = tmp_path / "log.jsonl"
    lines = [stored for _, stored in world.log]
    file.write_bytes(b"\n".join([*lines, seal(len(lines), world.fold.law.head)]) + b"\n")
    return file


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """The JSON of a command that went well."""
    assert run([*arguments, "--json"]) == 0
    found: dict[str, object] = msgspec.json.decode(capsys.readouterr().out)
    return found


def test_every_past_state_is_the_one_that_was(world: World, export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Behind each record: digest, policy, and where the server stood."""
    fold = Fold(policy_for())
    for place, (record, stored) in enumerate(world.log):
        fold.apply(record, stored)
        if place + 1 < len(world.log) and world.log[place + 1][0].at == record.at:
            continue  # written at once
        found = answer(capsys, "audit", "show", str(export), "--at", record.at.isoformat())
        assert found["digest"] == fold.digest()
        assert found["policy_version"] == fold.policy.version
        assert (found["law"] or {})["seq"] == record.seq  # type: ignore[index]
        if SERVER in fold.servers:
            assert found["states"] == {server_state(fold.servers[SERVER], fold.law): 1}


def test_a_server_is_explained_as_it_was(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words, and only if it was known then."""
    later = (START + timedelta(days=34)).isoformat()
    assert run(["audit", "show", str(export), "--at", later, "--server", SERVER]) == 0
    text = capsys.readouterr().out
    assert 'Policy version 2, "The eight stages' in text
    assert "1 servers were known: 1 throttled" in text
    assert "5 minutes" in text
    assert run(["audit", "show", str(export), "--at", later, "--server", "x.example"]) == 1
    assert "no server x.example was known" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("at", "code", "told"),
    [
        ("2026-11-24T11:00", 2, "has no zone: write 2026-11-24T11:00Z"),
        ("2026-12-24", 2, "has no zone: write 2026-12-24T00:00Z for UTC"),
        ("0001-01-01T00:00+23:00", 2, "lies beyond the calendar in UTC: write it as 2026-11-24T11:00Z"),
        ("9999-12-31T23:59-23:00", 2, "lies beyond the calendar in UTC: write it as 2026-11-24T11:00Z"),
        ("yesterday", 2, "is no instant"),
        ("2020-01-01T00:00Z", 1, "there was no state yet"),
    ],
)
def test_an_instant_needs_a_zone_and_a_state(
    at: str, code: int, told: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line each."""
    assert run(["audit", "show", str(export), "--at", at]) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b'{"type":"log-export-end.v1"', b'{"type":"log-export-end.v2"', "does not end with the seal"),
        (b'"seq":3,', b'"seq":4,', "does not follow"),
        (b'"seq":3,', b'"seq":"', "record 3 of the log cannot be read"),
        (b'"edge":"mx1"', b'"edge":"mx2"', "does not follow"),
    ],
)
def test_a_changed_export_is_one_line(
    old: bytes, new: bytes, told: str, export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither command concludes anything from it."""
    content = export.read_bytes()
    assert old in content
    export.write_bytes(content.replace(old, new, 1))
    policy = tmp_path / "policy.toml"
    policy.write_text(policy_text(policy_for()))
    for arguments in (["show", str(export), "--at", "2030-01-01T00:00Z"], ["what-if", str(policy), str(export)]):
        assert run(["audit", *arguments]) == 1
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1


def test_what_if_tells_a_table_and_json(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the beginning, from a day on, up to a day."""
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(policy_for()))
    assert run(["audit", "what-if", str(file), str(export)]) == 0
    text = capsys.readouterr().out
    assert "stage: 5 minutes an hour deferred, 0 refused: " in text
    assert "1 policies that were adopted in that time were left out." in text
    whole = answer(capsys, "audit", "what-if", str(file), str(export))
    assert whole["differing"]
    since = ["--from", (START + timedelta(hours=6)).isoformat(), "--to", (START + timedelta(days=20)).isoformat()]
    part = answer(capsys, "audit", "what-if", str(file), str(export), *since)
    assert part["differing"] == {}
    assert datetime.fromisoformat(str(part["until"])) <= START.astimezone(UTC) + timedelta(days=20)
    assert run(["audit", "what-if", str(file), str(export), "--from", since[3], "--to", since[1]]) == 2
    assert "--to lies before --from" in capsys.readouterr().err


def test_what_if_outside_the_log_is_one_sentence(
    world: World, export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the end or the beginning, and compares nothing with nothing."""
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(policy_for()))
    first, last = (f"{world.log[place][0].at:%Y-%m-%d %H:%M:%SZ}" for place in (0, -1))
    gap = next(
        n for n in range(1, len(world.log)) if world.log[n][0].at - world.log[n - 1][0].at > timedelta(minutes=3)
    )
    before = world.log[gap - 1][0].at
    in_gap = [
        "--from",
        (before + timedelta(minutes=1)).isoformat(),
        "--to",
        (before + timedelta(minutes=2)).isoformat(),
    ]
    for bounds, told in (
        (["--from", "2030-01-01T00:00Z"], f"the log ends at {last}, before --from: the other policy would never hold"),
        (
            ["--to", "2020-01-01T00:00Z"],
            f"the log begins at {first}, after --to (2020-01-01 00:00:00Z): there is nothing",
        ),
        (in_gap, f"no record was written from --from to --to, the last one before at {before:%Y-%m-%d %H:%M:%SZ}"),
    ):
        for more in ([], ["--json"]):
            assert run(["audit", "what-if", str(file), str(export), *bounds, *more]) == 1
            found = capsys.readouterr()
            assert (found.out, found.err.count("\n")) == ("", 1)
            assert told in found.err


def test_what_if_and_show_can_send_nothing(export: Path, tmp_path: Path) -> None:
    """No notifier and no relay is imported, and a producer cannot even be made while they run."""
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(policy_for("observe")))
    code = f"""
import aiokafka, sys
class Bomb:
    def __init__(self, *_, **__): sys.exit(9)
aiokafka.AIOKafkaProducer = Bomb
import aiokafka.producer
aiokafka.producer.AIOKafkaProducer = Bomb
from services.cli.__main__ import run
codes = [run(["audit", "what-if", {str(file)!r}, {str(export)!r}]), run(["audit", "show", {str(export)!r}, "--at", "2030-01-01T00:00Z"])]
import shared.messaging.kafka
assert shared.messaging.kafka.AIOKafkaProducer is Bomb
senders = [name for name in sys.modules if name.startswith(("services.notifier", "services.enforcer", "services.status", "aiosmtplib", "smtplib"))]
print(codes, senders, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == "[0, 0] []\n"
