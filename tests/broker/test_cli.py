"""The commands against a real Kafka and a real enforcer, run as a user runs them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from services.cli.policy_text import policy_text
from shared.domain.state import Server
from shared.messaging import topics as t
from shared.messaging.codec import decode
from tests.support.enforcers import Enforcer, enforcer, environment, setup_for, topics
from tests.support.law import enforced, eventually, feeder, marks, read_table, three_hours
from tests.support.scenario import SERVER
from tests.support.topic_io import ROOT, write

pytestmark = pytest.mark.broker


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Box:
    """A prefix of its own on the broker, with an enforcer that has opened one case."""

    def __init__(self, bootstrap: str, prefix: str, state_dir: Path) -> None:
        self.bootstrap, self.prefix = bootstrap, prefix
        self.env = environment(bootstrap, prefix, state_dir)
        self.enforcer: Enforcer | None = None

    async def patchgate(self, *arguments: str) -> Done:
        """Run one command."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", *arguments, env=self.env, cwd=ROOT, stdin=-3, stdout=-1, stderr=-1
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def open_case(self) -> None:
        """Three sightings in three hours, and wait until they are law."""
        now = datetime.now(UTC)
        async with feeder(self.bootstrap, self.prefix) as feed:
            await feed.feed([*marks(now - timedelta(hours=3)), *three_hours(now), *marks(now)])

        async def is_open() -> bool:
            state = await read_table(self.bootstrap, self.prefix, t.ENFORCER_STATE)
            value = state.get(SERVER.encode())
            server: Server | None = decode(t.ENFORCER_STATE, value) if value else None
            return server is not None and bool(server.cases)

        await eventually(is_open, "a case of the server")

    async def stop_enforcer(self) -> None:
        """From here on nobody decides."""
        if self.enforcer is not None:
            await self.enforcer.ends()


