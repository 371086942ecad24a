"""What can be seen of three nodes from outside: a line for each, and how whole the partitions are."""

from pathlib import Path

import msgspec

from shared.messaging import kafka_node as node
from shared.messaging import node_process, probe, replicas
from shared.messaging.cluster_plan import Cluster, required
from shared.messaging.kafka_node import MIN_IN_SYNC


class NodeStatus(msgspec.Struct, frozen=True):
    """
    What can be seen of one node.

    role: leads the controllers, follows, or "" where nobody can tell. leads, lacks: partitions that it leads, and those that
    it should have a copy of and has not, or not whole.
    """

    node_id: int
    running: bool
    answers: bool
    pid: int | None
    bootstrap: str
    role: str
    leads: int
    lacks: int
    resident_bytes: int
    data_bytes: int
    data_dir: Path
    log_path: Path
    failure: str | None


class ClusterStatus(msgspec.Struct, frozen=True):
    """
    What can be seen of all nodes.

    answers: a node serves. under_replicated: partitions that lack a copy. unwritable: those with fewer than two whole copies.
    """

    bootstrap: str
    answers: bool
    nodes: list[NodeStatus]
    partitions: int
    under_replicated: int
    unwritable: int

    @property
    def is_whole(self) -> bool:
        """Whether every node serves, and every partition has all its copies."""
        return self.answers and all(one.answers for one in self.nodes) and not self.under_replicated


def look(cluster: Cluster) -> replicas.Replicas | None:
    """The cluster as a node sees it that is in it; None where none answers."""
    for one in cluster.members:
        try:
            seen = replicas.look(one.host, one.port)
        except OSError:
            continue
        if one.node_id in seen.alive:  # one that is cut off would tell of long ago
            return seen
    return None


def status(state_dir: Path) -> ClusterStatus:
    """
    Look at the nodes of *state_dir*; changes nothing.

    Raises:
        BrokerError: the directory cannot be read, or holds no three nodes.
    """
    cluster = required(state_dir)
    seen = look(cluster)
    common = node.Directory.below(state_dir)
    return ClusterStatus(
        bootstrap=cluster.bootstrap,
        answers=seen is not None,
        nodes=[_node(common.of_node(one.node_id), one, seen) for one in cluster.members],
        partitions=len(seen.partitions) if seen else 0,
        under_replicated=len(seen.lacking()) if seen else 0,
        unwritable=len(seen.unwritable(MIN_IN_SYNC)) if seen else 0,
    )


def _node(directory: node.Directory, member: node.Member, seen: replicas.Replicas | None) -> NodeStatus:
    try:
        running = node_process.find(directory)
        crashed = running is None and directory.pid_file.exists()
        failure = node_process.reason(directory) if crashed else None
        data_bytes = node_process.bytes_below(directory.data)
    except OSError as error:
        raise node.unusable(directory, error) from error
    number, partitions = member.node_id, seen.partitions if seen else ()
    address = probe.address(member.host, member.port)
    return NodeStatus(
        node_id=number,
        running=running is not None,
        answers=running is not None and probe.answers(address),
        pid=running.pid if running else None,
        bootstrap=address,
        role=_role(number, seen),
        leads=sum(one.leader == number for one in partitions),
        lacks=sum(number in one.replicas and number not in one.in_sync for one in partitions),
        resident_bytes=node_process.resident_bytes(running.pid) if running else 0,
        data_bytes=data_bytes,
        data_dir=directory.data,
        log_path=directory.log,
        failure=failure,
    )


def _role(number: int, seen: replicas.Replicas | None) -> str:
    if seen is None or number not in seen.alive:
        return ""
    return "controller" if number == seen.controller else "follower"
