"""The milter connection's table of states, row by row, and how a conversation ends."""

import pytest

from shared.smtp.errors import LocalProtocolError, RemoteProtocolError
from shared.smtp.milter import CONNECTION_CLOSED, NEED_DATA, MilterConnection, State
from shared.smtp.milter_events import (
    Abort,
    Accept,
    Body,
    Command,
    Connect,
    Continue,
    Data,
    EndOfHeaders,
    EndOfMessage,
    Family,
    Header,
    Helo,
    Macros,
    MailFrom,
    MilterEvent,
    Negotiate,
    Options,
    Quit,
    QuitNewConnection,
    Recipient,
    ReplyCode,
    Unknown,
)
from tests.support import milter_client as mta
from tests.support.milter_drive import TO_HEADERS, WAYS, after_event, drain, in_state

REFUSAL = ReplyCode("450 4.7.230 text")
# One packet of each command, with the event it becomes.
SAMPLES: dict[str, tuple[bytes, MilterEvent]] = {
    "O": (mta.options(2, 0, 0), Options(2, 0, 0)),  # type: ignore[arg-type]  # a plain 0 is a legal set of flags
    "D": (mta.macros(b"M", {"i": "1"}), Macros(Command.MAIL, {"i": "1"})),
    "C": (mta.connect(), Connect("ex07.alt.example", Family.INET, 51234, "192.0.2.7")),
    "H": (mta.helo(), Helo("ex07.alt.example")),
    "M": (mta.mail("<>", "SIZE=7"), MailFrom("<>", ("SIZE=7",))),
    "R": (mta.rcpt(), Recipient("<b@neu.example>")),
    "T": (mta.DATA, Data()),
    "L": (mta.header(), Header("Subject", "hello")),
    "N": (mta.END_OF_HEADERS, EndOfHeaders()),
    "B": (mta.body(b"x\0y"), Body(b"x\0y")),
    "E": (mta.END_OF_MESSAGE, EndOfMessage()),
    "A": (mta.ABORT, Abort()),
    "U": (mta.unknown(), Unknown("XYZZY")),
    "Q": (mta.QUIT, Quit()),
    "K": (mta.QUIT_NEW_CONNECTION, QuitNewConnection()),
}
MOVES = {
    State.NEGOTIATE: {"O": State.CONNECT, "Q": State.CLOSED},
    State.CONNECT: {"D": State.CONNECT, "C": State.SESSION, "Q": State.CLOSED, "K": State.CONNECT},
    State.SESSION: {
        **dict.fromkeys("DHUA", State.SESSION),
        "M": State.ENVELOPE,
        "Q": State.CLOSED,
        "K": State.CONNECT,
    },
    State.ENVELOPE: {
        **dict.fromkeys("DMRTU", State.ENVELOPE),
        **dict.fromkeys("HA", State.SESSION),
        "L": State.HEADERS,
        "N": State.BODY,
        "Q": State.CLOSED,
        "K": State.CONNECT,
    },
    State.HEADERS: {
        **dict.fromkeys("DL", State.HEADERS),
        "N": State.BODY,
        "A": State.SESSION,
        "Q": State.CLOSED,
        "K": State.CONNECT,
    },
    State.BODY: {
        **dict.fromkeys("DB", State.BODY),
        **dict.fromkeys("EA", State.SESSION),
        "Q": State.CLOSED,
        "K": State.CONNECT,
    },
}
LEGAL = [(state, code, after) for state, row in MOVES.items() for code, after in row.items()]
ILLEGAL = [(state, code) for state, row in MOVES.items() for code in SAMPLES if code not in row]


# --- the table of states ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "code", "after"), LEGAL)
def test_each_legal_packet_leads_on(state: State, code: str, after: State) -> None:
    """Every packet that a state allows gives its event, and leads to the state that was written down by hand."""
    connection = in_state(state)
    packet, expected = SAMPLES[code]
    connection.receive_data(packet)
    event = connection.next_event()
    assert type(event) is type(expected)
    assert event == expected
    if connection.reply_due:
        connection.send(Negotiate() if code == "O" else Continue())
    assert connection.state is after


