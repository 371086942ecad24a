"""
Questions to a long log.

A made-up year (`shared/domain/simulate.py`: the shipped stages, everybody enforced) whose log has a million records, as an
export; and `enforcer-state` as the enforcer leaves it, on the embedded broker: all servers, and behind them once more those that
changed last, 16 MB of them, which compaction has not reached. Each command runs as a user runs it, with `--json`, in a process of
its own. Rates are records of the log a CPU second (`policy diff`, which asks of servers: records of `enforcer-state`), start, decoding and report
included; memory is the most that the process held. The other policy throttles ten days earlier.
"""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.fresh import fresh
from bench.stack import PREFIX, ROOT, BenchError, Place, apply_topics, as_written, end_of, place, write
from bench.table import Row, Tell, rounds, single
from services.cli.log_source import decoded
from services.enforcer.books import Outgoing, state_of
from shared.domain.fold import Fold, Written
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.population import first_day
from shared.domain.simulate import Simulation, everybody_enforced
from shared.domain.verify import seal
from shared.messaging import topics as t

_RECORDS, _QUICK_RECORDS = 1_000_000, 20_000
_RECORDS_A_SERVER = 55  # a year's, roughly; the log is cut where it is long enough
_UNCOMPACTED_BYTES = 16 << 20
_ROUNDS = 3
_RUN_S = 600.0
_KIB = 1024

RATE_AT_LEAST = 25_000.0
EXPLAIN_S_BELOW = 1.0


class Made(NamedTuple):
    """What the questions are about. server, peer: one with a case."""

    records: int
    servers: int
    cases: int
    server: str
    peer: str


class Ran(NamedTuple):
    """One run of a command. peak: bytes."""

    wall_s: float
    cpu_s: float
    peak: int


class _Enough(Exception):
    """The log is as long as it shall be."""


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    records = _QUICK_RECORDS if quick else _RECORDS
    with TemporaryDirectory(prefix="patchgate-bench-") as name, place() as where:
        log, other = Path(name) / "log.jsonl", Path(name) / "other.toml"
        other.write_text(_other_policy_text(), encoding="utf-8")
        tell(f"a made-up year with {records:,} records")
        made: Made = fresh(_make, where, log, records)
        stored = asyncio.run(end_of(where, t.ENFORCER_STATE))
        tell(f"{made.servers:,} servers, {made.cases:,} with a case; {log.stat().st_size / 1e6:,.0f} MB")
        return [*_of_log(tell, where, log, other, made), *_of_state(tell, where, other, made, stored)]


def _of_log(tell: Tell, where: Place, log: Path, other: Path, made: Made) -> Iterator[Row]:
    note = f"{made.records:,} records, {made.servers:,} servers"
    for what, *command in (
        ("what-if", "audit", "what-if", str(other), str(log)),
        ("what-if --assume-delivered", "audit", "what-if", str(other), str(log), "--assume-delivered"),
        ("audit show", "audit", "show", "--at", "2100-01-01T00:00Z", str(log)),
    ):
        tell(what)
        ran = _run(where, *command)
        rate = made.records / ran.cpu_s
        asked = what.startswith("what-if")
        yield single(
            f"{what}, records a CPU second",
            rate,
            note=note,
            target=f"at least {RATE_AT_LEAST:,.0f}" if asked else "",
            reached=rate >= RATE_AT_LEAST if asked else None,
        )
        yield single(f"{what}, s", ran.wall_s, 1)
        yield single(f"{what}, memory at most, MB", ran.peak / 1e6)


