"""Sockets around a Kafka node: does one answer, and is a port free to put one on."""

import random
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

import psutil  # type: ignore[import-untyped] # it ships no types

from shared.messaging.jars import BrokerError

_POLL_S = 0.05
_PROBE_TIMEOUT_S = 2.0
_ROW_TRIES, _ROW_BETWEEN = 200, (20_000, 32_000)
_MAX_REPLY_BYTES = 1_000_000  # a metadata reply without topics has about 60, one with 10,000 partitions 500,000

_LOST_AFTER_S = 15.0  # a coordinator that will serve is found within a second, on a busy machine within a few
_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR = 14, 15, 16
_OFFSETS, _PROBE_GROUP = "__consumer_offsets", "patchgate.broker-start"


def ask(host: str, port: int, request: bytes) -> bytes:
    """
    Send one request to a Kafka, and return its reply, both without the length in front.

    Raises:
        OSError: nobody answers within 2 s, or with more than 1 MB.
    """
    with (
        socket.create_connection((host, port), timeout=_PROBE_TIMEOUT_S) as connection,
        connection.makefile("rb") as reply,
    ):
        connection.sendall(struct.pack(">i", len(request)) + request)
        size = int.from_bytes(reply.read(4), "big")
        return reply.read(size) if size <= _MAX_REPLY_BYTES else b""


def alive_brokers(host: str, port: int) -> int:
    """
    Ask a Kafka for its metadata, without topics: 0 means that it listens but does not serve yet.

    Returns:
        How many brokers it knows to be alive.

    Raises:
        OSError: nobody answers within 2 s, or not as Kafka does.

    Source: Kafka protocol, request header 1, Metadata request 1 (api key 3), Metadata response 1.
    """
    client = b"patchgate"
    content = ask(host, port, struct.pack(f">hhih{len(client)}si", 3, 1, 0, len(client), client, 0))
    try:
        _correlation, brokers = struct.unpack_from(">ii", content)
    except struct.error as error:
        raise OSError(f"{host}:{port} does not answer as Kafka does") from error
    return int(brokers)


def answers(bootstrap: str) -> bool:
    """Tell whether the Kafka at `host:port` serves now."""
    host, _, port = bootstrap.rpartition(":")
    with suppress(OSError):
        return alive_brokers(host.strip("[]"), int(port)) > 0
    return False


def await_answer(bootstrap: str, alive: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until the Kafka at `host:port` serves; False when its process is no longer *alive*, or after *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while alive() and time.monotonic() < deadline:
        if answers(bootstrap):
            return True
        time.sleep(_POLL_S)
    return False


def commits(bootstrap: str, group: str) -> int:
    """
    Commit an offset as *group*, and return Kafka's error code: 0 when its groups are served, 14 while they are loaded.

    The offset is of a partition that nobody reads for it: what counts is that the coordinator can write.

    Raises:
        OSError: nobody answers within 2 s, or not as Kafka does.

    Source: Kafka protocol, request header 1, OffsetCommit request 2 (api key 8), OffsetCommit response 2.
    """
    host, _, port = bootstrap.rpartition(":")
    request = struct.pack(">hhi", 8, 2, 0) + _text("patchgate") + _text(group)
    request += struct.pack(">i", -1) + _text("") + struct.pack(">qi", -1, 1) + _text(_OFFSETS)
    request += struct.pack(">iiq", 1, 0, 0) + _text("")
    content = ask(host.strip("[]"), int(port), request)
    try:
        (code,) = struct.unpack(">h", content[-2:])
    except struct.error as error:
        raise OSError(f"{bootstrap} does not answer as Kafka does") from error
    return int(code)


def _text(text: str) -> bytes:
    return struct.pack(f">h{len(text.encode())}s", len(text.encode()), text.encode())


def await_groups(bootstrap: str, alive: Callable[[], bool], lost_after_s: float = _LOST_AFTER_S) -> bool:
    """
    Wait until a Kafka that serves lets a group commit; False when for *lost_after_s* it neither does nor loads its groups.

    True also when its process is no longer *alive*, or refuses for another reason: both are for others to tell.
    """
    refused_since: float | None = None
    while alive():
        code = _NOT_AVAILABLE
        with suppress(OSError):
            code = commits(bootstrap, _PROBE_GROUP)
        if code not in {_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR}:
            return True
        now = time.monotonic()
        refused_since = None if code == _LOADING else refused_since or now
        if refused_since is not None and now - refused_since >= lost_after_s:
            return False
        time.sleep(_POLL_S)
    return True


def address(host: str, port: int) -> str:
    """Write host and port as Kafka clients take them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def free_port() -> int:
    """Let the system choose a loopback port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def free_row(count: int) -> int:
    """
    Find *count* loopback ports in a row that are free now, below those that the system hands out by itself.

    Raises:
        BrokerError: not in 200 tries.
    """
    for _ in range(_ROW_TRIES):
        first = random.randrange(*_ROW_BETWEEN)  # noqa: S311 - nobody is to be kept from guessing it
        with suppress(BrokerError):
            for port in range(first, first + count):
                check_free("127.0.0.1", port)
            return first
    raise BrokerError(f"no {count} free ports in a row on 127.0.0.1: name the first of some with --port")


def check_free(host: str, port: int) -> None:
    """
    Make sure that a broker could listen there.

    Raises:
        BrokerError: it could not; the text names who listens, as far as this system shows it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - refused, not bound
        raise BrokerError("the broker tells clients its address, so it needs one they can use: not the wildcard")
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        owner = _listener(port)
        taken = (
            f"{address(host, port)} is taken by {owner}"
            if owner
            else f"{address(host, port)} cannot be listened on ({error})"
        )
        raise BrokerError(f"{taken}: stop that, or choose another with --port or PATCHGATE_BROKER_PORT") from error


def _listener(port: int) -> str | None:
    """Name the program that listens on a port, if this system lets us see it."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return (
                    f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
                    if connection.pid
                    else "another user's process"
                )
    return None
