"""What of a policy's text has no place in it: unknown and missing keys, wrong types, numbers out of range; all at once. Pure."""

import difflib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

import msgspec

from shared.domain.build import Build, parse_build
from shared.domain.errors import BuildSyntaxError
from shared.domain.policy import Policy
from shared.domain.policy_lines import Path, name_of

Told = tuple[Path, str]
"""Where in the document, and what is to be told of it."""

_SHOWN = 60


def shape_errors(raw: dict[str, Any]) -> Iterator[Told]:
    """Each key of *raw*, a policy as TOML gives it, that the policy's types do not take."""
    return _shape(raw, Policy, ())


def _shape(value: object, kind: Any, path: Path) -> Iterator[Told]:  # noqa: ANN401 - a type, as the annotations have it
    """What of *value* cannot be a *kind*, down to each key. Made of the types, so a new key of the policy needs nothing here."""
    kind = _present(kind)
    rows = _list_of_tables(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _table(value, kind, path)
    elif rows is not None and isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _shape(entry, rows, (*path, number))
    elif kind == tuple[Build, ...] and isinstance(value, list):
        yield from _builds(value, path)
    elif kind is date:
        yield from _day(value, path)
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            yield (
                path,
                f"{name_of(path)}: {_wanted(kind, value) or str(error)[:200]}, and reads {str(value)[:_SHOWN]!r}",
            )


def _wanted(kind: Any, value: object) -> str:  # noqa: ANN401 - a type
    """What a word of a fixed choice, or a list of them, may be; "" for other types."""
    words = get_args(kind)
    if get_origin(kind) is tuple:
        words = get_args(words[0])
    if not words or not all(isinstance(word, str) for word in words):
        return ""
    wrong = [str(one) for one in (value if isinstance(value, list) else [value]) if one not in words]
    near = difflib.get_close_matches(wrong[0], words, n=1) if wrong else []
    which = f"each of {', '.join(words)}" if get_origin(kind) is tuple else f"one of {', '.join(words)}"
    return f"must be {which}{f' (did you mean {near[0]}?)' if near else ''}"


def _table(value: object, kind: type[msgspec.Struct], path: Path) -> Iterator[Told]:
    if not isinstance(value, dict):
        yield path, f"{name_of(path)}: must be a table with keys of its own, and reads {str(value)[:_SHOWN]!r}"
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key, inner in value.items():
        if key in fields:
            yield from _shape(inner, fields[key].type, (*path, key))
        else:
            yield (*path, key), f"{name_of((*path, key))}: no such key; {_nearest(key, fields)}"
    for key, field in fields.items():
        if field.required and key not in value:
            yield path, f"{name_of((*path, key))}: is missing"


def _nearest(key: str, known: dict[str, Any]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known here: {', '.join(known)} (written for a newer patchgate? then check it with that one)"


def _builds(texts: list[object], path: Path) -> Iterator[Told]:
    for text in texts:
        try:
            parse_build(str(text))
        except BuildSyntaxError as error:
            yield path, f"{name_of(path)}: {error}"


def _day(value: object, path: Path) -> Iterator[Told]:
    """A day without a time; TOML also has times, with an offset or without one."""
    wanted = f"{name_of(path)}: a whole day is wanted, counted in UTC"
    if isinstance(value, datetime) and value.tzinfo is None:
        yield (
            path,
            f"{wanted}; {value} is a time, and without its zone: write {value.date()}, or the day that it is in UTC",
        )
    elif isinstance(value, datetime):
        yield path, f"{wanted}; {value} is a time: write {_utc_day(value)}"
    elif type(value) is not date and not _reads_as_day(value):
        yield path, f"{wanted}, such as 2026-09-08, and it reads {str(value)[:_SHOWN]!r}"


def _utc_day(instant: datetime) -> str:
    try:
        return f"{instant.astimezone(UTC).date()}, its day in UTC"
    except OverflowError:  # the first day of year 1 has one before it, the last of year 9999 one behind it
        return "a day that a calendar has in UTC"


def _reads_as_day(value: object) -> bool:
    try:
        msgspec.convert(value, date)
    except msgspec.ValidationError:
        return False
    return True


def _present(kind: Any) -> Any:  # noqa: ANN401 - a type
    """What stands there if the key is there: TOML has no null, so of `Caps | None` it is `Caps`."""
    present = [one for one in get_args(kind) if one is not NoneType]
    return present[0] if get_origin(kind) is UnionType and len(present) == 1 else kind


def _list_of_tables(kind: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a type
    """What a list of tables holds, as in `Annotated[tuple[Stage, ...], Meta()]`; None for other types."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    inner = get_args(bare)
    if get_origin(bare) is tuple and isinstance(inner[0], type) and issubclass(inner[0], msgspec.Struct):
        return inner[0]
    return None