@pytest.mark.parametrize(("state", "code"), ILLEGAL)
def test_each_other_packet_is_out_of_place(state: State, code: str) -> None:
    """Every packet that a state does not allow ends the connection, and the error names state and packet."""
    connection = in_state(state)
    packet, _ = SAMPLES[code]
    connection.receive_data(packet)
    with pytest.raises(RemoteProtocolError, match=f"in state {state.value}: {Command(ord(code)).name} is out of place"):
        connection.next_event()
    assert connection.state is State.ERROR


@pytest.mark.parametrize("code", SAMPLES)
def test_after_a_final_answer_to_connect_only_the_end_may_come(code: str) -> None:
    """Once the session was accepted or refused whole, the MTA has nothing more to ask."""
    connection = after_event(mta.connect())
    connection.send(Accept())
    assert connection.state is State.OVER
    connection.receive_data(SAMPLES[code][0])
    after = {"A": State.OVER, "D": State.OVER, "K": State.CONNECT, "Q": State.CLOSED}.get(code)
    if after is None:
        with pytest.raises(RemoteProtocolError, match="in state over"):
            connection.next_event()
    else:
        assert type(connection.next_event()) is type(SAMPLES[code][1])
        assert connection.state is after


def test_the_same_connection_takes_a_second_client() -> None:
    """After quit-and-new-connection the next client comes without a new negotiation."""
    events = drain(MilterConnection(), TO_HEADERS + mta.QUIT_NEW_CONNECTION + mta.connect() + mta.mail())
    assert [type(event) for event in events[-3:]] == [QuitNewConnection, Connect, MailFrom]


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", WAYS)
def test_the_input_may_end_between_packets(state: State) -> None:
    """An MTA may hang up at any time; there is no event left, and that stays so."""
    connection = in_state(state)
    assert connection.next_event() is NEED_DATA
    connection.receive_data(b"")
    assert connection.next_event() is CONNECTION_CLOSED
    connection.receive_data(b"")
    assert connection.next_event() is CONNECTION_CLOSED


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("part", [b"\0", b"\0\0\0\2", b"\0\0\0\2H"])
def test_the_input_must_not_end_within_a_packet(state: State, part: bytes) -> None:
    """Half a packet at the end is the peer's error; it names the state and how far it came."""
    connection = in_state(state)
    connection.receive_data(part)
    assert connection.next_event() is NEED_DATA
    connection.receive_data(b"")
    with pytest.raises(RemoteProtocolError, match=f"in state {state.value}: the input ended {len(part)} bytes into"):
        connection.next_event()


def test_whole_packets_before_the_end_are_still_told() -> None:
    """The end of input counts after what came before it."""
    connection = in_state(State.SESSION)
    connection.receive_data(mta.ABORT)
    connection.receive_data(b"")
    assert drain(connection) == [Abort()]


def test_an_answer_may_follow_the_end_of_input() -> None:
    """An MTA that hung up while we thought does not make our answer a bug."""
    connection = after_event(mta.connect())
    connection.receive_data(b"")
    assert connection.send(Continue())
    assert connection.next_event() is CONNECTION_CLOSED


def test_nothing_comes_after_quit() -> None:
    """What follows quit is dropped, whether it came with it or later."""
    connection = in_state(State.SESSION)
    assert drain(connection, mta.QUIT + mta.helo()) == [Quit()]
    assert drain(connection, b"rubbish") == []
    assert connection.next_event() is CONNECTION_CLOSED


def test_bytes_after_the_end_of_input_are_our_error() -> None:
    """Whoever reported the end cannot have more."""
    connection = MilterConnection()
    connection.receive_data(b"")
    with pytest.raises(LocalProtocolError, match="after the end of input"):
        connection.receive_data(b"x")


def test_an_error_stays() -> None:
    """After the peer's error the same error comes again, nothing is read and nothing can be sent."""
    connection = MilterConnection()
    connection.receive_data(mta.helo())
    with pytest.raises(RemoteProtocolError) as first:
        connection.next_event()
    connection.receive_data(mta.options())
    with pytest.raises(RemoteProtocolError) as second:
        connection.next_event()
    assert str(first.value) == str(second.value)
    assert str(second.value).endswith("HELO is out of place; drop the connection.")
    with pytest.raises(LocalProtocolError, match="in state error"):
        connection.send(Continue())
