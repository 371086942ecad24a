"""The milter connection: negotiation, which events need an answer, and what answers do."""

import struct

import pytest

from shared.smtp.errors import LocalProtocolError, RemoteProtocolError
from shared.smtp.milter import MilterConnection, State
from shared.smtp.milter_events import (
    Accept,
    Continue,
    Helo,
    MilterReply,
    Negotiate,
    Options,
    Progress,
    Reject,
    ReplyCode,
    TempFail,
)
from tests.support import milter_client as mta
from tests.support.milter_drive import (
    TO_BODY,
    TO_CONNECT,
    after_event,
)

REFUSAL = ReplyCode("450 4.7.230 text")
FINAL: list[MilterReply] = [Accept(), TempFail(), Reject(), REFUSAL]


# --- negotiation -----------------------------------------------------------------------------------------------------


def test_postfix_is_asked_for_little() -> None:
    """Of all that Postfix offers we ask for six events less, no answers before end of headers, and macro lists."""
    connection = MilterConnection()
    connection.receive_data(mta.options())
    event = connection.next_event()
    assert isinstance(event, Options)
    assert (event.version, event.actions, event.protocol) == (6, 0x1FF, 0x1FFFFF)
    agreement = mta.parse_agreement(connection.send(Negotiate()))
    assert agreement.version == 6
    assert agreement.actions == 0x100
    assert agreement.protocol == (
        mta.NO_BODY
        | mta.NO_UNKNOWN
        | mta.NO_DATA
        | mta.NR_CONNECT
        | mta.NR_HELO
        | mta.NR_MAIL
        | mta.NR_RCPT
        | mta.NR_HEADER
    )


def test_macros_are_asked_for_by_stage() -> None:
    """Each stage has its list, and the queue id is asked for wherever it may have a value."""
    connection = MilterConnection()
    connection.receive_data(mta.options())
    connection.next_event()
    assert mta.parse_agreement(connection.send(Negotiate())).macro_lists == {
        0: "{client_name} {client_resolve} {client_addr} {daemon_port}",
        1: "{tls_version} {cert_subject} {cert_issuer}",
        2: "{auth_authen} {auth_type}",
        3: "i",
        4: "i",
        5: "i",
        6: "i",
    }


@pytest.mark.parametrize("offered", [0, mta.NO_BODY, mta.NR_CONNECT | mta.NR_HEADER, 0x3F])
def test_only_what_is_offered_is_asked_for(offered: int) -> None:
    """A flag that the MTA does not know must not come back to it, nor macro lists it cannot read."""
    connection = MilterConnection()
    connection.receive_data(mta.options(protocol=offered, actions=0x3F))
    connection.next_event()
    agreement = mta.parse_agreement(connection.send(Negotiate()))
    assert agreement.protocol & ~offered == 0
    assert agreement.actions == 0
    assert agreement.macro_lists == {}
    assert connection.granted is not None
    assert (connection.granted.actions, connection.granted.protocol) == (0, agreement.protocol)


@pytest.mark.parametrize(("theirs", "agreed"), [(2, 2), (3, 3), (4, 4), (6, 6), (7, 6), (2**32 - 1, 6)])
def test_the_older_version_is_agreed(theirs: int, agreed: int) -> None:
    """We speak 6 and follow an older MTA down to 2."""
    connection = MilterConnection()
    connection.receive_data(mta.options(version=theirs))
    connection.next_event()
    assert mta.parse_agreement(connection.send(Negotiate())).version == agreed


@pytest.mark.parametrize("version", [0, 1])
def test_too_old_an_mta_is_refused(version: int) -> None:
    """Version 1 knows no negotiation worth the name."""
    connection = MilterConnection()
    connection.receive_data(mta.options(version=version))
    with pytest.raises(RemoteProtocolError, match=f"version {version}; 2 or newer"):
        connection.next_event()


def test_longer_options_are_read_as_far_as_they_are_known() -> None:
    """A later protocol may add fields; the first three keep their meaning."""
    connection = MilterConnection()
    connection.receive_data(mta.packet(b"O", struct.pack(">III", 6, 0, 0) + b"later"))
    assert isinstance(connection.next_event(), Options)


def test_nothing_is_granted_before_the_negotiation() -> None:
    """`granted` is empty until our answer to the offer has been made."""
    connection = MilterConnection()
    connection.receive_data(mta.options())
    connection.next_event()
    assert connection.granted is None


