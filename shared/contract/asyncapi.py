"""The AsyncAPI 3.0 document: topics as channels, records as messages, services as operations; payloads stand in schema.json."""

from typing import Any

import msgspec

from shared.contract.channels import CHANNELS, CONFIG, Channel, Message
from shared.messaging.admin import DEFAULT_PARTITIONS

ASYNCAPI = "3.0.0"
BINDING = "0.5.0"
VERSION = "1.0.0"
"""Of the contract: the first number moves when a reader of before can no longer read what is written."""

SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
DEFAULT_PREFIX = "patchgate."

_READ_COMMITTED = "Written in transactions: read it with isolation.level=read_committed."
_PARTITIONS = "A setting; the number here is the default. What has one key stands in one partition."


def contract_asyncapi() -> dict[str, Any]:
    """The document, as plain JSON values."""
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "patchgate",
            "version": VERSION,
            "description": "The topics in which patchgate's services meet. What the records mean stands in records.md, "
            "what a reader of `decisions` has to do in README.md.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "embedded": {
                "host": "127.0.0.1:19092",
                "protocol": "kafka",
                "description": "The Kafka that patchgate brings; or the one named in KAFKA_BOOTSTRAP_SERVERS.",
            }
        },
        "channels": {channel.topic: _channel(channel) for channel in CHANNELS},
        "operations": dict(_operation(channel, *who) for channel in CHANNELS for who in _who(channel)),
        "components": {"parameters": {"prefix": _PREFIX}},
    }


_PREFIX = {
    "default": DEFAULT_PREFIX,
    "description": "Stands before each topic's name; PATCHGATE_TOPIC_PREFIX, so that installations can share a Kafka.",
}


def _channel(channel: Channel) -> dict[str, Any]:
    described = f"{channel.purpose} {_READ_COMMITTED}" if channel.committed else channel.purpose
    return {
        "address": f"{{prefix}}{channel.topic}",
        "description": described,
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "messages": {message.name: _message(message) for message in channel.messages},
        "bindings": {"kafka": _kafka(channel)},
    }


def _kafka(channel: Channel) -> dict[str, Any]:
    topic = CONFIG[channel.topic]
    config: dict[str, Any] = {name: _value(name, text) for name, text in topic.config.items()}
    binding: dict[str, Any] = {"partitions": DEFAULT_PARTITIONS if topic.spread else 1}
    if topic.spread:
        binding["x-partitions"] = _PARTITIONS
    return {**binding, "topicConfiguration": config, "bindingVersion": BINDING}


def _value(name: str, text: str) -> Any:  # noqa: ANN401  (a list, a number or a text)
    """A setting as the binding has it: policies in a list, numbers as numbers."""
    if name == "cleanup.policy":
        return text.split(",")
    try:
        return msgspec.json.decode(text, type=int | float)
    except msgspec.MsgspecError:
        return text


def _message(message: Message) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": message.name,
        "contentType": "application/json",
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"schema.json#/$defs/{message.name}"}},
    }
    if message.emptied:
        described["x-empty-value"] = message.emptied
    if message.key is not None:
        described["bindings"] = {"kafka": {"key": message.key.schema, "bindingVersion": BINDING}}
    return described


def _who(channel: Channel) -> list[tuple[str, str]]:
    return [(writer, "send") for writer in channel.writers] + [(reader, "receive") for reader in channel.readers]


def _operation(channel: Channel, service: str, action: str) -> tuple[str, dict[str, Any]]:
    verb = "writes" if action == "send" else "reads"
    operation = {"action": action, "channel": {"$ref": f"#/channels/{channel.topic}"}, "x-service": service}
    return f"{service}-{verb}-{channel.topic}", operation
