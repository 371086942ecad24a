"""The questions of `patchgate` against a real Kafka and the state that a real enforcer wrote."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli.policy_text import policy_text
from shared.domain.records import Row, VerdictGiven
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.broker.test_cli import Box, one_line
from tests.support.enforcers import enforcer, setup_for, topics
from tests.support.law import enforced
from tests.support.scenario import E2016, PEER, SERVER, START
from tests.support.topic_io import write

pytestmark = pytest.mark.broker


@pytest.fixture
async def box(broker_bootstrap: str, prefix: str, tmp_path: Path) -> Box:
    """Lend a box in which a case was opened, in observe; the enforcer is gone, for questions need none."""
    one = Box(broker_bootstrap, prefix, tmp_path)
    await topics(broker_bootstrap, prefix)
    async with enforcer(setup_for(broker_bootstrap, prefix, tmp_path)):
        await one.open_case()
    return one


async def test_diff_tells_what_another_policy_would_change_and_leaves_everything_as_it_is(
    box: Box, tmp_path: Path
) -> None:
    """Against the policy in force, and between two files; with refusals where edges told of them."""
    new, same = tmp_path / "new.toml", tmp_path / "same.toml"
    new.write_text(policy_text(enforced(version=2)))
    same.write_text((await box.patchgate("policy", "show")).out)
    row = Row(since=START, stage=1, throttle_minutes_per_hour=0, block_minutes_per_hour=0)
    verdict = VerdictGiven(
        at=datetime.now(UTC),
        edge="mx1",
        queue_id="4bXk2P0qZ1z9",
        server=SERVER,
        product=E2016,
        shown="15.1.2507.39",
        action="defer",
        would_be=True,
        spared_why="observed only",
        row=row,
        window_from_minute=7,
        reply="450 4.7.230 no",
        heartbeat_seq=9,
        decision_seq=8,
    )
    await write(box.bootstrap, box.prefix + t.VERDICTS, [encode(verdict)])
    before = (await box.patchgate("audit", "verify", "--json")).out
    done = await box.patchgate("policy", "diff", str(new), "--refusals")
    assert done.code == 0, done
    assert "1 server compared; something changes for 1 of them." in done.out
    assert "1 begin at day 0" in done.out
    assert "1 refusals a day" in done.out
    found = json.loads((await box.patchgate("policy", "diff", str(same), str(new), "--json")).out)
    assert found["counts"] == {"starts": 1}
    assert json.loads((await box.patchgate("policy", "diff", str(same), "--json")).out)["changes"] == []
    assert (await box.patchgate("audit", "verify", "--json")).out == before
    told = await box.patchgate("explain", "4bXk2P0qZ1z9")
    assert told.code == 0, told
    assert "would have been deferred, but was spared (observed only)" in told.out
    assert f"{SERVER}" in told.out
    assert "no edge told of a refusal of 4bXk2P0qZ1z" in one_line(await box.patchgate("explain", "4bXk2P0qZ1z"))


async def test_cases_and_due_list_what_the_state_holds(box: Box) -> None:
    """As a table, as JSON and as CSV; with filters."""
    assert SERVER in (await box.patchgate("cases")).out
    [case] = json.loads((await box.patchgate("cases", "--json", "--state", "observed")).out)
    assert (case["server"], case["state"], case["stage"]) == (SERVER, "observed", 1)
    rows = list(csv.DictReader(io.StringIO((await box.patchgate("cases", "--csv", "--connector", "internet")).out)))
    assert [row["server"] for row in rows] == [SERVER]
    assert json.loads((await box.patchgate("cases", "--json", "--connector", "branch")).out) == []
    due = json.loads((await box.patchgate("due", "--days", "70", "--json")).out)
    assert [(step["server"], step["event"]) for step in due["steps"]] == [(SERVER, "case-ended.v1")]
    assert "0 steps in 14 days" in (await box.patchgate("due")).out
    assert json.loads((await box.patchgate("explain", PEER, "--json")).out)["server"] == SERVER


async def test_the_past_and_another_policy_are_asked_of_the_log_on_the_bus(box: Box, tmp_path: Path) -> None:
    """As of an export of it: state, what-if and table are the same; no record is added."""
    export, policy = tmp_path / "log.jsonl", tmp_path / "policy.toml"
    policy.write_text(policy_text(enforced(version=2)))
    assert (await box.patchgate("audit", "export", str(export))).code == 0
    shown = [
        json.loads((await box.patchgate("audit", "show", *where, "--at", "2100-01-01T00:00Z", "--json")).out)
        for where in ([], [str(export)])
    ]
    assert shown[0] == shown[1]
    assert shown[0]["states"] == {"observed": 1}
    found = [
        json.loads((await box.patchgate("audit", "what-if", str(policy), *where, "--json")).out)
        for where in ([], [str(export)])
    ]
    assert found[0] == found[1]
    assert [(one["server"], one["recorded"], one["other"]) for one in found[0]["servers"]] == [
        (SERVER, "observed", "reported")
    ]
    done = await box.patchgate("audit", "export", "--parquet", str(tmp_path / "log.parquet"))
    assert done.code == 0, done
    assert done.out.startswith(f"{found[0]['records']} records written")
    assert (await box.patchgate("audit", "verify")).code == 0


async def test_questions_before_anything_is_known_are_one_line(
    broker_bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """No topics, and no enforcer yet."""
    empty = Box(broker_bootstrap, prefix, tmp_path)
    assert "patchgate topics apply" in one_line(await empty.patchgate("cases"))
    await topics(broker_bootstrap, prefix)
    assert "nothing is known yet" in one_line(await empty.patchgate("due"))
