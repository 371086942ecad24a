"""Lines of `Received`, read one by one and as own runs."""

import time
from pathlib import Path

import pytest

from shared.domain.build import Build, parse_build
from shared.domain.catalogue import load_catalogue
from shared.domain.header_text import LINE_LENGTH_MAX, RAW_LENGTH_MAX, unfold
from shared.domain.received import OWN_RUN_LINES_MAX, read_line, read_own_run, redact

EXAMPLES = sorted((Path(__file__).parents[1] / "data" / "received").glob("*.txt"))
DATE = "Tue, 4 Apr 2023 10:00:00 +0000"


def exchange(build: str, *, by: str = "ex01.contoso.example", what: str = "Microsoft SMTP Server") -> str:
    """One line as Exchange writes it."""
    return f"from c.example (192.0.2.6) by {by} (192.0.2.5) with {what} id {build}; {DATE}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_gives_the_reading_written_on_top_of_it(path: Path) -> None:
    """Each example states its own run and reading, and is read as just that."""
    head, _, text = path.read_text(encoding="ascii").partition("\n\n")
    stated = (line.partition(":") for line in head.splitlines())
    expected = {key: value.strip() for key, _, value in stated}
    lines = text.removeprefix("Received:").rstrip("\n").split("\nReceived:")
    run = read_own_run(lines, load_catalogue())
    assert (run.name, len(run.lines)) == (expected["name"], int(expected["own"]))
    if not expected["product"]:
        assert run.reading is None
        return
    assert run.reading is not None
    assert (run.reading.product, run.reading.form, run.reading.reason) == (
        expected["product"],
        expected["form"],
        expected["reason"],
    )
    shown = parse_build(expected["shown"]) if expected["shown"] else None
    high = parse_build(expected["high"]) if expected["high"] else None
    assert (run.reading.shown, run.reading.low, run.reading.high) == (shown, shown, high)


def test_there_are_examples() -> None:
    """The folder of examples is found, so the test above is not empty."""
    assert len(EXAMPLES) > 20


@pytest.mark.parametrize(
    ("line", "name", "reason"),
    [
        ("", "", "other-line"),
        ("by x", "x", "other-line"),
        ("from by (192.0.2.1) by Real.example. with ESMTP; x", "real.example", "other-line"),
        (f"from by ex.example (192.0.2.9) with Microsoft SMTP Server id 8.1.240.5; {DATE}", "", "other-line"),
        ('from a" (helo=b( [192.0.2.1]) by real.example (x) with ESMTP; x "y"', "real.example", "other-line"),
        ("from a)( by real.example with SMTP; x", "real.example", "other-line"),
        ("from (x (nested by evil.example) y) by real.example with SMTP; x", "real.example", "other-line"),
        ("from jo@a.example by relay.example by uid 10599 with scanner; x", "relay.example", "other-line"),
        ("from a by evil.example by real.example with SMTP; x", "real.example", "other-line"),
        ("from nothing", "", "other-line"),
        ("FROM a.example BY B.example WITH SMTP", "b.example", "other-line"),
        ("from a by b with SMTP; x by c.example", "b", "other-line"),
        (exchange("15.20.1.1", by="mail.notoutlook.com"), "mail.notoutlook.com", "forged-exchange-online"),
        (exchange("9.0.1.1"), "ex01.contoso.example", "no-such-product"),
        (exchange("14.16.1.1"), "ex01.contoso.example", "no-such-product"),
        (exchange("15.1.2507.61").replace("; ", ") ; "), "ex01.contoso.example", "other-line"),
        (exchange("15.1.2507.61") + " x", "ex01.contoso.example", "other-line"),
        (exchange("1" * 9 + ".1.2.3"), "ex01.contoso.example", "other-line"),
    ],
)
def test_line_without_product_says_why(line: str, name: str, reason: str) -> None:
    """A line that names no product is read for its host, and the reason says why there is no product."""
    reading = read_line(line)
    assert (reading.name, reading.reason, reading.product) == (name, reason, None)


def test_exchange_online_is_read_and_never_judged() -> None:
    """A build under one of Microsoft's own names is shown, whatever its numbers say, and proves nothing of any server."""
    for build in ("15.20.8813.22", "15.1.112.19", "14.1.225.22"):
        line = exchange(build, by="mail.Protection.Outlook.com")
        reading = read_line(line)
        assert (reading.product, reading.build, reading.reason) == ("Exchange Online", build, "exchange-online")
        assert not reading.judged
        assert read_own_run([line], load_catalogue()).reading is None


def test_padding_makes_no_difference() -> None:
    """Zero-padded numbers are the same build."""
    assert read_line(exchange("15.01.0225.042", what="mapi")).shown == Build(15, 1, 225, 42)


def test_deeper_line_raises_but_never_narrows() -> None:
    """A deeper line with a higher build lifts the lower end; the upper end of the top line stays."""
    run = read_own_run([exchange("15.1.2106.2"), exchange("15.01.2106.008", what="mapi")], load_catalogue())
    assert run.reading is not None
    assert (run.reading.low, run.reading.high) == (Build(15, 1, 2106, 8), Build(15, 1, 2106, 13))


def test_deeper_line_of_higher_branch_counts_whole() -> None:
    """A deeper line in a higher branch brings its own range."""
    run = read_own_run([exchange("15.1.2106.2"), exchange("15.1.2507.6")], load_catalogue())
    assert run.reading is not None
    assert (run.reading.high, run.reading.reason) == (Build(15, 1, 2507, 43), "cu-base-pickup")


