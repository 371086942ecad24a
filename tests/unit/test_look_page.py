"""The page of `patchgate look --html`: whole, self-contained, in both languages, and nobody's text becomes markup."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from services.cli.__main__ import run
from services.cli.look import pictures
from services.cli.look.page_words import ENGLISH, GERMAN
from services.cli.look.pictures import counted, number
from tests.support.mailboxes import FIRST, exchange_line, fleet_mails, mail, mbox, own_line

HOSTS = {"old.example": "14.3.123.4", "older.example": "14.3.123.4", "new.example": "15.2.1748.39"}
VOID = {"meta", "input", "wbr"}


class Page(HTMLParser):
    """Tags with their attributes, and whether each one that opens is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """As the parser calls it."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """As the parser calls it."""
        assert self.open.pop() == tag


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., str]:
    """Lend the page on a mailbox of these mails."""

    def written(*mails: str) -> str:
        (tmp_path / "box").write_bytes(mbox(*mails))
        run(["look", str(tmp_path / "box"), "--html", str(tmp_path / "page.html"), "--jobs", "1"])
        return (tmp_path / "page.html").read_text(encoding="utf-8")

    return written


def test_the_page_is_whole_and_needs_nothing_else(page: Callable[..., str]) -> None:
    """Every tag is closed, nothing is fetched, nothing runs."""
    text = page(*fleet_mails(HOSTS, days=30))
    found = Page(text)
    assert found.open == []
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in found.tags}
    assert not {"src", "href", "style"} & {name for _, attributes in found.tags for name in attributes}
    assert "url(" not in text
    assert "@import" not in text


def test_each_language_has_its_pictures_in_words(page: Callable[..., str]) -> None:
    """Three a language, and who cannot see them hears what they show."""
    found = Page(page(*fleet_mails(HOSTS, days=30)))
    languages = [attributes["lang"] for tag, attributes in found.tags if tag == "article"]
    spoken = [attributes["aria-label"] or "" for tag, attributes in found.tags if tag == "svg"]
    assert languages == ["en", "de"]
    assert [label.partition(".")[0] for label in spoken] == [
        words for one in (ENGLISH, GERMAN) for words in (one.ages_title, one.updates_title, one.risk_title)
    ]
    assert "Microsoft Exchange 2010: 2013-02-12: 2 servers" in spoken[1]
    assert "day 90: passes at once 0, deferred at first 0, refused 2" in spoken[2]


def test_a_circle_says_how_many_and_its_colour_is_explained(page: Callable[..., str]) -> None:
    """Two of one build share a circle; the legend names all colours that circles have."""
    text = page(*fleet_mails(HOSTS, days=30))
    drawn = re.search(r'<svg[^>]*aria-label="Builds against.*?</figure>', text, re.DOTALL)
    assert drawn is not None
    assert re.findall(r'class="(\w[\w-]*)"></circle><text[^>]*>(\d+)<', drawn[0]) == [("older", "2"), ("current", "1")]
    keys = re.findall(r'class="key ([\w-]+)"></span>([^<]+)<', drawn[0])
    assert dict(keys) == {kind: ENGLISH.standings[standing or ""] for standing, kind in pictures.CIRCLES.items()}


def test_a_stranger_s_text_is_no_markup(page: Callable[..., str]) -> None:
    """Names of servers come from anybody."""
    name = "a'<script>alert(1)</script>&"
    line = exchange_line(name, "14.3.123.4", FIRST).replace(" by " + name, " by a&<b>.example")
    text = page(own_line(name, "x.example", "192.0.2.7", FIRST) + line + "\nx\n")
    assert Page(text).open == []
    assert "<script" not in text


def test_what_has_no_day_is_told(page: Callable[..., str]) -> None:
    """In both languages, with one and with more."""
    undated = mail("old.example", "14.3.123.4").replace("Mon, 07 Sep 2026 08:00:00", "Mon, 99 Sep 2026 08:00:00")
    assert "still to come: 1 mail." in page(undated, mail("old.example", "14.3.123.4"))
    assert "erst kommt: 2 Mails." in page(undated, undated, mail("old.example", "14.3.123.4"))
    assert "still to come" not in page(mail("old.example", "14.3.123.4"))


@pytest.mark.parametrize(
    ("amount", "english", "german"),
    [(0, "0", "0"), (0.04, "0.04", "0,04"), (0.5, "0.5", "0,5"), (1, "1", "1"), (1234.56, "1,234.6", "1.234,6")],
)
def test_numbers_are_written_as_the_language_does(amount: float, english: str, german: str) -> None:
    """A server of a mail a month does not send 0.0 a day."""
    assert (number(amount, ENGLISH), number(amount, GERMAN)) == (english, german)


def test_one_is_not_more() -> None:
    """`1 mail`, `2 mails`, `0 mails`."""
    assert [counted(n, ENGLISH.mails, ENGLISH) for n in (0, 1, 2_000)] == ["0 mails", "1 mail", "2,000 mails"]
    assert [counted(n, GERMAN.hours, GERMAN) for n in (1, 2)] == ["nur 1 Stunde", "2 verschiedenen Stunden"]


@pytest.mark.parametrize(("most", "end"), [(0.2, 0.2), (0.15, 0.16), (1, 1), (17, 20), (95, 100), (1201, 1600)])
def test_an_axis_ends_little_above_the_most(most: float, end: float) -> None:
    """So bars fill the picture, be they tenths or thousands."""
    assert pictures.axis_end(most) == pytest.approx(end)
