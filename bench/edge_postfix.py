"""
The edge behind a real Postfix.

One Postfix with one `smtpd` service for each milter, all on Unix sockets, all running at once; Postfix's own
`smtp-source -s 8` sends mails of about 3 kB with the headers of an Exchange, and Postfix throws them away behind its queue.
Two shapes: a new connection for each mail, and 8 connections that are kept (`-d`). The targets are held against the first: it
is what `smtp-source` does by itself, and the harder one, for Postfix opens a connection to the milter for each of the
client's. The edge has a table of 100,000 servers from its cold-start file, in which the sender has a case at day 0, and
no Kafka. The null milters hear the same, answer at the same place and decide nothing; rspamd looks up the name of HELO in
a map of 100,000 names and does nothing else. Each round goes through all of them in turn, and a ratio is that of one
round: messages a second with the milter to messages a second without. Below 1.05 a difference is noise. CPU is that of
all milters' processes while one of them is asked. Times of a mail are those of one session that sends one mail after
another, from MAIL to the last reply.
"""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil  # type: ignore[import-untyped] # it ships no types

from bench import peers
from bench.peers import MissingError, Peer
from bench.stack import BenchError
from bench.table import Row, Tell, not_run, rounds, single
from bench.world import SERVERS, exchange_lines, name_of
from shared.messaging.probe import free_port
from tests.support.postfix import Postfix, SmtpClient, postfix, why_not_here

_HOST, _DOMAIN = "127.0.0.12", "neu.example"
_SESSIONS, _MESSAGES, _ROUNDS = 8, 1_500, 7
_ONE_BY_ONE = 400
_WARM_UP = 200
_SEND_S = 120.0
_BODY_BYTES = 1_500
_WARNINGS = 5  # of Postfix, told with a failure
_OURS, _NONE, _RSPAMD = "our edge", "no milter", "rspamd with a map"
_TARGETS = {_OURS: 0.75}
_SHAPES: Mapping[str, tuple[str, ...]] = {"": (), "kept connections: ": ("-d",)}
"""What stands before a row's name, and what `smtp-source` is told; targets are held against the first."""

_PEERS: Mapping[str, Peer] = {
    _OURS: peers.edge,
    "null milter in C (libmilter)": peers.null_in_c,
    "null milter in pymilter": peers.pymilter,
    "null milter in purepythonmilter": peers.purepythonmilter,
    _RSPAMD: peers.rspamd,
}


class _Sent(NamedTuple):
    """One round of one milter: messages a second, and CPU µs of the milters a message."""

    rate: float
    cpu_us: float


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    reason = why_not_here()
    if reason:
        return [not_run("messages a second through Postfix", reason, "at least 0.75 of no milter")]
    messages, rounds_wanted = (200, 2) if quick else (_MESSAGES, _ROUNDS)
    missing: list[Row] = []
    with postfix(_HOST, free_port(), _DOMAIN, **_parameters()) as instance, ExitStack() as running:
        ports = {_NONE: instance.port} | dict(
            _started(instance, running, missing, tell, SERVERS // 10 if quick else SERVERS)
        )
        mail = instance.directory / "message"
        mail.write_text(message())
        for name, port in ports.items():
            tell(f"warming up: {name}")
            _send(port, mail, _WARM_UP, ())
        found: dict[str, dict[str, list[_Sent]]] = {shape: {name: [] for name in ports} for shape in _SHAPES}
        for number in range(rounds_wanted):
            tell(f"round {number + 1} of {rounds_wanted}")
            for name, (shape, options) in product(_turned(list(ports), number), _SHAPES.items()):
                found[shape][name].append(_told(name, instance, mail, messages, ports[name], options))
        tell("one by one")
        each = _ONE_BY_ONE // (10 if quick else 1)
        times_ms = {name: _one_by_one_ms(instance, port, each) for name, port in ports.items()}
    rows = [row for shape, of in found.items() for row in _rows(shape, of)]
    return [*rows, *missing, *(row for name, times in times_ms.items() for row in _times(name, times))]


def _parameters() -> dict[str, str]:
    return {
        "virtual_transport": "discard:",
        "in_flow_delay": "0",  # no brake on the sender: the queue is emptied by `discard`
        "smtpd_client_connection_count_limit": "0",
        "smtpd_client_connection_rate_limit": "0",
    }


def message() -> str:
    """A mail as an Exchange hands it over."""
    received = "".join(f"Received: {line}\n" for line in exchange_lines(name_of(0)))
    headers = (
        "From: Anna Alt <anna@bench.example>\nTo: Bert Neu <bert@neu.example>\nSubject: figures of the week\n"
        "Thread-Topic: figures of the week\nThread-Index: AdpVbQ5p0Qk2m8yTRqG7h3kq1x9YkA==\n"
        "Date: Tue, 24 Nov 2026 11:59:00 +0000\nMessage-ID: <4d1f0c2b7a9e4f8d@ex000000.bench.example>\n"
        "Accept-Language: de-DE, en-US\nContent-Language: de-DE\nX-MS-Has-Attach:\nX-MS-TNEF-Correlator:\n"
        "x-originating-ip: [10.0.0.77]\nX-MS-Exchange-Organization-AuthSource: ex000000.bench.example\n"
        'Content-Type: text/plain; charset="us-ascii"\nContent-Transfer-Encoding: 7bit\nMIME-Version: 1.0\n'
    )
    line = "The quick brown fox jumps over the lazy dog, and back again.\n"
    return f"{received}{headers}\n{line * (_BODY_BYTES // len(line))}"


def _started(
    instance: Postfix, running: ExitStack, missing: list[Row], tell: Tell, servers: int
) -> Iterator[tuple[str, int]]:
    """Name and port of each milter that can be had; the others go to *missing*."""
    instance.run("postconf", "-M", "-e", "discard/unix=discard unix - - n - - discard")
    for number, (name, peer) in enumerate(_PEERS.items()):
        tell(f"starting {name}")
        directory = instance.directory / f"peer{number}"
        directory.mkdir(mode=0o755)
        try:
            version = running.enter_context(peer(directory, servers))
        except MissingError as error:
            missing.append(not_run(f"{name}, ratio to no milter", str(error)))
            continue
        yield f"{name} {version}".strip(), _listen(instance, directory, number)
    instance.reload()


def _listen(instance: Postfix, directory: Path, number: int) -> int:
    """One more `smtpd` with this milter. It refuses when the milter fails: one that does not work must not look fast."""
    port = free_port()
    instance.run("postconf", "-e", f"bench_{number} = {{ unix:{peers.socket_in(directory)}, default_action=tempfail }}")
    service = f"{_HOST}:{port} inet n - n - - smtpd -o smtpd_milters=$bench_{number}"
    instance.run("postconf", "-M", "-e", f"{_HOST}:{port}/inet={service}")
    return port


def _turned(names: list[str], number: int) -> list[str]:
    """Another one begins each round, so that none has always the same one before it."""
    start = number % len(names)
    return names[start:] + names[:start]


def _told(name: str, instance: Postfix, mail: Path, messages: int, port: int, options: tuple[str, ...]) -> _Sent:
    """As `_send`; a failure names the milter, and what Postfix said of it."""
    try:
        return _send(port, mail, messages, options)
    except BenchError as error:
        warnings = [line for line in instance.log.splitlines() if "warning:" in line or "fatal:" in line]
        raise BenchError("\n".join([f"{name} failed: {error}", *warnings[-_WARNINGS:]])) from error


def _send(port: int, mail: Path, messages: int, options: tuple[str, ...]) -> _Sent:
    """Send *messages*; raises BenchError if one was refused."""
    command = ["smtp-source", *options, "-s", str(_SESSIONS), "-m", str(messages), "-F", str(mail), "-M", name_of(0)]
    command += ["-f", "anna@bench.example", "-t", f"bert@{_DOMAIN}", f"{_HOST}:{port}"]
    began, cpu_s = time.perf_counter(), _milters_cpu_s()
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SEND_S, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr}")
    rate = messages / (time.perf_counter() - began)
    return _Sent(rate, (_milters_cpu_s() - cpu_s) / messages * 1e6)