@pytest.mark.parametrize("reply", [Continue(), Accept(), Progress(), REFUSAL])
def test_only_negotiate_answers_options(reply: MilterReply) -> None:
    """Any other answer is our bug, and after it Negotiate still works."""
    connection = MilterConnection()
    connection.receive_data(mta.options())
    connection.next_event()
    with pytest.raises(LocalProtocolError, match="Negotiate answers Options"):
        connection.send(reply)
    assert connection.send(Negotiate())


def test_negotiate_answers_nothing_else() -> None:
    """A second negotiation is our bug."""
    connection = after_event(mta.connect())
    with pytest.raises(LocalProtocolError, match="Negotiate answers Options"):
        connection.send(Negotiate())
    assert connection.reply_due


# --- which events need an answer -------------------------------------------------------------------------------------

TURNS = [
    (mta.connect(), mta.NR_CONNECT),
    (mta.connect() + mta.helo(), mta.NR_HELO),
    (mta.connect() + mta.mail(), mta.NR_MAIL),
    (mta.connect() + mta.mail() + mta.rcpt(), mta.NR_RCPT),
    (mta.connect() + mta.mail() + mta.header(), mta.NR_HEADER),
]


@pytest.mark.parametrize(("packets", "flag"), TURNS)
def test_an_event_granted_without_reply_needs_none(packets: bytes, flag: int) -> None:
    """What the negotiation freed from an answer must not be answered."""
    connection = after_event(packets, offer=mta.options(protocol=flag))
    assert not connection.reply_due
    with pytest.raises(LocalProtocolError, match="No answer is due"):
        connection.send(Continue())


@pytest.mark.parametrize(("packets", "flag"), TURNS)
def test_an_event_not_granted_needs_an_answer(packets: bytes, flag: int) -> None:
    """An MTA that did not offer to go on alone waits for us, though all the rest was granted."""
    connection = after_event(packets, offer=mta.options(protocol=mta.POSTFIX_PROTOCOL & ~flag))
    assert connection.reply_due
    assert connection.send(Continue()) == mta.packet(b"c")
    assert not connection.reply_due


@pytest.mark.parametrize(
    "packets",
    [
        mta.connect() + mta.unknown(),
        mta.connect() + mta.mail() + mta.DATA,
        mta.connect() + mta.mail() + mta.END_OF_HEADERS,
        mta.connect() + mta.mail() + mta.END_OF_HEADERS + mta.body(b"x"),
        mta.connect() + mta.mail() + mta.END_OF_HEADERS + mta.END_OF_MESSAGE,
    ],
)
def test_the_other_events_always_need_an_answer(packets: bytes) -> None:
    """We never ask to leave these unanswered, so with everything granted they still are to be answered."""
    assert after_event(packets, offer=mta.options()).reply_due


@pytest.mark.parametrize("packets", [mta.macros(b"C"), mta.connect() + mta.ABORT, mta.QUIT_NEW_CONNECTION, mta.QUIT])
def test_some_events_never_need_an_answer(packets: bytes) -> None:
    """Macros, abort and the two ways to quit are told, not asked."""
    connection = after_event(packets)
    assert not connection.reply_due
    with pytest.raises(LocalProtocolError, match="No answer is due"):
        connection.send(Continue())


def test_two_answers_to_one_event_are_our_error() -> None:
    """The second answer would be taken for that to the next event."""
    connection = after_event(mta.connect())
    connection.send(Continue())
    with pytest.raises(LocalProtocolError, match=r"No answer is due in state session; Continue\(\) cannot be sent"):
        connection.send(Continue())


def test_no_event_before_the_answer() -> None:
    """Asking on without having answered is our error; after the answer the next event comes."""
    connection = after_event(mta.connect())
    connection.receive_data(mta.helo())
    with pytest.raises(LocalProtocolError, match="CONNECT must be answered"):
        connection.next_event()
    connection.send(Continue())
    assert connection.next_event() == Helo("ex07.alt.example")


