"""A real rspamd with the lines of `patchgate recipe rspamd`: what it remembers of a mail, `patchgate look` reads to the right build."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from services.cli.__main__ import run
from services.cli.look.rspamd import RULE
from shared.messaging.probe import free_port
from tests.support.mailboxes import FIRST, exchange_line
from tests.support.postfix import wait_for

pytestmark = [pytest.mark.e2e]


LOADED_S = 180  # reading its configuration takes an rspamd ten seconds of a core


def test_a_real_rspamd_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe's lines load, and the history that it keeps in Redis is read to the right build."""
    missing = [name for name in ("rspamd", "redis-server") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)} (apt-get install rspamd redis-server)")
    mail = exchange_line("ex.example", "15.1.2507.27", FIRST) + exchange_line("in.example", "14.3.123.4", FIRST)
    history = tmp_path / "history.json"
    with _rspamd() as (scan, control):
        known = {"IP": "192.0.2.7", "Helo": "ex.example", "Hostname": "ex.example"}
        httpx.post(f"{scan}/checkv2", content=f"{mail}Subject: x\n\nx\n", headers=known, timeout=20).raise_for_status()

        def told() -> bool:
            history.write_text(httpx.get(f"{control}/history", headers={"Password": "q"}, timeout=20).text)
            return "192.0.2.7" in history.read_text()

        wait_for("a row of the history", told, 20)
    assert run(["look", str(history), "--json", "--jobs", "1"]) == 0
    [server] = json.loads(capsys.readouterr().out)["fleet"]["servers"]
    assert (server["peers"], server["tie"], server["reading"]["shown"]) == (["192.0.2.7"], "helo", [15, 1, 2507, 27])


_CONFIG = """
options {{ filters = ""; dns {{ nameserver = ["127.0.0.1"]; }} tempdir = "{at}"; pidfile = "{at}/pid"; }}
logging {{ type = "file"; filename = "{at}/log"; level = "warning"; }}
lua = "{at}/rules.lua";
modules {{ path = "$PLUGINSDIR/history_redis.lua"; }}
redis {{ servers = "{at}/redis.sock"; }}
history_redis {{ compress = true; }}
worker "normal" {{ bind_socket = "127.0.0.1:{scan}"; count = 1; }}
worker "controller" {{ bind_socket = "127.0.0.1:{control}"; count = 1; password = "q"; }}
"""


@contextmanager
def _rspamd() -> Iterator[tuple[str, str]]:
    """An rspamd with the rule and a Redis of its own; where it scans, and where it tells."""
    at = Path(tempfile.mkdtemp(prefix="patchgate-rspamd-"))
    scan, control = free_port(), free_port()
    (at / "rules.lua").write_text(f'require "global_functions" ()\n{RULE}')
    (at / "conf").write_text(_CONFIG.format(at=at, scan=scan, control=control))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(at, "_rspamd", "_rspamd")
        as_user = ["-u", "_rspamd", "-g", "_rspamd"]
    commands = [
        ["redis-server", "--port", "0", "--unixsocket", f"{at}/redis.sock", "--unixsocketperm", "777", "--save", ""],
        ["rspamd", "-f", *as_user, "-c", f"{at}/conf"],
    ]
    running = [
        subprocess.Popen(command, cwd=at, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands
    ]
    try:
        wait_for(
            "an rspamd that answers", lambda: _answers(f"http://127.0.0.1:{scan}/ping"), LOADED_S, lambda: _log(at)
        )
        yield f"http://127.0.0.1:{scan}", f"http://127.0.0.1:{control}"
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(30)
        shutil.rmtree(at, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def _log(at: Path) -> str:
    return (at / "log").read_text() if (at / "log").exists() else "no log"
