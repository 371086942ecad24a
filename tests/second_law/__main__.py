"""
Run both laws: `python -m tests.second_law --steps 10000000 --seed 1 --jobs 2`.

A step is one input (a sighting, a request) or one passing of time, with all that falls due in it, and the comparison after it.
On a failure it tells the life's seed and the step; `--seed S --until STEP` sees it again.
"""

import argparse
import sys
import time
from collections import Counter

from tests.second_law.run import Failed, run, run_life


def main() -> int:
    """Run, tell how far it is, and what was counted; 1 if something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.second_law", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="steps in all (default 100000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first life (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--until", type=int, default=0, help="only the life of --seed, up to this step")
    asked = parser.parse_args()
    counts: Counter[str] = Counter()
    begun = told = time.monotonic()
    try:
        if asked.until:
            counts = run_life(asked.seed, asked.until)
        else:
            for found in run(asked.steps, asked.seed, jobs=asked.jobs):
                counts.update(found)
                if time.monotonic() - told > 5:
                    told = time.monotonic()
                    _tell(f"{counts['steps']} of {asked.steps} steps, {counts['steps'] / (told - begun):.0f} a second")
    except Failed as error:
        _tell(str(error))
        return 1
    for name, count in sorted(counts.items()):
        _tell(f"{count:>12}  {name}")
    _tell(f"seed {asked.seed}: both laws said the same in {counts['steps']} steps, {time.monotonic() - begun:.0f} s")
    return 0


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
