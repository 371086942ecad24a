"""What is remembered of three nodes: their cluster, their ports, their directories; and which of them run."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from shared.messaging import kafka_node as node
from shared.messaging import node_data, node_process, probe
from shared.messaging.jars import BrokerError
from shared.messaging.kafka_node import DEFAULT_HOST, DEFAULT_PORT

NODES = 3


class Cluster(msgspec.Struct, frozen=True):
    """What is remembered. port: the first of six; formatted: all nodes have had their data once."""

    cluster_id: str
    port: int
    formatted: bool = False

    @property
    def members(self) -> list[node.Member]:
        """The nodes, and where they listen."""
        return [
            node.Member(number, DEFAULT_HOST, self.port + number - 1, self.port + NODES + number - 1)
            for number in range(1, NODES + 1)
        ]

    @property
    def bootstrap(self) -> str:
        """All nodes, as clients take them."""
        return ",".join(probe.address(one.host, one.port) for one in self.members)


def remembered(state_dir: Path) -> Cluster | None:
    """
    The cluster of *state_dir*; None where there is none.

    Raises:
        BrokerError: what is remembered cannot be read.
    """
    directory = node.Directory.below(state_dir)
    try:
        return msgspec.json.decode(directory.cluster_file.read_bytes(), type=Cluster)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BrokerError(
            f"{directory.cluster_file} cannot be read ({error}): put it back from a backup; "
            "its cluster_id stands in each node's data/meta.properties as well"
        ) from error
    except OSError as error:
        raise node.unusable(directory, error) from error


def required(state_dir: Path) -> Cluster:
    """
    The cluster of *state_dir*, which must be there.

    Raises:
        BrokerError: it is not, or what is remembered cannot be read.
    """
    cluster = remembered(state_dir)
    if cluster is None:
        raise BrokerError(
            f"{node.Directory.below(state_dir).root} holds no three nodes: `patchgate broker start --nodes 3` makes them; "
            "one node is restarted by `patchgate broker stop` and `start`"
        )
    return cluster


def check_several(common: node.Directory) -> None:
    """
    Make sure that the directory is not that of one node.

    Raises:
        BrokerError: it is.
    """
    if not common.cluster_file.exists() and (node_data.has_data(common) or (common.root / "identity.json").exists()):
        raise BrokerError(
            f"{common.root} holds one node, whose data cannot be spread over three: start it without --nodes, "
            "or begin with three in another --state-dir (docs/scale.md tells what comes along)"
        )


def settled(common: node.Directory, cluster: Cluster | None, port: int | None) -> Cluster:
    """
    Give the cluster the port that is wanted, and remember it; while a node runs, its ports are known to others and stay.

    Raises:
        BrokerError: another port is wanted, and a node runs.
    """
    if cluster is None:
        cluster = Cluster(node_data.new_cluster_id(), port or DEFAULT_PORT)
    elif port not in {None, cluster.port}:
        if running(common, cluster):
            raise BrokerError(
                f"the nodes in {common.root} run at {cluster.bootstrap}: leave out --port (and PATCHGATE_BROKER_PORT), or `patchgate broker stop` first"
            )
        cluster = msgspec.structs.replace(cluster, port=port)
    remember(common, cluster)
    return cluster


def remember(common: node.Directory, cluster: Cluster) -> None:
    """
    Write *cluster* down, whole or not at all.

    Raises:
        BrokerError: the directory cannot be written.
    """
    fresh = common.cluster_file.with_suffix(".new")
    try:
        fresh.write_bytes(msgspec.json.encode(cluster))
        fresh.replace(common.cluster_file)
    except OSError as error:
        raise node.unusable(common, error) from error


def running(common: node.Directory, cluster: Cluster) -> dict[int, int]:
    """Node and pid of all that run."""
    found = {one.node_id: node_process.find(common.of_node(one.node_id)) for one in cluster.members}
    return {number: record.pid for number, record in found.items() if record is not None}


def listed(members: Sequence[node.Member]) -> str:
    """Name nodes in a sentence."""
    return ", ".join(str(one.node_id) for one in members)
