"""Acts from end to end: a real Kafka, a real enforcer, the command line and HTTP as people use them."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli.log_lookup import from_seq
from services.cli.policy_text import policy_text
from services.cli.token import new_token
from shared.domain import events as e
from shared.domain.answer import request_in
from shared.messaging import probe
from shared.messaging import topics as t
from shared.runtime.settings import CommonSettings
from tests.broker.test_cli import Box, one_line
from tests.broker.test_status import Status, status, write
from tests.support.enforcers import enforcer, setup_for, topics
from tests.support.law import enforced, read_log
from tests.support.proxy import proxy
from tests.support.scenario import SERVER, World
from tests.support.topic_io import ServiceProcess, until

pytestmark = pytest.mark.broker

WHO = ["--who", "anna", "--why", "test"]


@pytest.fixture
async def box(broker_bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[Box]:
    """Lend a box with an enforcer that leads, and one case that is enforced."""
    one = Box(broker_bootstrap, prefix, tmp_path)
    await topics(broker_bootstrap, prefix)
    async with enforcer(setup_for(broker_bootstrap, prefix, tmp_path)) as leader:
        one.enforcer = leader
        await one.open_case()
        file = tmp_path / "policy.toml"
        file.write_text(policy_text(enforced(version=2)))
        done = await one.patchgate("policy", "adopt", str(file), "--yes", *WHO)
        assert done.code == 0, done
        yield one


async def number_of(box: Box) -> str:
    """The number of the one case."""
    [case] = json.loads((await box.patchgate("cases", "--json")).out)
    return str(case["case"])


def tokens_in(directory: Path) -> tuple[str, dict[str, str]]:
    """A file with one operator's token, and the header that shows it."""
    made = new_token("ben", "operator", "")
    file = directory / "tokens.toml"
    file.write_text(made.entry)
    return str(file), {"Authorization": f"Bearer {made.token}"}


# --- command line --------------------------------------------------------------------------------------------------


async def test_a_dispute_runs_its_course_by_the_command_line(box: Box) -> None:
    """Disputed, explained, resolved; the case is over, and its number still tells all of it. The audit is green."""
    number = await number_of(box)
    done = await box.patchgate("dispute", number, "--id", "dispute-by-anna", *WHO)
    assert done.code == 0, done
    assert done.out.startswith(f"Dispute of case {number} ({SERVER}): done (log record ")
    assert "was disputed before" in one_line(await box.patchgate("dispute", SERVER, *WHO))
    told = json.loads((await box.patchgate("request", "dispute-by-anna", "--json")).out)
    assert (told["outcome"], told["act"], told["who"]) == ("done", "dispute.v1", "anna")
    assert f"log record {told['seq']})" in done.out
    assert "dispute asked by anna: done" in (await box.patchgate("explain", number, "--history")).out
    assert "Its admin disputes it, since" in (await box.patchgate("explain", number)).out
    done = await box.patchgate("resolve", number, "upheld", *WHO)
    assert done.code == 0, done
    over = await box.patchgate("explain", number)
    assert f"Case {number} about" in over.out
    assert "it is over" in over.out
    assert "dispute asked by anna: done" in over.out
    again = await box.patchgate("resolve", number, "upheld", "--json", *WHO)
    assert again.code == 0
    assert json.loads(again.out)["outcome"] == "no effect"
    assert "has no case" in one_line(await box.patchgate("dispute", SERVER, *WHO))
    assert "opened no case" in one_line(await box.patchgate("dispute", "1", *WHO))
    assert (await box.patchgate("audit", "verify")).code == 0


