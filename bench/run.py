"""
`make bench`: all benchmarks, one after another, and docs/benchmarks.md written from what they gave.

Only a whole run writes the page; with --only or --quick the tables are printed.
"""

import argparse
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import msgspec

from bench import demo, edge_core, edge_postfix, enforcer, fold, latency, look, questions, three
from bench.machine import QUIET_PERCENT, described, used_by_others
from bench.table import Row, markdown

BENCHMARKS: Mapping[str, ModuleType] = {
    "edge_core": edge_core,
    "edge_postfix": edge_postfix,
    "fold": fold,
    "enforcer": enforcer,
    "latency": latency,
    "three": three,
    "questions": questions,
    "look": look,
    "demo": demo,
}
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

_HEAD = """# Benchmarks

Written by `make bench`, never by hand. Each figure is the median of its rounds where it has rounds. Rates and times
belong to this machine; ratios were taken in one run, the compared ones by turns, and can be carried elsewhere. A ratio
that differs from another by less than 1.05 is noise.
"""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark gave. busy: percent of the machine that others used, the larger of just before and just after."""

    name: str
    text: str
    rows: list[Row]
    busy: float
    took_s: float

    def markdown(self) -> str:
        """The section of the page."""
        title, _, text = self.text.strip().partition("\n")
        noise = f"Other programs used up to {self.busy:.0f} % of the machine just before and after"
        noise += "; read these figures as noisy, and rates as lower bounds." if self.busy > QUIET_PERCENT else "."
        command = f'`make bench BENCH_ARGS="--only {self.name}"`, {self.took_s:.0f} s.'
        return f"## {title.rstrip('.')}\n\n{text.strip()}\n\n{command} {noise}\n\n{markdown(self.rows)}"


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, help="run one benchmark, and print its table")
    parser.add_argument(
        "--quick", action="store_true", help="see in a minute or two whether all of it runs; the figures say little"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, _ended)
    names = [args.only] if args.only else list(BENCHMARKS)
    about = "\n".join(f"- {name}: {value}" for name, value in described())
    sections = [_run(name, quick=args.quick) for name in names]
    body = "\n".join(section.markdown() for section in sections)
    if args.only or args.quick:
        sys.stdout.write(f"\n{body}")
        return 0
    took = f"- all in {sum(section.took_s for section in sections) / 60:.0f} minutes\n"
    PAGE.write_text(f"{_HEAD}\n{about}\n{took}\n{body}", encoding="utf-8")
    _tell("bench", f"wrote {PAGE.relative_to(PAGE.parents[1])}")
    return 0


def _ended(number: int, _: object) -> None:
    """End as by Ctrl-C: what was started is ended first, the broker too."""
    sys.exit(128 + number)


def _run(name: str, *, quick: bool) -> Section:
    module = BENCHMARKS[name]
    busy = used_by_others()
    began = time.monotonic()
    rows: list[Row] = module.measure(lambda text: _tell(name, text), quick=quick)
    took_s = time.monotonic() - began
    busy = max(busy, used_by_others())
    return Section(name=name, text=module.__doc__ or name, rows=rows, busy=busy, took_s=took_s)


def _tell(name: str, text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {name}: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
