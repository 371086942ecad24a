"""The catalogue: its invariants, tested from the data that ships, and what it says of builds."""

from datetime import date
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest

from shared.domain import product_forms as forms
from shared.domain import ranges, received
from shared.domain.build import Build, parse_build
from shared.domain.catalogue import (
    EXPLOITED_IDS_MAX,
    Assessment,
    BuildCatalogue,
    CatalogueError,
    advice_of,
    branch_of,
    load_catalogue,
    product_of,
)
from shared.domain.catalogue_rows import (
    BuildRow,
    CatalogueRows,
    CveRow,
    LagRow,
    build_row,
    lag_row,
    parse_rows,
    read_package_rows,
)
from shared.domain.errors import ConfigError

ON = date(2026, 11, 24)
ROWS = read_package_rows()
READING_PAGE = Path(__file__).parents[2] / "docs" / "architecture" / "reading.md"


def assess(build: str, *, high: str | None = None, on: date = ON) -> Assessment:
    """What is known of one build."""
    low = parse_build(build)
    return load_catalogue().assess(product_of(low) or "", low, parse_build(high or build), on=on)


def row(build: str, released: date = date(2020, 1, 1)) -> BuildRow:
    """A made-up row."""
    return BuildRow(
        product="Made Up", cumulative_update="CU1", security_update="", build=parse_build(build), released=released
    )


# --- the data --------------------------------------------------------------------------------------------------------


def test_builds_are_sorted_and_no_two_are_the_same() -> None:
    """Rows ascend by build."""
    assert all(before.build < after.build for before, after in pairwise(ROWS.builds))


def test_newest_row_of_each_product_is_current() -> None:
    """In each product the highest build is also the last that came out."""
    catalogue = load_catalogue()
    for lifecycle in ROWS.lifecycles:
        newest = catalogue.assess(lifecycle.product, None, None, on=ON).newest
        assert newest is not None
        out = [row.released for row in ROWS.builds if row.product == lifecycle.product]
        assert newest.released == max(out)


def test_every_listed_build_belongs_to_the_product_its_numbers_say() -> None:
    """Product by numbers and product by list agree, from Exchange 2007 on."""
    assert {row.product for row in ROWS.builds if product_of(row.build) is None} == {"Microsoft Exchange 2003"}
    assert all(product_of(row.build) in {row.product, None} for row in ROWS.builds)


def test_every_fix_is_a_listed_build_of_its_product() -> None:
    """No CVE row points to a build that the list lacks."""
    listed = {(row.product, row.build) for row in ROWS.builds}
    assert all((row.product, row.fixed_in) in listed for row in ROWS.cves)


def test_exploited_holes_agree_in_all_branches() -> None:
    """Whether a hole is exploited, and since when, does not depend on the branch."""
    days: dict[str, set[date | None]] = {}
    for cve in ROWS.cves:
        days.setdefault(cve.cve, set()).add(cve.exploited_since)
    assert all(len(known) == 1 for known in days.values())


def test_files_hold_no_address_of_the_network() -> None:
    """Sources are named in words; no download address ships."""
    for path in resources.files("shared.domain").joinpath("data").iterdir():
        if path.name.endswith((".csv", ".md")):
            assert "://" not in path.read_text(encoding="utf-8"), path.name


def test_every_reason_code_is_explained() -> None:
    """The page for people has each code that a reading or a line can carry."""
    page = READING_PAGE.read_text(encoding="utf-8")
    codes = {lag.reason for lag in ROWS.lags}
    codes |= {ranges.EXACT, ranges.NEWER_THAN_DATA, ranges.UNLISTED_BRANCH, received.NO_BUILD_SHOWN}
    codes |= {received.NOT_IN_CATALOGUE, received.OTHER_LINE}
    codes |= {"exchange-online", "forged-exchange-online", "no-such-product", "build-shown"}
    codes |= {forms.VERSION, forms.NO_VERSION, forms.NUMBER_IS_NO_VERSION, forms.FILTER, forms.UNLISTED}
    codes |= {forms.WINDOWS_BUILD, forms.MAIL_READER}
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_every_row_of_false_evidence_names_its_source() -> None:
    """No range without a reason to believe it."""
    assert all(lag.source for lag in ROWS.lags)


