"""Two real Postfix instances, a real Kafka and a real edge: what a sender meets, and what its admin reads."""

import asyncio
import base64
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.domain.records import Decision
from shared.domain.verdict import window_start
from shared.messaging import probe
from shared.messaging import topics as t
from shared.runtime.clock import append_segment, begin_scaled
from tests.support.decisions import (
    BLOCK,
    BY_NAME,
    FLOOR_2007,
    PATCHED,
    PEER,
    THROTTLE,
    decision,
    heartbeat,
    line_2007,
    line_of,
    records_of,
)
from tests.support.edge_bus import make_topics, write
from tests.support.postfix import Postfix, SmtpClient, postfix, require_postfix, unfolded, wait_for
from tests.support.topic_io import ServiceProcess

pytestmark = [pytest.mark.postfix, pytest.mark.e2e]

SENDER_HOST, RECEIVER_HOST = "127.0.0.11", "127.0.0.12"
FROM_SENDER = f"{BY_NAME}@{SENDER_HOST}"
DELIVERY_S = 30.0
PASSWORD = "made-up"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Postfix]:
    """Run the receiver, with AUTH, and put patchgate in front by the recipe itself."""
    require_postfix()
    sasl = {"smtpd_sasl_auth_enable": "yes", "smtpd_authorized_xclient_hosts": "127.0.0.0/8"}
    with postfix(RECEIVER_HOST, probe.free_port(), "neu.example", **sasl) as instance:
        make_login(instance)
        (instance.directory / "queue" / "patchgate").mkdir()
        before = instance.run("postconf", "-n")
        recipe = print_recipe(instance)
        run_script(instance, recipe)
        yield instance
        undo = recipe.partition("# Undo:\n")[2].partition("\n\n")[0].replace("# ", "")
        run_script(instance, undo)
        assert instance.run("postconf", "-n") == before


@pytest.fixture(scope="module")
def sender(receiver: Postfix) -> Iterator[Postfix]:
    """Run the sender: its queue retries every second or two, and its own lines give way to those of an Exchange."""
    parameters = {
        "relayhost": f"[{receiver.host}]:{receiver.port}",
        "smtp_helo_name": BY_NAME,
        "minimal_backoff_time": "1s",
        "maximal_backoff_time": "2s",
        "queue_run_delay": "1s",
        "header_checks": "regexp:{{/^Received:.*\\(Postfix\\)/ IGNORE}}",
    }
    with postfix(SENDER_HOST, probe.free_port(), "alt.example", **parameters) as instance:
        yield instance


def make_login(instance: Postfix) -> None:
    """Give the instance one login of its own, kept below its directory."""
    sasl = instance.config_dir / "sasl"  # where Debian looks without being told; the parameter tells the others
    sasl.mkdir()
    users = sasl / "users.db"
    (sasl / "smtpd.conf").write_text(
        f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN\nsasldb_path: {users}\n"
    )
    command = ["saslpasswd2", "-c", "-p", "-f", str(users), "-u", f"mx.{instance.domain}", "anna"]
    subprocess.run(command, input=PASSWORD.encode(), check=True)
    users.chmod(0o644)
    instance.set(cyrus_sasl_config_path=str(sasl), smtpd_sasl_local_domain=f"mx.{instance.domain}")


