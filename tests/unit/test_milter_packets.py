"""What milter packets hold, their bounds, and what of them is refused."""

import struct

import pytest

from shared.smtp.errors import RemoteProtocolError
from shared.smtp.milter import MAX_UNREAD_BYTES, MilterConnection, State
from shared.smtp.milter_events import (
    Abort,
    Command,
    Connect,
    Continue,
    EndOfMessage,
    Family,
    Header,
    Helo,
    Macros,
    MailFrom,
    Recipient,
)
from shared.smtp.milter_wire import MAX_PACKET_BYTES, MAX_STRINGS
from tests.support import milter_client as mta
from tests.support.milter_drive import (
    after_event,
    drain,
    in_state,
)

# --- what packets hold -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "event"),
    [
        (mta.connect("[192.0.2.7]"), Connect("[192.0.2.7]", Family.INET, 51234, "192.0.2.7")),
        (mta.connect("h", "2001:db8::7", 1, b"6"), Connect("h", Family.INET6, 1, "2001:db8::7")),
        (mta.connect("h", "IPv6:2001:db8::7", 1, b"6"), Connect("h", Family.INET6, 1, "2001:db8::7")),
        (mta.connect("h", "/run/x", 0, b"L"), Connect("h", Family.UNIX, 0, "/run/x")),
        (mta.connect("h", "192.0.2.7", 0x000A, b"4"), Connect("h", Family.INET, 10, "192.0.2.7")),
        (mta.connect_unknown(), Connect("unknown", Family.UNKNOWN, 0, "")),
    ],
)
def test_connect_of_every_family(packet: bytes, event: Connect) -> None:
    """Address and port come as the family has them; sendmail's IPv6 prefix is dropped, a NUL in the port is none."""
    connection = in_state(State.CONNECT)
    connection.receive_data(packet)
    assert connection.next_event() == event


def test_macros_lose_their_braces() -> None:
    """One name for one macro, however the MTA writes it; values keep everything, also when empty."""
    connection = in_state(State.CONNECT)
    sent = {"{client_name}": "a{b}", "i": "", "{client_resolve}": "OK"}
    connection.receive_data(mta.macros(b"C", sent))
    expected = {"client_name": "a{b}", "i": "", "client_resolve": "OK"}
    assert connection.next_event() == Macros(Command.CONNECT, expected)


def test_repeated_header_macros_are_told_once() -> None:
    """Postfix sends the queue id with every header; it is told with the first, and again when it differs."""
    one, two = mta.macros(b"L", {"i": "1"}), mta.macros(b"L", {"i": "2"})
    events = drain(in_state(State.ENVELOPE), (one + mta.header()) * 3 + two + mta.header())
    assert [type(event) for event in events] == [Macros, Header, Header, Header, Macros, Header]


def test_macros_of_a_new_message_are_told_again() -> None:
    """The same values after another command are news for whoever forgot the message before."""
    message = mta.macros(b"L", {"i": "1"}) + mta.header() + mta.ABORT + mta.mail()
    events = drain(in_state(State.ENVELOPE), message * 2)
    assert [type(event) for event in events] == [Macros, Header, Abort, MailFrom] * 2


@pytest.mark.parametrize(
    ("path", "address"),
    [("<a@alt.example>", "a@alt.example"), ("<>", ""), ("a@alt.example", "a@alt.example"), ("<", "<")],
)
def test_addresses_without_brackets(path: str, address: str) -> None:
    """Sender and recipient give their address; what has no pair of brackets stays."""
    assert MailFrom(path).address == Recipient(path).address == address


def test_every_byte_survives() -> None:
    """Eight-bit text comes through as Latin-1 and gives the same bytes back; nothing is decoded, nothing fails."""
    raw = bytes(range(1, 256))
    (event,) = drain(in_state(State.ENVELOPE), mta.header(raw, raw[::-1]))
    assert isinstance(event, Header)
    assert (event.name.encode("latin-1"), event.value.encode("latin-1")) == (raw, raw[::-1])


def test_end_of_message_may_carry_the_last_piece() -> None:
    """Sendmail sends the rest of the body with the end of the message."""
    assert drain(in_state(State.BODY), mta.packet(b"E", b"rest\0")) == [EndOfMessage(b"rest\0")]


