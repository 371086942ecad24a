"""
`patchgate look` on mailboxes.

Two mboxes that this benchmark makes, of small mails (3 kB) and of large ones (60 kB), 1 GB each, from 2,000 servers. `look` runs as
a user runs it, with `--json`, on all cores, and both mailboxes lie in the page cache. Against it, by turns: the standard library's
`mailbox` with the package `mail-parser`, which reads the `Received` lines of each mail, on a first part of the same mailbox
because of its speed; and `re.finditer(rb"(?m)^Received:")` over the mapped file, which reads nothing at all. Rates are megabytes of
mailbox a second; CPU time is that of all processes, start included. Memory is the sum of what all processes of `look` hold at one time,
shared pages counted once (PSS).
"""

import json
import mmap
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import NamedTuple

import psutil  # type: ignore[import-untyped] # it ships no types

from bench import look_boxes
from bench.fresh import fresh
from bench.peers import VENV, MissingError, installed
from bench.stack import ROOT, BenchError
from bench.table import Row, Tell, not_run, rounds, single

PEER = "mail-parser==4.8.0"
_WHOLE_BYTES = 1_000_000_000
_PEER_SHARE = 25  # the part of the mailbox that the peer reads: one of so many
_ROUNDS = 3
_PEEK_S = 0.05
_RUN_S = 600.0
_PEER_S = 1_800.0
_MB = 1e6

AHEAD_AT_LEAST = 20.0
CPU_AT_MOST = 3.0
MEMORY_MB_BELOW = 200.0


class Ran(NamedTuple):
    """One run of a program. peak: bytes of all its processes at once."""

    wall_s: float
    cpu_s: float
    peak: int
    out: str


def measure(tell: Tell, *, quick: bool) -> list[Row]:
    """The rows of this benchmark."""
    whole = _WHOLE_BYTES // 10 if quick else _WHOLE_BYTES
    rows: list[Row] = []
    with TemporaryDirectory(prefix="patchgate-bench-") as directory:
        for name, size in (("small", look_boxes.SMALL_BYTES), ("large", look_boxes.LARGE_BYTES)):
            box, part = Path(directory) / name, Path(directory) / f"{name}-part"
            tell(f"writing a mailbox of {name} mails")
            mails = look_boxes.write(box, size, whole)
            look_boxes.write(part, size, whole // _PEER_SHARE)
            rows += _of_box(tell, name, box, part, mails)
            box.unlink()
    return rows


def _of_box(tell: Tell, name: str, box: Path, part: Path, mails: int) -> Iterator[Row]:
    size, part_size = box.stat().st_size / _MB, part.stat().st_size / _MB
    peer_rates, missing = [], ""
    looks: list[Ran] = []
    bare: list[float] = []
    for number in range(_ROUNDS):
        tell(f"{name} mails, round {number + 1} of {_ROUNDS}")
        looks.append(_looked(box, mails))
        bare.append(fresh(_bare_cpu_s, box))
        try:
            peer_rates.append(part_size / _peer_s(part))
        except MissingError as error:
            missing = str(error)
    rates = [size / ran.wall_s for ran in looks]
    yield rounds(f"{name} mails, `look`, MB a second", rates, 1)
    yield single(f"{name} mails, mails a second", mails / median(ran.wall_s for ran in looks), note=f"{mails:,} mails")
    target = f"at least {AHEAD_AT_LEAST:.0f}"
    what = f"{name} mails, `look` against mailbox with {PEER}, times ahead"
    if peer_rates:
        yield rounds(f"{name} mails, mailbox with {PEER} on its first {part_size:.0f} MB, MB a second", peer_rates, 2)
        ahead = [one / other for one, other in zip(rates, peer_rates, strict=True)]
        yield rounds(what, ahead, 1, target=target, reached=median(ahead) >= AHEAD_AT_LEAST)
    else:
        yield not_run(what, missing, target)
    yield rounds(f"{name} mails, `look`, CPU s", [ran.cpu_s for ran in looks], 2)
    yield rounds(f"{name} mails, bare finditer, CPU s", bare, 2)
    times = [ran.cpu_s / other for ran, other in zip(looks, bare, strict=True)]
    yield rounds(
        f"{name} mails, CPU against the bare finditer, times",
        times,
        2,
        target=f"at most {CPU_AT_MOST:.0f}",
        reached=median(times) <= CPU_AT_MOST,
    )
    peaks = [ran.peak / _MB for ran in looks]
    yield rounds(
        f"{name} mails, memory of all processes, MB",
        peaks,
        0,
        target=f"below {MEMORY_MB_BELOW:.0f}",
        reached=max(peaks) < MEMORY_MB_BELOW,
    )


def _looked(box: Path, mails: int) -> Ran:
    ran = fresh(_run, [sys.executable, "-m", "services.cli", "look", str(box), "--json"])
    read = json.loads(ran.out)["read"]["mails"]
    if read != mails:
        raise BenchError(f"look read {read} mails of {mails}")
    return ran


def _run(command: list[str]) -> Ran:
    """Run *command* in a process whose only child it is, so that what its children used is what it used."""
    began, peak = time.perf_counter(), 0
    with TemporaryFile("w+") as out:  # a pipe that nobody empties would stop it
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _held(watched))
            if time.perf_counter() - began > _RUN_S:
                process.kill()
            time.sleep(_PEEK_S)
        wall_s = time.perf_counter() - began
        out.seek(0)
        said = out.read()
    if process.returncode:
        raise BenchError(f"{' '.join(command)} ended with {process.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Ran(wall_s, used.ru_utime + used.ru_stime, peak, said)


def _held(process: psutil.Process) -> int:
    held = 0
    try:
        for one in (process, *process.children(recursive=True)):
            held += one.memory_full_info().pss
    except psutil.Error:  # one that has just ended
        return held
    return held


def _bare_cpu_s(box: Path) -> float:
    """CPU seconds in which a regular expression finds each `Received:` of the mapped file, its process not counted."""
    began = time.process_time()
    with box.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for _ in re.finditer(rb"(?m)^Received:", mapped):
            pass
    return time.process_time() - began


def _peer_s(part: Path) -> float:
    """Seconds in which the peer reads *part*, its own start not counted."""
    installed(PEER, "needs a package index")
    command = [str(VENV / "bin" / "python"), str(Path(__file__).parent / "peer_mailparser.py"), str(part)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_PEER_S, check=False, env={**os.environ, "PYTHONHASHSEED": "0"}
    )
    if done.returncode:
        raise BenchError(f"the peer failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[1])
