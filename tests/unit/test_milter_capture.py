"""The milter connection against what a real Postfix 3.7 sent, see tests/data/milter."""

from pathlib import Path

import pytest

from shared.smtp.milter import MilterConnection, Pause, State
from shared.smtp.milter_events import (
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
    Macros,
    MailFrom,
    MilterEvent,
    MilterReply,
    Negotiate,
    Options,
    Quit,
    Recipient,
    ReplyCode,
    Unknown,
)
from tests.support import milter_client as mta
from tests.support.milter_drive import drain

CAPTURES = Path(__file__).parents[1] / "data" / "milter"
REFUSAL = ReplyCode("450 4.7.230 text")


def replay(name: str, step: int) -> tuple[MilterConnection, list[MilterEvent]]:
    """Play a captured conversation in pieces of *step* bytes, with the answers that were given then."""
    data = (CAPTURES / name).read_bytes()
    connection, events, act = MilterConnection(), [], ""
    answers: dict[str, MilterReply] = {"refuse": REFUSAL, "accept": Accept(), "continue": Continue()}
    for at in range(0, len(data), step):
        connection.receive_data(data[at : at + step])
        while not isinstance(event := connection.next_event(), Pause):
            events.append(event)
            if isinstance(event, Header) and event.name == "X-Act":
                act = event.value
            if connection.reply_due:
                fixed: dict[type, MilterReply] = {Options: Negotiate(), EndOfHeaders: answers.get(act, Continue())}
                connection.send(fixed.get(type(event), Accept() if isinstance(event, EndOfMessage) else Continue()))
    return connection, events


@pytest.mark.parametrize("step", [1, 7, 65536])
@pytest.mark.parametrize(("name", "messages"), [("before-xclient", 0), ("protocol-6", 5), ("protocol-2", 5)])
def test_captured_conversations_are_understood(name: str, messages: int, step: int) -> None:
    """What Postfix 3.7 really sent is read to its end, in whatever pieces it comes."""
    connection, events = replay(f"postfix-3.7-{name}.bin", step)
    assert connection.state is State.CLOSED
    assert events[-1] == Quit()
    assert sum(isinstance(event, EndOfHeaders) for event in events) == messages
    assert sum(isinstance(event, EndOfMessage) for event in events) == (1 if messages else 0)


def test_captured_message_gives_what_the_edge_needs() -> None:
    """Client, queue id, envelope, the folded Received line and odd bytes come out of real packets."""
    _, events = replay("postfix-3.7-protocol-6.bin", 65536)
    connect = next(event for event in events if isinstance(event, Macros))
    assert connect.values["client_name"] == "ex07.alt.example"
    assert connect.values["client_resolve"] == "OK"
    assert Connect("ex07.alt.example", Family.INET, 51234, "192.0.2.7") in events
    assert MailFrom("<a@alt.example>", ("SIZE=1000", "BODY=8BITMIME")) in events
    assert Recipient("<postmaster@neu.example>") in events
    received = next(event for event in events if isinstance(event, Header))
    assert received == Header(
        "Received",
        "from mbx01.alt.example (192.0.2.8) by ex07.alt.example\n"
        " (192.0.2.7) with Microsoft SMTP Server id 8.3.83.0;\n"
        "\tTue, 24 Nov 2026 11:00:00 +0000",
    )
    assert Header("Subject", b"caf\xc3\xa9 \xff".decode("latin-1")) in events
    assert Header("X-Nul", "a") in events
    assert not any(isinstance(event, Data | Body | Unknown) for event in events)


@pytest.mark.parametrize("protocol", [6, 2])
def test_captured_queue_id_is_known_at_the_end_of_headers(protocol: int) -> None:
    """Before each end of headers the queue id was told; with protocol 6 at DATA already, though DATA is left out."""
    _, events = replay(f"postfix-3.7-protocol-{protocol}.bin", 65536)
    stages = [event.stage for event in events if isinstance(event, Macros) and event.values.get("i")]
    assert stages.count(Command.END_OF_HEADERS) == 5
    assert stages.count(Command.DATA) == (5 if protocol == 6 else 0)


def test_session_of_the_test_client_is_like_the_captured_one() -> None:
    """The stand-in that other tests use opens a session with the same kinds of event as Postfix did."""
    connection = MilterConnection()
    made = drain(connection, mta.options() + mta.postfix_session() + mta.postfix_message([("Received", "x")]))
    _, real = replay("postfix-3.7-protocol-6.bin", 65536)
    kinds = [type(event) for event in real]
    first = kinds[: kinds.index(EndOfHeaders) + 1]
    seen_once = [kind for at, kind in enumerate(first) if kind is not Header or first[at - 1] is not Header]
    second_recipient = seen_once.index(Recipient) + 1
    assert [type(event) for event in made] == seen_once[:second_recipient] + seen_once[second_recipient + 2 :]


def test_test_client_speaks_ipv6() -> None:
    """A colon in the address makes the stand-in's family IPv6."""
    events = drain(MilterConnection(), mta.options() + mta.postfix_session(address="2001:db8::7"))
    assert Connect("ex07.alt.example", Family.INET6, 51234, "2001:db8::7") in events
