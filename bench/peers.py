"""
What a receiver could put there instead of an edge, each started on a Unix socket below a directory that Postfix reaches.

A peer that cannot be had here raises `MissingError` with the reason and the way to get it; the benchmark says so and goes on.
"""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from bench import decision_file
from bench.fresh import fresh
from bench.machine import first_line
from bench.stack import ROOT, BenchError, Place, service, wait_for
from bench.world import name_of
from shared.messaging import probe

VENV = ROOT / ".state" / "bench-venv"
_HERE = Path(__file__).parent
_START_S = 30.0
_STOP_S = 10.0
_INSTALL_S = 180.0

_RSPAMD = """
options {{ filters = ""; dns {{ nameserver = ["127.0.0.1"]; }} tempdir = "{directory}"; pidfile = "{directory}/pid"; }}
logging {{ type = "file"; filename = "{directory}/log"; level = "warning"; }}
lua = "{directory}/own.lua";
modules {{ path = "$PLUGINSDIR/multimap.lua"; }}
actions {{ reject = 1000; }}
multimap {{ known {{ type = "helo"; map = "{directory}/map"; symbol = "KNOWN"; score = 0.0; }} }}
worker "rspamd_proxy" {{
    bind_socket = "{path} mode=0666";
    milter = yes; count = 1; timeout = 120s;
    upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""


_RSPAMD_LUA = 'require "global_functions" ()\n'
"""What its modules need; the file that it ships would load rules of its own as well."""


class MissingError(Exception):
    """A peer cannot be had here; the text says why and how to get it."""


Peer = Callable[[Path, int], AbstractContextManager[str]]
"""Runs in a directory, knowing so many servers; gives its version."""


def socket_in(directory: Path) -> Path:
    """Where a peer listens."""
    return directory / "socket"


@contextmanager
def edge(directory: Path, servers: int) -> Iterator[str]:
    """Our edge, without a Kafka, by its cold-start file."""
    where = Place(f"127.0.0.1:{probe.free_port()}", directory)
    (directory / "edge").mkdir()
    fresh(decision_file.write, directory / "edge" / "edge-edge.cold", servers, datetime.now(UTC))
    settings = {"milter_sockets": f"unix:{socket_in(directory)}", "never_judged": "192.0.2.0/24"}
    with service("edge", where, **settings) as one:
        one.wait_ready()
        log = (directory / "edge" / "log").read_text()
        if f'"servers": {servers}' not in log:
            raise BenchError(f"the edge has not read its table: {log[-2000:]}")
        yield ""


@contextmanager
def null_in_c(directory: Path, servers: int) -> Iterator[str]:
    """The least milter in C."""
    del servers
    if shutil.which("gcc") is None:
        raise MissingError("no C compiler here: `apt-get install gcc libmilter-dev`")
    program = directory / "null_milter"
    command = ["gcc", "-O2", "-o", str(program), str(_HERE / "null_milter.c"), "-lmilter", "-lpthread"]
    if subprocess.run(command, capture_output=True, timeout=_INSTALL_S, check=False).returncode:
        raise MissingError("libmilter is not here: `apt-get install libmilter-dev`")
    with _running([str(program), f"unix:{socket_in(directory)}"], directory):
        yield ""


@contextmanager
def pymilter(directory: Path, servers: int) -> Iterator[str]:
    """The least milter with pymilter."""
    del servers
    version = installed("pymilter", "needs a C compiler and libmilter-dev")
    with _running(
        [str(VENV / "bin" / "python"), str(_HERE / "peer_pymilter.py"), str(socket_in(directory))], directory
    ):
        yield version


@contextmanager
def purepythonmilter(directory: Path, servers: int) -> Iterator[str]:
    """The least milter with purepythonmilter."""
    del servers
    version = installed("purepythonmilter", "needs a package index")
    with _running(
        [str(VENV / "bin" / "python"), str(_HERE / "peer_purepython.py"), str(socket_in(directory))], directory
    ):
        yield version


@contextmanager
def rspamd(directory: Path, servers: int) -> Iterator[str]:
    """A rspamd that does nothing but look up the name of HELO in a map of all servers."""
    if shutil.which("rspamd") is None:
        raise MissingError("no rspamd here: `apt-get install rspamd`")
    (directory / "map").write_text("".join(f"{name_of(number)}\n" for number in range(servers)))
    config = directory / "rspamd.conf"
    config.write_text(_RSPAMD.format(directory=directory, path=socket_in(directory)))
    (directory / "own.lua").write_text(_RSPAMD_LUA)
    # It leaves root by itself, for the user who must then read and write here.
    shutil.chown(directory, "_rspamd", "_rspamd")
    with _running(["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", str(config)], directory):
        yield first_line(["rspamd", "--version"]).rpartition(" ")[2]


def installed(package: str, needs: str) -> str:
    """Put *package* into the peers' environment, which is made once; its version."""
    python = VENV / "bin" / "python"
    log = VENV.parent / "bench-venv.log"
    log.parent.mkdir(exist_ok=True)
    commands = [] if python.exists() else [[sys.executable, "-m", "venv", str(VENV)]]
    commands.append([str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", package])
    with log.open("wb") as out:
        for command in commands:
            done = subprocess.run(command, stdout=out, stderr=out, timeout=_INSTALL_S, check=False)
            if done.returncode:
                raise MissingError(f"`pip install {package}` failed; it {needs}")
    name = package.partition("=")[0]
    return first_line([str(python), "-c", f"import importlib.metadata as m; print(m.version({name!r}))"])


@contextmanager
def _running(command: Sequence[str], directory: Path) -> Iterator[None]:
    """Run a peer until the block ends; it listens when the block begins."""
    with (directory / "out").open("wb") as out:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            wait_for(f"{command[0]} listens", lambda: _listens(process, directory, out), _START_S)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_S)


def _listens(process: subprocess.Popen[bytes], directory: Path, out: IO[bytes]) -> bool:
    if process.poll() is not None:
        raise BenchError(f"a peer ended at once: {Path(out.name).read_text(errors='replace')[-2000:]}")
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(socket_in(directory)))
        except OSError:
            return False
    return True
