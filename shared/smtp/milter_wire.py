"""
Packets of the milter protocol: bytes to events, replies to bytes.

A packet is a length (4 bytes, big-endian; it counts all that follows), one command byte and that command's data.
Strings in the data end with a NUL and so cannot hold one; a body piece is raw. Where libmilter reads past what it does
not understand we raise: a peer that is out of step is better dropped (the MTA then takes its default action) than
guessed at.

Source: sendmail's libmilter (mfdef.h, engine.c) and Postfix 3.7 (src/milter/milter8.c).
"""

import struct
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from shared.smtp.errors import LocalProtocolError, RemoteProtocolError, ReplyTextError
from shared.smtp.milter_events import (
    Abort,
    Accept,
    Action,
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
    Options,
    Progress,
    Protocol,
    Quit,
    QuitNewConnection,
    Recipient,
    Reject,
    ReplyCode,
    TempFail,
    Unknown,
)
from shared.smtp.replies import parse_reply

LENGTH_BYTES = 4
"""Size of the length before each packet."""

MAX_PACKET_BYTES = 1024 * 1024
"""
Longest packet that is taken; a longer one is an error as soon as its length is read, so it is never held.

Postfix 3.7 cuts a header at 60,000 bytes (seen) and sends body pieces of at most 65,535: 1 MiB leaves another MTA, or a
raised limit, much room and still bounds a connection's memory.
"""

MAX_STRINGS = 128
"""
Most strings in one packet: 64 macros, or an address with 127 parameters; beyond it the packet is an error.

Postfix sends at most a dozen macros a stage, and a client's MAIL has a handful of parameters.
"""

HEAD = struct.Struct(">IB")
"""Length and command of a packet."""

COMMANDS: Mapping[int, Command] = {int(command): command for command in Command}
"""Each command by its byte; calling the enumeration costs several times as much."""

VERSION = 6
"""The version we speak; an older MTA is answered with its own."""

_OLDEST_VERSION = 2
_OPTIONS = struct.Struct(">III")
_HEADER = int(Command.HEADER)
_PACKET_HEAD = struct.Struct(">Ic")
_MACRO_LIST = struct.Struct(">I")

REQUESTED_MACROS: Mapping[int, str] = MappingProxyType(
    {
        0: "{client_name} {client_resolve} {client_addr} {daemon_port}",  # connect
        1: "{tls_version} {cert_subject} {cert_issuer}",  # HELO
        2: "{auth_authen} {auth_type}",  # MAIL
        3: "i",  # RCPT
        4: "i",  # DATA
        6: "i",  # end of headers
        5: "i",  # end of message
    }
)
"""
Macros to ask for, by the number of their stage (mfapi.h, SMFIM_*: 5 is the end of the message, 6 that of the headers).

A stage left out gets the MTA's own list, so each is named. At Postfix the queue id ``i`` has a value from DATA on; it
comes before the first header even though DATA itself is left out, and once more with each header. RCPT has no use for
any; its ``i`` keeps Postfix from resolving each recipient for its default macros.
"""


def packet(command: bytes, data: bytes = b"") -> bytes:
    """Frame one packet; *command* is a single byte."""
    return _PACKET_HEAD.pack(1 + len(data), command) + data


_FIXED_REPLIES: Mapping[type, bytes] = MappingProxyType(
    {
        Continue: packet(b"c"),
        Accept: packet(b"a"),
        TempFail: packet(b"t"),
        Reject: packet(b"r"),
        Progress: packet(b"p"),
    }
)


def encode_reply(reply: Continue | Accept | TempFail | Reject | ReplyCode | Progress) -> bytes:
    """
    Encode any reply but the negotiation's.

    Raises:
        LocalProtocolError: the text of a `ReplyCode` is not a reply that may be sent.
    """
    if not isinstance(reply, ReplyCode):
        return _FIXED_REPLIES[type(reply)]
    try:
        line = parse_reply(reply.text).line
    except ReplyTextError as error:
        raise LocalProtocolError(f"This reply cannot be sent: {error}") from error
    # sendmail takes the text for a format; Postfix turns %% back into % and drops a single one (milter8.c, REPLYCODE).
    return packet(b"y", line.replace("%", "%%").encode("ascii") + b"\0")


def encode_negotiation(version: int, actions: Action, protocol: Protocol) -> bytes:
    """Encode the answer to `Options`; the macro lists go along when the MTA takes them."""
    data = _OPTIONS.pack(version, actions, protocol)
    if actions & Action.SET_MACRO_LIST:
        for stage, names in REQUESTED_MACROS.items():
            data += _MACRO_LIST.pack(stage) + names.encode("ascii") + b"\0"
    return packet(b"O", data)


