"""
Everything that is wrong or odd about the text of a policy, at once, each with its line. Pure.

An error is what `parse_policy` refuses, or what would make a rule a lie: a floor that no known build reaches. A warning is a
rule that can never hold, or holds otherwise than it looks; such a policy can be adopted.
Whatever `parse_policy` refuses is an error here, too: it has the last word.
"""

import re
import tomllib
from itertools import pairwise
from typing import Any, Literal

import msgspec

from shared.domain.build import parse_build
from shared.domain.catalogue import BuildCatalogue
from shared.domain.policy import Policy, PolicyError, complaints_of, parse_policy, shipped_policy_text
from shared.domain.policy_lines import Lines, Path, name_of
from shared.domain.policy_readers import reader_errors
from shared.domain.policy_shape import Told, shape_errors
from shared.domain.policy_warnings import floor_errors, warnings_of

_ENTRIES_STAND_ALONE = ("floors", "connectors", "protected")  # one that cannot be read says nothing of the others
_SYNTAX_LINE = re.compile(r"at line (\d+)")


class Finding(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What is wrong at a line: an error, or a warning of what can be adopted all the same."""

    line: int
    severity: Literal["error", "warning"]
    text: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """All findings, by line. policy: None where there is an error."""

    findings: tuple[Finding, ...]
    policy: Policy | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those that make the policy unusable."""
        return tuple(found for found in self.findings if found.severity == "error")


def check_policy(text: str, catalogue: BuildCatalogue) -> Checked:
    """Everything that is wrong or odd about *text*."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Checked(findings=(_not_toml(str(error), text),))
    except RecursionError:
        deep = "its lists or tables are nested too deeply; no policy needs more than three levels"
        return Checked(findings=(Finding(line=1, severity="error", text=deep),))
    lines = Lines(text)
    wrong = list(shape_errors(raw))
    read, places = _readable(raw, {path for path, _ in wrong})
    if read is not None:
        told = [(place_of(complaint, read), complaint) for complaint in complaints_of(read)]
        wrong += [(_placed(path, places), text) for path, text in (*told, *floor_errors(read, catalogue))]
        unread = [(_placed(path, places), what) for path, what in reader_errors(read)]
        wrong += [(path, f"{name_of(path)}: {what}") for path, what in unread]
    if not wrong:
        wrong += _last_word(text)
    warnings = [] if wrong or read is None else list(warnings_of(read, catalogue))
    findings = [Finding(line=lines.line_of(path), severity="error", text=told) for path, told in wrong]
    findings += [Finding(line=lines.line_of(path), severity="warning", text=told) for path, told in warnings]
    return Checked(findings=tuple(sorted(findings)), policy=None if wrong else read)


def _not_toml(error: str, text: str) -> Finding:
    found = _SYNTAX_LINE.search(error)
    line = int(found.group(1)) if found else text.count("\n") + 1  # "at end of document"
    return Finding(line=line, severity="error", text=f"not TOML: {error}; what stands behind it was not looked at")


def _last_word(text: str) -> list[Told]:
    try:
        parse_policy(text)
    except PolicyError as error:
        return [((), str(error))]
    return []


# --- contradictions: in what can be read -----------------------------------------------------------------------------


def _readable(raw: dict[str, Any], bad: set[Path]) -> tuple[Policy | None, dict[str, list[int]]]:
    """
    The policy with the shipped one's values where it cannot be read, so that contradictions elsewhere are found, too.

    Of lists whose entries stand alone only those that cannot be read are left out; the places of the others are given.
    """
    shipped = tomllib.loads(shipped_policy_text())
    fields = msgspec.structs.fields(Policy)
    spoilt = {path[0] for path in bad if path}
    lent = spoilt | {field.encode_name for field in fields if field.required and field.encode_name not in raw}
    read = {field.encode_name: raw[field.encode_name] for field in fields if field.encode_name in raw.keys() - spoilt}
    read |= {key: value for key, value in shipped.items() if key in lent}
    places: dict[str, list[int]] = {}
    for key in _ENTRIES_STAND_ALONE:
        if isinstance(raw.get(key), list):
            out = {path[1] for path in bad if path[:1] == (key,) and len(path) > 1}
            places[key] = [number for number in range(len(raw[key])) if number not in out]
            read[key] = [raw[key][number] for number in places[key]]
    try:
        return msgspec.convert({**read, "floors": [_with_builds(wave) for wave in read["floors"]]}, Policy), places
    except msgspec.ValidationError:  # a list is too long, or the like: the last word tells it
        return None, places


def _with_builds(wave: dict[str, Any]) -> dict[str, Any]:
    return {**wave, "builds": [parse_build(str(text)) for text in wave.get("builds", ())]}


def _placed(path: Path, places: dict[str, list[int]]) -> Path:
    """*path* in the document, from where it is in what could be read of it."""
    if len(path) > 1 and isinstance(path[1], int) and path[0] in places:
        return (path[0], places[str(path[0])][path[1]], *path[2:])
    return path


def place_of(complaint: str, policy: Policy) -> Path:
    """Where a sentence of `complaints_of` belongs: it begins with its key, and names the entry that it speaks of."""
    section: Path = tuple(complaint.partition(":")[0].split("."))
    entries = {
        "stages": _stages_named,
        "floors": _floors_named,
        "connectors": _connectors_named,
        "protected": _protected_named,
    }.get(str(section[0]))
    named = entries(complaint, policy) if entries else []
    return (*section, named[-1]) if named else section  # of two that clash, the one further down


def _stages_named(complaint: str, policy: Policy) -> list[int]:
    if found := re.search(r"stage (\d+) has", complaint):
        return [int(found.group(1)) - 1]
    if "the first must" in complaint:
        return [0]
    pairs = list(enumerate(pairwise(policy.stages), start=1))
    if "must rise" in complaint:
        return [number for number, (before, after) in pairs if after.from_day <= before.from_day][:1]
    return [n for n, (before, after) in pairs if before.block_minutes_per_hour and not after.block_minutes_per_hour][:1]


def _floors_named(complaint: str, policy: Policy) -> list[int]:
    return [
        number
        for number, wave in enumerate(policy.floors)
        if f"floors: {wave.product} " in complaint and str(wave.effective) in complaint
    ]


def _connectors_named(complaint: str, policy: Policy) -> list[int]:
    words = complaint.replace(":", " ").split()
    scopes = re.findall(r"'([^']*)'", complaint)
    return [
        number
        for number, one in enumerate(policy.connectors)
        if one.name in words[1:2]  # connectors: NAME ...
        or f"the name {one.name} is used twice" in complaint
        or (one.kind == "internet" and "only one may be of kind internet" in complaint)
        or ("by two of them" in complaint and not one.scopes.isdisjoint(scopes))
    ]


def _protected_named(complaint: str, _: Policy) -> list[int]:
    found = re.match(r"protected: entry (\d+),", complaint)
    return [int(found.group(1)) - 1] if found else []
