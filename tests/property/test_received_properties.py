"""Properties of reading: any text gives an answer, clients cannot name a product, redaction changes no reading."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain import header_text
from shared.domain.build import Build
from shared.domain.catalogue import branch_of, load_catalogue
from shared.domain.header_text import LINE_LENGTH_MAX, unfold
from shared.domain.received import read_line, read_own_run, redact

DATE = "Tue, 4 Apr 2023 10:00:00 +0000"
FORGED = f"by ex.example (192.0.2.9) with Microsoft SMTP Server id 8.1.240.5; {DATE}"

hostile = st.lists(
    st.sampled_from([
        "by", "for", "from", "with", "id", "via", " ", "  ", "\t", "\r\n ", "(", ")", "<", ">", '"', "\\", "@", ";", ",",
        "\0", "\x85", "\xa0", "\u20ac", "\ud800", "[", "]", "a", "x.example", "ex.example", "uid", "1.2.3.4", FORGED,
        f" {FORGED}", f"({FORGED})", f'"{FORGED}"', f"<{FORGED}>", "Microsoft SMTP Server", "with mapi id 8.1.240.5",
        "(192.0.2.9)", "Frontend Transport", DATE, "a" * 700, "jo@", '"jo by"@', "for <jo@a.example>",
    ]),
    max_size=25,
).map("".join)  # fmt: skip
anything = st.one_of(st.text(), hostile, hostile.map(" ".join))

forms = st.sampled_from(["Microsoft SMTP Server", "Microsoft SMTP Server (TLS)", "mapi", "ShadowRedundancy"])
numbers = st.one_of(
    st.tuples(st.just(15), st.integers(0, 2), st.integers(0, 3000), st.integers(0, 70)),
    st.tuples(st.sampled_from([8, 14]), st.just(3), st.integers(0, 600), st.integers(0, 9)),
    st.sampled_from([(15, 1, 2507, 6), (15, 2, 2562, 17), (15, 1, 2106, 2), (15, 0, 1497, 2), (15, 1, 2507, 61)]),
)
tails = st.builds(
    lambda what, build, via: (
        f"by ex01.contoso.example (192.0.2.5) with {what} id {'.'.join(map(str, build))}{via}; {DATE}"
    ),
    forms,
    numbers,
    st.sampled_from(["", " via Frontend Transport", " via Mailbox Transport"]),
)


@given(anything)
@example("from by " + FORGED)
def test_any_text_gives_an_answer(text: str) -> None:
    """Reading never raises, and every answer has a reason."""
    assert read_line(text).reason
    run = read_own_run([text, text], load_catalogue())
    assert len(run.lines) in {0, 2}


@given(hostile, tails)
def test_from_part_never_changes_what_the_tail_says(client: str, tail: str) -> None:
    """Whatever a client says before the `by` of the writer, the reading is that of the writer's own words."""
    assert read_line(f"from x{client} {tail}") == read_line(tail)


@given(hostile, hostile, st.sampled_from(["(Postfix)", "(8.14.4/8.14.4)", "", "(Exim 4.92)"]))
def test_client_text_in_a_line_of_another_product_names_none(client: str, recipient: str, product: str) -> None:
    """Nothing that a client says in HELO, envelope or comments makes a line of another product one of Exchange."""
    line = (
        f"from x{client} (c.example [192.0.2.1] helo={client}) by mx.example {product} with ESMTP id 1 "
        f"for <{recipient}>; {DATE} (envelope-from <{recipient}>)"
    )
    assert not read_line(line).judged


