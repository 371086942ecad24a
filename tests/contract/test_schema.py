"""The JSON Schema says what msgspec takes and the parts write: on real records, and on such that are nearly right."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it ships no types

from shared.contract import channels, files, schema
from shared.contract.channels import CHANNELS, Instant, Message
from shared.domain.build import Build
from shared.messaging import topics as t
from shared.messaging.codec import record_type
from tests.support.contract_records import Stored, real_records

DOCS = Path(__file__).parents[2] / "docs" / "contract"
MADE = json.loads(files.contract_files()[files.SCHEMA])
CLOSED = {"Policy", "Replies", "Notices", "Stage", "FloorWave", "Connector", "Build"}
CLOSED |= {"Caps", "Pauses", "Disputes", "Relapses", "Protected"}


@cache
def validator(name: str) -> Draft202012Validator:
    """The schema of one type, without the checks of `format`: it must be exact without them."""
    return Draft202012Validator({**MADE, "$ref": f"#/$defs/{name}"})


def reads(name: str, value: object) -> bool:
    """Whether msgspec takes *value*, as JSON, for a type of the contract."""
    kind = {"Instant": Instant, "Duration": timedelta, "Bytes": bytes}.get(name) or type(specimens()[name])
    try:
        msgspec.json.decode(json.dumps(value), type=kind)
    except msgspec.MsgspecError:
        return False
    return True


def message_of(stored: Stored) -> Message:
    """Which of its topic's messages a record is, by key and tag: what another program goes by."""
    value = json.loads(stored.value)
    tag = value.get("type") if isinstance(value, dict) else None
    found = [message for message in _messages(stored.topic) if _fits(message, stored.key, tag)]
    assert len(found) == 1, f"{stored.topic} {stored.key!r} {tag}: {[one.name for one in found]}"
    return found[0]


def _messages(topic: str) -> tuple[Message, ...]:
    return next(channel.messages for channel in CHANNELS if channel.topic == topic)


def _fits(message: Message, key: bytes | None, tag: str | None) -> bool:
    definition = MADE["$defs"][message.name]
    wanted = definition.get("properties", {}).get("type", {}).get("const")
    if tag != wanted or (key is None) != (message.key is None):
        return False
    return message.key is None or Draft202012Validator(message.key.schema).is_valid((key or b"").decode())


class Spot(NamedTuple):
    """A place in a value: its container, the index or name in it, and what stands there."""

    holder: Any
    place: Any
    value: Any


def spots(value: Any) -> Iterator[Spot]:
    """The places of *value*, and of a list in it the first one; types within have specimens of their own."""
    places = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for place, within in places:
        yield Spot(value, place, within)
        if isinstance(within, list) and within:
            yield Spot(within, 0, within[0])


@cache
def specimens() -> dict[str, Any]:
    """Of each type that the contract names, the largest real value there is."""
    found: dict[str, Any] = {}
    for stored in real_records():
        for one in _within(msgspec.json.decode(stored.value, type=message_of(stored).kind)):
            name = type(one).__name__
            if name not in found or len(msgspec.json.encode(one)) > len(msgspec.json.encode(found[name])):
                found[name] = one
    return found


def _within(value: Any) -> Iterator[Any]:
    """*value*, and all structs and builds in it."""
    if isinstance(value, msgspec.Struct):
        yield value
        for field in value.__struct_fields__:
            yield from _within(getattr(value, field))
    elif isinstance(value, tuple):
        if isinstance(value, Build):
            yield value
        for one in value:
            yield from _within(one)


def plain(name: str) -> Any:
    """The specimen of a type as JSON values, with the fields that its bytes leave out."""
    value = json.loads(msgspec.json.encode(specimens()[name]))
    for field, one in MADE["$defs"][name].get("properties", {}).items():
        if isinstance(value, dict) and field not in value and "default" in one:  # without one it may only be left out
            value[field] = one["default"]
    return value


NAMES = sorted(specimens())


# --- the files -------------------------------------------------------------------------------------------------------


def test_the_files_are_what_the_types_give() -> None:
    """Whoever changes a type makes the files anew, and sees whether readers can bear it."""
    found = files.compare(DOCS)
    assert not found.breaks, "\n".join(found.breaks)
    assert not found.stale, f"{', '.join(found.stale)}: {files.REMEDY}"