async def test_pause_exemption_and_mode_by_the_command_line(box: Box) -> None:
    """Each is law, and undone; the account says what it cost. The audit is green."""
    for arguments, told in (
        (["acknowledge", SERVER], "done"),
        (["pause", SERVER, "--days", "2"], "done"),
        (["account", SERVER], "2 days used, running"),
        (["resume", await number_of(box)], "done"),
        (["account", SERVER], "1 day used, 1 given back"),
        (["exempt", SERVER, "--days", "3", "--owner", "ben"], "done"),
        (["exempt", SERVER, "--lift"], "done"),
        (["mode", "observe", "--connector", "internet"], "done"),
        (["correct", SERVER], "done"),
        (["correct", SERVER, "--lift"], "done"),
    ):
        done = await box.patchgate(*arguments, *(WHO if arguments[0] != "account" else []))
        assert done.code == 0, (arguments, done)
        assert told in done.out, (arguments, done)
    assert 'mode = "observe"' in (await box.patchgate("policy", "show")).out
    assert (await box.patchgate("audit", "verify")).code == 0


async def test_an_act_that_nobody_decides_is_decided_when_somebody_comes(box: Box, tmp_path: Path) -> None:
    """The command tells that the request stands, and its id; `request` tells the rest."""
    await box.stop_enforcer()
    error = one_line(await box.patchgate("dispute", SERVER, "--id", "waits-for-him", "--wait", "0.5", *WHO))
    assert "`patchgate request waits-for-him` tells" in error
    assert "not decided yet" in (await box.patchgate("request", "waits-for-him")).out
    assert "none waits to be decided" in one_line(await box.patchgate("request", "nobody-asked"))
    async with enforcer(setup_for(box.bootstrap, box.prefix, tmp_path / "second")):

        async def decided() -> bool:
            return ": done (log record" in (await box.patchgate("request", "waits-for-him")).out

        await until(decided, "the waiting act")


async def test_a_record_of_the_log_is_found_by_its_number(broker_bootstrap: str, prefix: str) -> None:
    """Markers of transactions take offsets between the records; before, around the halving, at the end, and behind it."""
    await topics(broker_bootstrap, prefix)
    world = World(at=datetime.now(UTC) - timedelta(hours=5))
    for count in range(350):
        world.freeze(f"freeze-{count:04}", frozen=count % 2 == 0)
    stored = [value for _, value in world.log]
    for start in range(0, len(stored), 7):
        await write(broker_bootstrap, prefix, [(t.LOG, None, value) for value in stored[start : start + 7]])
    settings = CommonSettings(bootstrap=broker_bootstrap, topic_prefix=prefix)
    last = len(stored)
    for seq in (0, 1, 2, 7, 8, *range(168, 184), 255, 256, 257, 350, 511, 512, last - 1, last):
        found = [value async for value in from_seq(settings, seq)]
        assert found == stored[max(0, seq - 1) :], seq
    assert [value async for value in from_seq(settings, last + 1)] == []


# --- HTTP ----------------------------------------------------------------------------------------------------------


async def test_an_act_by_http_is_law(box: Box, tmp_path: Path) -> None:
    """Answered with the log's record, which the command line finds as well; refused is 409; undecided is told later."""
    file, bearer = tokens_in(tmp_path)
    number = int(await number_of(box))
    body = {"type": "dispute.v1", "server": SERVER, "case": number, "why": "it is patched"}
    process = ServiceProcess(
        "status",
        tmp_path / "status",
        bootstrap=box.bootstrap,
        topic_prefix=box.prefix,
        status_port="0",
        status_tokens=file,
        status_wait_s="20",
    )
    try:
        await process.ready()
        address = json.loads(process.log.splitlines()[0])["address"]
        async with httpx.AsyncClient(base_url=address, headers=bearer, timeout=30) as client:
            keyed = {"Idempotency-Key": "by-http-0001"}
            first = await client.post("/requests", json=body, headers=keyed)
            assert (first.status_code, first.json()["outcome"]) == (200, "done"), first.text
            assert (await client.post("/requests", json=body, headers=keyed)).json() == first.json()
            assert (await client.get("/requests/by-http-0001")).json() == first.json()
            refused = await client.post("/requests", json=body)
            assert refused.status_code == 409
            assert "disputed before" in refused.json()["reason"]
            frozen = await client.post("/requests", json={"type": "set-freeze.v1", "frozen": True})
            assert (frozen.status_code, frozen.json()["outcome"]) == (200, "done"), frozen.text
        told = json.loads((await box.patchgate("request", "by-http-0001", "--json")).out)
        assert (told["seq"], told["who"], told["why"], told["again"]) == (
            first.json()["seq"],
            "ben",
            "it is patched",
            0,
        )
        assert bearer["Authorization"].split()[1] not in process.log
        assert process.terminate() == 0
    finally:
        process.terminate()


