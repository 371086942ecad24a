"""
Parts of pages: everything that goes into one is escaped here, and the headers keep anything else out.

Text is escaped by `Html` on joining: a plain `str` never gets in unescaped. Style and script stand in the page and are let
in by their hash, so a script that a hostile HELO name brought along would not run even if an escape were forgotten.
"""

import base64
import html
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from importlib import resources
from urllib.parse import quote, urlencode


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


def instant(moment: datetime | None, none: str = "—") -> Html:
    """An instant in UTC; the script adds the reader's own zone, and without it the text is whole."""
    if moment is None:
        return esc(none)
    return tag("time", f"{moment:%Y-%m-%d %H:%M} UTC", datetime=f"{moment:%Y-%m-%dT%H:%M:%SZ}")


def seconds(age_s: float | None) -> str:
    """An age as people say it: 12 s, 5 min, 3 h, 2 d."""
    if age_s is None:
        return "unknown"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if age_s >= 2 * length:
            return f"{age_s / length:.0f} {unit}"
    return f"{age_s:.0f} s"


def server_link(server: str) -> str:
    """The address of a server's page."""
    return "/s/" + quote(server, safe="")


def list_link(**query: object) -> str:
    """The address of the list with this query; what is empty is left out."""
    kept = {key: value for key, value in query.items() if value not in ("", None)}
    return "/?" + urlencode(kept) if kept else "/"


def badge(state: str) -> Html:
    """A state as a coloured word."""
    return tag("span", state.replace("-", " "), class_=f"badge {state}")


def page(title: str, *body: object) -> Html:
    """A whole page."""
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} - patchgate"),
        tag("style", Html(_CSS)),
    )
    nav = tag(
        "nav",
        tag("a", "patchgate", href="/", class_="brand"),
        tag("a", "readiness", href="/readyz"),
        tag("a", "API", href="/openapi.json"),
    )
    content = tag("body", tag("header", nav), tag("main", *body), tag("script", Html(_JS)))
    return Html(f"<!doctype html>\n{tag('html', head, content, lang='en')}\n")


def _visible(char: str) -> str:
    # C0, C1, and the characters that turn the direction of text round.
    if char in "\n\t" or (char.isprintable() or char == " "):
        return char
    return f"\\x{ord(char):02x}" if ord(char) <= _BYTE_MAX else f"\\u{ord(char):04x}"


_BYTE_MAX = 0xFF


def _asset(name: str) -> str:
    return resources.files("services.status").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


_CSS = _asset("page.css")
_JS = _asset("page.js")

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_hash(_CSS)}; script-src {_hash(_JS)}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""For every answer: nothing but this page's own style and script, no frames, no copy kept."""
