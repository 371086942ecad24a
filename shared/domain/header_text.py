"""
The text of one `Received` line: unfolded, redacted, and the host that wrote it.

Whatever the line holds, the work is linear in its length, and bounded. Everything that reads a line reads its redacted form, so what
the edge publishes gives the same reading as what it saw.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

RAW_LENGTH_MAX = 8192
"""Characters of a header value that are looked at; real ones have below 2,000. At the bound the middle is cut out."""

LINE_LENGTH_MAX = 2000
"""Characters of a redacted line; real ones are below 600. At the bound the middle is cut out and `(cut)` stands there."""

_RAW_KEPT = 4000  # at each end
_HEAD_KEPT = 600
_CUT = "(cut)"  # ends with a bracket: what follows it cannot become a word of its own
_REMOVED = " (-)"  # stands for a `for` clause; not longer than the shortest one, and no literal of any host

_BLANKS = re.compile(r"[ \t\r\n]+")
_NOT_PRINTABLE = re.compile(r"[^ -~]")
_PRINTABLE_LINE = re.compile(r"[!-~]+(?: [!-~]+)*")

_BEFORE_LOCAL_PART = frozenset(" <>(),;@")
_LOCAL_PART = re.compile(r"(?<![^ <>(),;@])[^ <>(),;@]++(?=@)")
_ESCAPED_OR_QUOTE = re.compile(
    r'\\.|"'
)  # in a quoted string a backslash takes the next character along (RFC 5321, 4.1.2)
_BRACKET = re.compile(r"[()]")
_ANGLE_OR_QUOTED = re.compile(r'<[^<>()]*>|"[^"()]*"')  # no brackets inside: a lone quote of a client hides nothing
_BY = re.compile(r"(?:^| )by (?!uid )([^\s@()<>;\",\\\x00]{1,255})(?=[\s;(\x00]|$)", re.IGNORECASE)
# A line whose `by` is plain to see: one name, whole comments, no quotes. All else is looked at with more care.
_PLAIN = re.compile(
    r'from [^\s()<>";]+(?: \([^()<>"]*\))* by (?!uid )([^\s@()<>;",\\\x00]{1,255})(?=[ ;(]|$)', re.IGNORECASE
)
_FOR = re.compile(r" for [^ ;]+", re.IGNORECASE)


def unfold(value: str) -> str:
    """
    The value of one header as one line of printable ASCII.

    Line ends and blanks become one blank; every other character that is not printable ASCII, NUL too, becomes `?`.
    A value above RAW_LENGTH_MAX loses its middle, and `(cut)` stands there.
    """
    if len(value) > RAW_LENGTH_MAX:
        value = value[:_RAW_KEPT] + _CUT + value[-_RAW_KEPT:]
    if _PRINTABLE_LINE.fullmatch(value):
        return value
    return _NOT_PRINTABLE.sub("?", _BLANKS.sub(" ", value).strip(" "))


def redact(value: str) -> str:
    """
    The line without recipients and local parts, LINE_LENGTH_MAX characters at most; redacting it again changes nothing.

    What stands before an `@` is removed everywhere, with its quotes; a `for` clause after the `by` host becomes `(-)`.
    """
    line = _without_local_parts(unfold(value))
    if len(line) > LINE_LENGTH_MAX:
        line = line[:_HEAD_KEPT] + _CUT + line[_HEAD_KEPT + len(_CUT) - LINE_LENGTH_MAX :]
    return _without_for(line) if " for " in line.lower() else line


class ByClause(NamedTuple):
    """The host that wrote a line. name: lower case; start, end: of the name in the line; clauses_end: where the date begins."""

    name: str
    start: int
    end: int
    clauses_end: int


def by_clause_of(redacted: str) -> ByClause | None:
    """
    Where the line names the host that wrote it; None when it names none.

    The last `by` before the date counts, outside brackets and quotes: what a client said stands before it.
    """
    plain = _plain_by(redacted)
    if plain is not None:
        behind = _outside(redacted[plain.end(1) :]).rfind(";")
        return _clause(plain, plain.end(1) + behind if behind >= 0 else len(redacted))
    outside = _outside(redacted)
    found = _last_by(outside)
    if found is None:
        return None
    end = outside.rfind(";")
    return _clause(found, end if end >= 0 else len(outside))


def by_host_of(redacted: str) -> str:
    """The host that wrote the line, lower case; "" when the line names none (see `by_clause_of`)."""
    found = _plain_by(redacted) or _last_by(_outside(redacted))
    return "" if found is None else found[1].lower().rstrip(".")


def _clause(found: re.Match[str], end: int) -> ByClause:
    return ByClause(found[1].lower().rstrip("."), found.start(1), found.end(1), end)


def _plain_by(line: str) -> re.Match[str] | None:
    """The `by` of a plain line that has no other one, so that it must be the last outside brackets and quotes."""
    found = _PLAIN.match(line)
    return found if found is not None and line.lower().find(" by ", found.end(1)) < 0 else None


def comments_of(line: str) -> list[tuple[int, int]]:
    """Where each outermost pair of brackets stands, from the opening one to behind the closing one."""
    return _outermost_pairs(line)


def _without_local_parts(line: str) -> str:
    if "@" not in line:
        return line
    if '"' not in line:
        return _LOCAL_PART.sub("", line)
    kept, end = [], 0
    for start, at in _local_parts(line, _openings_of(line)):
        kept.append(line[end:start])
        end = at
    return "".join([*kept, line[end:]])


def _local_parts(line: str, opening: Mapping[int, int]) -> list[tuple[int, int]]:
    """
    What stands before each `@`: back to a blank or bracket, and over quoted strings as a whole, whatever they hold.

    A string that holds an earlier `@` takes that one's part along, so nothing is passed twice.
    """
    parts: list[tuple[int, int]] = []
    at = line.find("@")
    while at >= 0:
        start = at
        while start and line[start - 1] not in _BEFORE_LOCAL_PART:
            start = opening.get(start - 1, start - 1)
            while parts and start <= parts[-1][1]:
                start = min(start, parts.pop()[0])
        parts.append((start, at))
        at = line.find("@", at + 1)
    return parts


def _openings_of(line: str) -> dict[int, int]:
    """
    For each quote that ends a quoted local part, the one that opens it.

    A part begins a word and ends before `@` or a dot. Paired from the end: what a client said in HELO stands in front, and a
    lone quote in it opens nothing.
    """
    quotes = [found.start() for found in _ESCAPED_OR_QUOTE.finditer(line) if found[0] == '"']
    openings: dict[int, int] = {}
    while len(quotes) > 1:
        ending, beginning = quotes.pop(), quotes[-1]
        begins = beginning == 0 or line[beginning - 1] in _BEFORE_LOCAL_PART or line[beginning - 1] == "."
        if begins and line.startswith(("@", "."), ending + 1):
            openings[ending] = quotes.pop()
    return openings


def _without_for(line: str) -> str:
    outside = _outside(line)
    by = _last_by(outside)
    kept, end = [], 0
    for clause in _FOR.finditer(outside, by.end() if by else 0):
        kept.append(line[end : clause.start()])
        end = clause.end()
    return _REMOVED.join([*kept, line[end:]])


def _last_by(outside: str) -> re.Match[str] | None:
    """The last `by` before the last semicolon, which ends the clauses; what follows `from` is a name, even `by`."""
    start = outside.find(" ", len("from ")) if outside[:5].lower() == "from " else 0
    end = outside.rfind(";")
    if start < 0:
        return None
    return max(_BY.finditer(outside, start, end if end >= 0 else len(outside)), key=re.Match.start, default=None)


def _outside(line: str) -> str:
    """*line* with NUL in place of all that stands in brackets or quotes; an unpaired bracket is a plain character."""
    blanked = _ANGLE_OR_QUOTED.sub(lambda found: "\x00" * len(found[0]), line)
    if "(" not in blanked:
        return blanked
    parts, end = [], 0
    for start, stop in _outermost_pairs(blanked):
        parts += [blanked[end:start], "\x00" * (stop - start)]
        end = stop
    return "".join([*parts, blanked[end:]])


def _outermost_pairs(line: str) -> list[tuple[int, int]]:
    opened: list[int] = []
    pairs: list[tuple[int, int]] = []
    for bracket in _BRACKET.finditer(line):
        if bracket[0] == "(":
            opened.append(bracket.start())
        elif opened:
            start = opened.pop()
            while pairs and pairs[-1][0] > start:
                pairs.pop()
            pairs.append((start, bracket.end()))
    return pairs
