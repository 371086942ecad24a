"""`patchgate import` against a real Kafka, detector and enforcer: what was imported becomes sightings, and opens no case."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.domain.records import MailEvidence, Mark, UnpatchedServerSeen
from shared.domain.state import Position, Server
from shared.messaging import topics as t
from shared.messaging.codec import decode
from tests.support import law
from tests.support.enforcers import enforcer, environment, setup_for, topics
from tests.support.mailboxes import mail, mbox
from tests.support.topic_io import ROOT, ServiceProcess, read_all, until

pytestmark = pytest.mark.broker

OLD = "ex07.alt.example"
HOURS = 6


@pytest.fixture(autouse=True)
async def detector(broker_bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    """Make the topics and run a detector."""
    await topics(broker_bootstrap, prefix)
    process = ServiceProcess("detector", tmp_path / "detector", bootstrap=broker_bootstrap, topic_prefix=prefix)
    await process.ready()
    yield process
    process.terminate()


async def _import(env: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        "import",
        "--json",
        *arguments,
        env=env,
        cwd=ROOT,
        stdin=-3,
        stdout=-1,
        stderr=-1,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert out, err
    return process.returncode or 0, json.loads(out)


async def test_imported_mail_becomes_sightings_and_opens_no_case(
    broker_bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """A server below its floor in six hours would get a case; imported it gets none. No marks are sent."""
    now = datetime.now(UTC).replace(microsecond=0)
    mails = [mail(OLD, "15.1.2507.27", now - timedelta(hours=hour), number=hour) for hour in range(HOURS)]
    box = tmp_path / "box"
    box.write_bytes(mbox(*mails, *mails))
    (tmp_path / "odd").write_bytes(b"\x00\x01")
    env = environment(broker_bootstrap, prefix, tmp_path / "cli")

    async with (
        enforcer(setup_for(broker_bootstrap, prefix, tmp_path / "law")),
        law.feeder(broker_bootstrap, prefix) as feed,
    ):
        await feed.feed(law.marks(now - timedelta(hours=HOURS)))
        code, said = await _import(env, str(box), str(tmp_path / "odd"))
        assert code == 3
        assert said["made"] == {
            "mails": 2 * HOURS, "own": 0, "not_ours": 0, "nothing_judged": 0, "undated": 0, "repeated": HOURS, "records": HOURS,
            "products": {"Microsoft Exchange 2016": HOURS},
        }  # fmt: skip
        assert said["own"] == ["mx.own.example"]
        assert [why for _, why in said["troubles"]] == ["is a binary file"]

        async def sighted() -> bool:
            records = await read_all(broker_bootstrap, prefix + t.SIGHTINGS)
            return sum(isinstance(decode(t.SIGHTINGS, one.value), UnpatchedServerSeen) for one in records) == HOURS

        await until(sighted, "all of it on `sightings`")
        await feed.feed(law.marks(now))
        end = len(await read_all(broker_bootstrap, prefix + t.SIGHTINGS))

        async def decided() -> bool:
            value = (await law.read_table(broker_bootstrap, prefix, t.ENFORCER_STATE)).get(t.KEY_POSITION)
            return value is not None and msgspec.json.decode(value, type=Position).offsets[t.SIGHTINGS] >= end

        await law.eventually(decided, "the law has read them all")
        state = await law.read_table(broker_bootstrap, prefix, t.ENFORCER_STATE)

    server: Server = decode(t.ENFORCER_STATE, state[OLD.encode()])
    assert (server.cases, server.hours) == ((), ())
    evidence = [
        decode(t.MAIL_EVIDENCE, one.value) for one in await read_all(broker_bootstrap, prefix + t.MAIL_EVIDENCE)
    ]
    assert not any(isinstance(one, Mark) for one in evidence)
    assert all(isinstance(one, MailEvidence) and one.facts.imported for one in evidence)
    assert len(evidence) == HOURS
