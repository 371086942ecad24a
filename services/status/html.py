"""
Parts of the status pages; the headers keep anything else out.

Everything is escaped by `markup`. Style and script stand in the page and are let
in by their hash, so a script that a hostile HELO name brought along would not run even if an escape were forgotten.
"""

import base64
from datetime import datetime
from hashlib import sha256
from importlib import resources
from urllib.parse import quote, urlencode

from shared.runtime.markup import Html, esc, join, tag, void

__all__ = [
    "HEADERS",
    "Html",
    "badge",
    "esc",
    "instant",
    "join",
    "list_link",
    "page",
    "seconds",
    "server_link",
    "tag",
    "void",
]


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
