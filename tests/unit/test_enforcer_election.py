"""Who is given the partition: whoever leads keeps it, and a claim from the past does not count."""

from itertools import permutations

import pytest
from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.structs import PartitionMetadata

from services.enforcer.election import sticky

_REQUESTS = TopicPartition("requests", 0)


def _cluster() -> ClusterMetadata:
    cluster = ClusterMetadata()
    cluster._partitions = {"requests": {0: PartitionMetadata("requests", 0, 1, [1], [1], None)}}
    return cluster


def _member(generation: int, *, leads: bool) -> type[StickyPartitionAssignor]:
    """A member that was last given the partition, or nothing, in that generation of the group."""
    assignor = sticky()
    given = [("requests", [0])] if leads else []
    assignor.on_assignment(ConsumerProtocolMemberAssignment(0, given, b""))
    assignor.on_generation_assignment(generation)
    return assignor


@pytest.mark.parametrize("order", list(permutations(["leads", "thawed", "waits", "new"])))
def test_the_newest_claim_wins_whoever_is_asked_first(order: tuple[str, ...]) -> None:
    """The leader of generation 7 keeps the partition against one that led in generation 3, and against newcomers."""
    members = {
        "leads": _member(7, leads=True),
        "thawed": _member(3, leads=True),
        "waits": _member(7, leads=False),
        "new": sticky(),
    }
    claims = {name: members[name].metadata(["requests"]) for name in order}
    given = sticky().assign(_cluster(), claims)
    assert {name: assignment.partitions() for name, assignment in given.items()} == {
        "leads": [_REQUESTS],
        "thawed": [],
        "waits": [],
        "new": [],
    }


def test_what_one_member_was_given_is_not_claimed_by_another_of_the_process() -> None:
    """The library keeps it in the class."""
    one, other = _member(7, leads=True), sticky()
    assert one.metadata(["requests"]).user_data != b""
    assert other.metadata(["requests"]).user_data == b""
