"""A real Kafka for the tests: the one you name, else a container, else the embedded broker; never an emulator."""

import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    yield from kafka_for_tests(lambda: tmp_path_factory.mktemp("kafka"))


def kafka_for_tests(state_dir: Callable[[], Path]) -> Iterator[str]:
    """Lend a Kafka: the one you name, else a container where an engine answers, else the embedded one in *state_dir*."""
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield named
    elif engine_answers():
        yield from container_or_embedded(state_dir)
    else:
        yield from embedded_broker(state_dir())


def container_or_embedded(state_dir: Callable[[], Path]) -> Iterator[str]:
    """Run a container; an engine that has no image and gets none is told of, and the embedded broker serves."""
    import docker  # noqa: PLC0415 - as above

    container, bootstrap = _container()
    try:
        container.start()
    except docker.errors.DockerException as error:
        warnings.warn(f"the Docker engine cannot run {IMAGE} ({error}): the embedded broker serves", stacklevel=2)
        yield from embedded_broker(state_dir())
        return
    try:
        assert probe.await_answer(bootstrap, lambda: True, embedded.START_TIMEOUT_S), f"{IMAGE} does not answer"
        yield bootstrap
    finally:
        container.stop()


def embedded_broker(state_dir: Path) -> Iterator[str]:
    """Run the embedded broker with settings for tests, and see it gone at the end."""
    handle = embedded.start(state_dir, port=probe.free_port(), settings=FAST_SETTINGS)
    try:
        yield handle.bootstrap
    finally:
        embedded.stop(state_dir)
        assert not psutil.pid_exists(handle.pid), f"broker {handle.pid} outlived the tests"


def _container() -> tuple[Any, str]:
    """
    Make the same node as docker-compose.yml as a container, not started, and where it will listen.

    It listens where the host does, so that it can name its address.
    """
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
    return container, f"127.0.0.1:{port}"


@pytest.fixture
def prefix() -> str:
    """Make a topic prefix that no other test has."""
    return f"t-{uuid.uuid4().hex[:12]}."
