"""What records of topics refuse."""

import msgspec
import pytest

from shared.domain.errors import RecordSchemaError
from shared.domain.records import AdoptPolicy, Contact, SetFreeze
from shared.messaging import topics as t
from shared.messaging.codec import MAX_RECORD_BYTES, dead_letter, decode, encode


@pytest.mark.parametrize("value", ["freeze-01\n", "short", "with blank", "x" * 65])
def test_an_id_is_one_short_word(value: str) -> None:
    """A trailing newline, too, is refused: ids are printed and logged."""
    plain = {
        "type": "set-freeze.v1",
        "id": value,
        "who": "ops",
        "why": "",
        "made_at": "2026-11-24T08:00:00Z",
        "frozen": True,
    }
    with pytest.raises(msgspec.ValidationError, match=r"\$\.id"):
        msgspec.convert(plain, SetFreeze)


@pytest.mark.parametrize("address", ["a@b.example\n", "a b@c.example", "nobody", "a@b@c.example"])
def test_an_address_is_one_address(address: str) -> None:
    """Nothing that could become a second header."""
    with pytest.raises(msgspec.ValidationError, match="address"):
        msgspec.convert({"type": "contact.v1", "id": "it", "address": address, "server": "x"}, Contact)


def test_times_without_a_zone_are_refused() -> None:
    """Every instant says its zone."""
    plain = (
        b'{"type":"set-freeze.v1","id":"freeze-01","who":"o","why":"","made_at":"2026-11-24T08:00:00","frozen":true}'
    )
    with pytest.raises(RecordSchemaError, match="not a record of control"):
        decode(t.CONTROL, plain)


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"{}", b'{"type":"nobody-knows.v9"}', b"[" * 100_000])
@pytest.mark.parametrize("topic", [t.MAIL_EVIDENCE, t.SIGHTINGS, t.REQUESTS, t.CONTROL, t.LOG, t.DECISIONS])
def test_what_cannot_be_read_is_one_kind_of_error(topic: str, value: bytes | None) -> None:
    """Whatever the bytes are."""
    with pytest.raises(RecordSchemaError, match=f"not a record of {topic}"):
        decode(topic, value)


def test_a_record_too_large_for_the_bus_is_refused_before_it_is_sent() -> None:
    """A failed send would spoil the producer."""
    letter = dead_letter(_Stored(), reader="test", cause="x" * 900)
    assert len(letter.cause) == 500
    assert (len(letter.value), letter.bytes_in_all) == (64 * 1024, 100_000)
    with pytest.raises(RecordSchemaError, match=str(MAX_RECORD_BYTES)):
        encode(msgspec.structs.replace(letter, value=b"x" * MAX_RECORD_BYTES))


class _Stored:
    topic = "patchgate.requests"
    partition = 0
    offset = 7
    key: bytes | None = None
    value: bytes | None = b"y" * 100_000


def test_tags_name_their_version() -> None:
    """A changed meaning is a new tag."""
    assert AdoptPolicy.__struct_config__.tag == "adopt-policy.v1"
