"""
Three nodes of the embedded broker on this machine: every record on all of them, acknowledged when two have it.

Each node is a broker and a controller, with a directory `node-N/` of its own below `<state_dir>/broker` (kafka_node.py) and
two of six ports in a row: three where clients connect, then three where the controllers talk. `cluster.json` remembers the
cluster's id and its first port. One node may die, or be stopped, and all goes on; with two away nothing is acknowledged,
nothing is lost, and it goes on when one of them is back.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.messaging import kafka_node as node
from shared.messaging import node_process
from shared.messaging.cluster_plan import NODES, Cluster, check_several, remembered, required, running, settled
from shared.messaging.cluster_start import ClusterHandle, NodeHandle, Starter
from shared.messaging.cluster_status import ClusterStatus, NodeStatus, look, status
from shared.messaging.jars import BrokerError, Progress, no_progress
from shared.messaging.node_process import START_TIMEOUT_S, STOP_TIMEOUT_S

__all__ = [
    "NODES",
    "BrokerError",
    "Cluster",
    "ClusterHandle",
    "ClusterStatus",
    "NodeHandle",
    "NodeStatus",
    "await_whole",
    "remembered",
    "restart",
    "start",
    "status",
    "stop",
]

WHOLE_TIMEOUT_S = 120.0  # a node that was away for a moment has caught up in seconds
_POLL_S = 0.1


def start(
    state_dir: Path,
    *,
    port: int | None = None,
    only: Sequence[int] | None = None,
    settings: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    timeout_s: float = START_TIMEOUT_S,
) -> ClusterHandle:
    """
    Start the nodes of *state_dir* that do not run, and wait until all that run know one another.

    Args:
        state_dir: their data lie in `broker/node-N/` below.
        only: which nodes; None: all.
        port: the first of six in a row; None: the one remembered, at first 19092.
        settings: Kafka settings that go before ours.
        progress: told each step.
        timeout_s: bound of the wait for the nodes, and for another start or stop to end.

    Raises:
        BrokerError: a node cannot run; the text says why and what to do. Those that can go on serving are left running where
            they are a majority; else nothing is left that was started here.
    """
    common = node.Directory.below(state_dir)
    check_several(common)
    node.create(common)
    with node_process.exclusive(common, timeout_s):
        cluster = settled(common, remembered(state_dir), port)
        return Starter(common, cluster, settings or {}, progress, timeout_s).start(only)


def stop(state_dir: Path, timeout_s: float = STOP_TIMEOUT_S) -> int:
    """
    End all nodes of *state_dir*, all at once: SIGTERM, and SIGKILL for what has not ended within *timeout_s*.

    Returns:
        How many were running.

    Raises:
        BrokerError: one cannot be ended.
    """
    common = node.Directory.below(state_dir)
    if not common.root.exists():
        return 0
    with node_process.exclusive(common, timeout_s):
        cluster = remembered(state_dir)
        if cluster is None:
            return 0
        pids = running(common, cluster)
        node_process.end(pids.values(), timeout_s)
        for one in cluster.members:
            node_process.forget(common.of_node(one.node_id), pids.get(one.node_id))
    return len(pids)


def restart(
    state_dir: Path,
    nodes: Sequence[int] = range(1, NODES + 1),
    *,
    settings: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    timeout_s: float = START_TIMEOUT_S,
) -> list[NodeHandle]:
    """
    Restart nodes one after another, each when the other two hold everything, so that nothing stands still meanwhile.

    Args:
        state_dir: as in `start`.
        nodes: which, in this order. One that does not run is started.
        settings: as in `start`.
        progress: told each step.
        timeout_s: bound of each node's start; being whole again has 120 s.

    Raises:
        BrokerError: the others are not whole, or the node does not come back; the rest was left as it was.
    """
    cluster = required(state_dir)
    common = node.Directory.below(state_dir)
    restarted = []
    with node_process.exclusive(common, timeout_s):
        for number in nodes:
            pids = running(common, cluster)
            _check_others(cluster, number, pids)
            pid = pids.get(number)
            if pid is not None:
                progress(f"stopping node {number}", 0, 1)
                node_process.end([pid], STOP_TIMEOUT_S)
                node_process.forget(common.of_node(number), pid)
            handle = Starter(common, cluster, settings or {}, progress, timeout_s).start([number])
            restarted += [one for one in handle.nodes if one.node_id == number]
            await_whole(state_dir, progress=progress)
    return restarted


def _check_others(cluster: Cluster, number: int, pids: Mapping[int, int]) -> None:
    """Both others must run and lack nothing: with two of three away from a partition it could not be written."""
    seen = look(cluster)
    if seen is None:
        raise BrokerError("no node answers: `patchgate broker start` starts those that do not run")
    # One that died a moment ago still counts for the cluster.
    away = sorted({one.node_id for one in cluster.members} - {number} - (seen.alive & pids.keys()))
    if away:
        raise BrokerError(
            f"node {away[0]} is away, and node {number} cannot be spared meanwhile: `patchgate broker start` first"
        )
    lacking = [one for one in seen.lacking() if set(one.replicas) - set(one.in_sync) - {number}]
    if lacking:
        raise BrokerError(
            f"{len(lacking)} partitions lack a copy on another node than {number}, such as {lacking[0].topic}: "
            "wait until `patchgate broker status` says that all have all"
        )


def await_whole(state_dir: Path, timeout_s: float = WHOLE_TIMEOUT_S, progress: Progress = no_progress) -> None:
    """
    Wait until every node is there, and every partition has all its copies.

    Raises:
        BrokerError: not within *timeout_s*.
    """
    deadline = time.monotonic() + timeout_s
    cluster = required(state_dir)
    while True:
        seen = look(cluster)
        lacking = len(seen.lacking()) if seen else 0
        if seen is not None and len(seen.alive) == NODES and not lacking:
            return
        progress("catching up", len(seen.partitions) - lacking if seen else 0, len(seen.partitions) if seen else 1)
        if time.monotonic() > deadline:
            raise BrokerError(
                f"after {timeout_s:.0f} s {lacking} partitions still lack a copy: see `patchgate broker status`"
            )
        time.sleep(_POLL_S)
