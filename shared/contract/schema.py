"""
JSON Schema (2020-12) of every record, made from the types, and exact where msgspec's own is loose.

What msgspec knows and its schema does not say: an instant has a zone, a duration its one form, bytes are base64, a tag is
one text. Where msgspec takes more than we write (a blank for the T of an instant, hours in a duration, no tag where there
is only one), the schema asks for what we write. Two things no schema says, and msgspec refuses them all the same: a day
that no month has, and a whole number written as 1.0.
"""

import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec

from shared.contract.channels import CHANNELS, Instant
from shared.domain.build import Build
from shared.domain.errors import ConfigError

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_DATE = "[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_ZONE = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_SECONDS = r"[0-9]{1,5}(\.[0-9]{1,6})?S"

_ALONE = {"not": {"pattern": r"\n"}}
"""Some engines let `$` stand before a last newline, and not all know a look-ahead: so the end is said twice."""

_TEXTS: dict[str, Schema] = {
    "Instant": {
        "description": "RFC 3339 with a zone; all services write UTC as Z. A fraction has six digits at most.",
        "type": "string",
        "format": "date-time",
        "pattern": f"^{_DATE}T{_TIME}{_ZONE}$",
        **_ALONE,
    },
    "Day": {"description": "A UTC day.", "type": "string", "format": "date", "pattern": f"^{_DATE}$", **_ALONE},
    "Duration": {
        "description": "Days of 24 hours, then seconds with six decimals at most: P0D, PT1.5S, P1DT3600S; -P1D is before.",
        "type": "string",
        "format": "duration",
        "pattern": f"^-?P([0-9]{{1,7}}D(T{_SECONDS})?|T{_SECONDS})$",
        **_ALONE,
    },
    "Bytes": {
        "description": "Bytes in base64, padded.",
        "type": "string",
        "contentEncoding": "base64",
        "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        **_ALONE,
    },
}
"""The four kinds of text that mean more than text."""

_LOOSE = {
    ("format", "date-time"): "Instant",
    ("format", "date"): "Day",
    ("format", "duration"): "Duration",
    ("contentEncoding", "base64"): "Bytes",
}
_END = r"$(?!\n)"
"""How our types write the end of a text for Python, whose `$` also stands before a last newline."""


class ContractError(ConfigError):
    """The contract cannot be made from the types as they are; the text says what to write where."""


def contract_schema() -> Schema:
    """
    The schema document: `$defs` has every record and every type within, under its name.

    Raises:
        ContractError: a field without a meaning, a meaning without a field, or a time without a zone.
    """
    kinds = list(dict.fromkeys(message.kind for channel in CHANNELS for message in channel.messages))
    _, found = msgspec.json.schema_components(
        [kind for kind in kinds if kind is not Instant], ref_template="#/$defs/{name}"
    )
    _refuse_naive(msgspec.inspect.multi_type_info(kinds))
    definitions = {name: _exact(definition) for name, definition in found.items()}
    definitions |= _TEXTS
    _explain(definitions)
    return {
        "$schema": DIALECT,
        "title": "Records of patchgate's topics",
        "description": "asyncapi.json says which of them stand in which topic; README.md what follows from them.",
        "$defs": dict(sorted(definitions.items())),
    }


# --- exact -----------------------------------------------------------------------------------------------------------


def _exact(value: Any) -> Any:  # noqa: ANN401  (any JSON)
    """A schema with what msgspec knows and does not say."""
    if isinstance(value, list):
        return [_exact(one) for one in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _exact(one) for key, one in value.items() if key != "discriminator"}
    if schema.get("type") == "string":
        return _exact_text(schema)
    if list(schema) == ["enum"] and len(schema["enum"]) == 1:
        return {"const": schema["enum"][0]}
    return schema


def _exact_text(schema: Schema) -> Schema:
    for (keyword, value), name in _LOOSE.items():
        if schema.get(keyword) == value:
            rest = {key: one for key, one in schema.items() if key not in {"type", keyword}}
            return {"$ref": f"#/$defs/{name}", **rest}
    if str(schema.get("pattern", "")).endswith(_END):
        return {**schema, "pattern": schema["pattern"].removesuffix(_END) + "$", **_ALONE}
    return schema


def _refuse_naive(infos: Any) -> None:  # noqa: ANN401  (msgspec's own tree)
    """Refuse a datetime that takes no zone or any; msgspec's schema shows no difference."""
    seen: set[int] = set()
    waiting = list(infos)
    while waiting:
        info = waiting.pop()
        if id(info) in seen:
            continue
        seen.add(id(info))
        if isinstance(info, msgspec.inspect.DateTimeType) and info.tz is not True:
            raise ContractError("a record has a time without a zone: make it UtcDatetime (shared/domain/evidence.py)")
        waiting += _parts(info)


def _parts(info: Any) -> Iterator[Any]:  # noqa: ANN401  (msgspec's own tree)
    for name in ("type", "item_type", "key_type", "value_type"):
        part = getattr(info, name, None)
        if isinstance(part, msgspec.inspect.Type):
            yield part
    for name in ("types", "item_types"):
        yield from getattr(info, name, ())
    for field in getattr(info, "fields", ()):
        yield field.type


# --- words -----------------------------------------------------------------------------------------------------------


def words() -> dict[str, dict[str, str]]:
    """The meaning of each field, by record; what means the same in all stands under `every`."""
    text = resources.files("shared.contract").joinpath("words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _explain(definitions: dict[str, Schema]) -> None:
    """Put the meanings in, and complain of each that is missing or left over."""
    meanings = words()
    every = meanings.pop("every")
    used: set[str] = set()
    complaints = [f"[{name}] is no record" for name in meanings.keys() - definitions.keys()]
    for name, definition in definitions.items():
        own = dict(meanings.get(name, {}))
        for field, schema in _fields(name, definition):
            meaning = own.pop(field, None) or every.get(field)
            used |= {field} & every.keys()
            if meaning is None:
                complaints.append(f"[{name}] {field} has no meaning")
            else:
                schema["description"] = meaning
        complaints += [f"[{name}] {field} is no field" for field in own]
    complaints += [f"[every] {field} is no field of any record" for field in every.keys() - used]
    if complaints:
        raise ContractError("shared/contract/words.toml: " + "; ".join(sorted(complaints)))


def _fields(name: str, definition: Schema) -> Iterator[tuple[str, Schema]]:
    """Each field of a record with its schema; arrays of fixed places have fields too, named in their title."""
    for field, schema in definition.get("properties", {}).items():
        if field != "type":
            yield field, schema
    for field, schema in zip(_places(name), definition.get("prefixItems", ()), strict=True):
        schema["title"] = field
        yield field, schema


def _places(name: str) -> tuple[str, ...]:
    return {"Build": Build._fields, "Hour": ("hour", "seq", "product")}.get(name, ())