def _of_state(tell: Tell, where: Place, other: Path, made: Made, stored: int) -> Iterator[Row]:
    note = f"{stored:,} records in enforcer-state, which it reads twice"
    tell("policy diff")
    ran = [_run(where, "policy", "diff", str(other)) for _ in range(_ROUNDS)]
    rates = [stored / one.cpu_s for one in ran]
    yield rounds(
        "policy diff, records a CPU second",
        rates,
        target=f"at least {RATE_AT_LEAST:,.0f}",
        reached=median(rates) >= RATE_AT_LEAST,
    )
    yield single("policy diff, s", median(one.wall_s for one in ran), 1, note=note)
    yield single("policy diff, memory at most, MB", max(one.peak for one in ran) / 1e6)
    for what, asked in (("a server", made.server), ("an address", made.peer)):
        tell(f"explain {what}")
        ran = [_run(where, "explain", asked) for _ in range(_ROUNDS)]
        walls = [one.wall_s for one in ran]
        yield rounds(
            f"explain by {what}, s",
            walls,
            2,
            target=f"under {EXPLAIN_S_BELOW:g}",
            reached=median(walls) < EXPLAIN_S_BELOW,
        )
        yield single(f"explain by {what}, memory at most, MB", max(one.peak for one in ran) / 1e6)


def _run(where: Place, *command: str) -> Ran:
    """One command, as it is typed."""
    settings = {"bootstrap": where.bootstrap, "topic_prefix": PREFIX, "state_dir": str(where.directory / "cli")}
    ours = {f"PATCHGATE_{key.upper()}": value for key, value in settings.items()}
    others = {key: value for key, value in os.environ.items() if not key.startswith("PATCHGATE_")}
    return fresh(_ran, [sys.executable, "-m", "services.cli", *command, "--json"], others | ours)


def _ran(command: list[str], environment: dict[str, str]) -> Ran:
    """In a process that has no other children, whose use would count."""
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_RUN_S, check=False
    )
    wall_s = time.monotonic() - began
    if done.returncode:
        raise BenchError(f"{' '.join(command[3:5])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Ran(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * _KIB)


# --- the made-up year ------------------------------------------------------------------------------------------------


def _policy() -> Policy:
    return everybody_enforced(parse_policy(shipped_policy_text()))


def _other_policy_text() -> str:
    text = (
        shipped_policy_text().replace('mode = "observe"', 'mode = "enforce"').replace("version = 1\n", "version = 2\n")
    )
    return text.replace("from_day = 30\n", "from_day = 20\n", 1)


def _make(where: Place, log: Path, records: int) -> Made:
    """Write the export, and what the enforcer leaves of it on the broker."""
    fold = _written_to(log, records)
    asyncio.run(_left(where, fold, log))
    with_case = [server for server in fold.servers.values() if server.cases]
    by_peer = next(server for server in with_case if server.tie == "helo")
    return Made(fold.law.seq, len(fold.servers), len(with_case), with_case[0].server, by_peer.server.partition("@")[2])


def _written_to(log: Path, records: int) -> Fold:
    """The fold of the records in *log*."""
    fold = Fold(_policy())
    with log.open("wb") as out:

        def keep(one: Written) -> None:
            record, stored = one
            out.write(stored + b"\n")
            if record.seq >= records:
                raise _Enough

        year = Simulation(
            _policy(), seed=1, servers=records // _RECORDS_A_SERVER, begin=first_day(_policy()), each=keep
        )
        try:
            while True:
                year.day()
        except _Enough:
            pass
    lines = 0
    with log.open("rb") as kept:  # what was decided with the last one, and not written, is no part of it
        for line in kept:
            lines += 1
            stored = line.removesuffix(b"\n")
            fold.apply(decoded(stored, lines), stored)
    with log.open("ab") as out:
        out.write(seal(lines, fold.law.head) + b"\n")
    return fold


async def _left(where: Place, fold: Fold, log: Path) -> None:
    with log.open("rb") as kept:
        tip = next(iter(kept)).removesuffix(b"\n")
    await apply_topics(where)
    *records, position = as_written(fold, tip)
    await write(where, [*records, *_changed_last(fold), position])


def _changed_last(fold: Fold) -> Iterator[Outgoing]:
    room = _UNCOMPACTED_BYTES
    for server in cycle(one for one in fold.servers.values() if one.cases):
        again = state_of(server)
        room -= len(again.value or b"")
        if room < 0:
            return
        yield again
