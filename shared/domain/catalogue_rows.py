"""
The rows of the catalogue, and how they are read from the CSV files that ship with the package.

Where each file comes from and how its rows are meant: `data/SOURCES.md`.
"""

import csv
from collections.abc import Callable, Mapping
from datetime import date
from importlib import resources
from typing import TypeVar

import msgspec

from shared.domain.build import Build, parse_build
from shared.domain.errors import BuildSyntaxError, ConfigError

Branch = tuple[int, ...]
"""One cumulative update (first three numbers, from 15.x on) or one service pack (first two numbers, before)."""

SELECTORS = frozenset({"any", "base", "below-base", "unlisted"})
"""Which builds between `first` and `last` a row of known false evidence is about."""


FILES = (
    "exchange_builds.csv",
    "exchange_cves.csv",
    "exchange_lifecycle.csv",
    "false_evidence.csv",
    "other_mta_lifecycle.csv",
    "facts.csv",
)
"""The files of a catalogue."""

RELATIVE_HIGHS = frozenset({"branch-newest", "next-listed"})
"""Upper ends that depend on the build shown: the last known update of its branch, the first listed build not lower."""

RowT = TypeVar("RowT")


class CatalogueError(ConfigError):
    """The catalogue cannot be used; the text names the file or row. Put the file back as it was shipped."""


class BuildRow(msgspec.Struct, frozen=True, kw_only=True):
    """One listed build. cumulative_update: RTM, Preview, SPn or CUn. security_update: "" for the base release. kb: KBn or ""."""

    product: str
    cumulative_update: str
    security_update: str
    build: Build
    released: date
    kb: str = ""
    note: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        """As admins call it, such as `CU23 Oct25SU`."""
        return f"{self.cumulative_update} {self.security_update}".strip()

    @property
    def is_base(self) -> bool:
        """Whether it is the cumulative update or service pack itself."""
        return not self.security_update

    @property
    def is_security(self) -> bool:
        """Whether it brings security fixes, or may, as a rollup: every update but hotfix updates; base releases do not count."""
        return bool(self.security_update) and "HU" not in self.security_update

    @property
    def is_public(self) -> bool:
        """Whether everybody gets it: no paid extended programme, no pre-release."""
        return "ESU period" not in self.note and self.cumulative_update != "Preview"

    @property
    def is_rollup(self) -> bool:
        """Whether it is an update rollup: of one service pack, and cumulative within it."""
        return self.security_update.startswith("RU")

    @property
    def is_recalled(self) -> bool:
        """Whether its maker took it back."""
        return self.note.startswith("recalled")

    @property
    def is_limited(self) -> bool:
        """Whether it holds single fixes only, and not those of the earlier updates of its branch."""
        return "limited package" in self.note


class CveRow(msgspec.Struct, frozen=True, kw_only=True):
    """The first build of one branch that fixes *cve*. released: of that build. exploited_since: day of its KEV entry."""

    cve: str
    product: str
    fixed_in: Build
    released: date
    exploited_since: date | None
    source: str = ""


class LifecycleRow(msgspec.Struct, frozen=True, kw_only=True):
    """Last days of public support, and of the paid programme after it; None where no end is fixed or known."""

    product: str
    extended_end: date | None
    esu_end: date | None
    source: str = ""


class OtherRow(msgspec.Struct, frozen=True, kw_only=True):
    """
    One version of another mail server.

    eol: last day of its support, of Exim the day the next minor release came out. exploited: known exploited holes that it
    ended, with the day of their KEV entry; other: further ones.
    """

    product: str
    version: str
    released: date | None
    eol: date | None
    exploited: dict[str, date]
    other: tuple[str, ...]
    source: str


class FactRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far one subject of the catalogue reaches. last_fact: the day of what was known last."""

    subject: str
    file: str
    last_fact: date
    not_covered: str
    source: str


class LagRow(msgspec.Struct, frozen=True, kw_only=True):
    """
    Known false evidence: what a line of one of these forms can hide when it shows such a build.

    which: one of SELECTORS. high: a build, `branch-newest` (the last known update) or `next-listed` (the first listed
    build that is not lower). reason: the code that readings carry; the docs explain each.
    """

    reason: str
    forms: tuple[str, ...]
    first: Build
    last: Build
    which: str
    high: Build | str
    source: str


class CatalogueRows(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of one catalogue, in the order of their files."""

    builds: tuple[BuildRow, ...]
    cves: tuple[CveRow, ...] = ()
    lifecycles: tuple[LifecycleRow, ...] = ()
    lags: tuple[LagRow, ...] = ()
    others: tuple[OtherRow, ...] = ()
    facts: tuple[FactRow, ...] = ()


def branch_of(build: Build) -> Branch:
    """The branch inside which builds may be compared."""
    first_with_cumulative_updates = 15
    return build[:3] if build.major >= first_with_cumulative_updates else build[:2]


