"""Mail servers other than Exchange: what is known of a version, and that nothing is judged by it."""

from datetime import date
from itertools import pairwise

import pytest

from shared.domain.catalogue import load_catalogue
from shared.domain.catalogue_rows import CatalogueError, OtherRow, other_row, parse_rows, read_package_rows
from shared.domain.other_products import OtherAssessment, OtherProducts, version_key

ON = date(2026, 11, 24)
ODD = "4.90.0.27"
"""An Exim that the list dates a day after 4.90.1."""

ROWS = read_package_rows().others


def row(version: str, *, product: str = "Made Up", released: date | None = None, **changes: object) -> OtherRow:
    """A made-up row."""
    fields = {"eol": None, "exploited": {}, "other": (), "source": "made up"} | changes
    return OtherRow(product=product, version=version, released=released, **fields)  # type: ignore[arg-type]


def test_versions_sort_as_they_came_out() -> None:
    """Candidates before releases, letters and patches behind them, whatever the number of digits."""
    versions = ["4.9", "4.97-RC0", "4.97-RC1", "4.97", "4.97.1", "4.98", "4.98a", "4.98b", "4.99"]
    assert sorted(versions, key=version_key) == versions
    patches = ["8.8.15", "8.8.15 Patch 7", "8.8.15 Patch 46", "9.0.0"]
    assert sorted(patches, key=version_key) == patches


def test_rows_of_exim_and_sendmail_come_out_in_the_order_of_their_numbers() -> None:
    """Inside a line of versions a higher one is not older, so that what is fixed later is fixed later."""
    for product, numbers in (("Exim", 2), ("Sendmail", 2)):
        rows = [one for one in ROWS if one.product == product and one.released and one.version != ODD]
        for before, after in pairwise(sorted(rows, key=lambda one: version_key(one.version))):
            if version_key(before.version)[:numbers] == version_key(after.version)[:numbers]:
                assert before.released is not None
                assert after.released is not None
                assert before.released <= after.released, after


def test_what_a_later_version_ended_is_told() -> None:
    """Exploited holes apart, and of Exim that the number proves nothing."""
    found = load_catalogue().others.assess("Exim", "4.92", on=ON)
    assert (found.listed, found.released, found.ended) == (True, date(2019, 2, 10), date(2019, 12, 8))
    assert found.exploited_fixed_later == ("CVE-2019-16928",)
    assert "CVE-2019-15846" in found.fixed_later
    assert "CVE-2019-10149" not in found.exploited_fixed_later  # ended by 4.92 itself
    assert found.backported


def test_nothing_is_told_before_it_came_out() -> None:
    """Neither later versions, nor that a hole is exploited, nor an end of support that is to come."""
    found = load_catalogue().others.assess("Exim", "4.92", on=date(2019, 3, 1))
    assert (found.newest, found.ended, found.exploited_fixed_later) == ("4.92", None, ())


def test_branches_of_zimbra_are_told_apart() -> None:
    """A fix in 10.1 is none for 8.8."""
    found = load_catalogue().others.assess("Zimbra", "8.8.15 Patch 41", on=ON)
    assert found.exploited_fixed_later == ("CVE-2024-27443", "CVE-2024-45519")
    assert not found.backported


def test_a_row_for_a_whole_line_of_versions() -> None:
    """9.0.x stands for all of them."""
    found = load_catalogue().others.assess("HCL Domino", "9.0.1FP7", on=ON)
    assert (found.listed, found.ended) == (True, date(2024, 6, 1))
    assert not load_catalogue().others.assess("HCL Domino", "12.0.1", on=ON).listed


def test_a_hole_that_the_version_ended_itself_is_not_open() -> None:
    """One that two rows end, as branches do, is ended by the first."""
    others = OtherProducts([row("1.0", other=("CVE-1",)), row("2.0", other=("CVE-1", "CVE-2"))])
    assert others.assess("Made Up", "1.0", on=ON).fixed_later == ("CVE-2",)


@pytest.mark.parametrize("version", ["", "x" * 10_000, "9" * 10_000, "\x00"])
def test_any_version_is_an_answer(version: str) -> None:
    """What nobody listed is not listed, and nothing more."""
    others = load_catalogue().others
    assert others.assess("Nobody's", version, on=ON) == OtherAssessment(product="Nobody's", version=version)
    assert not others.assess("Exim", version, on=ON).listed


def test_products_are_named() -> None:
    """Those of the data that ships."""
    assert load_catalogue().others.products == (
        "Exim", "HCL Domino", "MDaemon", "OpenSMTPD", "Sendmail", "SmarterMail", "Zimbra",
    )  # fmt: skip


def test_days_and_holes_of_a_row_must_match() -> None:
    """A hole without its day is an error with file and line."""
    text = "product,version,released,eol,fixes_kev_cves,kev_dates_added,fixes_other_cves,source,note\nP,1,,,CVE-1 CVE-2,2020-01-01,,s,\n"
    with pytest.raises(CatalogueError, match=r"line 2 of others\.csv"):
        parse_rows("others.csv", text, other_row)
