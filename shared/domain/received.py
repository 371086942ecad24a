r"""
What `Received` lines say: who wrote each, which product, which build.

A line of Exchange 2007 to SE ends, after all that a client can control, as in

    by HOST (ADDRESS) with WHAT [id BUILD] [via ROLE Transport]; DATE

Only a line whose text from its last `by` to its end is exactly that names a product. The `from` part, comments, quotes,
`for` and what follows the date are never searched for one. Lines are header values, without `Received:`, folded or not.
"""

import re
from collections.abc import Sequence

import msgspec

from shared.domain.build import Build
from shared.domain.catalogue import BuildCatalogue, product_of
from shared.domain.evidence import OwnRun, Reading
from shared.domain.header_text import by_host_of, redact, unfold
from shared.domain.ranges import range_of

__all__ = ["OWN_RUN_LINES_MAX", "LineReading", "read_line", "read_own_run", "redact"]

OWN_RUN_LINES_MAX = 50
"""Lines of an own run; real ones have below 10. Lines beyond are not read, so they acquit nobody either."""

EXCHANGE_2007 = "Microsoft Exchange 2007"
NO_BUILD_SHOWN = "no-build-shown"

HOSTED_NAMES = ("outlook.com", "exchangelabs.com", "partner.outlook.cn", "outlook.office365.com", "bigfish.com")
"""Ends of the names under which Microsoft's own servers write. Source: 232,691 lines of public mail archives."""

_FIRST_HOSTED = (15, 3)  # on-premises ends with 15.2; Exchange Online is 15.20 and above
_FORMS = {"Microsoft SMTP Server": "smtp", "mapi": "mapi", "ShadowRedundancy": "shadow-redundancy"}

# Every part is bounded, and no two neighbours can take the same character, so matching is linear.
_EXCHANGE_LINE = re.compile(
    r"by (?P<host>[^\s@()<>;\",\\]{1,255})"
    r" \(\(?\[?[0-9A-Za-z:.%@]{1,80}\]?\)?\)"
    r" with (?P<what>Microsoft SMTP Server|mapi|ShadowRedundancy)"
    r"(?: \((?:TLS|version=[\w.]{1,20}, cipher=\w{0,80})\))?"
    r"(?: id (?P<build>\d{1,3}\.\d{1,3}\.\d{1,6}\.\d{1,6}))?"
    r"(?: via (?:Frontend|Mailbox) Transport)?"
    r" ?; [A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
    re.ASCII,
)


class LineReading(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one line says by itself.

    name: the `by` host, lower case, "" when there is none. product: None where the line names none that we judge; then
    reason says why. shown: the build as a line of *form* shows it; form is "" for lines that no Exchange wrote.
    """

    name: str
    product: str | None = None
    shown: Build | None = None
    form: str = ""
    reason: str


def read_line(value: str) -> LineReading:
    """Read one header value; any text gives an answer. Source: forms counted in public mail archives, 1996 to 2026."""
    line = redact(value)
    found = _exchange_line_in(line)
    if found is None:
        return LineReading(name=by_host_of(line), reason="other-line")
    name = found["host"].lower().rstrip(".")
    form = _FORMS[found["what"]]
    shown = Build(*map(int, found["build"].split("."))) if found["build"] else None
    if _is_hosted(name):
        return LineReading(name=name, shown=shown, form=form, reason="exchange-online")
    if shown is None:
        # Exchange 2007 alone writes `with mapi;` and no id; of the other forms without one the product is not known.
        return LineReading(
            name=name, product=EXCHANGE_2007 if form == "mapi" else None, form=form, reason=NO_BUILD_SHOWN
        )
    return _with_build(name, form, shown)


def read_own_run(lines: Sequence[str], catalogue: BuildCatalogue) -> OwnRun:
    """
    The sender's own lines, from the top as long as the `by` host stays the same, and what they prove.

    The top line is what the peer wrote itself, so it must name the product. A deeper line counts only if it shows a
    higher build; then the lower end rises to it and the upper end never falls: it may acquit, never accuse.
    """
    if not lines:
        return OwnRun(name="", lines=(), reading=None)
    top = read_line(lines[0])
    if not top.name:
        return OwnRun(name="", lines=(), reading=None)
    own, reading = [unfold(lines[0])], _reading_of(top, catalogue)
    for value in lines[1:OWN_RUN_LINES_MAX]:
        line = read_line(value)
        if line.name != top.name:
            break
        own.append(unfold(value))
        if reading is not None:
            reading = _raised(reading, _reading_of(line, catalogue))
    return OwnRun(name=top.name, lines=tuple(own), reading=reading)


def _exchange_line_in(line: str) -> re.Match[str] | None:
    """The Exchange part of a line: from its last `by` to its end. The name after `from` is no `by`, whatever it is."""
    start = line.rfind(" by ") + 1
    if start == len("from ") and line.startswith("from "):
        return None
    return _EXCHANGE_LINE.fullmatch(line, start)


def _is_hosted(name: str) -> bool:
    return name in HOSTED_NAMES or name.endswith(tuple(f".{end}" for end in HOSTED_NAMES))


def _with_build(name: str, form: str, shown: Build) -> LineReading:
    product = product_of(shown)
    if product is not None:
        return LineReading(name=name, product=product, shown=shown, form=form, reason="build-shown")
    reason = "forged-exchange-online" if shown >= _FIRST_HOSTED else "no-such-product"
    return LineReading(name=name, shown=shown, form=form, reason=reason)


def _reading_of(line: LineReading, catalogue: BuildCatalogue) -> Reading | None:
    if line.product is None:
        return None
    if line.shown is None:
        return Reading(product=line.product, shown=None, low=None, high=None, form=line.form, reason=line.reason)
    low, high, reason = range_of(line.form, line.shown, catalogue)
    return Reading(product=line.product, shown=line.shown, low=low, high=high, form=line.form, reason=reason)


def _raised(top: Reading, deeper: Reading | None) -> Reading:
    """*top*, or *deeper* where that shows a higher build; the upper end stays at least where it was."""
    if deeper is None or deeper.shown is None or deeper.high is None:
        return top
    if top.shown is None or top.high is None:
        return deeper
    if deeper.shown <= top.shown:
        return top
    if deeper.high >= top.high:
        return deeper
    return msgspec.structs.replace(deeper, high=top.high, reason=top.reason)
