"""
Kafka Streams with a bare count per server, over the same `sightings`, beside our enforcer.

Java, exactly_once_v2, one thread, an in-memory store with its changelog, all else as Kafka Streams ships it. Its jars and
Eclipse's compiler are pinned in `peer_streams/jars.lock` and fetched once; they run on the Java that our broker runs on.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.count_rate import Rate, counted
from bench.peers import MissingError
from bench.stack import PREFIX, BenchError, Place
from bench.table import Tell
from shared.messaging import jars, kafka_node
from shared.messaging import topics as t

_HERE = Path(__file__).with_suffix("")
_LOCK = _HERE / "jars.lock"
_ENDPOINT = (
    f"org.apache.kafka:kafka-streams:{jars.KAFKA_VERSION}+org.slf4j:slf4j-jdk14:1.7.36+org.eclipse.jdt:ecj:3.43.0"
)
_COMPILE_S = 120.0
_STOP_S = 30.0
_WARM_UPS, _ROUNDS = 15, 5
_QUICK = 2


def rates(where: Place, mode: str, end: int, tell: Tell, *, quick: bool) -> list[Rate]:
    """
    One rate a round. mode: `key` (the server is the record's key) or `value` (read out of the JSON).

    Every round counts the topic up to *end* anew, all in one Java machine. It gets faster for over half a million records, so
    fifteen rounds warm it up and are thrown away.

    Raises:
        MissingError: jars or Java cannot be had here.
        BenchError: it does not compile, or ends.
    """
    with _program(where, mode) as process:
        found = []
        warm_ups, measured = (_QUICK, _QUICK) if quick else (_WARM_UPS, _ROUNDS)
        for number in range(warm_ups + measured):
            group = f"streams-{mode}-{number}"
            if process.stdin is None:
                raise BenchError("cannot be: it was started with an input")
            process.stdin.write(f"{group}\n".encode())
            process.stdin.flush()
            found.append(counted(where, process, group, end))
            tell(f"Kafka Streams by {mode}, round {number + 1}: {found[-1].per_cpu_s:,.0f} a CPU second")
        return found[warm_ups:]


@contextmanager
def _program(where: Place, mode: str) -> Iterator[subprocess.Popen[bytes]]:
    directory = where.directory / f"streams-{mode}"
    directory.mkdir()
    (directory / "tmp").mkdir()
    node = kafka_node.Directory(directory)
    try:
        class_path = jars.ensure(jars=jars.pinned(_LOCK))
        _compile(node, class_path)
    except jars.BrokerError as error:
        raise MissingError(str(error)) from error
    arguments = [where.bootstrap, PREFIX + t.SIGHTINGS, str(directory / "state"), mode]
    env = kafka_node.environment([directory, *class_path])
    with (directory / "out").open("wb") as out:
        command = kafka_node.command(node, "CountPerServer", *arguments)
        process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=_STOP_S)


def _compile(node: kafka_node.Directory, class_path: list[Path]) -> None:
    """By Eclipse's compiler, a plain jar: a Java without a compiler will do."""
    source = str(_HERE / "CountPerServer.java")
    arguments = ["-source", "17", "-target", "17", "-proc:none", "-nowarn", "-d", str(node.root), source]
    command = kafka_node.command(node, "org.eclipse.jdt.internal.compiler.batch.Main", *arguments)
    env = kafka_node.environment(class_path)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_COMPILE_S, check=False)
    if done.returncode:
        raise BenchError(f"CountPerServer.java does not compile: {done.stderr[-2000:]}")


if __name__ == "__main__":
    _LOCK.write_text(jars.resolve_anew(_ENDPOINT), "ascii")