# --- products and branches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "product"),
    [
        ("8.3.517.0", "Microsoft Exchange 2007"),
        ("14.3.513.0", "Microsoft Exchange 2010"),
        ("15.0.1497.48", "Microsoft Exchange 2013"),
        ("15.1.2507.75", "Microsoft Exchange 2016"),
        ("15.2.2561.999999", "Microsoft Exchange 2019"),
        ("15.2.2562.0", "Microsoft Exchange SE"),
        ("15.2.9999.1", "Microsoft Exchange SE"),
        ("15.3.1.1", None),
        ("15.20.8813.22", None),
        ("15.21.1.1", None),
        ("14.16.1.1", None),
        ("8.4.1.1", None),
        ("6.5.7638.0", None),
        ("16.2.2562.1", None),
    ],
)
def test_product_by_numbers(build: str, product: str | None) -> None:
    """Numbers tell the product; those of Exchange Online are none of ours."""
    assert product_of(parse_build(build)) == product


def test_branch_is_service_pack_or_cumulative_update() -> None:
    """Two numbers before 15, three from there on."""
    assert branch_of(Build(14, 3, 513, 0)) == (14, 3)
    assert branch_of(Build(15, 1, 2507, 61)) == (15, 1, 2507)


# --- assessments -----------------------------------------------------------------------------------------------------


def test_current_build_lacks_nothing() -> None:
    """The newest update of Exchange SE lacks no update and has no open hole."""
    found = assess("15.2.2562.53")
    assert found.update is not None
    assert found.update.name == "RTM Sep26SUv2"
    assert (found.listed, found.missing, found.missing_security_at_most, found.missing_since) == (True, 0, 0, None)
    assert (found.cves_open, found.cves_exploited, found.exploited_ids) == (0, 0, ())
    assert (found.support_ended, found.esu_end, found.newer_than_data) == (None, None, False)


def test_old_build_lacks_what_came_after_it() -> None:
    """Each update counts once, hotfix updates are no security updates, and the first missing one dates the gap."""
    found = assess("15.1.2507.44", on=date(2025, 10, 20))
    # Apr25HU, May25HU, Aug25SU, Sep25HU, Oct25SU
    assert (found.missing, found.missing_security, found.missing_since) == (5, 2, date(2025, 8, 12))
    assert found.newest is not None
    assert found.newest == found.newest_in_branch == found.newest_public
    assert found.newest.name == "CU23 Oct25SU"
    assert found.support_ended == date(2025, 10, 14)


def test_update_of_the_same_month_in_an_older_branch_is_not_missing_in_the_newer() -> None:
    """The last update of CU22 lacks what came later, but not its own month's update for CU23."""
    found = assess("15.1.2375.37", on=date(2023, 2, 20))
    assert (found.missing, found.missing_since) == (2, date(2023, 1, 10))


def test_update_of_the_same_day_is_not_missing() -> None:
    """What another service pack got on the same day holds the same fixes."""
    assert assess("14.1.438.0", on=date(2012, 12, 10)).missing == 0


def test_what_nobody_can_install_there_is_not_missing() -> None:
    """A rollup of an older service pack, and one that was recalled for a better one."""
    build = parse_build("8.3.83.6")
    names = [update.name for update in load_catalogue().missing("Microsoft Exchange 2007", build, ON)]
    assert "SP3 RU3v2" in names
    assert not {"SP3 RU3", "SP2 RU5"} & set(names)


def test_hole_is_exploited_only_from_the_day_it_is_known() -> None:
    """Before its entry a hole is open, and not yet known to be exploited."""
    before, after = (assess("15.1.2106.6", on=date(2021, month, 3)) for month in (10, 11))
    assert "CVE-2021-26855" not in before.exploited_ids
    assert "CVE-2021-26855" in after.exploited_ids