def size_if_unwanted(unread: bytearray, at: int, wanted: Collection[str]) -> int:
    """
    Size of the packet at *at* if it is a header, whole and of right form, whose name is not *wanted*; else 0.

    It tells from the bytes what an event would, at a fifth of the cost: 16 of 19 headers of a mail are nobody's.
    """
    if len(unread) < at + HEAD.size:
        return 0
    length, code = HEAD.unpack_from(unread, at)
    end = at + LENGTH_BYTES + length
    if code != _HEADER or length > MAX_PACKET_BYTES:
        return 0
    nul = unread.find(0, at + HEAD.size, end)
    if nul < 0 or unread.find(0, nul + 1, end) != end - 1:
        return 0
    name = unread[at + HEAD.size : nul].decode("latin-1").strip().lower()
    return 0 if name in wanted else LENGTH_BYTES + length


def decode_event(code: int, data: bytearray) -> MilterEvent:
    """
    Decode one packet's data by its command byte, which is that of a `Command`.

    Raises:
        RemoteProtocolError: the data is not of the command's form.
    """
    return _DECODERS[code](data)


def _strings(data: bytearray) -> list[str]:
    if not data:
        return []
    if data[-1]:
        raise RemoteProtocolError("a string has no NUL at its end")
    strings = data.decode("latin-1").split("\0", MAX_STRINGS)
    if strings.pop():
        raise RemoteProtocolError(f"more than {MAX_STRINGS} strings in one packet")
    return strings


def _one_string(data: bytearray) -> str:
    strings = _strings(data)
    if len(strings) != 1:
        raise RemoteProtocolError(f"{len(strings)} strings where one belongs")
    return strings[0]


def _path_and_params(data: bytearray) -> tuple[str, tuple[str, ...]]:
    strings = _strings(data)
    if not strings:
        raise RemoteProtocolError("no address in the packet")
    return strings[0], tuple(strings[1:])


def _options(data: bytearray) -> Options:
    if len(data) < _OPTIONS.size:
        raise RemoteProtocolError(f"{len(data)} bytes of options where {_OPTIONS.size} belong")
    version, actions, protocol = _OPTIONS.unpack_from(data)
    if version < _OLDEST_VERSION:
        raise RemoteProtocolError(f"milter protocol version {version}; {_OLDEST_VERSION} or newer is needed")
    return Options(version, Action(actions), Protocol(protocol))


def _macros(data: bytearray) -> Macros:
    if not data or data[0] not in _DECODERS:
        raise RemoteProtocolError("macros for no known command")
    strings = _strings(data[1:])
    if len(strings) % 2:
        raise RemoteProtocolError("a macro has no value")
    names = [name.removeprefix("{").removesuffix("}") for name in strings[::2]]
    return Macros(COMMANDS[data[0]], dict(zip(names, strings[1::2], strict=True)))


def _connect(data: bytearray) -> Connect:
    hostname, nul, rest = data.partition(b"\0")
    if not nul or not rest:
        raise RemoteProtocolError("no host name or no address family")
    try:
        family = Family(chr(rest[0]))
    except ValueError:
        raise RemoteProtocolError(f"unknown address family 0x{rest[0]:02x}") from None
    if family is Family.UNKNOWN:
        return Connect(hostname.decode("latin-1"), family, 0, "")
    address = _one_string(rest[3:])
    if family is Family.INET6 and address[:5].lower() == "ipv6:":  # sendmail's form
        address = address[5:]
    return Connect(hostname.decode("latin-1"), family, int.from_bytes(rest[1:3], "big"), address)


def _header(data: bytearray) -> Header:
    strings = _strings(data)
    if len(strings) != 2:  # noqa: PLR2004 - name and value
        raise RemoteProtocolError(f"{len(strings)} strings where a header's name and value belong")
    return Header(strings[0], strings[1])


def _without_data(event: MilterEvent) -> Callable[[bytearray], MilterEvent]:
    def decode(data: bytearray) -> MilterEvent:
        if data:
            raise RemoteProtocolError(f"{len(data)} bytes of data where none belong")
        return event

    return decode


_DECODERS: Mapping[int, Callable[[bytearray], MilterEvent]] = {
    Command.ABORT: _without_data(Abort()),
    Command.BODY: lambda data: Body(bytes(data)),
    Command.CONNECT: _connect,
    Command.MACROS: _macros,
    Command.END_OF_MESSAGE: lambda data: EndOfMessage(bytes(data)),
    Command.HELO: lambda data: Helo(_one_string(data)),
    Command.QUIT_NEW_CONNECTION: _without_data(QuitNewConnection()),
    Command.HEADER: _header,
    Command.MAIL: lambda data: MailFrom(*_path_and_params(data)),
    Command.END_OF_HEADERS: _without_data(EndOfHeaders()),
    Command.OPTIONS: _options,
    Command.QUIT: _without_data(Quit()),
    Command.RECIPIENT: lambda data: Recipient(*_path_and_params(data)),
    Command.DATA: _without_data(Data()),
    Command.UNKNOWN: lambda data: Unknown(_one_string(data)),
}
