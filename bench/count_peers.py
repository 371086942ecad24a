"""What others make of the same `sightings`: a bare count per server with Kafka Streams and with quixstreams."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import peer_streams
from bench.count_rate import Rate, counted
from bench.peers import VENV, MissingError, installed
from bench.stack import PREFIX, BenchError, Place
from bench.table import Row, Tell, not_run, rounds, single
from shared.messaging import topics as t

_QUIX = "quixstreams==3.28.1"
_INSTALL_S = 600.0  # forty packages
_STOP_S = 30.0
_TRIES = 3  # it ends now and then because it polls its own changelog topic too early; each try is a group of its own
_MODES = {"key": "by the record's key", "value": "with the value read as JSON"}
_TARGET = "at least 1.00, by key"


def rows(where: Place, end: int, ours_per_cpu_s: float, tell: Tell, *, quick: bool) -> list[Row]:
    """
    Both, over the first *end* records of `sightings`; and how our enforcer compares.

    ours_per_cpu_s: sightings that are no news which our enforcer takes, for each CPU second, in the same run.
    """
    found: list[Row] = []
    for mode, how in _MODES.items():
        name = f"Kafka Streams, bare count {how}"
        try:
            rates = peer_streams.rates(where, mode, end, tell, quick=quick)
        except (MissingError, BenchError) as error:
            found.append(not_run(f"{name}, sightings a CPU second", str(error), _TARGET))
        else:
            found += [*_rows(name, rates), _ratio(name, rates, ours_per_cpu_s, asked=mode == "key")]
    for mode, how in _MODES.items():
        name = f"quixstreams, bare count {how}"
        try:
            found += _rows(name, [_quix_in_tries(where, mode, end, tell)])
        except (MissingError, BenchError) as error:
            found.append(not_run(f"{name}, sightings a CPU second", str(error)))
    return found


def _rows(name: str, rates: Sequence[Rate]) -> list[Row]:
    return [
        rounds(f"{name}, committed sightings a second", [rate.per_s for rate in rates]),
        rounds(f"{name}, sightings a CPU second", [rate.per_cpu_s for rate in rates]),
    ]


def _ratio(name: str, rates: Sequence[Rate], ours_per_cpu_s: float, *, asked: bool) -> Row:
    ratio = ours_per_cpu_s / median(rate.per_cpu_s for rate in rates)
    what = f"enforcer, no news, a CPU second, against {name}"
    return single(what, ratio, 2, target=_TARGET if asked else "", reached=ratio >= 1 if asked else None)


def _quix_in_tries(where: Place, mode: str, end: int, tell: Tell) -> Rate:
    """One round; one that fails is told and tried again."""
    tell(f"{_QUIX}: installing it where it is not")
    installed(_QUIX, "needs a package index", _INSTALL_S)
    for attempt in range(1, _TRIES):
        try:
            return _quix(where, mode, f"quix-{mode}-{attempt}", end, tell)
        except BenchError as error:
            tell(f"tried again: {error}")
    return _quix(where, mode, f"quix-{mode}-{_TRIES}", end, tell)


def _quix(where: Place, mode: str, group: str, end: int, tell: Tell) -> Rate:
    """One round in a process of its own; Python needs no warming up."""
    directory = where.directory / group
    directory.mkdir()
    program = Path(__file__).with_name("peer_quix.py")
    arguments = [where.bootstrap, PREFIX + t.SIGHTINGS, group, str(directory / "state"), mode]
    tell(f"quixstreams by {mode}")
    with (directory / "out").open("wb") as out:
        process = subprocess.Popen(
            [str(VENV / "bin" / "python"), str(program), *arguments], cwd=directory, stdout=out, stderr=out
        )
        try:
            return counted(where, process, group, end)
        except BenchError as error:
            raise BenchError(f"{error}: {(directory / 'out').read_text(errors='replace')[-300:]}") from error
        finally:
            process.kill()
            process.wait(_STOP_S)
