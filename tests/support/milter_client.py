"""
The MTA's side of the milter protocol for tests, without I/O: what Postfix sends, and what it makes of the answers.

Written from the protocol's description and not from `shared.smtp`, whose constants it does not import: a wrong number
there is seen here.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

POSTFIX_VERSION = 6
POSTFIX_ACTIONS = 0x1FF
POSTFIX_PROTOCOL = 0x1FFFFF
"""What Postfix 3.7 offers with milter_protocol 6: all events, all no-reply flags, the leading space."""

NR_CONNECT, NR_HELO, NR_MAIL, NR_RCPT, NR_HEADER = 0x1000, 0x2000, 0x4000, 0x8000, 0x80
NO_BODY, NO_UNKNOWN, NO_DATA = 0x10, 0x100, 0x200


def packet(command: bytes, data: bytes = b"") -> bytes:
    """Frame one packet."""
    return struct.pack(">I", len(data) + 1) + command + data


def text(value: str | bytes) -> bytes:
    """Give one string with the NUL at its end."""
    return (value if isinstance(value, bytes) else value.encode("latin-1")) + b"\0"


def texts(values: Iterable[str | bytes]) -> bytes:
    """Give strings one after the other."""
    return b"".join(map(text, values))


def options(version: int = POSTFIX_VERSION, actions: int = POSTFIX_ACTIONS, protocol: int = POSTFIX_PROTOCOL) -> bytes:
    """Offer, the first packet of a connection."""
    return packet(b"O", struct.pack(">III", version, actions, protocol))


def macros(stage: bytes, values: Mapping[str, str] | None = None) -> bytes:
    """Define macros for the command *stage*; names as they go over the wire."""
    return packet(b"D", stage + texts(part for pair in (values or {}).items() for part in pair))


def connect(
    hostname: str = "ex07.alt.example", address: str = "192.0.2.7", port: int = 51234, family: bytes = b"4"
) -> bytes:
    """Report a client."""
    return packet(b"C", text(hostname) + family + struct.pack(">H", port) + text(address))


def connect_unknown(hostname: str = "unknown") -> bytes:
    """Report a client of no known address family."""
    return packet(b"C", text(hostname) + b"U")


def helo(name: str = "ex07.alt.example") -> bytes:
    """Report HELO."""
    return packet(b"H", text(name))


def mail(sender: str = "<a@alt.example>", *params: str) -> bytes:
    """Report MAIL."""
    return packet(b"M", texts((sender, *params)))


def rcpt(recipient: str = "<b@neu.example>", *params: str) -> bytes:
    """Report RCPT."""
    return packet(b"R", texts((recipient, *params)))


def header(name: str | bytes = "Subject", value: str | bytes = "hello") -> bytes:
    """Report one header."""
    return packet(b"L", text(name) + text(value))


def unknown(command: str = "XYZZY") -> bytes:
    """Report an unknown command."""
    return packet(b"U", text(command))


def body(chunk: bytes) -> bytes:
    """Report a piece of the body."""
    return packet(b"B", chunk)


DATA = packet(b"T")
END_OF_HEADERS = packet(b"N")
END_OF_MESSAGE = packet(b"E")
ABORT = packet(b"A")
QUIT = packet(b"Q")
QUIT_NEW_CONNECTION = packet(b"K")


@dataclass(frozen=True)
class Answer:
    """One packet from the milter."""

    command: str
    data: bytes = b""

    def as_postfix_reads_it(self) -> str:
        """Text of a reply code: pairs of % become one, single ones vanish."""
        assert self.command == "y"
        assert self.data.endswith(b"\0")
        return self.data[:-1].replace(b"%%", b"\1").replace(b"%", b"").replace(b"\1", b"%").decode("ascii")


@dataclass(frozen=True)
class Agreement:
    """The milter's answer to the offer."""

    version: int
    actions: int
    protocol: int
    macro_lists: Mapping[int, str] = field(default_factory=dict)


def parse_answers(data: bytes) -> list[Answer]:
    """Split what the milter sent; a rest that is no whole packet fails."""
    answers = []
    while data:
        (length,) = struct.unpack_from(">I", data)
        assert len(data) >= 4 + length, "the milter sent half a packet"
        answers.append(Answer(chr(data[4]), data[5 : 4 + length]))
        data = data[4 + length :]
    return answers


def parse_agreement(data: bytes) -> Agreement:
    """Read the milter's answer to `options`."""
    (answer,) = parse_answers(data)
    assert answer.command == "O"
    lists = {}
    rest = answer.data[12:]
    while rest:
        names, _, after = rest[4:].partition(b"\0")
        lists[struct.unpack_from(">I", rest)[0]] = names.decode("ascii")
        rest = after
    version, actions, protocol = struct.unpack_from(">III", answer.data)
    return Agreement(version, actions, protocol, lists)


def postfix_session(
    *, address: str = "192.0.2.7", name: str = "ex07.alt.example", resolve: str = "OK", daemon_port: str = "25"
) -> bytes:
    """Give connect and HELO as Postfix sends them when all that patchgate asks for is granted."""
    facts = {
        "{client_name}": name,
        "{client_resolve}": resolve,
        "{client_addr}": address,
        "{daemon_port}": daemon_port,
    }
    family = b"6" if ":" in address else b"4"
    return macros(b"C", facts) + connect(name, address, 51234, family) + macros(b"H") + helo(name)


def postfix_message(
    headers: Sequence[tuple[str, str]],
    *,
    queue_id: str = "4XyZ9q1Bz2",
    sender: str = "<a@alt.example>",
    recipients: Sequence[str] = ("<b@neu.example>",),
) -> bytes:
    """Give one message up to the end of its headers, as Postfix sends it when all is granted; one answer is due."""
    envelope = macros(b"M") + mail(sender) + b"".join(macros(b"R") + rcpt(recipient) for recipient in recipients)
    queue = {"i": queue_id}
    content = b"".join(macros(b"L", queue) + header(name, value) for name, value in headers)
    return envelope + macros(b"T", queue) + content + macros(b"N", queue) + END_OF_HEADERS
