"""
What a milter connection gives and takes: events from the MTA, replies to it.

Text is the wire's bytes read as Latin-1: every byte is one character, so nothing is lost (``text.encode("latin-1")``
gives the bytes back) and nothing can fail. UTF-8 with surrogate escapes would also keep the bytes, but its lone
surrogates cannot be written as JSON, so one odd header could stop the evidence. The price: UTF-8 text looks garbled,
and bytes 0x85 and 0xA0 count as white space for `str.split` and for a pattern without `re.ASCII`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag


class Command(IntEnum):
    """
    What the MTA may send, by its byte on the wire.

    Source: sendmail's libmilter, mfdef.h, SMFIC_*; Postfix, milter8.c.
    """

    ABORT = ord("A")
    BODY = ord("B")
    CONNECT = ord("C")
    MACROS = ord("D")
    END_OF_MESSAGE = ord("E")
    HELO = ord("H")
    QUIT_NEW_CONNECTION = ord("K")
    HEADER = ord("L")
    MAIL = ord("M")
    END_OF_HEADERS = ord("N")
    OPTIONS = ord("O")
    QUIT = ord("Q")
    RECIPIENT = ord("R")
    DATA = ord("T")
    UNKNOWN = ord("U")


class Protocol(IntFlag):
    """
    Which events the MTA leaves out and which it sends without waiting for an answer.

    Source: mfdef.h, SMFIP_*. Bits that are not named here are kept and never asked for.
    """

    NO_BODY = 1 << 4
    NO_REPLY_HEADER = 1 << 7
    NO_UNKNOWN = 1 << 8
    NO_DATA = 1 << 9
    NO_REPLY_CONNECT = 1 << 12
    NO_REPLY_HELO = 1 << 13
    NO_REPLY_MAIL = 1 << 14
    NO_REPLY_RECIPIENT = 1 << 15


class Action(IntFlag):
    """
    What a milter may do to a message; patchgate changes nothing and needs only to name the macros it wants.

    Source: mfapi.h, SMFIF_*.
    """

    SET_MACRO_LIST = 1 << 8


class Family(Enum):
    """
    Address family of the client.

    Source: mfdef.h, SMFIA_*.
    """

    UNKNOWN = "U"
    UNIX = "L"
    INET = "4"
    INET6 = "6"


@dataclass(frozen=True, slots=True)
class Options:
    """First event: what the MTA speaks and offers. The answer is `Negotiate`."""

    version: int
    actions: Action
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Macros:
    """
    Values that the MTA defines for the command which follows; names without braces.

    A stage's values replace those of its earlier packet. Needs no answer.
    """

    stage: Command
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Connect:
    """
    A client connected; a host name that DNS does not confirm comes as ``[192.0.2.7]``.

    With family `UNKNOWN` the port is 0 and the address empty.
    """

    hostname: str
    family: Family
    port: int
    address: str


@dataclass(frozen=True, slots=True)
class Helo:
    """HELO or EHLO; comes again after STARTTLS, and in a transaction it ends that transaction."""

    name: str


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL: a new transaction. The sender as written by the client, angle brackets included."""

    sender: str
    params: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """The sender without its angle brackets; empty for the null sender."""
        return _without_brackets(self.sender)


@dataclass(frozen=True, slots=True)
class Recipient:
    """RCPT that the MTA accepted. The recipient as written by the client, angle brackets included."""

    recipient: str
    params: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """The recipient without its angle brackets."""
        return _without_brackets(self.recipient)


@dataclass(frozen=True, slots=True)
class Data:
    """DATA; comes only from an MTA that cannot leave it out."""


@dataclass(frozen=True, slots=True)
class Header:
    """
    One header of the message, in order.

    A folded value keeps its folds as a newline and the white space after it; the space after the colon is gone.
    """

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class EndOfHeaders:
    """All headers are in. This is where patchgate answers for the message."""


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of the body; comes only from an MTA that cannot leave it out."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class EndOfMessage:
    """The message is complete; some MTAs put the last piece of the body here."""

    chunk: bytes = b""


@dataclass(frozen=True, slots=True)
class Abort:
    """The transaction, if there was one, is over; the session goes on. Postfix says so after every message."""


@dataclass(frozen=True, slots=True)
class QuitNewConnection:
    """The session is over; another client follows on the same connection, without a new negotiation."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The session is over and so is this connection."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command that the MTA does not know; comes only from an MTA that cannot leave it out."""

    command: str


MilterEvent = (
    Options
    | Macros
    | Connect
    | Helo
    | MailFrom
    | Recipient
    | Data
    | Header
    | EndOfHeaders
    | Body
    | EndOfMessage
    | Abort
    | QuitNewConnection
    | Quit
    | Unknown
)


@dataclass(frozen=True, slots=True)
class Negotiate:
    """Answer to `Options`, and to nothing else: what we ask for, as far as it is offered."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Take the message (at connect or HELO: the whole session) and ask no more about it."""


@dataclass(frozen=True, slots=True)
class TempFail:
    """Defer with the MTA's own text, 451 4.7.1 at Postfix."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse with the MTA's own text, 550 5.7.1 at Postfix."""


@dataclass(frozen=True, slots=True)
class ReplyCode:
    """Defer or refuse with this reply, ``450 4.7.230 text``; see `shared.smtp.replies` for what is allowed."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Still working: starts the MTA's time-out again, answers nothing."""


MilterReply = Negotiate | Continue | Accept | TempFail | Reject | ReplyCode | Progress


def _without_brackets(path: str) -> str:
    return path[1:-1] if path.startswith("<") and path.endswith(">") else path