@pytest.mark.parametrize("deeper", [exchange("8.1.240.6"), exchange("15.2.1544.4"), f"by ex01.contoso.example; {DATE}"])
def test_deeper_line_that_shows_no_more_changes_nothing(deeper: str) -> None:
    """Neither an older build, nor the same one in another form, nor another product accuses through the top line."""
    top = exchange("15.2.1544.36")
    assert read_own_run([top, deeper], load_catalogue()).reading == read_own_run([top], load_catalogue()).reading


def test_top_line_without_build_yields_to_a_deeper_one() -> None:
    """Exchange 2007 without a build is replaced by what a deeper line shows, and stands where none shows more."""
    top = f"from a (192.0.2.6) by ex01.contoso.example (192.0.2.5) with mapi; {DATE}"
    raised = read_own_run([top, top, exchange("14.3.513.0")], load_catalogue()).reading
    assert raised is not None
    assert raised.product == "Microsoft Exchange 2010"
    alone = read_own_run([top, top], load_catalogue()).reading
    assert alone is not None
    assert (alone.product, alone.shown, alone.low, alone.high) == ("Microsoft Exchange 2007", None, None, None)


def test_deeper_lines_accuse_nobody_whose_top_line_names_no_product() -> None:
    """What stands below a gateway's own line is no reading of the gateway, though the `by` host is the same."""
    top = f"from a by ex01.contoso.example (Postfix) with ESMTP; {DATE}"
    assert read_own_run([top, exchange("8.1.240.6")], load_catalogue()).reading is None


@pytest.mark.parametrize("lines", [[], ["(qmail 1 invoked from network); x", exchange("8.1.240.6")]])
def test_no_readable_top_line_means_no_run(lines: list[str]) -> None:
    """Without a host in the top line nothing is known to be the sender's own."""
    run = read_own_run(lines, load_catalogue())
    assert (run.name, run.lines, run.reading) == ("", (), None)


def test_own_run_is_bounded() -> None:
    """Lines beyond the bound are not read."""
    run = read_own_run([exchange("15.1.2507.6")] * (OWN_RUN_LINES_MAX + 9), load_catalogue())
    assert len(run.lines) == OWN_RUN_LINES_MAX


def test_lines_of_the_run_are_unfolded() -> None:
    """The run keeps its lines, in one piece each."""
    folded = exchange("15.1.2507.6").replace(" by ", "\r\n\tby ")
    assert read_own_run([folded], load_catalogue()).lines == (exchange("15.1.2507.6"),)


@pytest.mark.parametrize(
    ("line", "redacted"),
    [
        ("from jo@a.example by b for <jo@c.example>; x", "from @a.example by b (-); x"),
        ('from "Jo by e"@a.example by b', "from @a.example by b"),
        ('from "x"y@a by b', "from @a by b"),
        ('from (x"y@a) by b', "from (@a) by b"),
        ("by b with X for jo; x (envelope-from <jo@d>)", "by b with X (-); x (envelope-from <@d>)"),
        ("for by ex.example with x", "for by ex.example with x"),
        ("from x for jo", "from x (-)"),
        ("from x for by ex.example with y", "from x for by ex.example with y"),
        ("from x by b (x for y) id 1", "from x by b (x for y) id 1"),
        ("by b\0with \x7f\u20ac", "by b?with ??"),
        (" by b\r\n\t with x ", "by b with x"),
    ],
)
def test_redaction_removes_people(line: str, redacted: str) -> None:
    """Recipients and local parts go, control characters are replaced, and all else stays."""
    assert redact(line) == redacted


def test_long_line_keeps_both_ends() -> None:
    """A line above the bound loses its middle, and still gives its reading."""
    line = f"from {'a' * 5000} by ex01.contoso.example (192.0.2.5) with Microsoft SMTP Server id 8.1.240.6; {DATE}"
    assert len(redact(line)) == LINE_LENGTH_MAX
    assert "(cut)" in redact(line)
    assert read_line(line).shown == Build(8, 1, 240, 6)


def test_cut_makes_no_word() -> None:
    """What follows the cut is no `by`, though the cut sets one free."""
    kept = LINE_LENGTH_MAX - 600 - len("(cut)")
    line = "from " + "a" * 3000 + "by evil.example with ".ljust(kept, "x")
    assert "(cut)by evil.example" in redact(line)
    assert read_line(line).name == ""


MEGABYTE = 1_000_000
MEGABYTE_S = 0.010
"""CPU seconds for a header of 1 MB, the best of some tries: other work on the machine makes single ones slower."""

HOSTILE = (
    "a", " ", "(", "()", '"', "@", '"@', "a@", '"a"@', '"a@"', '"."', " by x", " for x", " for a@b", "\0", "\r\n ", "\u20ac", "<", '<"', ";",
    "\\", '\\"', "by a.example (", ") by x ", "(Exim 4.92) ", " by x (a) (b) (c)", "from a (b (c) ", "with Microsoft SMTP Server id 1",
    f" {exchange('8.1.240.6')}",
)  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("front", ["", "from a", "from a by mx.example "])
def test_megabyte_is_read_in_ten_milliseconds(front: str, piece: str) -> None:
    """A header of 1 MB is answered at once, whatever it is made of, and bounded on the way."""
    line = front + piece * (MEGABYTE // len(piece))
    took = []
    for _ in range(5):
        began = time.process_time()
        reading = read_line(line)
        took.append(time.process_time() - began)
    assert min(took) < MEGABYTE_S
    assert len(redact(line)) <= LINE_LENGTH_MAX
    assert len(unfold(line)) <= RAW_LENGTH_MAX
    assert reading.judged == (piece == HOSTILE[-1])


@pytest.mark.timeout(20)
def test_ten_thousand_lines_are_read_at_once() -> None:
    """Many lines cost no more than the bound of the run."""
    run = read_own_run([exchange("15.1.2507.6")] * 10_000, load_catalogue())
    assert run.reading is not None
