"""
What must hold of a catalogue beyond that its rows can be read, told as sentences for whoever keeps it.

A catalogue that breaks one of these could accuse somebody wrongly, or say nothing where it should.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import chain, pairwise

from shared.domain.catalogue import BuildCatalogue, branch_of, product_of
from shared.domain.catalogue_rows import CatalogueError, CatalogueRows

_NOT_BY_NUMBERS = "Microsoft Exchange 2003"  # no header shows its builds


def problems_of(rows: CatalogueRows) -> tuple[str, ...]:
    """Everything that is wrong with *rows*, a sentence each; empty for a catalogue that can be used."""
    try:
        BuildCatalogue.from_rows(rows)
    except CatalogueError as error:
        return (str(error),)
    return tuple(
        chain(_products(rows), _fixes(rows), _exploited(rows), _lifecycles(rows), _current(rows), _sources(rows))
    )


def _products(rows: CatalogueRows) -> Iterator[str]:
    for row in rows.builds:
        by_numbers = product_of(row.build)
        if by_numbers != row.product and not (by_numbers is None and row.product == _NOT_BY_NUMBERS):
            yield f"{row.build} is listed as {row.product}, and by its numbers it is {by_numbers or 'no product at all'}"


def _fixes(rows: CatalogueRows) -> Iterator[str]:
    listed = {(row.product, row.build) for row in rows.builds}
    for row in rows.cves:
        if (row.product, row.fixed_in) not in listed:
            yield f"{row.cve} is said to be fixed in {row.fixed_in} of {row.product}, which is not listed"


def _exploited(rows: CatalogueRows) -> Iterator[str]:
    days: defaultdict[str, set[date | None]] = defaultdict(set)
    for row in rows.cves:
        days[row.cve].add(row.exploited_since)
    for cve, known in days.items():
        if len(known) > 1:
            yield f"{cve} is exploited since one day in one branch and since another, or never, in the next"


def _lifecycles(rows: CatalogueRows) -> Iterator[str]:
    ends = {row.product for row in rows.lifecycles}
    for product in dict.fromkeys(row.product for row in rows.builds):
        if product not in ends:
            yield f"{product} has builds and no row in exchange_lifecycle.csv"
    for row in rows.lifecycles:
        if row.esu_end is not None and (row.extended_end is None or row.esu_end < row.extended_end):
            yield f"the paid programme of {row.product} ends before its support does"


def _current(rows: CatalogueRows) -> Iterator[str]:
    """Inside a branch higher numbers are never older: else a server would lack an update that came before its own."""
    for before, row in pairwise(rows.builds):
        same = branch_of(before.build) == branch_of(row.build)
        if same and row.released < before.released and not (before.is_limited or row.is_limited):
            yield f"{row.build} is above {before.build} and came out before it"


def _sources(rows: CatalogueRows) -> Iterator[str]:
    for file, sources in (
        ("exchange_builds.csv", [row.source for row in rows.builds]),
        ("exchange_cves.csv", [row.source for row in rows.cves]),
        ("exchange_lifecycle.csv", [row.source for row in rows.lifecycles]),
        ("false_evidence.csv", [row.source for row in rows.lags]),
        ("other_mta_lifecycle.csv", [row.source for row in rows.others]),
        ("facts.csv", [row.source for row in rows.facts]),
    ):
        missing = sum(not source for source in sources)
        if missing:
            yield f"{missing} rows of {file} name no source"
