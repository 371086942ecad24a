"""What the tool found so far, counted per module: read from the files that it keeps beside each mutated one."""

from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal
from zlib import crc32

import msgspec

from tests.mutants import harder

Fate = Literal["killed", "by lives", "survived", "timed out", "no tests", "not run"]

_FATES: dict[int | None, Fate] = {
    None: "not run",
    0: "survived",
    5: "no tests",
    33: "no tests",
    24: "timed out",
    36: "timed out",
    152: "timed out",
    -24: "timed out",
}
"""Exit codes as mutmut 3.8 keeps them. All others are a failed test, or a process that broke: somebody noticed."""

COLUMNS: tuple[Fate, ...] = ("killed", "by lives", "timed out", "survived", "no tests", "not run")
"""by lives: noticed by what lives longer than the tests of the core (`harder.py`)."""


LIVE_ON: tuple[Fate, ...] = ("survived", "no tests")


class _Kept(msgspec.Struct, frozen=True):
    exit_code_by_key: dict[str, int | None]


class Found(msgspec.Struct, frozen=True):
    """One mutated module. mutants: the fate of each by its name, such as `shared.domain.caps.x_cap_of__mutmut_1`."""

    module: str
    mutants: dict[str, Fate]

    def count(self) -> Counter[Fate]:
        """How many met each fate."""
        return Counter(self.mutants.values())

    def named(self, *fates: Fate) -> list[str]:
        """The mutants that met one of these fates."""
        return [name for name, fate in self.mutants.items() if fate in fates]


def read(folder: Path) -> list[Found]:
    """All modules of which the tool keeps results in *folder*, by name; none where there is no folder."""
    found, later = [], harder.read(folder)
    for path in sorted(folder.rglob("*.py.meta")):
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept).exit_code_by_key
        module = ".".join(path.relative_to(folder).parts).removesuffix(".py.meta")
        if kept:
            fates = {name: _FATES.get(code, "killed") for name, code in kept.items()}
            by_lives: dict[str, Fate] = {
                name: "by lives" for name in fates if fates[name] in LIVE_ON and later.get(name)
            }
            found.append(Found(module, fates | by_lives))
    return found


def chosen(found: Iterable[Found], patterns: Iterable[str]) -> list[Found]:
    """Those whose name, or whose last part, fits one of *patterns*; all where there are none."""
    patterns = tuple(patterns)
    return [
        one
        for one in found
        if not patterns
        or any(fnmatch(name, pattern) for pattern in patterns for name in (one.module, one.module.rpartition(".")[2]))
    ]


def is_drawn(name: str, percent: int) -> bool:
    """Whether a mutant is among so many percent of all: the same ones each time, and of more percent those and others."""
    return crc32(name.encode()) % 100 < percent


def score(count: Counter[Fate]) -> str:
    """Percent of those that were run which somebody noticed: killed, by lives, or never came to an end."""
    noticed = count["killed"] + count["by lives"] + count["timed out"]
    run = noticed + count["survived"] + count["no tests"]
    return f"{100 * noticed / run:.1f}" if run else "-"


def table(found: Iterable[Found]) -> str:
    """The results as Markdown, a line a module and one for all of them."""
    head = ("module", "mutants", *COLUMNS, "score")
    lines = [head, ("---", *["---:"] * (len(head) - 1))]
    whole: Counter[Fate] = Counter()
    for one in found:
        lines.append(_line(one.module, one.count()))
        whole.update(one.count())
    lines.append(_line("all", whole))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _line(name: str, count: Counter[Fate]) -> tuple[str, ...]:
    return (name, str(count.total()), *(str(count[fate]) for fate in COLUMNS), score(count))
