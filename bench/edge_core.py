"""
Edge: one message, without network.

Reading of the message's lines, its facts and the verdict by a table of 100,000 decisions: what an edge adds to each
message of its own, apart from the milter protocol. 10,000 different senders take turns, so nothing is remembered for long.
Memory is what a new process grows by when it reads the table record by record, as from Kafka. The file is the edge's own
cold-start file.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import decision_file
from bench.fresh import fresh
from bench.machine import resident_bytes
from bench.stack import BenchError
from bench.table import Row, Tell, rounds, single
from bench.world import SERVERS, exchange_lines, name_of, peer_of, postfix_lines
from services.edge import coldstart
from services.edge.core import Exemptions, MessageSeen, decide, see
from shared.domain.catalogue import load_catalogue
from shared.messaging.decisions import DecisionTable

_SENDERS = 10_000
_ROUNDS = 7


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    servers = SERVERS // 10 if quick else SERVERS
    with TemporaryDirectory(prefix="patchgate-bench-") as directory:
        path = Path(directory) / "table"
        tell(f"writing a table of {servers:,} decisions")
        size = fresh(decision_file.write, path, servers, datetime.now(UTC))
        tell("reading it in new processes")
        grown, loads = fresh(_grown_by, path), [fresh(_load_s, path) for _ in range(3)]
        tell("judging")
        exchange, postfix = fresh(_per_message_us, path)
    return [
        rounds("3 lines of an Exchange with a case, µs a message", exchange, 1),
        rounds("3 lines of a Postfix, nothing to judge, µs a message", postfix, 1),
        single(
            "of both, messages a second on one core", 2e6 / (median(exchange) + median(postfix)), note="half of each"
        ),
        single(
            "decision and key, bytes a server", size / servers, note=f"{servers:,} servers, each with a case at day 0"
        ),
        single("memory of the edge, bytes a server", grown / servers),
        single("memory of the edge, MB in all", grown / 1e6, note=f"{servers:,} servers"),
        rounds("loading the table from its file, s", loads, 2),
    ]


def _grown_by(path: Path) -> int:
    """Bytes that a table takes; the records come one by one, as from Kafka."""
    table = DecisionTable()
    fields = fresh(_lines_of, path)
    before = resident_bytes()
    with fields.open("rb") as file:
        for line in file:
            key, _, value = line.rstrip(b"\n").partition(b"\t")
            table.apply(key, value)
    return resident_bytes() - before


def _lines_of(path: Path) -> Path:
    """The records as lines of key, tab and value beside *path*: JSON holds neither tab nor line feed."""
    stored = coldstart.load(path)
    if stored is None:
        raise FileNotFoundError(path)
    lines = path.with_suffix(".lines")
    lines.write_bytes(b"".join(b"%b\t%b\n" % record for record in stored[0].records().items()))
    return lines


def _load_s(path: Path) -> float:
    began = time.perf_counter()
    coldstart.load(path)
    return time.perf_counter() - began


def _per_message_us(path: Path) -> tuple[list[float], list[float]]:
    stored = coldstart.load(path)
    if stored is None:
        raise FileNotFoundError(path)
    judge = judged_by(stored[0])
    _check({judge(exchange_mail(0)), judge(postfix_mail(0))})
    step = max(1, stored[0].count // _SENDERS)
    numbers = range(0, stored[0].count, step)
    mails = ([exchange_mail(number) for number in numbers], [postfix_mail(number) for number in numbers])
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for times, messages in zip(found, mails, strict=True):
            began = time.perf_counter()
            for message in messages:
                judge(message)
            times.append((time.perf_counter() - began) / len(messages) * 1e6)
    return found


def _check(reasons: set[str]) -> None:
    """A benchmark of a table that nobody is found in would look fast."""
    if reasons != {"pass_outside_minutes", "pass_no_product"}:
        raise BenchError(
            f"the two mails are judged as {sorted(reasons)}: the world of the benchmarks no longer fits the law"
        )


def judged_by(table: DecisionTable) -> Callable[[MessageSeen], str]:
    """What the edge does with a message between its doors, by *table*: it tells the outcome's reason."""
    catalogue, exempt = load_catalogue(), Exemptions()

    def judge(message: MessageSeen) -> str:
        now = datetime.now(UTC)
        seen = see(message, catalogue, now=now, edge="mx1")
        return decide(seen, message, table, now=now, observing="", exempt=exempt).reason

    return judge


def exchange_mail(number: int) -> MessageSeen:
    """A mail of a server that has a case."""
    return _mail(number, exchange_lines(name_of(number)))


def postfix_mail(number: int) -> MessageSeen:
    """A mail from the same address that shows nothing."""
    return _mail(number, postfix_lines(name_of(number)))


def _mail(number: int, lines: tuple[str, ...]) -> MessageSeen:
    return MessageSeen(
        address=peer_of(number), helo=name_of(number), client_resolve="failed", daemon_port="25", received=lines
    )
