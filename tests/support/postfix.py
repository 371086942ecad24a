"""
Real Postfix instances in directories of their own, on loopback addresses and high ports. They need root.

An instance touches nothing of the machine's own Postfix: its configuration, queue, data and log lie below its
directory, and it is stopped by the pid that its master wrote. Mail for its domain lands in `mail/`, one file each.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Self

import psutil  # type: ignore[import-untyped] # it ships no types
import pytest

START_S = 20.0
STOP_S = 20.0
NOBODY_UID = 65534

_SERVICES = """
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
retry     unix  - - n - - error
error     unix  - - n - - error
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


def why_not_here() -> str:
    """Why no Postfix can be run here; "" if one can."""
    if shutil.which("postfix") is None or shutil.which("postconf") is None:
        return "there is no Postfix on this machine (apt-get install postfix)"
    return "" if os.geteuid() == 0 else "starting a Postfix instance needs root"


def require_postfix() -> None:
    """Skip with the reason where Postfix cannot run; in CI that is a failure."""
    reason = why_not_here()
    if reason and os.environ.get("CI"):
        pytest.fail(f"CI must have a Postfix: {reason}")
    if reason:
        pytest.skip(reason)


class Postfix:
    """One instance, running."""

    def __init__(self, directory: Path, host: str, port: int, domain: str) -> None:
        self.directory = directory
        self.host = host
        self.port = port
        self.domain = domain
        self.config_dir = directory / "etc"
        self.mailbox = directory / "mail" / "box" / "new"
        self._log = directory / "maillog"

    @property
    def log(self) -> str:
        """All that it logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def mails(self) -> list[EmailMessage]:
        """What lies in the mailbox of its domain, oldest first."""
        files = sorted(self.mailbox.glob("*"), key=lambda file: file.stat().st_mtime_ns)
        parser = BytesParser(policy=policy.default)
        return [parser.parsebytes(file.read_bytes()) for file in files]

    def subjects(self) -> list[str]:
        """The subjects of `mails`."""
        return [str(mail["Subject"]) for mail in self.mails()]

    def run(self, *command: str) -> str:
        """Run a Postfix command on this instance."""
        program, *args = command
        done = subprocess.run(
            [program, "-c", str(self.config_dir), *args], capture_output=True, text=True, timeout=START_S, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}{self.log}"
        return done.stdout

    def set(self, **parameters: str) -> None:
        """Change parameters and let them take hold."""
        self.run("postconf", "-e", *(f"{name}={value}" for name, value in parameters.items()))
        self.reload()

    def reload(self) -> None:
        """Let changed parameters take hold."""
        self.run("postfix", "reload")

    def start(self) -> None:
        """Start the master and wait for its greeting."""
        self.run("postfix", "start")
        wait_for(f"a greeting of {self.host}:{self.port}", self._greets, START_S, lambda: self.log)

    def stop(self) -> None:
        """End the master by its own pid; its children end with it."""
        pid_file = self.directory / "queue" / "pid" / "master.pid"
        if not pid_file.exists():
            return
        master = psutil.Process(int(pid_file.read_text()))
        family = [master, *master.children(recursive=True)]
        os.kill(master.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=STOP_S)
        assert not alive, f"Postfix of {self.directory} did not end: {alive}"

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as connection:
                return connection.recv(4) == b"220 "
        except OSError:
            return False


@contextmanager
def postfix(host: str, port: int, domain: str, **parameters: str) -> Iterator[Postfix]:
    """Build and run an instance; gone, with its directory, at the end."""
    # Not pytest's own directory: only its owner may enter that, and Postfix works as a user of its own.
    directory = Path(tempfile.mkdtemp(prefix="patchgate-postfix-"))
    instance = Postfix(directory, host, port, domain)
    try:
        _build(instance, parameters)
        instance.start()
        yield instance
    finally:
        instance.stop()
        shutil.rmtree(directory)


def _build(instance: Postfix, parameters: Mapping[str, str]) -> None:
    directory = instance.directory
    directory.chmod(0o755)
    for name in ("etc", "queue", "data", "mail"):
        (directory / name).mkdir(mode=0o755)
    shutil.chown(directory / "data", "postfix")
    os.chown(directory / "mail", NOBODY_UID, NOBODY_UID)
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": str(directory / "queue"),
        "data_directory": str(directory / "data"),
        "maillog_file": str(directory / "maillog"),
        "maillog_file_prefixes": str(directory),
        "inet_interfaces": "loopback-only",
        "inet_protocols": "all",
        "smtp_bind_address": instance.host,
        "myhostname": f"mx.{instance.domain}",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "alias_maps": "",
        "local_recipient_maps": "",
        "virtual_mailbox_domains": instance.domain,
        "virtual_mailbox_maps": "static:box/",
        "virtual_mailbox_base": str(directory / "mail"),
        "virtual_uid_maps": f"static:{NOBODY_UID}",
        "virtual_gid_maps": f"static:{NOBODY_UID}",
        "smtpd_peername_lookup": "no",
        "smtp_dns_support_level": "disabled",
        "smtputf8_enable": "no",
        "notify_classes": "",
        **parameters,
    }
    (directory / "etc" / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    smtpd = f"{instance.host}:{instance.port} inet n - n - - smtpd\n"
    (directory / "etc" / "master.cf").write_text(smtpd + _SERVICES)


def wait_for(what: str, condition: Callable[[], bool], timeout_s: float, tell: Callable[[], str] = str) -> float:
    """Wait until *condition* holds, and tell how long it took; fail with *what* and what *tell* adds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s: {what}\n{tell()}"
        time.sleep(0.05)
    return time.monotonic() - began


def unfolded(text: str) -> str:
    """Give a text of an NDR with its folds undone, for Postfix folds long replies."""
    return re.sub(r"\s+", " ", text)


class SmtpClient:
    """A client that can say what `smtplib` cannot: XCLIENT."""

    def __init__(self, server: Postfix, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((server.host, server.port), timeout=30, source_address=(source, 0))
        self._file = self._socket.makefile("rb")
        self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._socket.close()

    def read(self) -> str:
        """Read one reply, its lines joined."""
        lines = []
        while True:
            line = self._file.readline().decode()
            assert line, "the server hung up"
            lines.append(line.rstrip())
            if line[3:4] != "-":
                return "\n".join(lines)

    def ask(self, command: str) -> str:
        """Send a command and read its reply."""
        self._socket.sendall(command.encode() + b"\r\n")
        return self.read()

    def must(self, command: str, code: str) -> None:
        """Send a command whose reply must have *code*."""
        reply = self.ask(command)
        assert reply.startswith(code), f"{command}: {reply}"

    def send(
        self, content: str, sender: str = "a@alt.example", recipients: tuple[str, ...] = ("b@neu.example",)
    ) -> str:
        """Send one message; give the reply to its end."""
        self.must(f"MAIL FROM:<{sender}>", "250")
        for recipient in recipients:
            self.must(f"RCPT TO:<{recipient}>", "250")
        self.must("DATA", "354")
        return self.ask(content.replace("\n", "\r\n") + "\r\n.")