@pytest.mark.parametrize(
    ("state", "packet", "what"),
    [
        (State.NEGOTIATE, mta.packet(b"O", b"\0" * 11), "11 bytes of options where 12 belong"),
        (State.CONNECT, mta.packet(b"C"), "no host name"),
        (State.CONNECT, mta.packet(b"C", b"host"), "no host name"),
        (State.CONNECT, mta.packet(b"C", b"host\0"), "no address family"),
        (State.CONNECT, mta.packet(b"C", b"host\0X\0\0a\0"), "unknown address family 0x58"),
        (State.CONNECT, mta.packet(b"C", b"host\0004\0\x19192.0.2.7"), "no NUL at its end"),
        (State.CONNECT, mta.packet(b"C", b"host\0004\0\x19"), "0 strings where one belongs"),
        (State.CONNECT, mta.packet(b"C", b"host\0004"), "0 strings where one belongs"),
        (State.SESSION, mta.packet(b"H"), "0 strings where one belongs"),
        (State.SESSION, mta.packet(b"H", b"a\0b\0"), "2 strings where one belongs"),
        (State.SESSION, mta.packet(b"U", b"a"), "no NUL at its end"),
        (State.SESSION, mta.packet(b"M"), "no address"),
        (State.SESSION, mta.packet(b"M", b"<a>"), "no NUL at its end"),
        (State.SESSION, mta.packet(b"D"), "macros for no known command"),
        (State.SESSION, mta.packet(b"D", b"!i\0001\0"), "macros for no known command"),
        (State.SESSION, mta.packet(b"D", b"Mi\0"), "a macro has no value"),
        (State.SESSION, mta.packet(b"D", b"Mi\x001"), "no NUL at its end"),
        (State.ENVELOPE, mta.packet(b"R"), "no address"),
        (State.ENVELOPE, mta.packet(b"L", b"name\0"), "1 strings where a header's name and value belong"),
        (State.ENVELOPE, mta.packet(b"L", b"name\0va\0lue\0"), "3 strings where a header's"),
        (State.ENVELOPE, mta.packet(b"L", b"name\0value"), "no NUL at its end"),
        (State.ENVELOPE, mta.packet(b"N", b"x"), "1 bytes of data where none belong"),
        (State.ENVELOPE, mta.packet(b"T", b"xy"), "2 bytes of data where none belong"),
        (State.SESSION, mta.packet(b"Q", b"\0"), "1 bytes of data where none belong"),
    ],
)
def test_a_packet_of_wrong_form_names_its_fault(state: State, packet: bytes, what: str) -> None:
    """The error says in which state, in which command, and what is wrong."""
    connection = in_state(state)
    connection.receive_data(packet)
    name = Command(packet[4]).name
    with pytest.raises(RemoteProtocolError, match=f"in state {state.value}: {name} cannot be read, .*{what}.*; drop"):
        connection.next_event()


def test_an_unknown_command_byte_is_named() -> None:
    """A byte that the protocol does not know is shown as such."""
    connection = in_state(State.SESSION)
    connection.receive_data(mta.packet(b"!"))
    with pytest.raises(RemoteProtocolError, match="command 0x21 is out of place"):
        connection.next_event()


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_a_header_of_a_megabyte_passes() -> None:
    """The longest packet that is allowed comes through whole, in pieces as a socket gives them."""
    value = "v" * (MAX_PACKET_BYTES - len("L" + "Name\0" + "\0"))
    data = mta.header("Name", value)
    assert len(data) == 4 + MAX_PACKET_BYTES
    connection = in_state(State.ENVELOPE)
    events = [event for at in range(0, len(data), 65536) for event in drain(connection, data[at : at + 65536])]
    assert events == [Header("Name", value)]


@pytest.mark.parametrize("length", [0, MAX_PACKET_BYTES + 1, 2**32 - 1])
def test_a_length_out_of_range_fails_at_once(length: int) -> None:
    """No more than the packet's head is needed to refuse it, and none of it is kept."""
    connection = in_state(State.ENVELOPE)
    connection.receive_data(struct.pack(">I", length) + b"L")
    with pytest.raises(RemoteProtocolError, match=f"a packet of {length} bytes, while 1 to {MAX_PACKET_BYTES}"):
        connection.next_event()
    connection.receive_data(b"x" * 65536)
    assert len(connection._unread) == 0


def test_text_that_is_no_milter_is_refused() -> None:
    """A web client or a mail client at this port is told apart by its first bytes."""
    for greeting in (b"GET / HTTP/1.1\r\n", b"EHLO ex07.alt.example\r\n", b"\x16\x03\x01\x02\x00\x01"):
        connection = MilterConnection()
        connection.receive_data(greeting)
        with pytest.raises(RemoteProtocolError, match="in state negotiate: a packet of"):
            connection.next_event()


@pytest.mark.parametrize(
    ("count", "passes"), [(MAX_STRINGS, True), (MAX_STRINGS + 1, False), (10 * MAX_STRINGS, False)]
)
def test_strings_of_a_packet_are_bounded(count: int, passes: bool) -> None:
    """128 strings pass, more are an error."""
    connection = in_state(State.SESSION)
    connection.receive_data(mta.mail(*["<a@alt.example>"] * count))
    if passes:
        event = connection.next_event()
        assert isinstance(event, MailFrom)
        assert len(event.params) == count - 1
    else:
        with pytest.raises(RemoteProtocolError, match="more than 128 strings"):
            connection.next_event()


def test_a_peer_that_does_not_wait_is_cut_off() -> None:
    """Bytes sent ahead are kept up to the bound; the answer in hand still goes out, then the error comes."""
    connection = after_event(mta.connect())
    for _ in range(MAX_UNREAD_BYTES // 65536 + 2):
        connection.receive_data(b"x" * 65536)
    assert len(connection._unread) <= MAX_UNREAD_BYTES
    assert connection.send(Continue()) == mta.packet(b"c")
    with pytest.raises(RemoteProtocolError, match=f"over {MAX_UNREAD_BYTES} bytes came without waiting"):
        connection.next_event()


def test_bytes_sent_ahead_are_kept_up_to_the_bound() -> None:
    """Two mebibytes before an answer are still no offence."""
    connection = after_event(mta.connect())
    ahead = mta.helo() + mta.header("Name", "v" * (2 * 1024 * 1024 - len(mta.helo()) - len(mta.header("Name", ""))))
    assert len(ahead) == MAX_UNREAD_BYTES == 2 * 1024 * 1024
    connection.receive_data(ahead)
    connection.send(Continue())
    assert connection.next_event() == Helo("ex07.alt.example")


def test_a_held_part_of_a_packet_is_told() -> None:
    """Only while a packet has begun and is not all there does the connection say so."""
    connection = in_state(State.SESSION)
    assert not connection.mid_packet
    assert drain(connection, mta.ABORT + mta.helo()[:3]) == [Abort()]
    assert connection.mid_packet
    assert drain(connection, mta.helo()[3:]) == [Helo("ex07.alt.example")]
    assert not connection.mid_packet
