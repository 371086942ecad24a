"""
May the contract change so? Compares two versions and says of each break, in one sentence, what to do instead.

The rules: records stay in their topics for days or for ever, and other programs read them, so that what could be read
before can be read after, and means the same. A new field has a default; nothing is taken away; a changed meaning is a new
tag. New records and new types are free: their readers come first. Words may be bettered.
"""

from collections.abc import Iterator
from typing import Any

from shared.contract.schema import Schema

_WORDS = {"description", "title"}
_NONE: Schema = {}


def breaks(old: Schema, new: Schema) -> list[str]:
    """What readers of *old* could not bear in *new*: both are schema documents."""
    before, after = old["$defs"], new["$defs"]
    return [line for name in before for line in _of_type(name, before[name], after.get(name))]


def topic_breaks(old: Schema, new: Schema) -> list[str]:
    """The same for two AsyncAPI documents: topics, their records, keys, partitions and what they keep."""
    before, after = old["channels"], new["channels"]
    return [line for name in before for line in _of_topic(name, before[name], after.get(name))]


# --- records -----------------------------------------------------------------------------------------------------------


def _of_type(name: str, old: Schema, new: Schema | None) -> Iterator[str]:
    if new is None:
        yield f"{name} is gone, and records of it stand in topics: bring it back"
        return
    was, now = _tag(old), _tag(new)
    if was != now:
        yield f"{name}: its tag was {was} and is {now}: keep {name} as it was, and give what is new a type of its own"
    yield from _of_fields(name, old, new)
    if _rest(old) != _rest(new):
        yield f"{name} is another kind of value now: give what is new a type and a tag of its own"


def _of_fields(name: str, old: Schema, new: Schema) -> Iterator[str]:
    fields, required = new.get("properties", {}), new.get("required", [])
    for field, schema in old.get("properties", {}).items():
        if field == "type":
            continue
        if field not in fields:
            yield f"{name}.{field} is gone: keep it, or give what is new a tag of its own"
        elif _bare(schema) != _bare(fields[field]) and not _only_more_records(schema, fields[field]):
            yield f"{name}.{field} is another kind of value now: keep it, and add a field with a default beside it"
        elif field in required and field not in old.get("required", []):
            yield f"{name}.{field} had a default, and stored records lack it: give it back"
        elif field not in required and field in old.get("required", []):
            yield f"{name}.{field} was always there and may now be absent: go on writing it, and take its default away"
    for field in fields.keys() - old.get("properties", {}).keys():
        yield from _of_new_field(
            f"{name}.{field}", closed=old.get("additionalProperties") is False, needed=field in required
        )


def _of_new_field(field: str, *, closed: bool, needed: bool) -> Iterator[str]:
    if needed:
        yield f"{field} is new, and stored records lack it: give it a default"
    if closed:
        yield f"{field} is new in a closed type, which readers of before refuse: bring all of them up to date first"


def _only_more_records(old: Schema, new: Schema) -> bool:
    """A union of records may grow: whoever reads it knows the new one before it is written."""
    if not all(list(schema) == ["anyOf"] for schema in (_bare(old), _bare(new))):
        return False
    return all(one in new["anyOf"] for one in old["anyOf"]) and all("$ref" in one for one in new["anyOf"])


def _tag(schema: Schema) -> str:
    return str(schema.get("properties", _NONE).get("type", _NONE).get("const", "none"))


def _rest(schema: Schema) -> Any:  # noqa: ANN401  (any JSON)
    """All that is no word and no field."""
    return _bare({key: value for key, value in schema.items() if key not in {"properties", "required"}})


def _bare(value: Any) -> Any:  # noqa: ANN401  (any JSON)
    """A schema without words."""
    if isinstance(value, list):
        return [_bare(one) for one in value]
    if isinstance(value, dict):
        return {key: _bare(one) for key, one in value.items() if key not in _WORDS}
    return value


# --- topics ------------------------------------------------------------------------------------------------------------


def _of_topic(name: str, old: Schema, new: Schema | None) -> Iterator[str]:
    if new is None:
        yield f"topic {name} is gone, and others read it: bring it back"
        return
    was, now = old["bindings"]["kafka"], new["bindings"]["kafka"]
    if was != now:
        yield f"topic {name}: partitions or settings differ, and `patchgate topics apply` refuses topics that stand: keep them"
    for record, message in old["messages"].items():
        if record not in new["messages"]:
            yield f"topic {name}: {record} is gone, and records of it stand there: bring it back"
        elif _key_of(message) != _key_of(new["messages"][record]):
            yield f"topic {name}: {record} has another key now, so that old records live on beside new ones: keep the key"


def _key_of(message: Schema) -> Any:  # noqa: ANN401  (any JSON)
    return _bare(message.get("bindings"))
