"""An edge made from the contract alone beside ours, on a real Kafka with a real enforcer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from services.edge.follower import DecisionSink, follow
from shared.domain.records import Heartbeat
from shared.domain.verdict import action_in, row_at, window_start
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.messaging.decisions import DecisionTable
from shared.runtime.clock import SystemClock
from tests.contract.foreign_edge import ForeignEdge
from tests.support import enforcers, law
from tests.support.decisions import decision
from tests.support.edge_bus import write
from tests.support.scenario import FLOOR_2016, reading

pytestmark = pytest.mark.broker

DOCS = Path(__file__).parents[2] / "docs" / "contract"
NAMES = ("ex01.alt.example", "ex02.alt.example", "ex03.alt.example")
CURED = NAMES[0]


@asynccontextmanager
async def both(bootstrap: str, prefix: str) -> AsyncIterator[tuple[ForeignEdge, DecisionSink]]:
    """Run theirs and ours until the block ends; a failure of either is raised."""
    foreign = ForeignEdge(DOCS, prefix)
    ours = DecisionSink(SystemClock(), Counter())
    tasks = [
        asyncio.create_task(foreign.follow(bootstrap)),
        asyncio.create_task(follow(bootstrap, prefix + t.DECISIONS, ours)),
    ]
    try:
        yield foreign, ours
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in ended] == [asyncio.CancelledError] * 2


async def _feed(bootstrap: str, prefix: str, *inputs: msgspec.Struct) -> None:
    async with law.feeder(bootstrap, prefix) as feeder:
        await feeder.feed(inputs)


async def _three_cases_one_cured_and_a_hold(bootstrap: str, prefix: str) -> None:
    """What the enforcer is told; law time falls behind H by the freeze."""
    now = law.utc_now()
    await _feed(bootstrap, prefix, law.adopt(law.enforced(), now))
    sightings = [one for name in NAMES for one in law.three_hours(now, name=name)]
    await _feed(bootstrap, prefix, *sightings, *law.marks(now))
    await _table_has(bootstrap, prefix, len(NAMES))
    await _feed(bootstrap, prefix, law.freeze(law.utc_now(), "freeze-01", frozen=True))
    await _beats(bootstrap, prefix, frozen=True)
    await _feed(bootstrap, prefix, *law.marks(law.utc_now()))
    await _feed(bootstrap, prefix, law.freeze(law.utc_now(), "freeze-02", frozen=False))
    await _beats(bootstrap, prefix, frozen=False)
    cure = law.sighting(law.utc_now(), reading(build=FLOOR_2016), name=CURED)
    await _feed(bootstrap, prefix, cure, *law.marks(law.utc_now()))


async def _table_has(bootstrap: str, prefix: str, count: int) -> None:
    async def there() -> bool:
        return (await _heartbeat(bootstrap, prefix)).count == count

    await law.eventually(there, f"{count} servers have a decision")


async def _beats(bootstrap: str, prefix: str, *, frozen: bool) -> None:
    async def so() -> bool:
        return (await _heartbeat(bootstrap, prefix)).frozen is frozen

    await law.eventually(so, f"a heartbeat says frozen={frozen}")


async def _heartbeat(bootstrap: str, prefix: str) -> Heartbeat:
    table = await law.read_table(bootstrap, prefix, t.DECISIONS)
    return msgspec.json.decode(table[t.KEY_HEARTBEAT], type=Heartbeat)


def _same(foreign: ForeignEdge, ours: DecisionTable) -> None:
    """Table, digest, law time; and for each server the row at any of its instants, the window and the action of each minute."""
    assert ours.heartbeat is not None
    assert ours.policy is not None
    assert foreign.servers == {key.decode(): value for key, value in ours.records().items() if b"@" in key}
    assert (len(foreign.servers), foreign.digest()) == (ours.count, ours.digest)
    law_now = ours.heartbeat.h - ours.heartbeat.held
    assert foreign.law_time() == law_now
    hour = law.utc_now().replace(minute=0)
    for one in ours.decisions():
        instants = [row.since for case in one.cases for row in case.rows] + [law_now]
        start = window_start(ours.policy.salt, one.server, hour)
        assert foreign.first_minute(one.server, hour) == start
        for instant in [each + step for each in instants for step in (timedelta(microseconds=-1), timedelta())]:
            rows = [row for case in one.cases if (row := row_at(case, instant)) is not None]
            theirs = [row for row, enforced in foreign.rows(one.server, instant) if enforced]
            assert [row["stage"] for row in theirs] == [row.stage for row in rows]
            for row, told in zip(rows, theirs, strict=True):
                for minute in range(60):
                    answer = foreign.action(one.server, told, hour + timedelta(minutes=minute))
                    assert answer == action_in(row, start, minute)


async def test_the_foreign_edge_knows_what_ours_knows(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """Cases, a release, a freeze, followed as they come and read from the beginning: same table, same answers."""
    await enforcers.topics(broker_bootstrap, prefix)
    async with (
        enforcers.enforcer(enforcers.setup_for(broker_bootstrap, prefix, tmp_path)),
        both(broker_bootstrap, prefix) as (followed, ours),
    ):
        await _three_cases_one_cured_and_a_hold(broker_bootstrap, prefix)

        async def cured() -> bool:
            return any(not one.cases for one in ours.table.decisions())

        await law.eventually(cured, "the release is in the table")
        stands = ours.table.heartbeat
        assert stands is not None

        async def both_there() -> bool:
            seen = followed.latest.get("heartbeat", {}).get("seq", 0)
            beat = ours.table.heartbeat
            return beat is not None and seen == beat.seq >= stands.seq and followed.digest() == beat.digest

        await law.eventually(both_there, "both have the newest heartbeat")
        assert followed.latest["heartbeat"]["held"] != "P0D"
    # The enforcer has ended: what stands is read anew, by both, from the beginning.
    async with both(broker_bootstrap, prefix) as (foreign, again):
        await again.settled.wait()
        last = again.table.heartbeat
        assert last is not None

        async def loaded() -> bool:
            return bool(foreign.latest.get("heartbeat", {}).get("at") == msgspec.to_builtins(last.at))

        await law.eventually(loaded, "the foreign edge has read all")
        _same(foreign, again.table)
        assert len(foreign.servers) == len(NAMES)
        assert foreign.servers == followed.servers
    assert followed.compared
    assert [found for _, found in followed.compared if found] == []


async def test_both_see_that_somebody_else_wrote(broker_bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """A record that the enforcer did not write differs from its next heartbeat, for theirs as for ours."""
    await enforcers.topics(broker_bootstrap, prefix)
    async with (
        enforcers.enforcer(enforcers.setup_for(broker_bootstrap, prefix, tmp_path)),
        both(broker_bootstrap, prefix) as (foreign, ours),
    ):

        async def agree() -> bool:
            return bool(foreign.compared) and not foreign.compared[-1][1] and ours.table.heartbeat is not None

        await law.eventually(agree, "a heartbeat that agrees")
        stranger = decision(block=60)
        await write(broker_bootstrap, prefix + t.DECISIONS, [(stranger.server.encode(), encode(stranger))])

        async def differ() -> bool:
            return foreign.compared[-1][1] == ["count", "digest"] and ours.difference == "count"

        await law.eventually(differ, "both tell the difference")
