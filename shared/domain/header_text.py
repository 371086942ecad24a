"""
The text of one `Received` line: unfolded, redacted, and the host that wrote it.

Whatever the line holds, the work is linear in its length, and bounded. Everything that reads a line reads its redacted form, so what
the edge publishes gives the same reading as what it saw.
"""

import re

RAW_LENGTH_MAX = 65_536
"""Characters of a header value that are looked at; Postfix itself cuts at 60,000. At the bound the middle is cut out."""

LINE_LENGTH_MAX = 2000
"""Characters of a redacted line; real ones are below 600. At the bound the middle is cut out and `(cut)` stands there."""

_RAW_KEPT = 32_000  # at each end
_HEAD_KEPT = 600
_CUT = "(cut)"  # ends with a bracket: what follows it cannot become a word of its own
_REMOVED = " (-)"  # stands for a `for` clause; not longer than the shortest one, and no literal of any host

_BLANKS = re.compile(r"[ \t\r\n]+")
_NOT_PRINTABLE = re.compile(r"[^ -~]")
_PRINTABLE_LINE = re.compile(r"[!-~]+(?: [!-~]+)*")

_BEFORE_LOCAL_PART = frozenset(" <>(),;")
_BRACKET = re.compile(r"[()]")
_ANGLE_OR_QUOTED = re.compile(r'<[^<>()]*>|"[^"()]*"')  # no brackets inside: a lone quote of a client hides nothing
_BY = re.compile(r"(?:^| )by (?!uid )([^\s@()<>;\",\\\x00]{1,255})(?=[\s;(\x00]|$)", re.IGNORECASE)
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


def by_host_of(redacted: str) -> str:
    """
    The host that wrote the line, lower case; "" when the line names none.

    The last `by` before the date counts, outside brackets and quotes: what a client said stands before it.
    """
    found = _last_by(_outside(redacted))
    return "" if found is None else found[1].lower().rstrip(".")


def _without_local_parts(line: str) -> str:
    if "@" not in line:
        return line
    *before, last = line.split("@")
    return "@".join([*(piece[: _local_part_start(piece)] for piece in before), last])


def _local_part_start(piece: str) -> int:
    start = len(piece)
    while start and piece[start - 1] not in _BEFORE_LOCAL_PART:
        start -= 1
        if piece[start] == '"':
            opening = piece.rfind('"', 0, start)
            start = opening if opening >= 0 else start
    return start


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