def _milters_cpu_s() -> float:
    """CPU seconds of our children, which are the milters: Postfix is none of ours, and `smtp-source` has ended."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(float(one.user + one.system) for one in times)


def _rows(shape: str, found: Mapping[str, list[_Sent]]) -> list[Row]:
    rates = {name: [one.rate for one in sent] for name, sent in found.items()}
    rows = [rounds(f"{shape}{name}, messages a second", values) for name, values in rates.items()]
    rows += [_to_none(shape, name, values, rates[_NONE]) for name, values in rates.items() if name != _NONE]
    rows += [_against(shape, name, rates) for name in rates if name not in {_NONE, _OURS}]
    milters = {name: [one.cpu_us for one in sent] for name, sent in found.items() if name != _NONE}
    return [*rows, *(rounds(f"{shape}{name}, CPU µs a mail", values) for name, values in milters.items())]


def _to_none(shape: str, name: str, rates: list[float], none: list[float]) -> Row:
    """A milter against no milter, round by round."""
    values = [own / without for own, without in zip(rates, none, strict=True)]
    what, least = f"{shape}{name}, ratio to no milter", None if shape else _TARGETS.get(name)
    if least is None:
        return rounds(what, values, 2)
    return rounds(what, values, 2, target=f"at least {least}", reached=median(values) >= least)


def _against(shape: str, peer: str, rates: Mapping[str, list[float]]) -> Row:
    """Our edge against *peer*, round by round."""
    values = [ours / theirs for ours, theirs in zip(rates[_OURS], rates[peer], strict=True)]
    what = f"{shape}our edge against {peer}, ratio"
    least = 1.10 if peer.startswith(_RSPAMD) else 1.0
    if shape or "in C" in peer:
        return rounds(what, values, 2)
    target = "at least 1.10" if least > 1 else "ahead"
    return rounds(what, values, 2, target=target, reached=median(values) >= least)


@contextmanager
def _session(instance: Postfix, port: int) -> Iterator[SmtpClient]:
    with SmtpClient(Postfix(instance.directory, _HOST, port, _DOMAIN)) as client:
        client.must(f"EHLO {name_of(0)}", "250")
        yield client


def _one_by_one_ms(instance: Postfix, port: int, messages: int) -> list[float]:
    """Milliseconds of each mail, sorted; the first tenth, which warms up, left out."""
    content, found = message(), []
    with _session(instance, port) as client:
        for _ in range(messages):
            began = time.perf_counter()
            reply = client.send(content, "anna@bench.example", (f"bert@{_DOMAIN}",))
            found.append((time.perf_counter() - began) * 1000)
            if not reply.startswith("250"):
                raise BenchError(f"a mail was not taken: {reply}")
    return sorted(found[messages // 10 :])


def _times(name: str, times: list[float]) -> list[Row]:
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    return [
        single(f"{name}, one mail, p50, ms", p50, 1, note=f"{len(times)} mails"),
        single(f"{name}, one mail, p99, ms", p99, 1),
    ]
