"""What holds for any bytes and any cut of them: the milter connection against a stream it cannot trust."""

import struct
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from shared.smtp.errors import RemoteProtocolError
from shared.smtp.milter import CONNECTION_CLOSED, NEED_DATA, MilterConnection, Pause
from shared.smtp.milter_events import (
    Accept,
    Continue,
    EndOfHeaders,
    Header,
    MailFrom,
    MilterEvent,
    MilterReply,
    Negotiate,
    Options,
    Recipient,
    ReplyCode,
)
from shared.smtp.replies import MAX_REPLY_CHARS, parse_reply
from tests.support import milter_client as mta

latin1 = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"").decode("latin-1"))
answers: st.SearchStrategy[MilterReply] = st.sampled_from(
    [Continue(), Continue(), Accept(), ReplyCode("450 4.7.230 text")]
)
packets = st.one_of(
    st.builds(mta.macros, st.sampled_from([bytes([code]) for code in b"CHMRTLNE!"]), st.dictionaries(latin1, latin1)),
    st.builds(mta.connect, latin1, latin1, st.integers(0, 65535), st.sampled_from([b"4", b"6", b"L", b"X"])),
    st.builds(mta.connect_unknown, latin1),
    st.builds(mta.helo, latin1),
    st.builds(mta.mail, latin1, latin1),
    st.builds(mta.rcpt, latin1, latin1),
    st.builds(mta.header, latin1, latin1),
    st.builds(mta.unknown, latin1),
    st.builds(mta.body, st.binary(max_size=40)),
    st.sampled_from([mta.DATA, mta.END_OF_HEADERS, mta.END_OF_MESSAGE, mta.ABORT, mta.QUIT, mta.QUIT_NEW_CONNECTION]),
    st.builds(mta.packet, st.binary(min_size=1, max_size=1), st.binary(max_size=20)),
)
offers = st.builds(
    mta.options,
    st.integers(1, 7),
    st.sampled_from([0, 0x3F, 0x1FF]),
    st.sampled_from([0, 0x7F, 0x1FFFFF]) | st.integers(0, 2**32 - 1),
)
plausible = st.builds(
    lambda offer, session, rest, tail: offer + session + b"".join(rest) + tail,
    offers,
    st.sampled_from([b"", mta.connect(), mta.connect() + mta.mail(), mta.connect() + mta.mail() + mta.header()]),
    st.lists(packets, max_size=12),
    st.just(b"") | st.binary(max_size=8),
)


def hear(
    pieces: list[bytes], replies: list[MilterReply], headers: frozenset[str] | None = None
) -> list[MilterEvent | str]:
    """Everything a connection says to *pieces* and then the end of input; the peer's error as its text, last."""
    connection = MilterConnection(headers)
    heard: list[MilterEvent | str] = []
    answered = 0
    try:
        for piece in [*pieces, b""]:
            connection.receive_data(piece)
            while not isinstance(event := connection.next_event(), Pause):
                heard.append(event)
                if connection.reply_due:
                    reply = Negotiate() if isinstance(event, Options) else replies[answered % len(replies)]
                    answered += 1
                    connection.send(reply if type(event).__name__ != "Unknown" else Continue())
            assert event is (CONNECTION_CLOSED if piece == b"" else event)
            assert event in (NEED_DATA, CONNECTION_CLOSED)
    except RemoteProtocolError as error:
        heard.append(str(error))
    return heard


@given(st.binary(max_size=200) | plausible, st.lists(answers, min_size=1, max_size=6))
@example(b"\0\0\0\0", [Continue()])
@example(b"\xff\xff\xff\xffO", [Continue()])
def test_any_bytes_give_events_or_the_peers_error(data: bytes, replies: list[MilterReply]) -> None:
    """Whatever comes, nothing but `RemoteProtocolError` leaves the connection, and each event has a fixed type."""
    heard = hear([data], replies)
    assert all(isinstance(item, MilterEvent | str) for item in heard)
    assert not any(isinstance(item, str) for item in heard[:-1])


@given(plausible, st.lists(answers, min_size=1, max_size=6))
def test_byte_by_byte_is_all_at_once(data: bytes, replies: list[MilterReply]) -> None:
    """The same events and the same error come out of a stream in single bytes as out of one piece."""
    assert hear([data[at : at + 1] for at in range(len(data))], replies) == hear([data], replies)


@given(plausible, st.lists(answers, min_size=1, max_size=6), st.lists(st.integers(0, 400), max_size=6))
def test_any_cut_changes_nothing(data: bytes, replies: list[MilterReply], cuts: list[int]) -> None:
    """Where a socket cuts the stream is no information."""
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert hear(pieces, replies) == hear([data], replies)


