"""The AsyncAPI document is one by AsyncAPI's own schema, and its references lead somewhere."""

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped] # it ships no types

from shared.contract import files
from shared.contract.channels import CHANNELS
from shared.messaging import admin
from shared.messaging import topics as t

OFFICIAL = Path(__file__).parents[1] / "data" / "asyncapi" / "3.0.0.json.gz"
Change = Callable[[dict[str, Any]], object]


@cache
def official() -> Draft7Validator:
    """AsyncAPI's schema of a 3.0.0 document."""
    return Draft7Validator(json.loads(gzip.decompress(OFFICIAL.read_bytes())))


def made() -> dict[str, Any]:
    """The document, as it stands in its file."""
    document: dict[str, Any] = json.loads(files.contract_files()[files.ASYNCAPI])
    return document


def test_the_official_schema_takes_it() -> None:
    """Nothing in it that AsyncAPI 3.0 or its Kafka bindings do not know."""
    assert [f"{list(error.path)}: {error.message[:200]}" for error in official().iter_errors(made())] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(asyncapi="2.6.0"),
        lambda document: document["operations"]["edge-reads-decisions"].pop("channel"),
        lambda document: document["channels"]["log"]["bindings"]["kafka"].update(partitions=0),
        lambda document: document["channels"]["log"]["bindings"]["kafka"].update(kept="for ever"),
        lambda document: document["channels"]["log"].update(topic="log"),
        lambda document: document["channels"]["control"]["messages"]["SetFreeze"]["bindings"]["kafka"].update(key=1),
    ],
)
def test_the_official_schema_can_refuse(change: Change) -> None:
    """What is not AsyncAPI is seen."""
    document = made()
    change(document)
    assert not official().is_valid(document)


def test_every_reference_leads_somewhere() -> None:
    """Within the document, and to the types in schema.json."""
    document, types = made(), json.loads(files.contract_files()[files.SCHEMA])
    references = list(_references(document))
    assert len(references) > len(CHANNELS)
    for reference in references:
        name, _, path = reference.partition("#/")
        found = types if name == files.SCHEMA else document
        for step in path.split("/"):
            found = found[step]
        assert found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    for one in value if isinstance(value, list) else []:
        yield from _references(one)


def test_it_says_of_each_topic_what_apply_makes() -> None:
    """Address, partitions and every setting."""
    document = made()
    for topic in t.TOPICS:
        channel = document["channels"][topic.name]
        kafka = channel["bindings"]["kafka"]
        assert channel["address"] == "{prefix}" + topic.name
        assert kafka["partitions"] == (admin.DEFAULT_PARTITIONS if topic.spread else 1)
        told = {
            key: ",".join(one) if isinstance(one, list) else str(one)
            for key, one in kafka["topicConfiguration"].items()
        }
        assert told == topic.config


def test_every_writer_and_reader_has_its_operation() -> None:
    """A service sends what it writes and receives what it reads."""
    told = {
        (one["x-service"], one["action"], one["channel"]["$ref"].rpartition("/")[2])
        for one in made()["operations"].values()
    }
    sends = {(writer, "send", channel.topic) for channel in CHANNELS for writer in channel.writers}
    assert told == sends | {(reader, "receive", channel.topic) for channel in CHANNELS for reader in channel.readers}
    assert ("edge", "receive", "decisions") in told
