"""A milter connection that is asked for some headers only."""

import pytest

from shared.smtp.errors import RemoteProtocolError
from shared.smtp.milter import MilterConnection
from shared.smtp.milter_events import EndOfHeaders, Header, MilterEvent
from tests.support import milter_client as mta
from tests.support.milter_drive import drain

WANTED = frozenset({"received"})
ENVELOPE = mta.options() + mta.connect() + mta.mail() + mta.rcpt() + mta.macros(b"T", {"i": "4XyZ"})
REPEATED = mta.macros(b"L", {"i": "4XyZ"})
MESSAGE = b"".join(
    REPEATED + mta.header(name, value)
    for name, value in [
        ("From", "a"),
        ("Received", "1"),
        ("Subject", "x"),
        (" RECEIVED\t", "2"),
        ("Received\xa0", "3"),
        ("Received-SPF", "pass"),
        ("", ""),
        ("received", ""),
    ]
)
REPORTED = [("From", "a"), ("Received", "1"), (" RECEIVED\t", "2"), ("Received\xa0", "3"), ("received", "")]


def headers_of(events: list[MilterEvent]) -> list[tuple[str, str]]:
    """Name and value of the headers among *events*."""
    return [(event.name, event.value) for event in events if isinstance(event, Header)]


def test_the_first_header_and_those_asked_for_are_reported() -> None:
    """Names count however they are written; the first header says that the message has any."""
    events = drain(MilterConnection(WANTED), ENVELOPE + MESSAGE + mta.END_OF_HEADERS)
    assert headers_of(events) == REPORTED
    assert events[-1] == EndOfHeaders()


def test_each_message_begins_anew() -> None:
    """The first header of a second message on the connection is reported as well."""
    second = mta.ABORT + mta.mail() + mta.macros(b"T", {"i": "5"}) + mta.header("To", "b") + mta.END_OF_HEADERS
    events = drain(MilterConnection(WANTED), ENVELOPE + MESSAGE + second)
    assert headers_of(events) == [*REPORTED, ("To", "b")]


def test_every_cut_gives_the_same() -> None:
    """Wherever a socket cuts the stream in two, the same headers come out, and no packet is taken for whole too early."""
    stream = ENVELOPE + MESSAGE + mta.END_OF_HEADERS
    whole = drain(MilterConnection(WANTED), stream)
    for cut in range(1, len(stream)):
        connection = MilterConnection(WANTED)
        assert drain(connection, stream[:cut]) + drain(connection, stream[cut:]) == whole


def test_who_waits_for_an_answer_to_each_header_gets_one() -> None:
    """An MTA that cannot go on without an answer must not be left waiting: there every header is an event."""
    offer = mta.options(protocol=mta.POSTFIX_PROTOCOL & ~mta.NR_HEADER)
    events = drain(MilterConnection(WANTED), offer + ENVELOPE[len(mta.options()) :] + MESSAGE)
    assert len(headers_of(events)) == 8


@pytest.mark.parametrize(
    "data", [b"", b"name", b"name\0", b"name\0value", b"name\0va\0lue\0", b"name\0value\0\0", b"\0", b"name\0va\0lue"]
)
def test_a_header_of_wrong_form_is_no_header_to_leave_out(data: bytes) -> None:
    """It ends the connection with the same words as where all headers are reported."""
    said = []
    for connection in (MilterConnection(WANTED), MilterConnection()):
        with pytest.raises(RemoteProtocolError) as error:
            drain(connection, ENVELOPE + MESSAGE + mta.packet(b"L", data) + mta.END_OF_HEADERS)
        said.append(str(error.value))
    assert said[0] == said[1]
    assert "in state headers: HEADER cannot be read" in said[0]


def test_a_header_that_is_too_long_is_not_left_out() -> None:
    """The bound of a packet holds for headers that nobody wants."""
    connection = MilterConnection(WANTED)
    drain(connection, ENVELOPE + MESSAGE)
    with pytest.raises(RemoteProtocolError, match="a packet of 1048577 bytes"):
        drain(connection, mta.header("Name", "v" * (1024 * 1024 - 6)))
