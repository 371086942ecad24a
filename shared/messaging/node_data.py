"""Kafka's data of one node: formatted once, and recognised ever after by cluster and node id."""

import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

import msgspec

from shared.messaging.jars import BrokerError
from shared.messaging.kafka_node import NODE_ID, Directory, command, properties, unusable

_FORMAT_TIMEOUT_S = 60.0  # takes 1 s; a machine 60 times slower is stuck


class Identity(msgspec.Struct, frozen=True):
    """What a data directory must say it is."""

    cluster_id: str
    node_id: int


def check_or_format(directory: Directory, env: Mapping[str, str], identity: Identity | None = None) -> bool:
    """
    Make sure that `data/` is this node's; format it if there is none yet.

    Args:
        directory: the node's.
        env: of Kafka's formatter.
        identity: which node of which cluster it must be; None: the one node of a cluster of its own.

    Returns:
        True if it was formatted now.

    Raises:
        BrokerError: the data are half there or another node's, or formatting failed.
    """
    try:
        if has_data(directory):
            _check_identity(directory, identity)
            return False
        _format(directory, env, identity or Identity(new_cluster_id(), NODE_ID))
    except OSError as error:
        raise unusable(directory, error) from error
    return True


def has_data(directory: Directory) -> bool:
    """Whether the node was formatted, or something else lies where its data belong."""
    return directory.data.exists() and any(directory.data.iterdir())


def new_cluster_id() -> str:
    """Make an id that no other cluster has, as Kafka writes one."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _check_identity(directory: Directory, wanted: Identity | None) -> None:
    found = _identity_of(directory.data / "meta.properties")
    if found is None:
        raise BrokerError(
            f"{directory.data} holds files but no readable meta.properties: formatting was cut short, or files were lost. "
            f"Restore it from a backup; if it holds nothing you need, delete {directory.root} and start again"
        )
    expected = wanted or _identity_given(directory)
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


def _identity_given(directory: Directory) -> Identity | None:
    try:
        return msgspec.json.decode((directory.root / "identity.json").read_bytes(), type=Identity)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _identity_of(meta: Path) -> Identity | None:
    try:
        lines = meta.read_text("utf-8").splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        return Identity(values["cluster.id"], int(values["node.id"]))
    except (FileNotFoundError, UnicodeDecodeError, KeyError, ValueError):
        return None


def _format(directory: Directory, env: Mapping[str, str], identity: Identity) -> None:
    """Format beside the final place, so that `data/` is there whole or not at all."""
    fresh = directory.root / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)  # of a format that was cut short: nothing was ever stored in it
    settings = directory.root / "format.properties"
    text = directory.properties.read_text("ascii")
    settings.write_text(text + properties({"log.dirs": str(fresh)}), "ascii")
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
