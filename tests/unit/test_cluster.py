"""Three nodes as far as no Java is needed: what is remembered, what is refused, what is said."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.broker import app
from services.cli.broker_text import of_cluster
from shared.messaging import cluster, embedded, kafka_node, node_data
from shared.messaging.cluster_plan import Cluster, remember, remembered, settled
from shared.messaging.cluster_start import Starter
from shared.messaging.cluster_status import ClusterStatus, NodeStatus
from shared.messaging.jars import BrokerError, no_progress
from shared.messaging.kafka_node import Directory
from shared.messaging.replicas import Partition, Replicas

PLAN = Cluster("AAAAAAAAAAAAAAAAAAAAAA", 20_000, formatted=True)


def _directory(state_dir: Path) -> Directory:
    directory = Directory.below(state_dir)
    kafka_node.create(directory)
    return directory


def _give_data(directory: Directory) -> None:
    directory.data.mkdir(parents=True)
    (directory.data / "meta.properties").write_text("cluster.id=x\nnode.id=1\n")


def _refused(error: pytest.ExceptionInfo[BrokerError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_ports_stand_in_a_row() -> None:
    """Three for clients, three for the controllers, none twice; clients get the first three."""
    ports = [port for one in PLAN.members for port in (one.port, one.controller_port)]
    assert sorted(ports) == list(range(20_000, 20_006))
    assert PLAN.bootstrap == "127.0.0.1:20000,127.0.0.1:20001,127.0.0.1:20002"


def test_each_node_names_all_as_voters_and_its_own_places(tmp_path: Path) -> None:
    """Every record three times, two to acknowledge it, in the topics of Kafka itself as well."""
    directory = _directory(tmp_path).of_node(2)
    kafka_node.create(directory)
    kafka_node.write_settings(directory, PLAN.members[1], PLAN.members, {"num.io.threads": "2"})
    written = dict(line.split("=", 1) for line in directory.properties.read_text().splitlines())
    assert written["controller.quorum.voters"] == "1@127.0.0.1:20003,2@127.0.0.1:20004,3@127.0.0.1:20005"
    assert written["node.id"] == "2"
    assert written["listeners"] == "PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20004"
    assert written["log.dirs"].endswith("/broker/node-2/data")
    assert written["num.io.threads"] == "2"
    copies = {key: value for key, value in written.items() if "replication.factor" in key or key.endswith("min.isr")}
    assert copies == {
        "default.replication.factor": "3",
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
    }
    assert written["min.insync.replicas"] == "2"


def test_one_node_never_becomes_three(tmp_path: Path) -> None:
    """A directory with one node's data is refused in a sentence, and stays as it is."""
    directory = _directory(tmp_path)
    _give_data(directory)
    with pytest.raises(BrokerError) as error:
        cluster.start(tmp_path)
    _refused(error, "holds one node", "another --state-dir", "docs/scale.md")
    assert not directory.cluster_file.exists()


def test_three_nodes_never_become_one(tmp_path: Path) -> None:
    """The same the other way round, for `up` too, which starts one node."""
    remember(_directory(tmp_path), PLAN)
    for start in (embedded.start, embedded.prepare):
        with pytest.raises(BrokerError) as error:
            start(tmp_path)
        _refused(error, "holds three nodes", "`patchgate broker start --nodes 3`", "another --state-dir")
    assert not Directory.below(tmp_path).data.exists()


def test_what_is_remembered_is_read_back_or_told(tmp_path: Path) -> None:
    """A file that somebody damaged does not make a new cluster beside old data."""
    directory = _directory(tmp_path)
    assert remembered(tmp_path) is None
    remember(directory, PLAN)
    assert remembered(tmp_path) == PLAN
    directory.cluster_file.write_text("{")
    with pytest.raises(BrokerError) as error:
        cluster.start(tmp_path)
    _refused(error, "cluster.json cannot be read", "backup")


def test_a_port_may_move_while_nothing_runs(tmp_path: Path) -> None:
    """The id stays, and what was formatted stays so; without a port the remembered one holds."""
    directory = _directory(tmp_path)
    assert settled(directory, PLAN, None) == PLAN
    moved = settled(directory, PLAN, 21_000)
    assert (moved.cluster_id, moved.port, moved.formatted) == (PLAN.cluster_id, 21_000, True)
    assert remembered(tmp_path) == moved
    assert settled(directory, None, None).port == kafka_node.DEFAULT_PORT


def _batches(state_dir: Path, plan: Cluster) -> list[list[int]]:
    starter = Starter(Directory.below(state_dir), plan, {}, no_progress, 1.0)
    return [[one.node_id for one in batch] for batch in starter._batches(plan.members)]