def print_recipe(instance: Postfix) -> str:
    """Ask `patchgate recipe postfix` about the instance."""
    command = [sys.executable, "-m", "services.cli", "recipe", "postfix"]
    command += ["--socket", f"unix:{socket_of(instance)}", "--config-dir", str(instance.config_dir)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def run_script(instance: Postfix, script: str) -> None:
    """Run what the recipe printed, as an admin would, on the instance."""
    subprocess.run(
        ["sh", "-e"], input=script, text=True, check=True, env={**os.environ, "MAIL_CONFIG": str(instance.config_dir)}
    )


def socket_of(instance: Postfix) -> Path:
    """Where the edge listens: below the queue directory, as for a Postfix in a chroot."""
    return instance.directory / "queue" / "patchgate" / "edge.sock"


@pytest.fixture
def workplace(broker_bootstrap: str, prefix: str, receiver: Postfix, tmp_path: Path) -> "Workplace":
    """Give what an edge needs."""
    return Workplace(broker_bootstrap, prefix, receiver, tmp_path)


class Workplace:
    """Runs edges beside the receiver, on decisions written by hand."""

    def __init__(self, bootstrap: str, prefix: str, receiver: Postfix, state_dir: Path) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.receiver = receiver
        self.state_dir = state_dir

    @contextmanager
    def edge(
        self, *decisions: Decision, utc: datetime | None = None, clock_file: Path | None = None
    ) -> Iterator[ServiceProcess]:
        """Run an edge by *decisions*; its end must be clean unless the test killed it."""
        beat = heartbeat(decisions, h=utc or datetime.now(UTC))
        asyncio.run(self._write(records_of(decisions, beat)))
        process = ServiceProcess(
            "edge",
            self.state_dir,
            bootstrap=self.bootstrap,
            topic_prefix=self.prefix,
            edge="mx1",
            milter_sockets=f"unix:{socket_of(self.receiver)}",
            never_judged="127.0.0.1",
            clock_file=str(clock_file or ""),
        )
        try:
            asyncio.run(process.ready())
            yield process
        finally:
            process._process.send_signal(signal.SIGCONT)
            code = process.terminate()
        assert code in {0, -signal.SIGKILL}, process.log
        assert code or not socket_of(self.receiver).exists()

    async def _write(self, records: list[tuple[bytes, bytes]]) -> None:
        await make_topics(self.bootstrap, self.prefix)
        await write(self.bootstrap, self.prefix + t.DECISIONS, records)


def content_of(subject: str, line: str) -> str:
    """Give a message with an Exchange's line on top."""
    return f"Received: {line}\nFrom: a@alt.example\nTo: b@neu.example\nSubject: {subject}\n\nhello\n"


def queue(sender: Postfix, subject: str, line: str) -> None:
    """Hand a message to the sender's queue, as its users do."""
    with smtplib.SMTP(sender.host, sender.port, timeout=30) as client:
        client.sendmail("a@alt.example", ["b@neu.example"], content_of(subject, line))


def arrives(receiver: Postfix, subject: str, sender: Postfix | None = None) -> float:
    """Wait until a mail is in the receiver's mailbox; tell how long it took."""
    return wait_for(
        f"{subject} in the mailbox",
        lambda: subject in receiver.subjects(),
        DELIVERY_S,
        lambda: receiver.log + (sender.log if sender else ""),
    )


def test_throttled_mail_waits_in_the_queue_and_arrives(
    workplace: Workplace, sender: Postfix, receiver: Postfix, tmp_path: Path
) -> None:
    """Stage 2: inside the five minutes 450 and the text, then the sender's own queue delivers it."""
    hour = next(
        hour
        for hour in (datetime(2026, 11, 24, 0, tzinfo=UTC) + timedelta(hours=n) for n in range(24))
        if window_start("k7", FROM_SENDER, hour) < 50
    )
    utc = hour + timedelta(minutes=window_start("k7", FROM_SENDER, hour) + 1)
    clock_file = tmp_path / "clock"
    begin_scaled(clock_file, utc=utc, rate=0)
    with workplace.edge(decision(throttle=5, server=FROM_SENDER), utc=utc, clock_file=clock_file):
        queue(sender, "throttled", line_of())
        wait_for("a deferral", lambda: "status=deferred" in sender.log, DELIVERY_S, lambda: sender.log)
        assert f"said: {THROTTLE.format(5)}" in sender.log
        assert "throttled" not in receiver.subjects()
        append_segment(clock_file, rate=120)  # two minutes a second: the window ends two seconds from now
        arrives(receiver, "throttled", sender)
        assert "throttled" not in sender.run("postqueue", "-p")


def test_blocked_mail_bounces_with_the_text_in_the_sender_s_mailbox(
    workplace: Workplace, sender: Postfix, receiver: Postfix
) -> None:
    """The sender's user reads the 550 in a bounce, whole once its folds are undone; nothing arrives."""
    with workplace.edge(decision(block=60, server=FROM_SENDER)):
        queue(sender, "blocked", line_of())
        wait_for("an NDR", lambda: bool(sender.mails()), DELIVERY_S, lambda: sender.log + receiver.log)
        (ndr,) = sender.mails()
        assert BLOCK.format(60) in unfolded(ndr.as_string())
        assert "status=bounced" in sender.log
        assert "blocked" not in receiver.subjects()
        assert f"from unknown[{SENDER_HOST}]: {BLOCK.format(60).removeprefix('550 ')}" in receiver.log, [
            line for line in receiver.log.splitlines() if "milter-reject" in line
        ]


def test_patched_server_is_cured_by_its_own_line_at_sixty_minutes(
    workplace: Workplace, sender: Postfix, receiver: Postfix
) -> None:
    """Fully blocked, the server is patched: its first mail arrives, with nobody having released anything."""
    with workplace.edge(decision(block=60, server=FROM_SENDER)):
        queue(sender, "cured", line_of(PATCHED))
        arrives(receiver, "cured", sender)


def xclient(receiver: Postfix, address: str = PEER, name: str = "[UNAVAILABLE]", helo: str = BY_NAME) -> SmtpClient:
    """Connect as somebody else."""
    client = SmtpClient(receiver)
    client.must("EHLO test.example", "250")
    client.must(f"XCLIENT NAME={name} ADDR={address}", "220")
    client.must(f"EHLO {helo}", "250")
    return client


def test_verified_name_is_its_own_tie(workplace: Workplace, receiver: Postfix) -> None:
    """A case on the bare name holds for a client whose name DNS confirmed, whatever it says in HELO, and for no other."""
    old = content_of("verified", line_of())
    with workplace.edge(decision(block=60, server=BY_NAME)):
        with xclient(receiver, name=BY_NAME, helo="other.example") as client:
            assert client.send(old) == BLOCK.format(60)
        with xclient(receiver) as client:
            assert client.send(old).startswith("250")


def test_ipv6_peer_is_judged_by_its_subnet(workplace: Workplace, receiver: Postfix) -> None:
    """Another address of the same /64 is the same peer; one of the next /64 is not."""
    old = content_of("ipv6", line_2007(BY_NAME))
    with workplace.edge(decision(block=60, server=f"{BY_NAME}@2001:db8::/64", floor=FLOOR_2007)):
        with xclient(receiver, address="IPV6:2001:db8::7") as client:
            assert client.send(old) == BLOCK.format(60)
        with xclient(receiver, address="IPV6:2001:db8:0:1::7") as client:
            assert client.send(old).startswith("250")


def test_login_is_never_refused(workplace: Workplace, receiver: Postfix) -> None:
    """A user of ours may send through the most outdated server; without the login the same mail is refused."""
    with workplace.edge(decision(block=60, server=f"{BY_NAME}@{PEER}")), xclient(receiver) as client:
        assert client.send(content_of("no login", line_of())) == BLOCK.format(60)
        token = base64.b64encode(f"\0anna\0{PASSWORD}".encode()).decode()
        client.must(f"AUTH PLAIN {token}", "235")
        assert client.send(content_of("login", line_of())).startswith("250")


def test_postmaster_and_null_sender_are_never_refused(workplace: Workplace, receiver: Postfix) -> None:
    """Who is blocked can write to postmaster and send bounces; a message to both passes whole."""
    old = content_of("exceptions", line_of())
    with workplace.edge(decision(block=60, server=f"{BY_NAME}@{PEER}")), xclient(receiver) as client:
        assert client.send(old, recipients=("postmaster@neu.example",)).startswith("250")
        assert client.send(old, recipients=("b@neu.example", "Abuse@neu.example")).startswith("250")
        assert client.send(old, sender="").startswith("250")
        assert client.send(old) == BLOCK.format(60)


def passes_in(receiver: Postfix) -> float:
    """Send the old server's mail in a new session, see it pass, and tell the seconds from connect to 250."""
    began = time.monotonic()
    with SmtpClient(receiver, SENDER_HOST) as client:
        client.must(f"EHLO {BY_NAME}", "250")
        assert client.send(content_of("fail-open", line_of())).startswith("250"), receiver.log
    return time.monotonic() - began


@pytest.mark.parametrize(("how", "at_most_s"), [(signal.SIGKILL, 1.0), (signal.SIGSTOP, 4.0)])
def test_mail_passes_when_the_edge_does_not_answer(
    workplace: Workplace, receiver: Postfix, how: signal.Signals, at_most_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed: at once. Frozen: after the recipe's time-outs. Either way with 250, and refused again once it is back."""
    with workplace.edge(decision(block=60, server=FROM_SENDER)) as process:
        with SmtpClient(receiver, SENDER_HOST) as client:
            client.must(f"EHLO {BY_NAME}", "250")
            assert client.send(content_of("before", line_of())) == BLOCK.format(60)
        process._process.send_signal(how)
        took_s = passes_in(receiver)
        with capsys.disabled():
            sys.stdout.write(f"\n[fail-open, {how.name}: mail passed after {took_s:.2f} s]\n")
        assert took_s < at_most_s


def test_edge_killed_within_a_session_costs_no_mail(workplace: Workplace, receiver: Postfix) -> None:
    """A session that was being judged goes on unjudged when the edge dies."""
    with workplace.edge(decision(block=60, server=FROM_SENDER)) as process, SmtpClient(receiver, SENDER_HOST) as client:
        client.must(f"EHLO {BY_NAME}", "250")
        client.must("MAIL FROM:<a@alt.example>", "250")
        client.must("RCPT TO:<b@neu.example>", "250")
        process.kill()
        client.must("DATA", "354")
        assert client.ask(content_of("killed", line_of()).replace("\n", "\r\n") + "\r\n.").startswith("250")