def read_package_rows() -> CatalogueRows:
    """
    Read the CSV files of the package; the only I/O here, done once at start.

    Raises:
        CatalogueError: a file has a row that cannot be read.
    """
    return rows_of({name: package_text(name) for name in FILES})


def rows_of(texts: Mapping[str, str]) -> CatalogueRows:
    """
    All rows of the files in *texts*, one text a name of FILES.

    Raises:
        CatalogueError: a file has a row that cannot be read.
    """
    return CatalogueRows(
        builds=parse_rows("exchange_builds.csv", texts["exchange_builds.csv"], build_row),
        cves=parse_rows("exchange_cves.csv", texts["exchange_cves.csv"], cve_row),
        lifecycles=parse_rows("exchange_lifecycle.csv", texts["exchange_lifecycle.csv"], lifecycle_row),
        lags=parse_rows("false_evidence.csv", texts["false_evidence.csv"], lag_row),
        others=parse_rows("other_mta_lifecycle.csv", texts["other_mta_lifecycle.csv"], other_row),
        facts=parse_rows("facts.csv", texts["facts.csv"], fact_row),
    )


def package_text(name: str) -> str:
    """One of FILES as it ships."""
    return resources.files("shared.domain").joinpath("data", name).read_text(encoding="utf-8")


def parse_rows(name: str, text: str, convert: Callable[[dict[str, str]], RowT]) -> tuple[RowT, ...]:
    """
    Every row of one CSV text with a header line.

    Raises:
        CatalogueError: a row lacks a column or holds a value that cannot be read; says which line of which file.
    """
    rows = csv.DictReader(text.splitlines())
    converted = []
    for cells in rows:
        try:
            converted.append(convert(_whole(cells)))
        except (KeyError, ValueError, BuildSyntaxError) as error:
            raise CatalogueError(
                f"line {rows.line_num} of {name} cannot be read ({error}); put the file back as it was shipped"
            ) from error
    return tuple(converted)


def build_row(cells: dict[str, str]) -> BuildRow:
    """One row of exchange_builds.csv."""
    return BuildRow(
        product=cells["product"],
        cumulative_update=cells["cumulative_update"],
        security_update=cells["security_update"],
        build=_build(cells["build"]),
        released=date.fromisoformat(cells["released"]),
        kb=cells["kb"],
        note=cells["note"],
        source=cells["source"],
    )


def cve_row(cells: dict[str, str]) -> CveRow:
    """One row of exchange_cves.csv."""
    return CveRow(
        cve=cells["cve"],
        product=cells["product"],
        fixed_in=_build(cells["fixed_in_build"]),
        released=date.fromisoformat(cells["released"]),
        exploited_since=_day(cells["kev_date_added"]),
        source=cells["source"],
    )


def lifecycle_row(cells: dict[str, str]) -> LifecycleRow:
    """One row of exchange_lifecycle.csv."""
    return LifecycleRow(
        product=cells["product"],
        extended_end=_day(cells["extended_end"]),
        esu_end=_day(cells["esu_end"]),
        source=cells["source"],
    )


def other_row(cells: dict[str, str]) -> OtherRow:
    """One row of other_mta_lifecycle.csv."""
    cves, days = cells["fixes_kev_cves"].split(), cells["kev_dates_added"].split()
    return OtherRow(
        product=cells["product"],
        version=cells["version"],
        released=_day(cells["released"]),
        eol=_day(cells["eol"]),
        exploited={cve: date.fromisoformat(day) for cve, day in zip(cves, days, strict=True)},
        other=tuple(cells["fixes_other_cves"].split()),
        source=cells["source"],
    )


def fact_row(cells: dict[str, str]) -> FactRow:
    """One row of facts.csv."""
    return FactRow(
        subject=cells["subject"],
        file=cells["file"],
        last_fact=date.fromisoformat(cells["last_fact"]),
        not_covered=cells["not_covered"],
        source=cells["source"],
    )


def lag_row(cells: dict[str, str]) -> LagRow:
    """One row of false_evidence.csv."""
    which, high = cells["which"], cells["high"]
    if which not in SELECTORS:
        raise ValueError(f"which is {which!r}; it takes one of {', '.join(sorted(SELECTORS))}")
    return LagRow(
        reason=cells["reason"],
        forms=tuple(cells["forms"].split()),
        first=parse_build(cells["first"]),
        last=parse_build(cells["last"]),
        which=which,
        high=high if high in RELATIVE_HIGHS else parse_build(high),
        source=cells["source"],
    )


def _whole(cells: dict[str, str]) -> dict[str, str]:
    if None in cells or None in cells.values():
        raise ValueError("it has not as many cells as the header line")
    return cells


def _build(text: str) -> Build:
    # Exchange 2003 is listed with three numbers only; no header shows them, and a last 0 keeps the order.
    dots_of_four_numbers = 3
    return parse_build(text if text.count(".") == dots_of_four_numbers else f"{text}.0")


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
