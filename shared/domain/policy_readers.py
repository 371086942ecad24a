"""
What of a policy its readers could not bear: a version that is not exact in JSON, and texts that do more than be read. Pure.

Its texts stand on pages, in mails and on terminals. There a control character can move the cursor or break a line, and a
character that turns the direction of writing makes a line read otherwise than it is. The law does not look here: a policy
that an older patchgate adopted stays what it is.
"""

import re
from collections.abc import Iterator

import msgspec

from shared.domain.policy_lines import Path

VERSION_MAX = 2**53 - 1
"""The greatest whole number that every reader of JSON keeps exact (RFC 8259, 6)."""

# C0 with tab and line end, DEL, C1; line and paragraph separator; embeddings, overrides and isolates (UAX 9, 2).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_REFUSED_ELSEWHERE = frozenset({"replies"})  # one line of printable ASCII


def reader_errors(policy: msgspec.Struct) -> Iterator[tuple[Path, str]]:
    """Each place of *policy* that its readers could not bear, and what is wrong there."""
    if getattr(policy, "version", 0) > VERSION_MAX:
        yield (
            ("version",),
            f"must be at most {VERSION_MAX}, which every reader of JSON keeps exact; write a smaller one",
        )
    yield from _texts(policy, ())


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Made of the values, so that a new key of the policy needs nothing here."""
    if isinstance(value, msgspec.Struct):
        for key in value.__struct_fields__:
            if key not in _REFUSED_ELSEWHERE:
                yield from _texts(getattr(value, key), (*path, key))
    elif isinstance(value, tuple):
        for number, one in enumerate(value):
            yield from _texts(one, (*path, number))
    elif isinstance(value, str) and (found := _CONTROL.search(value)):
        yield (
            path,
            f"holds the control character U+{ord(found[0]):04X}, which changes how its line is shown; take it out",
        )