def test_range_counts_only_what_is_sure() -> None:
    """What a range may hide is not missing for sure, but it is at most."""
    found = assess("15.1.2507.6", high="15.1.2507.43", on=date(2024, 12, 1))
    assert (found.missing_security, found.missing_since) == (1, date(2024, 11, 27))
    assert found.missing_security_at_most > 10
    assert found.cves_open < assess("15.1.2507.6", on=date(2024, 12, 1)).cves_open


def test_limited_package_brings_no_earlier_fixes() -> None:
    """The package of March 2021 for an old cumulative update still lacks the updates before it, but not itself."""
    limited, before = assess("15.2.529.13", on=date(2021, 3, 2)), assess("15.2.529.11", on=date(2021, 3, 2))
    assert before.missing - limited.missing == 1
    assert limited.missing > 5


def test_build_below_the_base_of_its_branch_counts_as_the_base() -> None:
    """A revision that no list has, below the cumulative update's own, is still that cumulative update."""
    found = assess("15.0.1178.0")
    assert (found.update, found.listed, found.missing) == (None, False, assess("15.0.1178.4").missing)


def test_first_build_of_a_branch_may_be_a_limited_package() -> None:
    """Where only limited packages are listed, the first of them dates what is held."""
    rows = CatalogueRows(
        builds=(
            BuildRow(
                product="Microsoft Exchange 2016",
                cumulative_update="CU1",
                security_update="Mar21SU",
                build=Build(15, 1, 1, 1),
                released=date(2021, 3, 2),
                note="limited package",
            ),
        )
    )
    found = BuildCatalogue.from_rows(rows).assess(
        "Microsoft Exchange 2016", Build(15, 1, 1, 1), Build(15, 1, 1, 1), on=ON
    )
    assert (found.listed, found.missing, found.support_ended) == (True, 0, None)


@pytest.mark.parametrize(
    ("build", "newer"), [("15.2.2562.54", True), ("15.2.3000.1", True), ("15.1.2000.1", False), ("15.2.2562.53", False)]
)
def test_unknown_build_is_an_answer(build: str, newer: bool) -> None:
    """A build that no list has is assessed too: newer than the data, or simply not listed."""
    found = assess(build)
    assert found.newer_than_data is newer
    assert found.missing == 0


def test_product_that_nobody_knows_is_an_answer() -> None:
    """An unknown product gives an empty assessment."""
    assert load_catalogue().assess("Made Up", None, None, on=ON) == Assessment(product="Made Up")


def test_product_without_build_still_has_its_support_end() -> None:
    """Exchange 2007 without a build: what is known of the product."""
    found = load_catalogue().assess("Microsoft Exchange 2007", None, None, on=ON)
    assert (found.support_ended, found.update) == (date(2017, 4, 11), None)


def test_nothing_is_known_before_it_came_out() -> None:
    """On an earlier day the catalogue knows what was known then, support included."""
    found = assess("15.1.2507.6", on=date(2022, 4, 30))
    assert (found.missing, found.cves_open, found.support_ended) == (0, 0, None)
    assert load_catalogue().newest_public("Microsoft Exchange 2016", date(2015, 7, 30)) is None


def test_exploited_holes_are_named_up_to_a_bound() -> None:
    """An old server has more exploited holes than an assessment names; the count is whole."""
    found = assess("15.1.225.42")
    assert found.cves_open > found.cves_exploited > EXPLOITED_IDS_MAX == len(found.exploited_ids)
    assert "CVE-2021-26855" in assess("15.1.2106.6").exploited_ids