def test_the_schema_is_one_by_its_meta_schema() -> None:
    """2020-12, and each reference leads somewhere."""
    Draft202012Validator.check_schema(MADE)
    references = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(MADE)))
    assert references <= MADE["$defs"].keys()


def test_every_topic_and_every_kind_that_the_codec_reads_is_told() -> None:
    """Topics as in their table; of each the kinds that are decoded there."""
    assert [channel.topic for channel in CHANNELS] == [topic.name for topic in t.TOPICS]
    for channel in CHANNELS:
        told = {message.kind for message in channel.messages}
        kind = record_type(channel.topic)
        read = set(get_args(kind)) or {kind}
        assert read == told if channel.topic != t.ENFORCER_STATE else read < told


def test_the_table_of_the_docs_says_the_same() -> None:
    """Partitions, key, what is kept, who writes and who reads: docs/architecture/topics.md."""
    page = (DOCS.parent / "architecture" / "topics.md").read_text()
    rows = {
        row[0].strip("` "): row[1:]
        for row in (line.strip("|").split("|") for line in page.splitlines())
        if len(row) == 5
    }
    for channel in CHANNELS:
        partitions, kept, writers, readers = (cell.strip() for cell in rows[channel.topic])
        assert partitions.startswith("n" if channels.CONFIG[channel.topic].spread else "1")
        assert (", " in partitions) == any(message.key for message in channel.messages)
        assert ("compacted" in kept) == (channels.CONFIG[channel.topic].config["cleanup.policy"] == "compact")
        assert writers.split(", ") == list(channel.writers)
        assert readers == (", ".join(channel.readers) or "-")


# --- real records ----------------------------------------------------------------------------------------------------


def test_every_kind_and_every_type_is_among_the_real_records() -> None:
    """So that what follows speaks of all of them, the events of the log among them."""
    seen = {(stored.topic, message_of(stored).name) for stored in real_records()}
    assert seen == {(channel.topic, message.name) for channel in CHANNELS for message in channel.messages}
    assert sorted(MADE["$defs"].keys() - {"Instant", "Day", "Duration", "Bytes"}) == NAMES


def test_real_records_are_as_the_schema_says() -> None:
    """What fold, books, detector, edge and codec write, under the schema that key and tag point to."""
    for stored in real_records():
        name = message_of(stored).name
        problems = [error.message for error in validator(name).iter_errors(json.loads(stored.value))]
        assert not problems, f"{name}: {problems}"


# --- nearly right ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_field_is_refused_by_both_or_by_none(name: str) -> None:
    """Schema and msgspec agree on what may be absent; only the tag of a type that stands alone is the schema's alone."""
    value = plain(name)
    for field in list(value) if isinstance(value, dict) else []:
        less = {key: one for key, one in value.items() if key != field}
        expected = field not in MADE["$defs"][name]["required"]
        assert validator(name).is_valid(less) == expected
        assert reads(name, less) == (expected or field == "type"), field


@pytest.mark.parametrize("name", NAMES)
def test_a_field_too_many_is_refused_in_closed_types_and_ignored_else(name: str) -> None:
    """By both alike; of arrays with fixed places builds are closed, and hours may grow."""
    value = plain(name)
    more = {**value, "later": 1} if isinstance(value, dict) else [*value, 1]
    expected = name not in CLOSED
    assert (validator(name).is_valid(more), reads(name, more)) == (expected, expected)


def test_closed_types_are_those_of_the_policy() -> None:
    """Who knows less of it than it says must not judge by it."""
    closed = {name for name, one in MADE["$defs"].items() if one.get("additionalProperties") is False}
    assert closed == CLOSED - {"Build"}


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_another_type_is_refused_by_both_or_by_none(name: str) -> None:
    """At every place of every type, and most of them are refused."""
    value, refused = plain(name), 0
    for holder, place, right in list(spots(value)):
        for wrong in _WRONG:
            holder[place] = wrong
            valid = validator(name).is_valid(value)
            assert valid == reads(name, value), f"{wrong!r} at {place}"
            refused += not valid
        holder[place] = right
    assert refused > len(value)


