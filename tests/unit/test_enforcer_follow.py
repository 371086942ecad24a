"""What a standby does beside reading, with a reader that is made up."""

from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition

from services.enforcer import follow
from services.enforcer.books import Outgoing, policy_records, state_of
from services.enforcer.follow import Follower
from shared.domain.fold import Fold
from shared.domain.servers import Servers
from shared.messaging import topics as t
from tests.support import enforcers
from tests.support.scenario import World, policy_for


class _Reader:
    """Gives what it was given, once; timeouts: what it was asked to wait, ms."""

    def __init__(self) -> None:
        self.next: list[Outgoing] = []
        self.timeouts: list[int] = []

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Outgoing]]:
        assert len(self.next) <= max_records
        self.timeouts.append(timeout_ms)
        records, self.next = self.next, []
        return {TopicPartition("p." + t.ENFORCER_STATE, 0): records} if records else {}


def _unknown(servers: Servers) -> int:
    return sum(slot.due is msgspec.UNSET for _, slot in servers.slots())


async def test_other_terms_are_worked_off_by_the_standby_slice_by_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there is nothing to read, and without waiting for it; a takeover then has nothing left to work out."""
    world, reader = World(), _Reader()
    for number in range(3):
        world.open_case(name=f"ex{number}.example")
    follower = Follower(enforcers.setup_for("nowhere:1", "p.", tmp_path))
    servers = follower._copy.state.servers
    later = policy_records(Fold(policy_for(version=2, expire_days=1)))[1]
    monkeypatch.setattr(follow, "_BATCH", 1)
    reader.next = [*(state_of(server) for server in world.fold.servers.values()), later]
    left = []
    for _ in range(5):
        await follower._read(reader, 100)
        left.append(_unknown(servers))
    assert left == [3, 2, 1, 0, 0]
    assert reader.timeouts == [100, 100, 0, 0, 100]
