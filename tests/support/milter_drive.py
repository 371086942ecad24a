"""Leading a milter connection through a conversation: what several tests of it share."""

from shared.smtp.milter import MilterConnection, Pause, State
from shared.smtp.milter_events import (
    Continue,
    MilterEvent,
    Negotiate,
    Options,
)
from tests.support import milter_client as mta

NOTHING_GRANTED = mta.options(protocol=0)

# Bytes that lead a fresh connection, to which nothing is granted, into each state.
TO_CONNECT = NOTHING_GRANTED
TO_SESSION = TO_CONNECT + mta.connect()
TO_ENVELOPE = TO_SESSION + mta.mail()
TO_HEADERS = TO_ENVELOPE + mta.header()
TO_BODY = TO_HEADERS + mta.END_OF_HEADERS
WAYS = {
    State.NEGOTIATE: b"",
    State.CONNECT: TO_CONNECT,
    State.SESSION: TO_SESSION,
    State.ENVELOPE: TO_ENVELOPE,
    State.HEADERS: TO_HEADERS,
    State.BODY: TO_BODY,
}


def drain(connection: MilterConnection, data: bytes = b"") -> list[MilterEvent]:
    """Give *data* and take all events, each answered with Negotiate or Continue when an answer is due."""
    if data:
        connection.receive_data(data)
    events: list[MilterEvent] = []
    while not isinstance(event := connection.next_event(), Pause):
        events.append(event)
        if connection.reply_due:
            connection.send(Negotiate() if isinstance(event, Options) else Continue())
    return events


def in_state(state: State) -> MilterConnection:
    """Give a connection that was led into *state*, with nothing granted, so that everything is to be answered."""
    connection = MilterConnection()
    drain(connection, WAYS[state])
    assert connection.state is state
    return connection


def after_event(packets: bytes, *, offer: bytes = NOTHING_GRANTED) -> MilterConnection:
    """Give a connection that has just returned the last event of *packets* and has not answered it."""
    connection = MilterConnection()
    connection.receive_data(offer)
    connection.next_event()
    connection.send(Negotiate())
    connection.receive_data(packets)
    while True:
        assert not isinstance(connection.next_event(), Pause)
        if connection._read_to == len(connection._unread):
            return connection
        if connection.reply_due:
            connection.send(Continue())
