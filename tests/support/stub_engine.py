"""
A Docker engine as far as the broker fixture needs one: its API on a Unix socket, and one image, Kafka's own.

A container of it is what the image would run: the image's start is a class in Kafka's jars, which makes settings of the
environment and formats the storage; then comes the server. What stands for the container's walls is said where it is done.
"""

import json
import os
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

from shared.messaging import jars, kafka_node, probe

_CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"  # what the image's own start script takes where none is given
_LOGGING = "Configuration:\n  Loggers:\n    Root: {level: WARN, AppenderRef: {ref: STDOUT}}\n    Logger: []\n"
_START_S = 60.0
_STOP_S = 30.0


class StubEngine:
    """Its containers, at most one at a time. images: those it has; created: what it was asked to create."""

    def __init__(self, root: Path, images: tuple[str, ...]) -> None:
        self.root = root
        self.images = images
        self.created: list[dict[str, Any]] = []
        self.process: subprocess.Popen[bytes] | None = None

    def create(self, body: dict[str, Any]) -> str:
        """A container's id."""
        self.created.append(body)
        return f"{len(self.created):064x}"

    def start(self) -> None:
        """Do what the image does at its start."""
        wanted = dict(pair.split("=", 1) for pair in self.created[-1]["Env"])
        settings = self.root / "config"
        for folder in ("default", "mounted", "config", "tmp"):
            (self.root / folder).mkdir()
        (self.root / "default" / "server.properties").write_text("")
        for name in ("log4j2.yaml", "tools-log4j2.yaml"):
            (self.root / "default" / name).write_text(_LOGGING)
        folders = [f"--{name}-configs-dir={self.root / folder}" for name, folder in _FOLDERS]
        directory = kafka_node.Directory(self.root)
        env = {**kafka_node.environment(jars.ensure()), "CLUSTER_ID": _CLUSTER_ID, **self._walled(wanted)}
        with (self.root / "out").open("wb") as out:
            setup = kafka_node.command(directory, "kafka.docker.KafkaDockerWrapper", "setup", *folders)
            subprocess.run(setup, env=env, stdout=out, stderr=out, timeout=_START_S, check=True)
            server = kafka_node.command(directory, "kafka.Kafka", str(settings / "server.properties"))
            self.process = subprocess.Popen(server, env=env, stdout=out, stderr=out)

    def _walled(self, wanted: dict[str, str]) -> dict[str, str]:
        """A container has files and ports of its own; only those that are published are the host's."""
        port = str(probe.free_port())
        own = {name: text.replace("9093", port) for name, text in wanted.items()}
        return {**own, "KAFKA_LOG_DIRS": str(self.root / "data")}

    def remove(self) -> None:
        """End the container, as `remove --force` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_STOP_S)


_FOLDERS = (("default", "default"), ("mounted", "mounted"), ("final", "config"))


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def stub_engine(root: Path, *, images: tuple[str, ...]) -> Iterator[tuple[StubEngine, str]]:
    """Run an engine until the block ends; gives it with its DOCKER_HOST. Its container ends with it."""
    engine = StubEngine(root, images)
    handler = type("Handler", (_Handler,), {"engine": engine})
    address = f"/tmp/patchgate-engine-{os.getpid()}.sock"  # noqa: S108 (a Unix socket's path must be short)
    Path(address).unlink(missing_ok=True)
    with _Server(address, handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield engine, f"unix://{address}"
        finally:
            server.shutdown()
            engine.remove()
            Path(address).unlink(missing_ok=True)


class _Handler(BaseHTTPRequestHandler):
    """The few calls that the client libraries make."""

    engine: ClassVar[StubEngine]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/_ping"):
            self._answer(200, "OK")
        elif path.endswith("/version"):
            self._answer(200, {"ApiVersion": "1.43", "MinAPIVersion": "1.24", "Os": "linux"})
        elif "/images/" in path and path.endswith("/json"):
            self._image(path.partition("/images/")[2].removesuffix("/json"))
        elif path.endswith("/json") and "/containers/" in path:
            self._answer(
                200, {"Id": path.split("/")[-2], "Name": "/kafka", "State": {"Status": "running"}, "Config": {}}
            )
        else:
            self._answer(404, {"message": f"the stub knows no GET {path}"})

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.endswith("/containers/create"):
            self._answer(201, {"Id": self.engine.create(json.loads(body)), "Warnings": []})
        elif path.endswith("/start"):
            self.engine.start()
            self._answer(204, None)
        elif path.endswith("/images/create"):
            self._answer(500, {"message": "the registry is out of reach"})
        else:
            self._answer(404, {"message": f"the stub knows no POST {path}"})

    def do_DELETE(self) -> None:
        self.engine.remove()
        self._answer(204, None)

    def _image(self, name: str) -> None:
        if name in self.engine.images:
            self._answer(200, {"Id": "sha256:" + "0" * 64, "RepoTags": [name]})
        else:
            self._answer(404, {"message": f"No such image: {name}"})

    def _answer(self, code: int, value: object) -> None:
        body = b"" if value is None else value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class has it)
        """Say nothing: a test tells by its result."""
