"""
Markup in which everything is escaped: text is escaped by `Html` on joining, so a plain `str` never gets in unescaped.

For all pages that show what strangers wrote: names of servers, lines of headers.
"""

import html
from collections.abc import Iterable


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def esc(value: object) -> Html:
    """*value* as text of a page; markup stays as it is. Control characters are shown, so none can hide or turn text."""
    if isinstance(value, Html):
        return value
    return Html(html.escape("".join(_visible(char) for char in str(value)), quote=True))


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """One element; `class_` and `for_` lose their underscore, other underscores become hyphens; None and False leave one out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{esc(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{given}>{join(content)}</{name}>")


def void(name: str, /, **attributes: object) -> Html:
    """One element without content."""
    return Html(tag(name, **attributes).removesuffix(f"</{name}>"))


def join(parts: Iterable[object]) -> Html:
    """Parts one after the other."""
    return Html("".join(esc(part) for part in parts))


def _visible(char: str) -> str:
    # C0, C1, and the characters that turn the direction of text round.
    if char in "\n\t" or (char.isprintable() or char == " "):
        return char
    return f"\\x{ord(char):02x}" if ord(char) <= _BYTE_MAX else f"\\u{ord(char):04x}"


_BYTE_MAX = 0xFF
