r"""
Which mail server wrote a line that no Exchange of 2007 or later wrote.

A server names itself in one of four places, and only these are read:

1. `by HOST (NAME VERSION)`: the first comment behind the host that is no address and no envelope sender;
2. `by HOST with NAME(VERSION)`: the words right behind `with` (or `via`);
3. `by HOST with PROTOCOL (NAME VERSION)`: the comments right behind the protocol, before `id` and `for`;
4. `(NAME ...)` where the line begins with a bracket and names no host.

What a client can say stands elsewhere: before `by`, behind `for`, inside `envelope-from`, behind the date. A comment counts
only if all of it has the form of the table. Every pattern is bounded; a comment above COMMENT_LENGTH_MAX is not read.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from shared.domain.header_text import ByClause, comments_of
from shared.domain.product_forms import (
    AFTER_BY,
    AFTER_WITH,
    AT_START,
    COMMENTS,
    FILTER,
    NO_VERSION,
    STARTS,
    UNLISTED,
    UNLISTED_COMMENT,
    VERSION,
    WORDS,
    Form,
)

COMMENT_LENGTH_MAX = 200
"""Characters of a comment that is read; the longest of the forms below has 90. A longer one names nothing."""

_COMMENTS_MAX = 6  # comments looked at in one place; real lines have 4 at most


class Named(NamedTuple):
    """A product as a line names it. build: as the line has it, "" for none; form: the place; reason: a code of the docs."""

    product: str
    build: str
    form: str
    reason: str


# Comments whose text, or end, a client may have a say in: nothing behind them is read, but for an envelope sender in order.
_ENVELOPE_SENDER = re.compile(r"envelope-from <?(?:@[\w.-]{1,255})?>?", re.ASCII)
_CLIENT_COMMENT = re.compile(
    r"(?:-$|envelope-from|auth|sender|user|account|from|helo|ehlo|client|orcpt|rcpt)", re.ASCII | re.IGNORECASE
)

_WITH_PROTOCOL = re.compile(r" ?(?:with|via) [A-Za-z0-9][\w/.-]{0,60}(?=[ ;]|$)", re.ASCII)
_TLS_WORD = re.compile(r" tls [\w.-]{1,60}(?= )", re.ASCII)
_SLMAIL = re.compile(r"[^()]{0,120},SLmail V(?P<build>\d{1,2}\.\d{1,3})", re.ASCII)

_PROOFPOINT_HOSTS = ("pps.filterd", "ppops.net", "pphosted.com")
_PROOFPOINT_NUMBERS = re.compile(r"8\.1[678]\.\d{1,2}\.\d{1,3}/8\.1[678]\.\d{1,2}\.\d{1,3}\)", re.ASCII)


def product_of_line(line: str, by: ByClause | None) -> Named | None:
    """The product that a redacted line names, with its `by` clause as `by_clause_of` finds it; None: it names none."""
    if by is None:
        return _at_start(line)
    tail = line[by.end : by.clauses_end]
    comments = dict(comments_of(tail)) if "(" in tail else {}
    if by.name == "forcepoint" and tail.startswith(" Email with "):  # it writes its own name where the host belongs
        return Named("Forcepoint Email Security", "", AFTER_BY, NO_VERSION)
    # Sendmail 5 ends the host with a semicolon.
    place, named = _read_comments(tail, comments, 1 if tail.startswith("; (") else 0, AFTER_BY)
    if named is not None or place < 0:
        return _as_filter(named, tail, by.name) if named else None
    return _behind_with(line, tail, comments, place)


def _behind_with(line: str, tail: str, comments: Mapping[int, int], place: int) -> Named | None:
    begin = place + 1 if tail.startswith(" ", place) else place
    for form in WORDS:
        found = form.pattern.match(tail, begin)
        if found is not None:
            return _named(form, found, AFTER_WITH)
    protocol = _WITH_PROTOCOL.match(tail, place)
    if protocol is None:
        return _of_slmail(line, tail, comments)
    return _read_comments(tail, comments, protocol.end(), AFTER_WITH)[1]


def _read_comments(tail: str, comments: Mapping[int, int], place: int, form: str) -> tuple[int, Named | None]:
    """The first comment from *place* on that names a product, and where reading stopped; -1 where it must stop."""
    for _ in range(_COMMENTS_MAX):
        word = _TLS_WORD.match(tail, place)
        begin = word.end() if word else place
        begin += tail.startswith(" ", begin)
        end = comments.get(begin)
        if end is None:
            return place, None
        comment = tail[begin + 1 : end - 1]
        named = _of_comment(comment, form)
        if named is not None:
            return end, named
        if _CLIENT_COMMENT.match(comment) and not _ENVELOPE_SENDER.fullmatch(comment):
            return -1, None
        place = end
    return -1, None


def _of_comment(comment: str, place: str) -> Named | None:
    if len(comment) > COMMENT_LENGTH_MAX:
        return None
    for form in COMMENTS:
        found = form.pattern.fullmatch(comment)
        if found is not None:
            return _named(form, found, place)
    found = UNLISTED_COMMENT.fullmatch(comment)
    if found is None:
        return None
    return Named(found["product"], found["build"] or found["after_dash"], place, UNLISTED)


def _as_filter(named: Named, tail: str, host: str) -> Named:
    """Proofpoint's filters carry the numbers of the Sendmail in them: no server of the sender's."""
    if named.product != "Sendmail":
        return named
    known = host.endswith(_PROOFPOINT_HOSTS)
    return (
        named._replace(product="Proofpoint", reason=FILTER)
        if known or _PROOFPOINT_NUMBERS.match(tail.lstrip(" ("))
        else named
    )


def _of_slmail(line: str, tail: str, comments: Mapping[int, int]) -> Named | None:
    """SLmail names itself in the last comment, behind `by HOST from NAME`."""
    if not comments or not tail.startswith(" from ") or line[:3].lower() != "by ":
        return None
    begin, end = list(comments.items())[-1]
    found = _SLMAIL.fullmatch(tail, begin + 1, end - 1)
    return Named("SLmail", found["build"], AFTER_BY, VERSION) if found else None


def _at_start(line: str) -> Named | None:
    if not line.startswith("("):
        return None
    end = dict(comments_of(line)).get(0, 0)
    if not 0 < end <= COMMENT_LENGTH_MAX:
        return None
    for form in STARTS:
        found = form.pattern.fullmatch(line, 1, end - 1)
        if found is not None:
            return _named(form, found, AT_START)
    return None


def _named(form: Form, found: re.Match[str], place: str) -> Named:
    build = found.groupdict().get("build") or ""
    return Named(form.product, build, place, form.reason or (VERSION if build else NO_VERSION))
