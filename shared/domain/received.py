r"""
What `Received` lines say: who wrote each, which product, which build.

A line of Exchange 2007 to SE ends, after all that a client can control, as in

    by HOST (ADDRESS) with WHAT [id BUILD] [via ROLE Transport]; DATE

Only a line whose text from its last `by` to its end is exactly that is read as one of Exchange. Every other line can name
another product (`products.py`), and is never judged. The `from` part, quotes, `for` and what follows the date are never
searched for one. Lines are header values, without `Received:`, folded or not.
"""

import re
from collections.abc import Sequence

import msgspec

from shared.domain.build import Build, parse_build
from shared.domain.catalogue import BuildCatalogue, product_of
from shared.domain.evidence import OwnRun, Reading
from shared.domain.header_text import by_clause_of, by_host_of, redact, unfold
from shared.domain.products import WINDOWS_SMTP, Named, product_of_line, windows_of
from shared.domain.ranges import range_of

__all__ = ["EXCHANGE_ONLINE", "OWN_RUN_LINES_MAX", "LineReading", "read_line", "read_own_run", "reading_of", "redact"]

OWN_RUN_LINES_MAX = 50
"""Lines of an own run; real ones have below 10. Lines beyond are not read, so they acquit nobody either."""

EXCHANGE_2007 = "Microsoft Exchange 2007"
EXCHANGE_ONLINE = "Exchange Online"
"""Nobody's own server: read, shown, and never judged."""

NO_BUILD_SHOWN = "no-build-shown"
NOT_IN_CATALOGUE = "not-in-catalogue"
OTHER_LINE = "other-line"

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

# Mail that came in through a browser or an app, and lines that were cut; the host alone tells the product.
_HOSTED_WITHOUT_BUILD = re.compile(
    r"(?: \([0-9A-Za-z:.%\[\]]{1,80}\))? with (?:HTTPS?|Microsoft SMTP Server)(?![\w-])", re.ASCII
)


class LineReading(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one line says by itself.

    name: the `by` host, lower case, "" when there is none. product: None where the line names none; reason says why.
    shown: the build of an Exchange. version: what another product shows, as the line has it. See also `build`.
    form: where the product stood (`smtp`, `mapi`, `shadow-redundancy` for Exchange); "" where nothing was read.
    judged: whether the product is one that the catalogue knows builds of, and so the only kind that can be accused.
    """

    name: str
    product: str | None = None
    shown: Build | None = None
    version: str = ""
    form: str = ""
    reason: str
    judged: bool = False

    @property
    def build(self) -> str:
        """As the line has it, without zero padding where it is of an Exchange; "" where it shows none."""
        return self.version if self.shown is None else str(self.shown)

    @property
    def generation(self) -> str:
        """Of Exchange, such as `2016` or `5.5`, and of Windows, such as `Server 2003 SP1`; "" for others."""
        if self.product == WINDOWS_SMTP:
            return windows_of(self.version)
        return self.product.rpartition(" ")[2] if self.product and self.product.startswith("Microsoft Exchange") else ""


def read_line(value: str) -> LineReading:
    """Read one header value; any text gives an answer. Source: forms counted in public mail archives, 1996 to 2026."""
    line = redact(value)
    found = _exchange_line_in(line)
    if found is not None:
        return _of_exchange(found)
    by = by_clause_of(line)
    name = by.name if by else ""
    if by is not None and _is_hosted(name) and _HOSTED_WITHOUT_BUILD.match(line, by.end):
        return LineReading(name=name, product=EXCHANGE_ONLINE, form="https", reason="exchange-online")
    named = product_of_line(line, by)
    return LineReading(name=name, reason=OTHER_LINE) if named is None else _of_other(name, named)


def read_own_run(lines: Sequence[str], catalogue: BuildCatalogue) -> OwnRun:
    """
    The sender's own lines, from the top as long as the `by` host stays the same, and what they prove.

    The top line is what the peer wrote itself, so it must name the product. A deeper line counts only if it shows a
    higher build; then the lower end rises to it and the upper end never falls: it may acquit, never accuse.
    """
    if not lines:
        return OwnRun(name="", lines=(), reading=None)
    top = _read_judged(lines[0])
    if not top.name:
        return OwnRun(name="", lines=(), reading=None)
    own, reading = [unfold(lines[0])], reading_of(top, catalogue)
    for value in lines[1:OWN_RUN_LINES_MAX]:
        line = _read_judged(value)
        if line.name != top.name:
            break
        own.append(unfold(value))
        if reading is not None:
            reading = _raised(reading, reading_of(line, catalogue))
    return OwnRun(name=top.name, lines=tuple(own), reading=reading)


def reading_of(line: LineReading, catalogue: BuildCatalogue) -> Reading | None:
    """What a line alone proves of the server that wrote it; None for one whose product is not judged."""
    if line.product is None or not line.judged:
        return None
    if line.shown is None:
        return Reading(product=line.product, shown=None, low=None, high=None, form=line.form, reason=line.reason)
    low, high, reason = range_of(line.form, line.shown, catalogue)
    return Reading(product=line.product, shown=line.shown, low=low, high=high, form=line.form, reason=reason)


def _read_judged(value: str) -> LineReading:
    """Read the host, and the product if it is judged: what `read_line` finds besides concerns no verdict."""
    line = redact(value)
    found = _exchange_line_in(line)
    return LineReading(name=by_host_of(line), reason=OTHER_LINE) if found is None else _of_exchange(found)


def _exchange_line_in(line: str) -> re.Match[str] | None:
    """The Exchange part of a line: from its last `by` to its end. The name after `from` is no `by`, whatever it is."""
    start = line.rfind(" by ") + 1
    if start == len("from ") and line.startswith("from "):
        return None
    return _EXCHANGE_LINE.fullmatch(line, start)


def _of_exchange(found: re.Match[str]) -> LineReading:
    name = found["host"].lower().rstrip(".")
    form = _FORMS[found["what"]]
    shown = Build(*map(int, found["build"].split("."))) if found["build"] else None
    if _is_hosted(name):
        return LineReading(name=name, product=EXCHANGE_ONLINE, shown=shown, form=form, reason="exchange-online")
    if shown is not None:
        return _with_build(name, form, shown)
    # Exchange 2007 alone writes `with mapi;` and no id; of the other forms without one the product is not known.
    is_2007 = form == "mapi"
    return LineReading(
        name=name, product=EXCHANGE_2007 if is_2007 else None, form=form, reason=NO_BUILD_SHOWN, judged=is_2007
    )


def _of_other(name: str, named: Named) -> LineReading:
    if not named.product:
        return LineReading(name=name, form=named.form, reason=named.reason)
    if not named.product.startswith("Microsoft Exchange"):
        return LineReading(name=name, product=named.product, version=named.build, form=named.form, reason=named.reason)
    shown = parse_build(named.build)  # its forms allow nothing else
    return LineReading(name=name, product=named.product, shown=shown, form="ims", reason=NOT_IN_CATALOGUE)


def _is_hosted(name: str) -> bool:
    return name in HOSTED_NAMES or name.endswith(tuple(f".{end}" for end in HOSTED_NAMES))


def _with_build(name: str, form: str, shown: Build) -> LineReading:
    product = product_of(shown)
    if product is not None:
        reason, judged = "build-shown", True
    else:
        reason, judged = "forged-exchange-online" if shown >= _FIRST_HOSTED else "no-such-product", False
    return LineReading(name=name, product=product, shown=shown, form=form, reason=reason, judged=judged)


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
