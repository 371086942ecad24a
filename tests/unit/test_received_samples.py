"""
Real mail, read in place: 351 mails whose names are replaced, kept outside the repository.

Every line is labelled twice, apart from the reader: by the tables of forms (`labels.py`), and by a scanner with a grammar
(`slow_reader.py`). Where one of them disagrees with the reader, the line stands in `DISAGREEMENTS`, with who is right and why.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.domain.build import Build
from shared.domain.catalogue import load_catalogue
from shared.domain.ranges import range_of
from shared.domain.received import LineReading, read_line, redact
from tests.support import labels, slow_reader

FOLDER = Path(os.environ.get("PATCHGATE_SAMPLES") or Path(__file__).parents[3] / "shared" / "data" / "mail")
READING_PAGE = Path(__file__).parents[2] / "docs" / "architecture" / "reading.md"
ACCURACY_CELLS = 5  # product, lines, product and build, product only, note
FEW = 3
SAMPLES = FOLDER / "received_samples.jsonl"

pytestmark = pytest.mark.skipif(
    not SAMPLES.is_file(),
    reason="the folder of real mails is not here; name it with PATCHGATE_SAMPLES (own examples: tests/data/received)",
)


def mails() -> list[list[str]]:
    """The `Received` values of each mail, top first."""
    with SAMPLES.open(encoding="utf-8") as lines:
        return [[value.removeprefix("Received:") for value in json.loads(line)["received"]] for line in lines]


def values() -> Iterator[str]:
    """All values of all mails."""
    return (value for mail in mails() for value in mail)


def test_all_mails_are_there() -> None:
    """The counts below belong to this collection."""
    assert (len(mails()), sum(1 for _ in values())) == (351, 2259)


class Disagreement(NamedTuple):
    """A kind of line that is read in two ways. find: words that only such a line has; right: who is, and why."""

    find: str
    by: str
    lines: int
    right: str


DISAGREEMENTS = (
    Disagreement(
        "+0000 (Exim 4.92)",
        "labels",
        1,
        "the reader: the product stands behind the date, where anybody's comment can stand, and the server names none",
    ),
    Disagreement(
        "id 15.20.7000.12",
        "labels",
        1,
        "the reader: a build of Exchange Online under a private name is forged, so it has a build and no product",
    ),
    Disagreement(
        "AREP273.PROD.OUTLOOK.COM",
        "slow reader",
        1,
        "the reader: the address behind the host was damaged when names were replaced, and the host alone tells the product",
    ),
)


def disagreements_of(kind: str, label: Callable[[str], tuple[str, str] | None]) -> list[str]:
    """The lines on which *label* says another product or build than the reader."""
    found = []
    for value in values():
        reading = read_line(value)
        read = (reading.product or "", reading.build if reading.product else "")
        labelled = label(value)
        known = any(one.by == kind and one.find in value for one in DISAGREEMENTS)
        if labelled is not None and labelled != read:
            found.append(value)
            assert known, (value, read, labelled)
    return found


@pytest.mark.parametrize(
    ("kind", "label"), [("labels", labels.label_of), ("slow reader", lambda value: slow_reader.read(value)[1:])]
)
def test_reader_agrees_with_both_ways_of_labelling(kind: str, label: Callable[[str], tuple[str, str] | None]) -> None:
    """Product and build are what each way finds, on every line but the listed ones; and those do disagree."""
    assert len(disagreements_of(kind, label)) == sum(one.lines for one in DISAGREEMENTS if one.by == kind)


def test_hosts_are_those_of_the_slow_reader() -> None:
    """Reading from the left and from the right ends at the same `by`."""
    for value in values():
        assert read_line(value).name == slow_reader.read(value).host, value


def test_every_line_that_a_form_of_the_tables_has_is_read() -> None:
    """No product goes unread, and nothing is read as Exchange that neither way calls so."""
    for value in values():
        reading, label = read_line(value), labels.label_of(value)
        if label is not None and label[0] and "+0000 (Exim" not in value:
            assert reading.product, value
        if reading.judged:
            assert label is not None, value
            assert label[0] == reading.product, value


def accuracy() -> dict[str, list[int]]:
    """Lines a product, and of those: with the build, product alone."""
    rows: dict[str, list[int]] = {}
    for reading in map(read_line, values()):
        if reading.product:
            row = rows.setdefault(reading.product, [0, 0, 0])
            row[0] += 1
            row[1 if reading.build else 2] += 1
    return rows


def unread() -> Counter[str]:
    """Lines that name no product, by reason."""
    return Counter(reading.reason for reading in map(read_line, values()) if not reading.product)


def test_table_of_the_docs_says_what_is_read() -> None:
    """The figures on the page for people are those of this run, product by product."""
    page = READING_PAGE.read_text(encoding="utf-8")
    written = {
        cells[0]: [int(cell) for cell in cells[1:4]]
        for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines())
        if len(cells) == ACCURACY_CELLS and cells[1].isdigit()
    }
    rows, total, few = accuracy(), [0, 0, 0], [0, 0, 0]
    for product, row in rows.items():
        total = [one + other for one, other in zip(total, row, strict=True)]
        if product not in written:
            few = [one + other for one, other in zip(few, row, strict=True)]
    expected = {product: row for product, row in rows.items() if product in written}
    assert written == {**expected, "others, each in below 3 lines": few, "all that name a product": total}
    assert all(product in written or row[0] < FEW for product, row in rows.items())
    assert f"{sum(unread().values())} lines name no product" in page
    for reason, lines in unread().items():
        assert f"{lines} `{reason}`" in page


def test_counts_by_generation() -> None:
    """As many lines of each product as the description of the samples counts, but for one hosted line in its 2016."""
    counts = Counter(reading.product for reading in map(read_line, values()) if reading.judged)
    assert counts == {
        "Microsoft Exchange 2007": 15,
        "Microsoft Exchange 2010": 23,
        "Microsoft Exchange 2013": 52,
        "Microsoft Exchange 2016": 108,
        "Microsoft Exchange 2019": 59,
        "Microsoft Exchange SE": 32,
    }


def test_redaction_changes_no_reading() -> None:
    """What the edge publishes says what it saw."""
    for value in values():
        assert read_line(redact(value)) == read_line(value)


def pairs() -> Iterator[tuple[Build, Build]]:
    """SMTP and mapi build of each host that shows both in one mail."""
    for mail in mails():
        seen: dict[str, list[LineReading]] = {}
        for reading in map(read_line, mail):
            if reading.judged:
                seen.setdefault(reading.name, []).append(reading)
        for lines in seen.values():
            smtp = [line.shown for line in lines if line.form != "mapi" and line.shown]
            mapi = [line.shown for line in lines if line.form == "mapi" and line.shown]
            yield from ((one, other) for one in smtp for other in mapi)


def test_range_of_smtp_holds_the_mapi_build_of_the_same_host() -> None:
    """No range leaves out the truth; a mapi line that shows less than SMTP holds the SMTP build in its own range."""
    catalogue, found = load_catalogue(), list(pairs())
    assert len(found) >= 10
    for smtp, mapi in found:
        of_smtp, of_mapi = range_of("smtp", smtp, catalogue), range_of("mapi", mapi, catalogue)
        if mapi >= smtp:
            assert of_smtp.low <= mapi <= of_smtp.high
        else:
            assert of_mapi.low <= smtp <= of_mapi.high
            assert of_mapi.reason == "mapi-below-base"
