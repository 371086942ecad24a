"""A policy as TOML text: what `parse_policy` reads back to the same policy. Comments are not kept: a record has none."""

from collections.abc import Iterator
from datetime import date

import msgspec

from shared.domain.build import Build
from shared.domain.policy import Policy

Table = dict[str, object]


def policy_text(policy: Policy) -> str:
    """The text of *policy*."""
    fields: Table = {key: value for key, value in _fields(policy).items() if value is not None}  # TOML has no null
    return "\n".join(_lines(fields)) + "\n"


def _lines(fields: Table) -> Iterator[str]:
    """Plain values first: in TOML what stands below a table belongs to it."""
    rows = {key: value for key, value in fields.items() if _is_list_of_tables(value)}
    tables = {key: value for key, value in fields.items() if isinstance(value, msgspec.Struct)}
    for key, value in fields.items():
        if key not in rows and key not in tables:
            yield f"{key} = {_value(value)}"
    for key, value in tables.items():
        yield from ("", f"[{key}]", *_lines(_fields(value)))
    for key, value in rows.items():
        for row in value if isinstance(value, tuple) else ():
            yield from ("", f"[[{key}]]", *_lines(_fields(row)))


def _fields(value: object) -> Table:
    if not isinstance(value, msgspec.Struct):  # cannot happen: the callers looked
        raise TypeError(f"{type(value).__name__} is no table")
    fields = {key: getattr(value, key) for key in value.__struct_fields__}
    return {key: one for key, one in fields.items() if one is not msgspec.UNSET}


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(row, msgspec.Struct) for row in value)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case date():
            return value.isoformat()
        case Build():
            return _string(str(value))
        case tuple():
            return "[" + ", ".join(_value(one) for one in value) + "]"
        case _:
            return _string(str(value))


def _string(text: str) -> str:
    """A basic string; JSON's escapes are TOML's, but for DEL, which TOML wants escaped."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
