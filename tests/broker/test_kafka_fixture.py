"""Which Kafka the tests get: the one that is named, else a container, else the embedded broker; told by what really runs."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from shared.messaging import admin, probe
from tests.support import kafka
from tests.support.stub_engine import StubEngine, stub_engine

pytestmark = pytest.mark.broker


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where nobody named a Kafka or an engine, and without the helper container that cleans up."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")


def _nowhere() -> Path:
    raise AssertionError("the embedded broker was asked for")


@contextmanager
def engine(root: Path, monkeypatch: pytest.MonkeyPatch, image: str = kafka.IMAGE) -> Iterator[StubEngine]:
    """Run a stub engine that has *image*, and let DOCKER_HOST name it."""
    root.mkdir()
    with stub_engine(root, images=(image,)) as (one, address):
        monkeypatch.setenv("DOCKER_HOST", address)
        yield one


def test_the_kafka_that_is_named_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over an engine that answers and over the embedded one; nothing is started."""
    with engine(tmp_path / "engine", monkeypatch) as one:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
        assert list(kafka.kafka_for_tests(_nowhere)) == ["kafka.example:9092"]
    assert one.created == []


async def test_a_container_of_the_image_is_a_kafka_that_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings, through the start of the image, make a node that answers at the published port, and then is gone."""
    with engine(tmp_path / "engine", monkeypatch) as one:
        with closing(kafka.kafka_for_tests(_nowhere)) as lent:  # type: ignore[type-var] # a generator can be closed
            bootstrap = next(lent)
            host, _, port = bootstrap.partition(":")
            assert host == "127.0.0.1"
            assert one.created[0]["HostConfig"]["PortBindings"] == {f"{port}/tcp": [{"HostIp": "", "HostPort": port}]}
            made = await admin.apply(bootstrap, "t.", partitions=2)
            assert all(change.created for change in made)
            assert await admin.check(bootstrap, "t.", 2) == []
        assert one.process is not None
        assert one.process.poll() is not None
    assert not probe.answers(bootstrap)


def test_an_engine_without_the_image_is_told_and_the_embedded_broker_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with Docker and no way to the registry runs the tests all the same."""
    monkeypatch.setattr(kafka, "embedded_broker", lambda state_dir: iter([f"embedded in {state_dir.name}"]))
    with (
        engine(tmp_path / "engine", monkeypatch, image="other:1"),
        pytest.warns(UserWarning, match=r"cannot run apache/kafka.*registry is out of reach"),
    ):
        assert list(kafka.kafka_for_tests(lambda: tmp_path / "state")) == ["embedded in state"]


def test_an_engine_that_hangs_costs_about_a_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It takes the connection and never answers; then the embedded broker serves."""
    import docker  # type: ignore[import-untyped] # no types  # noqa: F401, PLC0415 (its import takes half a second by itself)

    monkeypatch.setattr(kafka, "embedded_broker", lambda state_dir: iter([state_dir.name]))
    address = tmp_path / "e.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{address}")
        began = time.monotonic()
        assert list(kafka.kafka_for_tests(lambda: tmp_path / "state")) == ["state"]
        took_s = time.monotonic() - began
    assert kafka.ENGINE_TIMEOUT_S <= took_s < kafka.ENGINE_TIMEOUT_S + 1


@pytest.mark.parametrize("host", ["unix:///nowhere/e.sock", "tcp://127.0.0.1:1", "nonsense://"])
def test_no_engine_costs_nothing(host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody listens, or the address is none."""
    monkeypatch.setattr(kafka, "embedded_broker", lambda state_dir: iter([state_dir.name]))
    monkeypatch.setenv("DOCKER_HOST", host)
    assert list(kafka.kafka_for_tests(lambda: tmp_path / "state")) == ["state"]