def test_holes_are_compared_inside_the_branch() -> None:
    """An older branch got no fix, a newer one has it, one in between is not accused, its own is compared by number."""
    catalogue = BuildCatalogue.from_rows(
        CatalogueRows(
            builds=(row("15.2.10.1"), row("15.2.20.1"), row("15.2.30.1")),
            cves=(
                CveRow(cve="CVE-1", product="P", fixed_in=Build(15, 2, 20, 5), released=ON, exploited_since=None),
                CveRow(cve="CVE-1", product="P", fixed_in=Build(15, 2, 22, 5), released=ON, exploited_since=None),
            ),
        )
    )
    opened = [
        catalogue.assess("P", build, build, on=ON).cves_open
        for build in (
            Build(15, 2, 10, 9),
            Build(15, 2, 20, 4),
            Build(15, 2, 20, 5),
            Build(15, 2, 21, 4),
            Build(15, 2, 22, 4),
            Build(15, 2, 30, 1),
        )
    ]
    assert opened == [1, 1, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("product", "least", "exists"),
    [
        ("Microsoft Exchange 2013", [], False),
        ("Microsoft Exchange 2016", [Build(15, 1, 2507, 61)], True),
        ("Microsoft Exchange 2016", [Build(15, 1, 2507, 63)], False),
        ("Microsoft Exchange 2019", [Build(15, 2, 1544, 36), Build(15, 2, 1748, 39)], True),
        ("Made Up", [Build(1, 1, 1, 1)], False),
    ],
)
def test_patch_exists_while_a_public_update_is_acceptable(product: str, least: list[Build], exists: bool) -> None:
    """Updates of the paid programme are no patch for everybody."""
    assert load_catalogue().patch_exists(product, least, ON) is exists


@pytest.mark.parametrize(
    ("build", "high", "on", "advice"),
    [
        ("15.2.2562.53", None, ON, "none"),
        ("15.2.2562.17", None, ON, "patch"),
        ("15.2.2562.99", None, ON, "unknown"),
        ("15.2.196.0", None, ON, "replace"),
        ("15.1.2507.44", None, ON, "replace"),
        ("15.1.2507.44", None, date(2026, 10, 31), "patch"),
        ("15.1.2507.6", "15.1.2507.43", date(2024, 3, 1), "unknown"),
        ("8.3.517.0", None, ON, "replace"),
        ("8.3.517.0", None, date(2017, 4, 11), "none"),
    ],
)
def test_advice(build: str, high: str | None, on: date, advice: str) -> None:
    """Replace where no update comes any more, the paid programme included; patch only what is missing for sure."""
    assert advice_of(assess(build, high=high, on=on), on) == advice


def test_missing_updates_have_the_names_of_the_own_branch() -> None:
    """An admin of CU15 is not sent to an update of CU14; the count is that of the assessment."""
    build, on = Build(15, 2, 1748, 42), date(2026, 10, 10)
    missing = load_catalogue().missing("Microsoft Exchange 2019", build, on)
    assert [one.name for one in missing][:2] == ["CU15 Feb26SU", "CU15 Jun26SU"]
    assert len(missing) == assess(str(build), on=on).missing
    assert list(missing) == sorted(missing, key=lambda one: one.released)


def test_open_holes_are_told_with_the_day_since_which_they_are_exploited() -> None:
    """A hole whose entry is to come is open, and not exploited yet."""
    catalogue, build = load_catalogue(), Build(15, 1, 2106, 6)
    before, after = (catalogue.open_cves("Microsoft Exchange 2016", build, date(2021, month, 3)) for month in (10, 11))
    assert before["CVE-2021-26855"] is None
    assert after["CVE-2021-26855"] == date(2021, 11, 3)
    assert len(after) == assess(str(build), on=date(2021, 11, 3)).cves_open


@pytest.mark.parametrize(
    ("build", "product"),
    [("15.1.2507.61", "Microsoft Exchange 2016"), ("6.5.7638.0", "Microsoft Exchange 2003"), ("5.5.2653.13", None)],
)
def test_product_of_a_build_by_numbers_or_list(build: str, product: str | None) -> None:
    """Exchange 2003 is known by the list only: no header shows its builds."""
    assert load_catalogue().product_listed(parse_build(build)) == product