def test_a_node_that_lost_everything_starts_last_and_alone(tmp_path: Path) -> None:
    """First those that have data; at the very first start all at once; with two lost, or half lost, a sentence."""
    directory = _directory(tmp_path)
    first = Cluster(PLAN.cluster_id, PLAN.port)
    assert _batches(tmp_path, first) == [[1, 2, 3]]
    for number in (1, 3):
        _give_data(directory.of_node(number))
    assert _batches(tmp_path, PLAN) == [[1, 3], [2]]
    kafka_node.create(directory.of_node(2))
    with pytest.raises(BrokerError) as error:
        _batches(tmp_path, PLAN)
    _refused(error, "node 2 has lost its data", "delete")
    for file in directory.of_node(3).data.iterdir():
        file.unlink()
    with pytest.raises(BrokerError) as error:
        _batches(tmp_path, PLAN)
    _refused(error, "nodes 2, 3", "backup")


def test_a_node_whose_data_are_anothers_is_refused(tmp_path: Path) -> None:
    """Directories that were exchanged are noticed, though each has a readable identity of its own."""
    directory = _directory(tmp_path).of_node(2)
    _give_data(directory)
    with pytest.raises(BrokerError) as error:
        node_data.check_or_format(directory, {}, node_data.Identity("x", 2))
    _refused(error, "belongs to another node", "cluster x, node 1")


@pytest.mark.parametrize("nodes", ["0", "2", "5"])
def test_other_numbers_of_nodes_are_refused(tmp_path: Path, nodes: str) -> None:
    """One or three."""
    done = CliRunner().invoke(app, ["start", "--nodes", nodes, "--state-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert "1 or 3" in done.stderr


def test_a_restart_needs_three_nodes(tmp_path: Path) -> None:
    """Of one node there is nothing to go on with meanwhile."""
    done = CliRunner().invoke(app, ["restart", "--state-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert "holds no three nodes" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_cluster_that_does_not_run_is_told(tmp_path: Path) -> None:
    """A line a node, exit code 1, JSON for scripts; a stop says that nothing was running."""
    remember(_directory(tmp_path), PLAN)
    arguments = ["--state-dir", str(tmp_path)]
    done = CliRunner().invoke(app, ["status", *arguments])
    assert done.exit_code == 1
    assert [line.rpartition(") ")[2] for line in done.stdout.splitlines()[:3]] == ["does not run."] * 3
    assert "No node serves" in done.stdout
    as_json = json.loads(CliRunner().invoke(app, ["status", "--json", *arguments]).stdout)
    assert [one["running"] for one in as_json["nodes"]] == [False] * 3
    assert "No broker was running" in CliRunner().invoke(app, ["stop", *arguments]).stdout


def _status(*, lacking: int = 0, unwritable: int = 0) -> ClusterStatus:
    nodes = [
        NodeStatus(
            node_id=number,
            running=True,
            answers=True,
            pid=100 + number,
            bootstrap=f"127.0.0.1:{20_000 + number}",
            role="controller" if number == 1 else "follower",
            leads=number,
            lacks=lacking,
            resident_bytes=200 * 1024**2,
            data_bytes=1024**2,
            data_dir=Path("/d"),
            log_path=Path("/l"),
            failure=None,
        )
        for number in (1, 2, 3)
    ]
    return ClusterStatus("b", answers=True, nodes=nodes, partitions=17, under_replicated=lacking, unwritable=unwritable)


def test_the_status_says_how_whole_the_partitions_are() -> None:
    """Whole, short of a copy, or standing still: three different sentences; each node has its pid, port, role and gaps."""
    whole = of_cluster(_status()).splitlines()
    assert whole[3] == "All 17 partitions have all their copies."
    assert whole[0].startswith(
        "Node 1 (127.0.0.1:20001) answers, leads the controllers: process 101, leads 1 partitions"
    )
    assert "follows: process 102, leads 2 partitions, is behind in 0, 200 MB of memory" in whole[1]
    assert of_cluster(_status(lacking=5)).endswith("5 of 17 partitions lack a copy; all can be written.")
    assert "3 of 17 partitions have one whole copy alone" in of_cluster(_status(lacking=5, unwritable=3))
    assert (_status().is_whole, _status(lacking=1).is_whole) == (True, False)


def test_a_partition_of_one_copy_is_never_short_of_one() -> None:
    """Lacking is counted by what it should have; a topic that was made with one copy can be written with one."""
    partitions = (
        Partition("a", 0, 1, (1, 2, 3), (1, 2, 3)),
        Partition("b", 0, 1, (1, 2, 3), (1, 3)),
        Partition("c", 0, 1, (1, 2, 3), (1,)),
        Partition("d", 0, 1, (1,), (1,)),
    )
    seen = Replicas(frozenset({1, 2, 3}), 1, partitions)
    assert [one.topic for one in seen.lacking()] == ["b", "c"]
    assert [one.topic for one in seen.unwritable(2)] == ["c"]
