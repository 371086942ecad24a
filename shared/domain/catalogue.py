"""
What is known of builds: which update a build is, what it lacks on a day, and whether anything newer exists.

Pure and total: a build that no list has is an answer, not an error. Compare builds only inside one branch
(`branch_of`): a higher number in another branch does not mean more fixes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cache
from itertools import pairwise
from typing import Literal, TypeVar

import msgspec

from shared.domain.build import Build
from shared.domain.catalogue_rows import (
    Branch,
    BuildRow,
    CatalogueError,
    CatalogueRows,
    CveRow,
    FactRow,
    LagRow,
    LifecycleRow,
    branch_of,
    read_package_rows,
)
from shared.domain.other_products import OtherProducts

__all__ = [
    "Assessment",
    "Branch",
    "BuildCatalogue",
    "BuildRow",
    "CatalogueError",
    "KnownUpdate",
    "advice_of",
    "branch_of",
    "load_catalogue",
    "product_of",
]

EXPLOITED_IDS_MAX = 10
"""How many ids of known exploited holes an assessment names at most; the count is always whole."""

FIRST_SE = Build(15, 2, 2562, 0)
"""Exchange SE shares 15.2 with Exchange 2019 and begins with this branch."""

_PRODUCTS = {
    **dict.fromkeys([(8, 0), (8, 1), (8, 2), (8, 3)], "Microsoft Exchange 2007"),
    **dict.fromkeys([(14, 0), (14, 1), (14, 2), (14, 3)], "Microsoft Exchange 2010"),
    (15, 0): "Microsoft Exchange 2013",
    (15, 1): "Microsoft Exchange 2016",
    (15, 2): "Microsoft Exchange 2019",
}


def product_of(build: Build) -> str | None:
    """
    The product that was installed as *build*; None for numbers that no on-premises product has.

    15.20 and above is Exchange Online, and so was 14.4 to 14.16: never on-premises.
    """
    if build.major == FIRST_SE.major and build.minor == FIRST_SE.minor and build >= FIRST_SE:
        return "Microsoft Exchange SE"
    return _PRODUCTS.get(build[:2])


class KnownUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A listed build. name: such as `CU23 Oct25SU`. public: False for updates of the paid programme."""

    build: Build
    name: str
    released: date
    public: bool


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the catalogue says of one reading on one day. Counts "for sure" hold for the whole range of the reading.

    update: the listed build that the lower end of the range is or follows; None if the catalogue knows none there.
    listed: whether that build is listed itself. newer_than_data: above all that is listed of its branch or product.
    newest_in_branch, newest, newest_public: what was out on that day; newest_public leaves out the paid programme.
    missing: updates of any kind that it lacks for sure. missing_security: those that bring security fixes, or may (rollups);
    missing_security_at_most: counted from the lower end. missing_since: day the first security update it lacks came out.
    cves_open: holes that are open for sure. cves_exploited: those of them known to be exploited by that day;
    exploited_ids names EXPLOITED_IDS_MAX at most, oldest first.
    support_ended: last day of public support, once past. esu_end: last day of the paid programme, if there is one.
    """

    product: str
    update: KnownUpdate | None = None
    listed: bool = False
    newer_than_data: bool = False
    newest_in_branch: KnownUpdate | None = None
    newest: KnownUpdate | None = None
    newest_public: KnownUpdate | None = None
    missing: int = 0
    missing_security: int = 0
    missing_security_at_most: int = 0
    missing_since: date | None = None
    cves_open: int = 0
    cves_exploited: int = 0
    exploited_ids: tuple[str, ...] = ()
    support_ended: date | None = None
    esu_end: date | None = None


def advice_of(assessment: Assessment, on: date) -> Literal["replace", "patch", "none", "unknown"]:
    """
    What to do about a server that is read so, on a day.

    replace: no update comes any more for anybody, the paid programme included. patch: security updates are missing for sure.
    none: none is missing even at the lower end. unknown: it cannot be told, or the build is newer than the data.
    """
    ended, paid_until = assessment.support_ended, assessment.esu_end
    if ended is not None and (paid_until is None or paid_until < on):
        return "replace"
    if assessment.update is None or assessment.newer_than_data:
        return "unknown"
    if assessment.missing_security:
        return "patch"
    return "unknown" if assessment.missing_security_at_most else "none"


class BuildCatalogue:
    """All that is known of builds; immutable. Made by `from_rows`, or from the package by `load_catalogue`."""

    __slots__ = ("_branches", "_cves", "_lifecycles", "_products", "facts", "lags", "newest_fact", "others")

    def __init__(self, rows: CatalogueRows) -> None:
        self._branches: Mapping[Branch, tuple[BuildRow, ...]] = _grouped(rows.builds, lambda row: branch_of(row.build))
        self._products: Mapping[str, tuple[BuildRow, ...]] = _grouped(rows.builds, lambda row: row.product)
        self._cves: Mapping[str, tuple[tuple[CveRow, ...], ...]] = {
            product: tuple(_grouped(cves, lambda row: row.cve).values())
            for product, cves in _grouped(rows.cves, lambda row: row.product).items()
        }
        self._lifecycles: Mapping[str, LifecycleRow] = {row.product: row for row in rows.lifecycles}
        self.lags: tuple[LagRow, ...] = rows.lags
        self.others = OtherProducts(rows.others)
        self.facts: tuple[FactRow, ...] = rows.facts
        self.newest_fact: date = max(row.released for row in rows.builds)

    @classmethod
    def from_rows(cls, rows: CatalogueRows) -> "BuildCatalogue":
        """
        Check *rows* and index them.

        Raises:
            CatalogueError: no build at all, a build that is listed twice or out of order, or a range that is no range.
        """
        if not rows.builds:
            raise CatalogueError("the catalogue lists no build; put the files back as they were shipped")
        for before, row in pairwise(rows.builds):
            if row.build == before.build:
                raise CatalogueError(f"the catalogue lists {row.build} twice; remove one of the rows")
            if row.build < before.build:
                raise CatalogueError(f"the catalogue lists {row.build} after {before.build}; sort the rows by build")
        for lag in rows.lags:
            _check_lag(lag)
        return cls(rows)

    def builds_of_branch(self, branch: Branch) -> tuple[BuildRow, ...]:
        """Listed builds of one branch, oldest first; empty when the branch is not listed."""
        return self._branches.get(branch, ())

    def builds_of_product(self, product: str) -> tuple[BuildRow, ...]:
        """Listed builds of *product*, oldest first; empty when it is not listed."""
        return self._products.get(product, ())

    @property
    def products(self) -> tuple[str, ...]:
        """All products of which builds are listed, oldest first."""
        return tuple(self._products)

    def has_rollups(self, product: str) -> bool:
        """Whether the updates of *product* are update rollups: which of them bring security fixes, the list does not say."""
        return any(row.is_rollup for row in self.builds_of_product(product))

    def newest_branch(self, product: str) -> Branch:
        """The highest branch that is listed for *product*; () when none is."""
        rows = self._products.get(product)
        return branch_of(rows[-1].build) if rows else ()

    def newest_public(self, product: str, on: date) -> KnownUpdate | None:
        """The highest build of *product* that everybody could get on that day."""
        return _newest(row for row in self._out(product, on) if row.is_public)

    def patch_exists(self, product: str, least: Iterable[Build], on: date) -> bool:
        """
        Whether a public update of *product* is acceptable; if not, the advice is to replace the server.

        least: the least acceptable build of each branch, as in the policy's floor; none means that none is acceptable.
        """
        newest = self.newest_public(product, on)
        return newest is not None and any(newest.build >= build for build in least)

    def product_listed(self, build: Build) -> str | None:
        """The product that was installed as *build*, by its numbers, or by the list for those that no header shows."""
        rows = self.builds_of_branch(branch_of(build))
        return product_of(build) or (rows[0].product if rows else None)

    def missing(self, product: str, build: Build, on: date) -> tuple[KnownUpdate, ...]:
        """The updates of any kind that came out by a day after what *build* holds, oldest first."""
        own = {
            _update_of(row): row for row in self.builds_of_branch(branch_of(build))
        }  # the name its admin knows it by
        rows = (own.get(_update_of(row), row) for row in self._missing(product, build, on))
        return tuple(_known(row) for row in sorted(rows, key=lambda row: (row.released, row.build)))

    def open_cves(self, product: str, build: Build, on: date) -> Mapping[str, date | None]:
        """Holes that *build* has by what was out on a day, each with the day since which it is known to be exploited."""
        cves = self._open_cves(product, build, on)
        return {cve: since if since is not None and since <= on else None for cve, since in sorted(cves.items())}

    def newer_than_data(self, build: Build) -> bool:
        """Whether *build* is above everything that is listed of its branch, or its branch above all of its product."""
        rows = self.builds_of_branch(branch_of(build))
        if rows:
            return build > rows[-1].build
        return branch_of(build) > self.newest_branch(product_of(build) or "")

    def assess(self, product: str, low: Build | None, high: Build | None, *, on: date) -> Assessment:
        """What is known of *product* between *low* and *high* (both None where no build is shown) on a day; total."""
        lifecycle = self._lifecycles.get(product)
        ended = lifecycle.extended_end if lifecycle else None
        assessment = Assessment(
            product=product,
            newest=_newest(self._out(product, on)),
            newest_public=self.newest_public(product, on),
            support_ended=ended if ended is not None and ended < on else None,
            esu_end=lifecycle.esu_end if lifecycle else None,
        )
        return assessment if low is None or high is None else self._with_build(assessment, low, high, on)

    def _with_build(self, base: Assessment, low: Build, high: Build, on: date) -> Assessment:
        branch = self.builds_of_branch(branch_of(low))
        at_or_below = [row for row in branch if row.build <= low]
        surely, at_most = self._missing(base.product, high, on), self._missing(base.product, low, on)
        security = [row for row in surely if row.is_security]
        cves = self._open_cves(base.product, high, on)
        exploited = sorted(cve for cve, since in cves.items() if since is not None and since <= on)
        return msgspec.structs.replace(
            base,
            update=_newest(at_or_below),
            listed=bool(at_or_below) and at_or_below[-1].build == low,
            newer_than_data=self.newer_than_data(low),
            newest_in_branch=_newest(row for row in branch if row.released <= on),
            missing=len(surely),
            missing_security=len(security),
            missing_security_at_most=sum(row.is_security for row in at_most),
            missing_since=min((row.released for row in security), default=None),
            cves_open=len(cves),
            cves_exploited=len(exploited),
            exploited_ids=tuple(exploited[:EXPLOITED_IDS_MAX]),
        )

    def _out(self, product: str, on: date) -> list[BuildRow]:
        rows = self._products.get(product, ())
        return [row for row in rows if row.released <= on and row.cumulative_update != "Preview"]

    def _missing(self, product: str, build: Build, on: date) -> list[BuildRow]:
        """The first row of each update that came out after what *build* holds; none where its branch is not listed."""
        branch = self.builds_of_branch(branch_of(build))
        held = [row for row in branch if row.build <= build] or list(branch[:1])
        if not held:
            return []
        since = _fixes_until(held)
        names = {_update_of(row) for row in held}
        missing: dict[str, BuildRow] = {}
        for row in self._out(product, on):
            if row.released > since and _update_of(row) not in names and _could_be_installed(row, build):
                missing.setdefault(_update_of(row), row)
        return list(missing.values())

    def _open_cves(self, product: str, build: Build, on: date) -> dict[str, date | None]:
        """Holes that *build* has for sure, each with the day since which it is known to be exploited."""
        found: dict[str, date | None] = {}
        for rows in self._cves.get(product, ()):
            fixes = [row for row in rows if row.released <= on]
            if fixes and _is_open(fixes, build):
                found[fixes[0].cve] = fixes[0].exploited_since
        return found


@cache
def load_catalogue() -> BuildCatalogue:
    """
    Read the catalogue that ships with the package; call it once at start.

    Raises:
        CatalogueError: it cannot be used.
    """
    return BuildCatalogue.from_rows(read_package_rows())


_Row = TypeVar("_Row")
_Key = TypeVar("_Key")


def _grouped(rows: Iterable[_Row], key: Callable[[_Row], _Key]) -> dict[_Key, tuple[_Row, ...]]:
    groups: defaultdict[_Key, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return {name: tuple(members) for name, members in groups.items()}


def _newest(rows: Iterable[BuildRow]) -> KnownUpdate | None:
    row = max(rows, key=lambda row: row.build, default=None)
    if row is None:
        return None
    return _known(row)


def _known(row: BuildRow) -> KnownUpdate:
    return KnownUpdate(build=row.build, name=row.name, released=row.released, public=row.is_public)


def _update_of(row: BuildRow) -> str:
    """What counts as one update: monthly ones are the same in all branches, rollups belong to their service pack."""
    return row.security_update if row.security_update and not row.is_rollup else row.name


def _could_be_installed(row: BuildRow, build: Build) -> bool:
    """Not what was recalled for a better one, and no rollup of an older service pack than is there."""
    return not row.is_recalled and not (row.is_rollup and branch_of(row.build) < branch_of(build))


def _fixes_until(held: list[BuildRow]) -> date:
    """Day of the newest update whose fixes are all in: a limited package brings no fixes of those before it."""
    whole = [row for row in held if not row.is_limited]
    return whole[-1].released if whole else held[0].released


def _is_open(fixes: list[CveRow], build: Build) -> bool:
    """Whether *build* lacks the fix: below it in its own branch, or in a branch that is too old to have got one."""
    branch = branch_of(build)
    for row in fixes:
        if branch_of(row.fixed_in) == branch:
            return build < row.fixed_in
    return branch < min(branch_of(row.fixed_in) for row in fixes)


def _check_lag(lag: LagRow) -> None:
    if lag.first > lag.last:
        raise CatalogueError(
            f"{lag.reason} of the known false evidence ends before it begins ({lag.first}, {lag.last})"
        )
    if isinstance(lag.high, Build) and not branch_of(lag.first) == branch_of(lag.last) == branch_of(lag.high):
        raise CatalogueError(f"{lag.reason} of the known false evidence leaves the branch of {lag.first}")
