"""A real Postfix with the lines of `patchgate recipe postfix-log`: what it logs of mails, `patchgate look` reads to the right builds."""

import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import run
from services.cli.edge import recipe
from shared.messaging.probe import free_port
from tests.support.mailboxes import FIRST, exchange_line
from tests.support.postfix import Postfix, SmtpClient, postfix, require_postfix, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.postfix]

LONG = "ex07.a-rather-long-name-of-a-host.corp.alt.example"
INNER = exchange_line("inner.example", "14.3.123.4", FIRST)
ATTACHED = (
    f'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: message/rfc822\n\n{INNER}\nhello\n--x--\n'
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    """A Postfix that was set up by what the recipe prints."""
    require_postfix()
    with postfix("127.0.0.1", free_port(), "neu.example", smtpd_authorized_xclient_hosts="127.0.0.0/8") as instance:
        _in_shell(instance, _recipe(instance))
        yield instance


def _recipe(instance: Postfix) -> str:
    done = CliRunner().invoke(recipe, ["postfix-log", "--config-dir", str(instance.config_dir)])
    assert done.exit_code == 0, done.output
    return done.stdout


def _in_shell(instance: Postfix, script: str) -> None:
    environment = {**os.environ, "MAIL_CONFIG": str(instance.config_dir)}
    done = subprocess.run(
        ["bash", "-e"], input=script, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def _send(server: Postfix, address: str, name: str, helo: str, content: str) -> None:
    with SmtpClient(server) as client:
        client.must("EHLO relay", "250")
        client.must(f"XCLIENT NAME={name} ADDR={address}", "220")
        client.must(f"EHLO {helo}", "250")
        assert client.send(content).startswith("250")


def _looked(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["look", str(path), "--json", "--jobs", "1"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_the_log_gives_the_builds(server: Postfix, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest foreign line of each mail counts, however long its host; neither our line nor an attached mail does."""
    qmail = "Received: (qmail 12300 invoked from network); 7 Sep 2026 08:00:00 -0000\n"
    _send(server, "192.0.2.7", LONG, LONG, exchange_line(LONG, "15.1.2507.27", FIRST) + INNER + "Subject: 1\n\nx\n")
    eighth = exchange_line("ex8.example", "15.2.1544.14", FIRST)
    _send(server, "192.0.2.8", "[UNAVAILABLE]", "ex8.example", eighth + ATTACHED)
    _send(server, "192.0.2.9", "qmail.example", "qmail.example", f"{qmail}{INNER}\nx\n")
    _send(server, "IPV6:2001:db8::9", "plain.example", "x>: patchgate [by evil.example", f"Subject: 4\n{ATTACHED}")
    wait_for("four mails behind the queue", lambda: server.log.count("status=sent") == 4, 30, lambda: server.log)

    log = tmp_path / "mail.log.1.gz"
    log.write_bytes(gzip.compress(server.log.encode(errors="replace")))
    report = _looked(log, capsys)

    found = {one["name"]: (one["reading"]["shown"], one["tie"], one["peers"]) for one in report["fleet"]["servers"]}
    assert found == {
        LONG: ([15, 1, 2507, 27], "verified", ["192.0.2.7"]),
        "ex8.example": ([15, 2, 1544, 14], "helo", ["192.0.2.8"]),
    }
    assert (report["read"]["mails"], report["read"]["no_lines"], report["read"]["peers"]) == (4, 0, 4)
    assert report["read"]["own"] == ["mx.neu.example"]
    assert report["read"]["products"] == {
        "": 1,
        "Microsoft Exchange 2016": 1,
        "Microsoft Exchange 2019": 1,
        "qmail": 1,
    }


def test_the_undo_lines_leave_nothing(server: Postfix) -> None:
    """After them the Postfix is as it was."""
    printed = _recipe(server)
    assert "nothing to do" in printed
    undo = printed.partition("# Undo:\n")[2].partition("\n\n")[0]
    _in_shell(server, "".join(line.removeprefix("# ") + "\n" for line in undo.splitlines()))
    changed = server.run("postconf", "-n")
    assert "header_checks" not in changed
    assert not (server.config_dir / "patchgate_received").exists()
