"""The head of a mail, piece by piece."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.header_text import RAW_LENGTH_MAX, unfold
from shared.domain.mail_head import received_values

LINE = "from a.example by b.example with SMTP; x"


def values(*pieces: bytes) -> list[str]:
    """All values, unfolded."""
    return [unfold(value) for value in received_values(pieces)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"Received: a\n", ["a"]),
        (b"Received: a", ["a"]),
        (b"\r\n\r\nReceived: a\r\n\r\nReceived: body\r\n", ["a"]),
        (b"received:a\nRECEIVED \t: b\nReceived-SPF: c\nX-Received: d\n", ["a", "b"]),
        (b"From jo@a.example Tue Apr  4\nReceived: a\n\nFrom jo\nReceived: b\n", ["a"]),
        (b"Received: a\n b\r\n\tc\r\nSubject: x\n y\nReceived: d\n", ["a b c", "d"]),
        (b"Received: a\r\r\n b\r\r\n\r\r\nReceived: body", ["a b"]),
        (b"Received: a\r b\rSubject: x\r\rReceived: body", ["a b"]),
        (b"Received: a\rb\n", ["a b"]),
        (b"\xef\xbb\xbfReceived: a\n", ["a"]),
        (b"Received: \xff\xc3\xa9\x00\n", ["????"]),
        (b" Received: a\nReceived: b\n", ["b"]),
        (b"Received:\n\nx", [""]),
    ],
)
def test_values_of_a_head(text: bytes, expected: list[str]) -> None:
    """Folds, line ends of all kinds, names in any case, bytes that are no text; the head ends at the first empty line."""
    assert values(text) == expected


@given(
    st.lists(
        st.sampled_from([b"Received:", b" a", b"\r", b"\n", b"\r\n", b"\n\n", b"Subject: x", b"\tb", b"\xe9"]),
        max_size=30,
    ),
    st.integers(1, 5),
)
def test_pieces_may_end_anywhere(parts: list[bytes], size: int) -> None:
    """However the bytes are cut, the values are the same, where a first LF tells the line ends."""
    text = b"X: y\n" + b"".join(parts)
    cut: Iterable[bytes] = [text[:5], *(text[place : place + size] for place in range(5, len(text), size))]
    assert values(*cut) == values(text)


@pytest.mark.parametrize("fold", [b"", b"\n "])
def test_value_above_the_bound_is_cut_as_one_that_came_whole(fold: bytes) -> None:
    """Ten megabytes in one header take little memory, and both ends are what they were."""
    pieces = [b"Received: from a", *([b"x" * 9_999 + fold] * 1000), b" by b.example with SMTP; x\n"]
    (found,) = received_values(pieces)
    assert len(found) <= 3 * RAW_LENGTH_MAX
    assert unfold(found) == unfold(b"".join(pieces).decode().removeprefix("Received:").rstrip("\n"))


def test_a_value_is_given_before_the_next_is_there() -> None:
    """Nothing waits for the end of the mail, and nothing behind the head is asked for."""
    asked = []

    def pieces() -> Iterator[bytes]:
        for number, piece in enumerate([b"Received: a\nReceived: b\n", b"\n", b"body"]):
            asked.append(number)
            yield piece

    found = received_values(pieces())
    assert next(found) == " a"
    assert asked == [0]
    assert list(found) == [" b"]
    assert asked == [0, 1]
