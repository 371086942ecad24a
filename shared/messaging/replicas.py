"""
Who holds what in a cluster: which nodes are alive, which of them leads the controllers, and how whole each partition is.

Asked of one node over one short connection, so that looking needs no client and no event loop.
"""

from io import BytesIO
from typing import NamedTuple

from aiokafka.protocol.metadata import MetadataResponse_v1
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Schema, String, TaggedFields

from shared.messaging import probe

_METADATA, _DESCRIBE_QUORUM = 3, 55  # api keys
_HEADER_1 = Schema(("api_key", Int16), ("version", Int16), ("correlation", Int32), ("client", String("utf-8")))
_HEADER_2 = Schema(*zip(_HEADER_1.names, _HEADER_1.fields, strict=True), ("tags", TaggedFields))
_CLIENT = "patchgate"
_ALL_TOPICS = (-1).to_bytes(4, "big", signed=True)

# DescribeQuorum 0; of its answer only the first partition's leader is read, which stands in front.
_QUORUM_REQUEST = Schema(
    (
        "topics",
        CompactArray(
            ("topic", CompactString("utf-8")),
            ("partitions", CompactArray(("partition", Int32), ("tags", TaggedFields))),
            ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)
_METADATA_LOG = "__cluster_metadata"
_REPLY_HEADER = Schema(("correlation", Int32), ("tags", TaggedFields))
_ONE = b"\x02"  # a compact array's length is written plus one


class Partition(NamedTuple):
    """One partition. leader: -1 for none; replicas, in_sync: node ids."""

    topic: str
    number: int
    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]

    @property
    def lacks_copies(self) -> bool:
        """Whether a copy is behind, or its node away."""
        return len(self.in_sync) < len(self.replicas)


class Replicas(NamedTuple):
    """A cluster as one node sees it. alive: node ids; controller: the node that leads the controllers, -1 for none."""

    alive: frozenset[int]
    controller: int
    partitions: tuple[Partition, ...]

    def lacking(self) -> list[Partition]:
        """Partitions of which a copy is missing."""
        return [one for one in self.partitions if one.lacks_copies]

    def unwritable(self, min_in_sync: int) -> list[Partition]:
        """Partitions that take no record that must be on *min_in_sync* nodes."""
        return [one for one in self.partitions if len(one.in_sync) < min(min_in_sync, len(one.replicas))]


def look(host: str, port: int) -> Replicas:
    """
    Ask the node that listens there.

    Raises:
        OSError: nobody answers within 2 s, or not as Kafka does.

    Source: Kafka protocol, Metadata 1 and DescribeQuorum 0.
    """
    try:
        alive, partitions = _metadata(probe.ask(host, port, _request(_METADATA, 1, _ALL_TOPICS)))
        controller = _quorum_leader(probe.ask(host, port, _quorum_request()))
    except (ValueError, IndexError) as error:
        raise OSError(f"{host}:{port} does not answer as Kafka does") from error
    return Replicas(alive, controller, partitions)


def _request(api_key: int, version: int, body: bytes) -> bytes:
    return bytes(_HEADER_1.encode((api_key, version, 0, _CLIENT))) + body


def _quorum_request() -> bytes:
    header = bytes(_HEADER_2.encode((_DESCRIBE_QUORUM, 0, 0, _CLIENT, {})))
    return header + bytes(_QUORUM_REQUEST.encode(([(_METADATA_LOG, [(0, {})], {})], {})))


def _metadata(content: bytes) -> tuple[frozenset[int], tuple[Partition, ...]]:
    answer = MetadataResponse_v1.decode(BytesIO(content[4:])).to_object()  # behind the correlation id
    partitions = tuple(
        Partition(topic["topic"], one["partition"], one["leader"], tuple(one["replicas"]), tuple(one["isr"]))
        for topic in answer["topics"]
        for one in topic["partitions"]
    )
    return frozenset(broker["node_id"] for broker in answer["brokers"]), partitions


def _quorum_leader(content: bytes) -> int:
    """Read up to the first partition's leader; -1 where the node knows of none."""
    rest = BytesIO(content)
    _REPLY_HEADER.decode(rest)
    if Int16.decode(rest) != 0 or rest.read(1) != _ONE:
        return -1
    CompactString("utf-8").decode(rest)
    if rest.read(1) != _ONE:
        return -1
    Int32.decode(rest)
    error, leader = Int16.decode(rest), Int32.decode(rest)
    return leader if error == 0 else -1
