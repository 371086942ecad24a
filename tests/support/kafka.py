"""A real Kafka for the tests: the one you name, else a container, else the embedded broker; never an emulator."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it ships no types
import pytest

from shared.messaging import embedded, jars, kafka_node, probe

IMAGE = f"apache/kafka:{jars.KAFKA_VERSION}"
ENGINE_TIMEOUT_S = 1  # an engine that takes longer to say hello is no help to a test
# What tests need to happen in moments instead of minutes.
FAST_SETTINGS = {
    "log.cleaner.backoff.ms": "200",
    "log.retention.check.interval.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "group.min.session.timeout.ms": "500",
    "log.flush.interval.ms": "9223372036854775807",  # no power cut in a test: leave the disk to the others
}


def engine_answers() -> bool:
    """Tell, within about a second, whether a Docker engine can be used."""
    import docker  # type: ignore[import-untyped] # no types  # noqa: PLC0415 - half a second that other tests need not wait

    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT_S)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (docker.errors.DockerException, OSError):
        return False


@pytest.fixture(scope="session")
def broker_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Lend the session's one Kafka as `host:port`."""
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield named
    elif engine_answers():
        yield from _container()
    else:
        yield from embedded_broker(tmp_path_factory.mktemp("kafka"))


def embedded_broker(state_dir: Path) -> Iterator[str]:
    """Run the embedded broker with settings for tests, and see it gone at the end."""
    handle = embedded.start(state_dir, port=probe.free_port(), settings=FAST_SETTINGS)
    try:
        yield handle.bootstrap
    finally:
        embedded.stop(state_dir)
        assert not psutil.pid_exists(handle.pid), f"broker {handle.pid} outlived the tests"


def _container() -> Iterator[str]:
    """Run the same node as docker-compose.yml in a container; it listens where the host does, so it can name its address."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - as docker above

    port = probe.free_port()
    settings = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": "1@localhost:9093",
        **kafka_node.SETTINGS,
        **FAST_SETTINGS,
    }
    container = DockerContainer(IMAGE).with_bind_ports(port, port)
    for key, value in settings.items():
        container.with_env("KAFKA_" + key.upper().replace(".", "_"), value)
    with container:
        bootstrap = f"127.0.0.1:{port}"
        assert probe.await_answer(bootstrap, lambda: True, embedded.START_TIMEOUT_S), f"{IMAGE} does not answer"
        yield bootstrap


@pytest.fixture
def prefix() -> str:
    """Make a topic prefix that no other test has."""
    return f"t-{uuid.uuid4().hex[:12]}."