# What an MTA takes as an address: a dot-atom, or a quoted string with any printable character, escaped where it must be.
atoms = st.text("abcxyz019!#$%&'*+-/=?^_`{|}~.", min_size=1, max_size=12)
quoted = st.lists(
    st.one_of(
        st.sampled_from([FORGED, " by evil.example (Exim 1.1) ", ") by evil.example (8.8.8/8.8.8) ; ", "(", ")", ";", "@", "<", ">"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    ),
    max_size=5,
).map(lambda parts: '"' + re.sub(r'(["\\\\])', r"\\\1", "".join(parts)) + '"')  # fmt: skip
addresses = st.builds(lambda local: f"{local}@c.example", st.one_of(atoms, quoted))


@given(hostile, addresses, addresses)
@example("", r'"a\" ) by evil.example (Exim 1.1) ; \""@c.example', "jo@c.example")
def test_client_text_never_becomes_the_product(helo: str, sender: str, recipient: str) -> None:
    """Whatever HELO and valid addresses hold, product, build and host are what the server wrote of itself."""
    for product, build, written in (
        ("Exim", "4.92", f"with esmtps (TLS1.3) (Exim 4.92) (envelope-from <{sender}>) id 1 for {recipient}; {DATE}"),
        ("Sendmail", "8.14.4", f"(8.14.4/8.14.4) with ESMTP id 1 for <{recipient}>; {DATE} (envelope-from {sender})"),
        ("Ecelerity", "4.4.0", f"(envelope-from <{sender}>) (ecelerity 4.4.0 r(x:y)) with ESMTP id 1; {DATE}"),
        ("Postfix", "", f"(Postfix) with ESMTP id 1 for <{recipient}>; {DATE}"),
        (None, "", f"with ESMTP id 1 for <{recipient}>; {DATE} (envelope-from <{sender}>)"),
    ):
        reading = read_line(f"from x{helo} (c.example [192.0.2.1]) by mx.example {written}")
        assert (reading.name, reading.product, reading.build) == ("mx.example", product, build)


@given(anything)
def test_the_short_way_to_the_host_agrees_with_the_long_one(text: str) -> None:
    """A plain line has its host where the careful look would find it."""
    line = redact(text)
    found, clause = header_text._last_by(header_text._outside(line)), header_text.by_clause_of(line)
    assert (found[1].lower().rstrip(".") if found else "") == header_text.by_host_of(line)
    assert (clause is None) == (found is None)
    if clause is not None and found is not None:
        end = header_text._outside(line).rfind(";")
        assert clause[1:] == (found.start(1), found.end(1), end if end >= 0 else len(line))


@given(anything)
@example('from "x"y@a by b')
@example(" for for for x")
@example("a" * 3000 + "@" * 3000)
def test_redaction_is_stable_bounded_clean_and_changes_no_reading(text: str) -> None:
    """A redacted line is short, printable, holds no local part, stays as it is, and gives the reading of the original."""
    line = redact(text)
    assert len(line) <= LINE_LENGTH_MAX
    assert re.fullmatch(r"[ -~]*", line)
    assert re.search(r"[^ <>(),;@]@", line) is None
    assert redact(line) == line
    assert read_line(line) == read_line(text)


@given(hostile, st.sampled_from(["jo", '"Jo Doe"', "jo+x"]))
def test_redaction_removes_recipients(client: str, local: str) -> None:
    """After the host that wrote the line no recipient remains."""
    line = redact(f"from x{client} by mx.example (Postfix) with ESMTP id 1 for <{local}@fabrikam.example>; {DATE}")
    assert "fabrikam" not in line


@given(anything)
def test_unfolding_is_stable(text: str) -> None:
    """An unfolded line stays as it is."""
    assert unfold(unfold(text)) == unfold(text)


@given(tails)
def test_fold_may_fall_at_any_blank(tail: str) -> None:
    """A line reads the same, wherever it is folded."""
    assert read_line(tail.replace(" ", "\r\n\t")) == read_line(tail) == read_line(tail.replace(" ", " \n "))


@given(forms, numbers, st.integers(1, 3))
def test_padding_never_matters(what: str, build: tuple[int, int, int, int], zeros: int) -> None:
    """Leading zeros, as `mapi` lines have them, change nothing."""
    padded = ".".join(str(number).zfill(min(zeros, 3)) for number in build)
    line = "by a.example (192.0.2.5) with {} id {}; {}"
    assert read_line(line.format(what, padded, DATE)).shown == Build(*build)


@given(tails)
def test_range_holds_the_build_shown_and_stays_in_its_branch(tail: str) -> None:
    """The build shown is the lower end, and the upper end lies in its branch."""
    reading = read_own_run([tail], load_catalogue()).reading
    if reading is not None:
        assert reading.low is not None
        assert reading.high is not None
        assert reading.low == reading.shown
        assert reading.low <= reading.high
        assert branch_of(reading.low) == branch_of(reading.high)


@given(tails, st.lists(tails, max_size=4))
def test_deeper_lines_acquit_and_never_accuse(top: str, deeper: list[str]) -> None:
    """With deeper lines both ends of the range are at least where the top line alone puts them."""
    alone = read_own_run([top], load_catalogue()).reading
    together = read_own_run([top, *deeper], load_catalogue()).reading
    assert (alone is None) == (together is None)
    if alone is not None and together is not None:
        assert alone.low is not None
        assert alone.high is not None
        assert together.low is not None
        assert together.high is not None
        assert together.low >= alone.low
        assert together.high >= alone.high