def test_nothing_can_be_sent_first() -> None:
    """The MTA speaks first."""
    with pytest.raises(LocalProtocolError, match="No answer is due in state negotiate"):
        MilterConnection().send(Continue())


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (Continue(), mta.packet(b"c")),
        (Accept(), mta.packet(b"a")),
        (TempFail(), mta.packet(b"t")),
        (Reject(), mta.packet(b"r")),
        (REFUSAL, mta.packet(b"y", b"450 4.7.230 text\0")),
        (Progress(), mta.packet(b"p")),
    ],
)
def test_answers_on_the_wire(reply: MilterReply, wire: bytes) -> None:
    """Each answer is one packet, and no other bytes."""
    assert after_event(TO_BODY[len(TO_CONNECT) :]).send(reply) == wire


@pytest.mark.parametrize("reply", FINAL)
@pytest.mark.parametrize(
    ("packets", "after"),
    [
        (mta.connect(), State.OVER),
        (mta.connect() + mta.helo(), State.OVER),
        (mta.connect() + mta.mail(), State.SESSION),
        (mta.connect() + mta.mail() + mta.header(), State.SESSION),
        (mta.connect() + mta.mail() + mta.END_OF_HEADERS, State.SESSION),
        (mta.connect() + mta.mail() + mta.END_OF_HEADERS + mta.body(b"x"), State.SESSION),
        (mta.connect() + mta.mail() + mta.END_OF_HEADERS + mta.END_OF_MESSAGE, State.SESSION),
    ],
)
def test_a_final_answer_ends_message_or_session(packets: bytes, after: State, reply: MilterReply) -> None:
    """Accept, defer and refuse end the message; at connect and HELO the session."""
    connection = after_event(packets)
    connection.send(reply)
    assert connection.state is after
    assert not connection.reply_due


@pytest.mark.parametrize("reply", FINAL[1:])
@pytest.mark.parametrize(
    ("packets", "after"),
    [
        (mta.connect() + mta.mail() + mta.rcpt(), State.ENVELOPE),
        (mta.connect() + mta.mail() + mta.DATA, State.ENVELOPE),
        (mta.connect() + mta.mail() + mta.unknown(), State.ENVELOPE),
        (mta.connect() + mta.unknown(), State.SESSION),
    ],
)
def test_a_refused_command_leaves_the_transaction(packets: bytes, after: State, reply: MilterReply) -> None:
    """One recipient refused does not end the message, and a client may send DATA again."""
    connection = after_event(packets)
    connection.send(reply)
    assert connection.state is after


@pytest.mark.parametrize("command", [mta.rcpt(), mta.DATA])
def test_accept_at_a_command_takes_the_message(command: bytes) -> None:
    """Accept means the whole message, wherever it is said."""
    connection = after_event(mta.connect() + mta.mail() + command)
    connection.send(Accept())
    assert connection.state is State.SESSION


def test_an_unknown_command_cannot_be_accepted() -> None:
    """There is no message that could be; the answer stays due."""
    connection = after_event(mta.connect() + mta.unknown())
    with pytest.raises(LocalProtocolError, match="unknown command cannot be accepted"):
        connection.send(Accept())
    assert connection.reply_due


def test_progress_leaves_the_answer_due() -> None:
    """Progress may come as often as needed and is no answer."""
    connection = after_event(TO_BODY[len(TO_CONNECT) :])
    assert connection.send(Progress()) + connection.send(Progress()) == mta.packet(b"p") * 2
    assert connection.reply_due
    assert connection.send(REFUSAL)


def test_percent_arrives_as_percent() -> None:
    """The sign is doubled on the wire, and the MTA shows it once."""
    data = after_event(mta.connect()).send(ReplyCode("550 5.7.230 100% of %s %%"))
    (answer,) = mta.parse_answers(data)
    assert answer.data == b"550 5.7.230 100%% of %%s %%%%\0"
    assert answer.as_postfix_reads_it() == "550 5.7.230 100% of %s %%"


@pytest.mark.parametrize(
    "text", ["", "450 4.7.1 a\r\n450 4.7.1 b", "421 4.7.1 x", "250 2.0.0 x", "450 4.7.1 é", "450 5.7.1 x"]
)
def test_an_unfit_reply_is_our_error_and_sends_nothing(text: str) -> None:
    """The rules of replies hold here too; the answer stays due."""
    connection = after_event(mta.connect())
    with pytest.raises(LocalProtocolError, match="This reply cannot be sent: "):
        connection.send(ReplyCode(text))
    assert connection.reply_due
    assert connection.state is State.SESSION
