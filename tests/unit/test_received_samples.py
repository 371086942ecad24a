"""
Real mail, read in place: 351 mails whose names are replaced, kept outside the repository.

The expectation is made by another, simpler method: the words of the form and the first four numbers after `id`.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.domain.build import Build, parse_build
from shared.domain.catalogue import load_catalogue, product_of
from shared.domain.ranges import range_of
from shared.domain.received import LineReading, read_line, redact

FOLDER = Path(os.environ.get("PATCHGATE_SAMPLES") or Path(__file__).parents[3] / "shared" / "data" / "mail")
SAMPLES = FOLDER / "received_samples.jsonl"

pytestmark = pytest.mark.skipif(
    not SAMPLES.is_file(),
    reason="the folder of real mails is not here; name it with PATCHGATE_SAMPLES (own examples: tests/data/received)",
)

SIMPLE = re.compile(
    r"\sby\s+(\S+)[^;]*?\bwith\s+(?:Microsoft\s+SMTP\s+Server|mapi|ShadowRedundancy)[^;]*?\sid\s+(\d+\.\d+\.\d+\.\d+)"
)
HOSTED = re.compile(r"\.(?:outlook\.com|exchangelabs\.com|outlook\.cn|office365\.com|bigfish\.com)$")


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


def test_reading_agrees_with_a_simple_method_on_every_line() -> None:
    """Host and build are what the simple method finds; a line where it finds none names no product."""
    for value in values():
        reading, simple = read_line(value), SIMPLE.search(value)
        if simple is None or ".2507.6 (unknown" in value:  # product words inside a HELO name
            assert reading.product is None, value
        else:
            assert (reading.name, reading.shown) == (simple[1].lower(), parse_build(simple[2])), value
            hosted = HOSTED.search(reading.name) is not None
            assert reading.product == (None if hosted else product_of(parse_build(simple[2]))), value


def test_counts_by_generation() -> None:
    """As many lines of each product as the description of the samples counts, but for one hosted line in its 2016."""
    counts = Counter(reading.product for reading in map(read_line, values()) if reading.product)
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
            if reading.product:
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