odd_names = st.sampled_from(["Received", "received", " RECEIVED\t", "Received\xa0", "Subject", "", "Receive"])
some_headers = st.lists(st.builds(mta.header, odd_names | latin1, latin1) | packets, max_size=12).map(b"".join)
to_headers = mta.connect() + mta.mail() + mta.header()
half_left_out = st.builds(
    lambda offer, rest, tail: offer + to_headers + rest + tail, offers, some_headers, st.binary(max_size=8)
)


def left_out(heard: list[MilterEvent | str], wanted: frozenset[str]) -> list[MilterEvent | str]:
    """What is left of *heard* without the headers that are not wanted; the first of a message stays."""
    kept: list[MilterEvent | str] = []
    in_headers = waits = False
    for event in heard:
        if isinstance(event, Options):
            waits = not event.protocol & mta.NR_HEADER
        if isinstance(event, MailFrom):
            in_headers = False
        if isinstance(event, Header):
            if in_headers and not waits and event.name.strip().lower() not in wanted:
                continue
            in_headers = True
        kept.append(event)
    return kept


@given(plausible | half_left_out, st.lists(answers, min_size=1, max_size=6), st.lists(st.integers(0, 400), max_size=6))
@example(mta.options() + to_headers + mta.header("Received", "x") + mta.header() + mta.END_OF_HEADERS, [Continue()], [])
def test_headers_left_out_change_nothing_else(data: bytes, replies: list[MilterReply], cuts: list[int]) -> None:
    """A connection that is asked for some headers tells all else, errors too, as one that tells all, however it is cut."""
    wanted = frozenset({"received"})
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert hear(pieces, replies, wanted) == left_out(hear([data], replies), wanted)


@given(
    st.lists(st.tuples(latin1, latin1), max_size=20),
    latin1,
    st.lists(latin1, min_size=1, max_size=5),
    st.sampled_from([0, mta.NR_HEADER, mta.POSTFIX_PROTOCOL]),
)
def test_a_message_comes_out_as_it_went_in(
    headers: list[tuple[str, str]], sender: str, recipients: list[str], protocol: int
) -> None:
    """Sender, recipients and headers survive the wire, every byte and their order, whatever was granted."""
    sent = mta.options(protocol=protocol) + mta.postfix_session()
    heard = hear([sent + mta.postfix_message(headers, sender=sender, recipients=recipients)], [Continue()])
    assert heard[-1] == EndOfHeaders()
    assert [event for event in heard if isinstance(event, MailFrom)] == [MailFrom(sender)]
    assert [event.recipient for event in heard if isinstance(event, Recipient)] == recipients
    assert [(event.name, event.value) for event in heard if isinstance(event, Header)] == headers


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(2, 2**32 - 1))
def test_never_more_is_asked_than_offered(actions: int, protocol: int, version: int) -> None:
    """Whatever an MTA offers, the answer stays within it, and our wishes within ours."""
    connection = MilterConnection()
    connection.receive_data(mta.options(version, actions, protocol))
    connection.next_event()
    agreement = mta.parse_agreement(connection.send(Negotiate()))
    assert agreement.protocol & ~protocol == 0
    assert agreement.protocol & ~0xF390 == 0
    assert agreement.actions == actions & 0x100
    assert agreement.version == min(version, 6)
    assert bool(agreement.macro_lists) == bool(actions & 0x100)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=180))
def test_any_legal_reply_text_reaches_the_client(text: str) -> None:
    """Printable ASCII, signs of per cent included, is what the MTA shows in the end."""
    line = f"450 4.7.230 {text}."
    assert len(parse_reply(line).line) <= MAX_REPLY_CHARS
    connection = MilterConnection()
    connection.receive_data(mta.options(protocol=0) + mta.connect())
    connection.next_event()
    connection.send(Negotiate())
    connection.next_event()
    (answer,) = mta.parse_answers(connection.send(ReplyCode(line)))
    assert answer.as_postfix_reads_it() == line


@given(st.binary(max_size=300), st.integers(1, 2**32 - 1))
@example(b"Q", 1)
def test_memory_stays_with_what_was_sent(data: bytes, length: int) -> None:
    """A length that a peer only announces costs nothing: what is held is never more than what came."""
    connection = MilterConnection()
    connection.receive_data(struct.pack(">I", length) + data)
    try:
        while not isinstance(connection.next_event(), Pause):
            if connection.reply_due:
                connection.send(Negotiate())
    except RemoteProtocolError:
        assert len(connection._unread) == 0
    assert len(connection._unread) <= 4 + len(data)
