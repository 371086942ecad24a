"""Records to bytes and back: JSON by msgspec, one decoder a topic. A record that cannot be read is an error with its place."""

from typing import Any, Protocol

import msgspec

from shared.domain import records as r
from shared.domain.errors import RecordSchemaError
from shared.domain.events import LogRecord
from shared.domain.state import Server
from shared.messaging import topics as t

MAX_RECORD_BYTES = 900_000
"""Above any record of ours and below Kafka's default of 1 MB for a batch; a larger one is refused before it is sent."""

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    t.MAIL_EVIDENCE: msgspec.json.Decoder(r.EvidenceRecord),
    t.SIGHTINGS: msgspec.json.Decoder(r.SightingRecord),
    t.REQUESTS: msgspec.json.Decoder(r.Request),
    t.CONTROL: msgspec.json.Decoder(r.SetFreeze),
    t.LOG: msgspec.json.Decoder(LogRecord),
    t.DECISIONS: msgspec.json.Decoder(r.DecisionRecord),
    t.CONTACTS: msgspec.json.Decoder(r.Contact),
    t.VERDICTS: msgspec.json.Decoder(r.VerdictGiven),
    t.EDGE_REPORTS: msgspec.json.Decoder(r.EdgeReport),
    t.DEAD_LETTERS: msgspec.json.Decoder(r.DeadLetter),
    t.ENFORCER_STATE: msgspec.json.Decoder(Server),
}


class Stored(Protocol):
    """A record as the client library hands it over."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def encode(record: msgspec.Struct) -> bytes:
    """
    The bytes of *record*.

    Raises:
        RecordSchemaError: larger than MAX_RECORD_BYTES.
    """
    encoded = _ENCODER.encode(record)
    if len(encoded) > MAX_RECORD_BYTES:
        raise RecordSchemaError(
            f"a {type(record).__name__} of {len(encoded)} bytes is too large for the bus; {MAX_RECORD_BYTES} is the bound"
        )
    return encoded


def decode(topic: str, value: bytes | None) -> Any:  # noqa: ANN401  (the type hangs on the topic)
    """
    Read a value of *topic* (its name without prefix).

    Raises:
        RecordSchemaError: it is not what the topic holds.
    """
    try:
        return _DECODERS[topic].decode(value if value is not None else b"")
    except msgspec.MsgspecError as error:
        raise RecordSchemaError(f"not a record of {topic}: {error}") from error
    except UnicodeDecodeError as error:
        raise RecordSchemaError(f"not a record of {topic}: not UTF-8: {error.reason}") from error


def record_type(topic: str) -> Any:  # noqa: ANN401  (a type, or a union of types)
    """What `decode` reads in *topic* (its name without prefix); the contract is checked against it."""
    return _DECODERS[topic].type


def dead_letter(stored: Stored, *, reader: str, cause: str) -> r.DeadLetter:
    """The dead letter for *stored*: where it stood, who could not read it and why, and its first 64 KiB."""
    key, value = stored.key or b"", stored.value or b""
    origin = r.Origin(topic=stored.topic, partition=stored.partition, offset=stored.offset)
    return r.DeadLetter(
        origin=origin,
        reader=reader,
        cause=cause[:500],
        key=key[:1024],
        value=value[: 64 * 1024],
        bytes_in_all=len(value),
    )
