"""The page for people: each topic, each record, each field with its meaning; made from the schema."""

from collections.abc import Iterator
from typing import Any

import msgspec

from shared.contract.channels import CHANNELS, CONFIG, Channel, Key, Message
from shared.contract.schema import Schema
from shared.messaging.admin import DEFAULT_PARTITIONS

_HEAD = """# Topics and records

Made by `patchgate contract --write docs/contract`, never by hand. The same for machines: [asyncapi.json](asyncapi.json),
[schema.json](schema.json). What a reader has to do, and how the contract changes: [README.md](README.md).

A field that "may be absent" stands for the value given. Fields that are not listed are to be ignored, except in types that
say so. Keys are UTF-8 text; values are JSON, one record each.
"""

_DAY_MS = 24 * 3600 * 1000
_TEXTS = {"Instant": "instant", "Day": "day", "Duration": "duration", "Bytes": "bytes (base64)"}
_PLAIN = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "null"}


def contract_page(schema: Schema) -> str:
    """The page as Markdown."""
    definitions: dict[str, Schema] = schema["$defs"]
    kinds = list(dict.fromkeys(message.name for channel in CHANNELS for message in channel.messages))
    within = [name for name in definitions if name not in kinds and name not in _TEXTS]
    parts = [_HEAD, "## Topics\n"]
    parts += [_topic(channel) for channel in CHANNELS]
    parts += ["## Records\n"]
    parts += [_record(name, definitions[name]) for name in kinds if name not in _TEXTS]
    parts += ["## Types within records\n"]
    parts += [_record(name, definitions[name]) for name in within]
    parts += ["## Texts that mean more than text\n"]
    parts += [f"- **{_TEXTS[name]}**: {definitions[name]['description']}" for name in _TEXTS]
    return "\n".join(parts) + "\n"


# --- topics ----------------------------------------------------------------------------------------------------------


def _topic(channel: Channel) -> str:
    config = CONFIG[channel.topic].config
    partitions = f"{DEFAULT_PARTITIONS} by default, a setting" if CONFIG[channel.topic].spread else "1"
    lines = [
        f"### `{channel.topic}`\n",
        f"{channel.purpose}\n",
        f"- partitions: {partitions}",
        f"- kept: {_kept(config)}",
        f"- written by: {', '.join(channel.writers)}{' (in transactions)' if channel.committed else ''}",
        f"- read by: {', '.join(channel.readers) or 'nobody of ours'}",
    ]
    if config.get("message.timestamp.type") == "LogAppendTime":
        lines.append("- timestamps: the broker's, when it appended")
    lines += ["\n| record | key | an empty value means |", "|---|---|---|"]
    lines += [
        f"| {_name_of(message)} | {_key(message.key)} | {message.emptied or '-'} |" for message in channel.messages
    ]
    return "\n".join(lines) + "\n"


def _name_of(message: Message) -> str:
    return _TEXTS.get(message.name) or f"[{message.name}](#{message.name.lower()})"


def _key(key: Key | None) -> str:
    if key is None:
        return "none"
    return f"`{key.const}`" if key.const else key.meaning


def _kept(config: dict[str, str]) -> str:
    if config["cleanup.policy"] == "compact":
        return "the newest record of each key (compacted)"
    ms = int(config["retention.ms"])
    return "for ever" if ms < 0 else f"{ms // _DAY_MS} days"


# --- records ---------------------------------------------------------------------------------------------------------


def _record(name: str, definition: Schema) -> str:
    summary = definition["description"].partition("\n\n")[0]  # what follows speaks of fields, as the table does
    lines = [f"### {name}\n", f"{summary}\n"]
    tag = definition.get("properties", {}).get("type", {}).get("const")
    if tag:
        lines.append(f'Tag: `"type": "{tag}"`\n')
    if definition.get("additionalProperties") is False:
        lines.append("Closed: a field that is not listed makes it unreadable.\n")
    rows = list(_rows(definition))
    if rows:
        lines += ["| field | type | meaning |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _rows(definition: Schema) -> Iterator[str]:
    required = definition.get("required", [])
    for field, schema in definition.get("properties", {}).items():
        if field == "type":
            continue
        absent = "" if field in required else f" May be absent: `{_json(schema.get('default'))}`."
        yield f"| `{field}` | {_type(schema)} | {schema['description']}{absent} |"
    for place, schema in enumerate(definition.get("prefixItems", ())):
        yield f"| [{place}] {schema['title']} | {_type(schema)} | {schema['description']} |"


def _type(schema: Schema) -> str:
    """A field's type in words."""
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _TEXTS.get(name) or f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}{_bounds(schema, 'Items')}"
    if schema["type"] == "object":
        return f"object: name to {_type(schema['additionalProperties'])}"
    return _PLAIN[schema["type"]] + _bounds(schema, "Length") + _bounds(schema, "imum") + _like(schema)


def _bounds(schema: Schema, what: str) -> str:
    least, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    if least is None and most is None:
        return ""
    unit = {"Items": " entries", "Length": " characters"}.get(what, "")
    if most is None:
        return f", at least {least}{unit}"
    return f", {least or 0} to {most}{unit}"


def _like(schema: Schema) -> str:
    return " like `{}`".format(schema["pattern"].replace("|", "\\|")) if "pattern" in schema else ""


def _json(value: Any) -> str:  # noqa: ANN401  (any JSON)
    return msgspec.json.encode(value).decode()
