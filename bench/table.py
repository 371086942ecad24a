"""What a benchmark hands back: rows of a table, and how they are written as Markdown."""

from collections.abc import Callable, Sequence
from statistics import median

import msgspec

Tell = Callable[[str], None]
"""Told how far a benchmark has come."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """
    One figure. what: which, with its unit. spread: least and most of the rounds, or why there is no value.

    target: what it should be, "" where nothing was asked. reached: None where nothing was asked or nothing was measured.
    """

    what: str
    value: str
    spread: str = ""
    target: str = ""
    reached: bool | None = None


def not_run(what: str, why: str, target: str = "") -> Row:
    """The row of a figure that there is none of. why: the reason, and what would have to be done."""
    return Row(what=what, value="not run", spread=why, target=target)


def rounds(
    what: str, values: Sequence[float], digits: int = 0, *, target: str = "", reached: bool | None = None
) -> Row:
    """The row of a figure measured in rounds: median, and least to most."""
    spread = f"{_number(min(values), digits)} to {_number(max(values), digits)} in {len(values)} rounds"
    return Row(what=what, value=_number(median(values), digits), spread=spread, target=target, reached=reached)


def single(
    what: str, value: float, digits: int = 0, *, note: str = "", target: str = "", reached: bool | None = None
) -> Row:
    """The row of a figure measured once."""
    return Row(what=what, value=_number(value, digits), spread=note, target=target, reached=reached)


def markdown(rows: Sequence[Row]) -> str:
    """*rows* as a table."""
    lines = ["| figure | value | spread, remark | target | reached |", "|---|---:|---|---|---|"]
    words = {True: "yes", False: "**no**", None: ""}
    lines += [f"| {row.what} | {row.value} | {row.spread} | {row.target} | {words[row.reached]} |" for row in rows]
    return "\n".join(lines) + "\n"


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"
