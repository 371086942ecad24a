"""What a command writes is no file that it reads, and no two of its answers are one file."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import typer


def keep_apart(outputs: Iterable[Path | None], inputs: Iterable[Path | str | None]) -> None:
    """
    Refuse what would destroy something, before anything is written; None, "" and - (the standard input) are no files.

    Raises:
        BadParameter: an output is an input, or two outputs are one file.
    """
    written = [output for output in outputs if output is not None]
    read = [Path(one) for one in inputs if one is not None and str(one) not in {"", "-"}]
    for output in written:
        for one in read:
            if _one_file(output, one):
                raise typer.BadParameter(f"{output} would be written over {one}, which is read: name another file")
    for first, second in combinations(written, 2):
        if _one_file(first, second):
            raise typer.BadParameter(f"{first} and {second} are one file: name two")


def _one_file(one: Path, other: Path) -> bool:
    """By whatever names; devices such as /dev/null keep nothing that could be lost."""
    try:
        if one.exists() and other.exists():
            return one.is_file() and one.samefile(other)
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError):  # a loop of links: it can neither be read nor written
        return False