_WRONG: tuple[object, ...] = (None, True, -1, 1.5, 10**7, "", "x", "x" * 2000, [], ["x"], {}, {"x": 1})

_NEARLY = st.one_of(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    st.from_regex(r"\A[12]\d{3}-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)\n?\Z"),
    st.from_regex(r"\A-?P(\d{0,3}D)?(T(\d{0,3}\.?\d{0,6}S)?)?\n?\Z"),
    st.from_regex(r"\A[A-Za-z0-9+/=]{0,9}\n?\Z"),
    st.lists(st.integers() | st.text(max_size=3), max_size=5),
)


@given(st.data())
def test_what_the_schema_takes_msgspec_takes(data: st.DataObject) -> None:
    """Any place, any value nearly right; but for a day that no month has."""
    name = data.draw(st.sampled_from(NAMES))
    value = plain(name)
    holder, place, _ = data.draw(st.sampled_from(list(spots(value))))
    holder[place] = data.draw(_NEARLY)
    note(f"{name}: {holder[place]!r} at {place}")
    if validator(name).is_valid(value) and not reads(name, value):
        assert re.match(r"\d{4}-(02|04|06|09|11)-(29|30|31)", str(holder[place]))


# --- texts that mean more than text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "both", "schema_refuses", "neither"),
    [
        (
            "Instant",
            ["2026-11-24T08:00:00Z", "2026-11-24T08:00:00.000001Z", "2026-11-24T08:00:00+05:30"],
            ["2026-11-24 08:00:00Z", "2026-11-24T08:00:00.1234567Z", "2026-11-24T08:00:00+0530"],
            [
                "2026-11-24T08:00:00",
                "2026-11-24T24:00:00Z",
                "2026-11-24T08:00Z",
                "2026-13-24T08:00:00Z",
                "2026-11-24T08:00:00Z\n",
                "٢٠٢٦-11-24T08:00:00Z",
                "",
            ],
        ),
        (
            "Duration",
            ["P0D", "PT0S", "P1DT3600S", "-PT0.000005S", "PT1.5S"],
            ["PT1H", "PT1M1S", "+P1D"],
            ["P", "PT", "P1DT", "P1W", "1", "PT1S\n", "P1D2D"],
        ),
        ("Bytes", ["", "YQ==", "YWJj"], [], ["YQ", "_-==", "YQ==\n", "Y"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_texts_with_a_form(name: str, both: list[str], schema_refuses: list[str], neither: list[str]) -> None:
    """What both take, what only we take, what nobody takes."""
    for texts, expected in ((both, (True, True)), (schema_refuses, (False, True)), (neither, (False, False))):
        for text in texts:
            assert (validator(name).is_valid(text), reads(name, text)) == expected, text


def test_patterns_are_such_that_every_engine_knows() -> None:
    """No look-around and no classes that mean Unicode in one language and ASCII in the next, but in what people type."""
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(MADE))
    assert patterns
    assert not [one for one in patterns if "(?" in one or r"\\d" in one or r"\\w" in one]


# --- what cannot be made ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda words: words["Heartbeat"].pop("held"), "[Heartbeat] held has no meaning"),
        (lambda words: words["Heartbeat"].update(hold="x"), "[Heartbeat] hold is no field"),
        (lambda words: words.update(Nobody={}), "[Nobody] is no record"),
        (lambda words: words["every"].update(nowhere="x"), "[every] nowhere is no field of any record"),
    ],
)
def test_every_field_has_one_meaning(change: Any, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is missing or left over is told with its place."""
    words = schema.words()
    change(words)
    monkeypatch.setattr(schema, "words", lambda: words)
    with pytest.raises(schema.ContractError, match=re.escape(f"words.toml: {complaint}")):
        schema.contract_schema()


def test_a_time_without_a_zone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Msgspec's own schema would show no difference."""
    naive = msgspec.defstruct("Naive", [("when", list[tuple[datetime, ...]])])
    channel = msgspec.structs.replace(CHANNELS[0], messages=(Message(kind=naive),))
    monkeypatch.setattr(schema, "CHANNELS", (channel,))
    with pytest.raises(schema.ContractError, match="UtcDatetime"):
        schema.contract_schema()