async def test_an_act_by_http_waits_for_an_enforcer(box: Box, tmp_path: Path) -> None:
    """202 with where to look; decided once one runs."""
    file, bearer = tokens_in(tmp_path)
    body = {"type": "dispute.v1", "server": SERVER, "case": int(await number_of(box))}
    await box.stop_enforcer()
    async with status(box.bootstrap, box.prefix, tmp_path / "status", status_tokens=file) as made:
        await made.shows_seq(1)
        answer = await made.client.post("/requests", json=body, headers=bearer)
        assert (answer.status_code, answer.json()["outcome"]) == (202, "none yet"), answer.text
        where = answer.headers["location"]
        async with enforcer(setup_for(box.bootstrap, box.prefix, tmp_path / "second")):

            async def decided() -> bool:
                return (await made.client.get(where)).status_code == 200

            await until(decided, "the waiting act")
        assert (await made.client.get(where)).json()["outcome"] == "done"


async def test_while_the_bus_is_cut_nothing_is_asked_twice(box: Box, tmp_path: Path) -> None:
    """503 that says nothing was asked, or with which id to ask again; afterwards the same id is decided, once."""
    file, bearer = tokens_in(tmp_path)
    body = {"type": "dispute.v1", "server": SERVER, "case": int(await number_of(box))}
    keyed = {**bearer, "Idempotency-Key": "once-only-1"}
    async with (
        proxy(box.bootstrap) as network,
        status(network.bootstrap, box.prefix, tmp_path / "status", status_tokens=file) as made,
    ):
        await made.shows_seq(1)
        await made.publisher.start()
        network.cut()
        answer = await made.client.post("/requests", json=body, headers=keyed)
        assert answer.status_code == 503
        assert "ask again with the id once-only-1" in answer.text or "nothing was asked" in answer.text

        async def noticed() -> bool:
            return bool(made.board.reader.trouble)

        await until(noticed, "the reader notices")
        answer = await made.client.post("/requests", json={**body, "why": "other"}, headers=bearer)
        assert answer.status_code == 503
        assert "nothing was asked" in answer.text
        network.mend()
        told = await eventually_decided(made, body, keyed)
    assert told["outcome"] == "done"
    asked = [request_in(record.event) for record in await read_log(box.bootstrap, box.prefix)]
    decided = [one for one in asked if one is not None and one.why != "test"]
    assert {one.id for one in decided} == {"once-only-1"}
    outcomes = [
        record.event.outcome
        for record in await read_log(box.bootstrap, box.prefix)
        if isinstance(record.event, e.RequestDecided) and record.event.request.id == "once-only-1"
    ]
    assert outcomes[0] == "done"
    assert set(outcomes[1:]) <= {"no effect"}


async def eventually_decided(made: Status, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """Ask under the same id until it is decided."""
    told: dict[str, Any] = {}

    async def decided() -> bool:
        answer = await made.client.post("/requests", json=body, headers=headers)
        assert answer.status_code in {200, 202, 429, 503}, answer.text
        told.update(answer.json())
        return answer.status_code == 200

    await until(decided, "the same act under the same id", timeout_s=60)
    return told


async def test_without_a_broker_nothing_is_asked(prefix: str, tmp_path: Path) -> None:
    """A status that found none yet answers 503, freeze included."""
    file, bearer = tokens_in(tmp_path)
    nobody = f"127.0.0.1:{probe.free_port()}"
    async with status(nobody, prefix, tmp_path, status_tokens=file) as made:
        for body in (
            {"type": "resume.v1", "account": "it"},
            {"type": "set-freeze.v1", "frozen": True},
        ):
            answer = await asyncio.wait_for(made.client.post("/requests", json=body, headers=bearer), 30)
            assert answer.status_code == 503
            assert "nothing was asked" in answer.text