# --- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "shown", "high", "reason"),
    [
        ("smtp", "15.1.2308.8", "15.1.2308.27", "smtp-lags-cu"),
        ("smtp", "15.2.922.13", "15.2.922.27", "smtp-lags-cu"),
        ("mapi", "15.1.2308.8", "15.1.2308.8", "exact"),
        ("smtp", "15.0.1497.48", "15.0.1497.48", "exact"),
        ("smtp", "15.1.2375.7", "15.1.2375.37", "cu-base-pickup"),
        ("smtp", "15.2.1118.7", "15.2.1118.40", "cu-base-pickup"),
        ("smtp", "15.2.1258.12", "15.2.1258.38", "cu-base-pickup"),
        ("shadow-redundancy", "15.2.1544.4", "15.2.1544.13", "cu-base-pickup"),
        ("smtp", "15.2.1544.9", "15.2.1544.9", "exact"),
        ("smtp", "15.2.1748.10", "15.2.1748.10", "exact"),
        ("mapi", "15.2.1544.4", "15.2.1544.4", "exact"),
        ("mapi", "15.1.1713.4", "15.1.1713.10", "mapi-below-base"),
        ("smtp", "15.2.1748.38", "15.2.1748.39", "unlisted-update"),
        ("smtp", "14.3.513.1", "14.3.513.1", "newer-than-data"),
        ("smtp", "15.0.1000.5", "15.0.1000.5", "unlisted-branch"),
        ("mapi", "15.0.1000.0", "15.0.1000.0", "unlisted-branch"),
        ("mapi", "15.2.196.0", "15.2.196.0", "exact"),
    ],
)
def test_range_by_the_table(form: str, shown: str, high: str, reason: str) -> None:
    """What a line of one form can hide."""
    found = ranges.range_of(form, parse_build(shown), load_catalogue())
    assert (str(found.low), str(found.high), found.reason) == (shown, high, reason)


# --- bad catalogues --------------------------------------------------------------------------------------------------


def lag(first: str, last: str, high: Build | str) -> LagRow:
    """A made-up row of false evidence."""
    return LagRow(
        reason="made-up",
        forms=("smtp",),
        first=parse_build(first),
        last=parse_build(last),
        which="any",
        high=high,
        source="made up",
    )


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (CatalogueRows(builds=()), "lists no build"),
        (CatalogueRows(builds=(row("15.1.1.1"), row("15.1.1.1"))), "15.1.1.1 twice"),
        (CatalogueRows(builds=(row("15.1.1.2"), row("15.1.1.1"))), "15.1.1.1 after 15.1.1.2"),
        (
            CatalogueRows(builds=(row("15.1.1.1"),), lags=(lag("15.1.1.2", "15.1.1.1", "next-listed"),)),
            "before it begins",
        ),
        (CatalogueRows(builds=(row("15.1.1.1"),), lags=(lag("15.1.1.1", "15.1.1.1", Build(15, 1, 2, 1)),)), "leaves"),
    ],
)
def test_unusable_catalogue_says_why(rows: CatalogueRows, text: str) -> None:
    """Duplicates, disorder and ranges that are none stop the start with one clear line."""
    with pytest.raises(CatalogueError, match=text):
        BuildCatalogue.from_rows(rows)
    assert issubclass(CatalogueError, ConfigError)


def test_catalogue_knows_the_day_of_its_newest_fact() -> None:
    """How old the data is can be said."""
    assert load_catalogue().newest_fact == date(2026, 10, 2)


@pytest.mark.parametrize(
    "line",
    ["P,CU1,,15.1.x.1,,2020-01-01,,s,", "P,CU1,,15.1.1.1,,someday,,s,", "P,CU1", "P,CU1,,15.1.1.1,,2020-01-01"],
)
def test_unreadable_row_is_named(line: str) -> None:
    """The error says which line of which file."""
    text = f"product,cumulative_update,security_update,build,long_build,released,kb,source,note\n{line}\n"
    with pytest.raises(CatalogueError, match=r"line 2 of builds\.csv"):
        parse_rows("builds.csv", text, build_row)


def test_unknown_selector_is_named() -> None:
    """A row of false evidence that is about no known set of builds is refused."""
    text = "reason,forms,first,last,which,high,source,note\nr,smtp,15.1.1.1,15.1.1.1,some,next-listed,s,\n"
    with pytest.raises(CatalogueError, match="which is 'some'"):
        parse_rows("false.csv", text, lag_row)
