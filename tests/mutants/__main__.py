"""
Mutate the law and see whether its tests notice: `python -m tests.mutants`, then `--go-on` after an end halfway.

What is mutated, and by which tests it is judged, stands in pyproject.toml under `tool.mutmut`. Results are kept in `mutants/`;
`mutmut show NAME` shows a mutant. A changed function is mutated anew, what is known of all others stands.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tests.mutants import harder, results

FOLDER = Path("mutants")

MAKES_THEM = "shared.domain.caps.x_cap_of__*"
"""The tool makes all mutants and learns which tests meet which before it runs the few that it is asked for."""


def main() -> int:
    """Run what is asked for, and print the table; 1 if the tool did not come to its end."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="modules, such as decide or 'shared.domain.*' (default: all)")
    parser.add_argument("--go-on", action="store_true", help="keep what an earlier run found, and run what is left")
    parser.add_argument(
        "--again", action="store_true", help="of what an earlier run found, run the survivors once more"
    )
    parser.add_argument("--harder", action="store_true", help="ask what survived of the second law and the properties")
    parser.add_argument(
        "--lives-first", action="store_true", help="ask what was not run yet of a few lives of both laws"
    )
    parser.add_argument("--show", action="store_true", help="run nothing: the table, and the survivors by name")
    parser.add_argument("--percent", type=int, default=100, help="of all mutants so many, drawn by name (default 100)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    asked = parser.parse_args()
    if not (asked.go_on or asked.again or asked.harder or asked.lives_first or asked.show):
        shutil.rmtree(FOLDER, ignore_errors=True)
    code = 0
    if asked.harder or asked.lives_first:
        ask_lives(asked.only, first=asked.lives_first, percent=asked.percent)
    elif not asked.show:
        code = run(asked.only, again=asked.again, percent=asked.percent, jobs=asked.jobs)
    found = results.chosen(results.read(FOLDER), asked.only)
    _tell(results.table(found))
    if asked.show:
        _tell("\n".join(name for one in found for name in one.named(*results.LIVE_ON)))
    return code


def run(only: list[str], *, again: bool, percent: int, jobs: int) -> int:
    """Run the mutants drawn of the modules named that have no result; *again*: those that survived, instead."""
    if not results.read(FOLDER):
        code = _mutmut([MAKES_THEM], jobs)
        if code:
            return code
    fates: tuple[results.Fate, ...] = (*results.LIVE_ON, "by lives") if again else ("not run",)
    found = results.chosen(results.read(FOLDER), only)
    names = [name for one in found for name in one.named(*fates) if results.is_drawn(name, percent)]
    return _mutmut(names, jobs) if names else 0


def ask_lives(only: list[str], *, first: bool, percent: int) -> None:
    """Ask those that survived, and were not asked yet, of what lives longer; *first*: those drawn that were not run yet."""
    known = harder.read(FOLDER)
    fates: tuple[results.Fate, ...] = ("not run",) if first else results.LIVE_ON
    found = results.chosen(results.read(FOLDER), only)
    names = [name for one in found for name in one.named(*fates) if name not in known]
    for name, by in harder.ask(FOLDER, [name for name in names if results.is_drawn(name, percent)], first=first):
        _tell(f"{name}: {by or 'nobody noticed'}")


def _mutmut(names: list[str], jobs: int) -> int:
    tool = Path(sys.executable).with_name("mutmut")
    return min(1, abs(subprocess.call([tool, "run", "--max-children", str(jobs), *names])))


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