@pytest.fixture
async def box(broker_bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[Box]:
    """Lend a box with an enforcer that leads."""
    one = Box(broker_bootstrap, prefix, tmp_path)
    await topics(broker_bootstrap, prefix)
    async with enforcer(setup_for(broker_bootstrap, prefix, tmp_path)) as leader:
        one.enforcer = leader
        await one.open_case()
        yield one


def one_line(done: Done) -> str:
    """The line on stderr of a command that could not do it."""
    assert done.code == 1, done
    assert done.err.startswith("patchgate: ")
    assert done.err.count("\n") == 1
    return done.err


def parts_of_files(directory: Path) -> list[Path]:
    """What an export that was cut short would leave."""
    return list(directory.glob("*.part"))


async def test_a_true_log_and_its_tables_are_green(box: Box, tmp_path: Path) -> None:
    """What the real enforcer wrote, audited on the bus and as an export, in words and as JSON."""
    done = await box.patchgate("audit", "verify")
    assert done.code == 0, done
    assert "1 servers of enforcer-state and 1 decisions compared with what the log folds to: 0 differences" in done.out
    assert done.out.endswith("All right.\n")
    found = json.loads((await box.patchgate("audit", "verify", "--json")).out)
    assert found["ok"]
    assert found["log"]["decided_again"] >= 4  # three sightings and an opening
    file = tmp_path / "log.jsonl"
    done = await box.patchgate("audit", "export", str(file))
    assert done.code == 0, done
    assert found["log"]["head"] in done.out
    assert len(file.read_bytes().splitlines()) == found["log"]["records"] + 1
    assert (await box.patchgate("audit", "verify", str(file))).code == 0
    assert not parts_of_files(tmp_path)


async def test_one_changed_byte_in_an_export_is_red(box: Box, tmp_path: Path) -> None:
    """Exit code 1, and the seq on stderr."""
    file = tmp_path / "log.jsonl"
    await box.patchgate("audit", "export", str(file))
    file.write_bytes(file.read_bytes().replace(b'"edge":"mx1"', b'"edge":"mx2"', 1))
    assert "the first wrong record is 4:" in one_line(await box.patchgate("audit", "verify", str(file)))
    done = await box.patchgate("audit", "verify", str(file), "--json")
    assert done.code == 1
    assert json.loads(done.out)["log"]["first_wrong_seq"] == 4


async def test_an_export_never_leaves_half_a_file(box: Box, tmp_path: Path) -> None:
    """Where it cannot be written, what stood there stays."""
    error = one_line(await box.patchgate("audit", "export", str(tmp_path / "none" / "log.jsonl")))
    assert "cannot be written" in error


async def test_a_table_that_somebody_else_wrote_is_red(box: Box) -> None:
    """The log is right, and the tables are not what it makes."""
    await box.stop_enforcer()
    await write(box.bootstrap, box.prefix + t.ENFORCER_STATE, [b""], key=SERVER.encode())
    done = await box.patchgate("audit", "verify")
    assert f"enforcer-state lacks {SERVER}" in one_line(done)
    assert "1 difference." in done.out


async def test_a_record_that_somebody_else_wrote_to_the_log_is_red(box: Box) -> None:
    """The one writer is the enforcer; a stranger's record is found where it stands."""
    await box.stop_enforcer()
    before = json.loads((await box.patchgate("audit", "verify", "--json")).out)["log"]["records"]
    await write(box.bootstrap, box.prefix + t.LOG, [b'{"type":"case-ended.v1"}'])
    assert f"the first wrong record is {before + 1}: cannot be read" in one_line(await box.patchgate("audit", "verify"))


async def test_explain_tells_of_a_server_and_suggests_the_nearest(box: Box) -> None:
    """In plain words, for scripts, and for who mistypes."""
    done = await box.patchgate("explain", SERVER)
    assert done.code == 0, done
    assert SERVER in done.out
    told = json.loads((await box.patchgate("explain", SERVER, "--json")).out)
    assert told["server"] == SERVER
    assert len(told["cases"]) == 1
    assert f"nearest: {SERVER}" in one_line(await box.patchgate("explain", SERVER.replace("ex07", "ex70")))
    assert "no server 203.0.113" in one_line(await box.patchgate("explain", "203.0.113"))


async def test_explain_before_anything_is_known(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """No topics, and no enforcer yet: one line each."""
    empty = Box(broker_bootstrap, prefix, tmp_path)
    assert "patchgate topics apply" in one_line(await empty.patchgate("explain", SERVER))
    await topics(broker_bootstrap, prefix)
    assert "nothing is known yet" in one_line(await empty.patchgate("explain", SERVER))
    assert "no policy is in force yet" in one_line(await empty.patchgate("policy", "show"))
    assert "there is no record" in one_line(await empty.patchgate("audit", "verify"))


async def test_a_policy_is_adopted_or_refused(box: Box, tmp_path: Path) -> None:
    """The enforcer's record is the answer; what is in force can be shown, and read back."""
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(enforced(version=2)))
    adopt = ["policy", "adopt", str(file), "--who", "ops", "--why", "test", "--yes"]
    done = await box.patchgate(*adopt)
    assert done.code == 0, done
    assert "Policy version 2 is in force from log record" in done.out
    shown = await box.patchgate("policy", "show")
    assert shown.out == policy_text(enforced(version=2))
    assert "its version is 2, and must be above 2" in one_line(await box.patchgate(*adopt))
    done = await box.patchgate(*adopt, "--json")
    assert json.loads(done.out)["outcome"] == "refused"
    assert (await box.patchgate("audit", "verify")).code == 0


async def test_a_policy_that_nobody_decides_is_told(box: Box, tmp_path: Path) -> None:
    """The wait is bounded; the request stays."""
    await box.stop_enforcer()
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(enforced(version=2)))
    adopt = ["policy", "adopt", str(file), "--who", "ops", "--why", "test", "--yes", "--wait", "0.5"]
    assert "nobody decided it within 0.5 s" in one_line(await box.patchgate(*adopt))


async def test_freeze_and_unfreeze_are_recorded(box: Box) -> None:
    """With the seq of the record, and once only."""
    who = ["--who", "ops", "--why", "test"]
    done = await box.patchgate("freeze", *who)
    assert done.code == 0, done
    assert "Recorded as log record" in done.out
    again = json.loads((await box.patchgate("freeze", *who, "--json")).out)
    assert again["outcome"] == "no effect"
    assert "say --yes" in one_line(await box.patchgate("unfreeze", *who))
    assert "the freeze is lifted" in (await box.patchgate("unfreeze", *who, "--yes")).out
    assert (await box.patchgate("audit", "verify")).code == 0


async def test_a_freeze_without_an_enforcer_is_published(box: Box) -> None:
    """The edges obey on sight, and the command says that nobody recorded it."""
    await box.stop_enforcer()
    done = await box.patchgate("freeze", "--who", "ops", "--why", "test", "--wait", "0.5")
    assert done.code == 0, done
    assert "nobody has recorded it yet" in done.out
    assert t.KEY_FREEZE in await read_table(box.bootstrap, box.prefix, t.CONTROL)
