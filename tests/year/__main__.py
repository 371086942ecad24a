"""`python -m tests.year`: a year of a whole population through real Kafka. Exit code 1 when the two ends differ; the remains are kept."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.kafka import kafka_for_tests
from tests.year.year import Options, Outcome, Tell, Year

_TELL_EVERY_S = 10.0


def main() -> int:
    """Live it, and tell; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.year", description=__doc__)
    parser.add_argument("--servers", type=int, default=10_000, help="each is seen once a day")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--restarts", type=int, default=4, help="in the middle of a day, by turns SIGKILL and SIGTERM")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    directory = Path(tempfile.mkdtemp(prefix="patchgate-year-"))
    _tell(f"seed {given.seed}; {given.servers} servers, {given.days} days; remains in {directory}")
    with _broker(directory / "broker") as bootstrap:
        options = Options(
            bootstrap=bootstrap,
            prefix=f"year-{uuid.uuid4().hex[:8]}.",
            directory=directory,
            servers=given.servers,
            days=given.days,
            restarts=given.restarts,
            seed=given.seed,
        )
        outcome = asyncio.run(Year(options, _now_and_then()).run())
    _tell("\n".join(summary(outcome)))
    if outcome.differences:
        return 1
    shutil.rmtree(directory)
    return 0


@contextmanager
def _broker(state_dir: Path) -> Iterator[str]:
    with ExitStack() as stack:
        lent = kafka_for_tests(lambda: state_dir)
        stack.callback(lent.close)  # type: ignore[attr-defined]  # it is a generator
        yield next(lent)


def summary(outcome: Outcome) -> Iterator[str]:
    """What it came to."""
    yield (
        f"{outcome.sightings} sightings in {outcome.took_s:.0f} s ({outcome.sightings / outcome.took_s:,.0f} a second), {outcome.restarts} restarts: "
        f"{outcome.records} log records, {outcome.servers} servers, {outcome.cases} with a case; head {outcome.head}."
    )
    if outcome.differences:
        yield "DIFFERENT:"
        yield from outcome.differences
    else:
        yield "State, decisions and log are, byte for byte, what the inputs fold to; the audit finds nothing."


def _now_and_then() -> Tell:
    told = 0.0

    def tell(text: str) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            _tell(text)

    return tell


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
