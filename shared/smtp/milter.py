"""
One milter connection without I/O: bytes in, events out; replies in, bytes out.

The rules:

- The MTA speaks first (`Options`), we answer with `Negotiate`, then it sends events. Which events may come is a table,
  a row a `State`; anything else is the peer's error.
- An event either needs exactly one answer or none. Which is which was settled by the negotiation: see `reply_due`.
  Until the answer is sent there is no next event. `Progress` may be sent any number of times before it.
- Macros that repeat make no event, nor do headers that the caller did not ask for.
- A final answer (accept, defer, refuse) ends the message, at connect and HELO the session; at RCPT, DATA and an
  unknown command a refusal ends only that command.
- What the peer sends ahead of our answer is kept, not refused: chunks of a stream say nothing about turns.
- After an error the connection is dead: the same error comes again and nothing can be sent.
- It holds at most `MAX_UNREAD_BYTES` that were not asked for yet; beyond it the peer is in error.

Use::

    connection.receive_data(await reader.read(65536))
    while not isinstance(event := connection.next_event(), Pause):
        ...
        if connection.reply_due:
            writer.write(connection.send(Continue()))
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, NoReturn

from shared.smtp.errors import LocalProtocolError, RemoteProtocolError
from shared.smtp.milter_events import (
    Accept,
    Action,
    Command,
    Continue,
    MilterEvent,
    MilterReply,
    Negotiate,
    Options,
    Progress,
    Protocol,
)
from shared.smtp.milter_wire import (
    COMMANDS,
    HEAD,
    LENGTH_BYTES,
    MAX_PACKET_BYTES,
    VERSION,
    decode_event,
    encode_negotiation,
    encode_reply,
    size_if_unwanted,
)

MAX_UNREAD_BYTES = 2 * MAX_PACKET_BYTES
"""Most bytes held before the caller asks for them: the longest packet, and as much again that came with it."""

WANTED_ACTIONS = Action.SET_MACRO_LIST
WANTED_PROTOCOL = (
    Protocol.NO_BODY
    | Protocol.NO_UNKNOWN
    | Protocol.NO_DATA
    | Protocol.NO_REPLY_CONNECT
    | Protocol.NO_REPLY_HELO
    | Protocol.NO_REPLY_MAIL
    | Protocol.NO_REPLY_RECIPIENT
    | Protocol.NO_REPLY_HEADER
)
"""All we ask for: no event that we have no use for, and no waiting before the end of the headers."""


class State(StrEnum):
    """Where the conversation stands."""

    NEGOTIATE = "negotiate"
    CONNECT = "connect"
    SESSION = "session"
    ENVELOPE = "envelope"
    HEADERS = "headers"
    BODY = "body"
    OVER = "over"
    CLOSED = "closed"
    ERROR = "error"


class Pause(Enum):
    """What `next_event` says when there is no event."""

    NEED_DATA = auto()
    CONNECTION_CLOSED = auto()


NEED_DATA: Final = Pause.NEED_DATA
CONNECTION_CLOSED: Final = Pause.CONNECTION_CLOSED


def _row(here: State, moves: Mapping[int, State]) -> Mapping[int, State]:
    """One row of the table: *moves*, and what may come at any time after the negotiation."""
    anywhere: dict[int, State] = {
        Command.MACROS: here,
        Command.QUIT: State.CLOSED,
        Command.QUIT_NEW_CONNECTION: State.CONNECT,
    }
    return {**anywhere, **moves}


# RFC 5321, 4.1.4: HELO ends a transaction. MAIL within one comes from an MTA that refused the first after telling us.
_TRANSITIONS: Mapping[State, Mapping[int, State]] = {
    State.NEGOTIATE: {Command.OPTIONS: State.CONNECT, Command.QUIT: State.CLOSED},
    State.CONNECT: _row(State.CONNECT, {Command.CONNECT: State.SESSION}),
    State.SESSION: _row(
        State.SESSION,
        {
            Command.HELO: State.SESSION,
            Command.MAIL: State.ENVELOPE,
            Command.UNKNOWN: State.SESSION,
            Command.ABORT: State.SESSION,
        },
    ),
    State.ENVELOPE: _row(
        State.ENVELOPE,
        {
            Command.HELO: State.SESSION,
            Command.MAIL: State.ENVELOPE,
            Command.RECIPIENT: State.ENVELOPE,
            Command.UNKNOWN: State.ENVELOPE,
            Command.DATA: State.ENVELOPE,
            Command.HEADER: State.HEADERS,
            Command.END_OF_HEADERS: State.BODY,
            Command.ABORT: State.SESSION,
        },
    ),
    State.HEADERS: _row(
        State.HEADERS,
        {Command.HEADER: State.HEADERS, Command.END_OF_HEADERS: State.BODY, Command.ABORT: State.SESSION},
    ),
    State.BODY: _row(
        State.BODY,
        {Command.BODY: State.BODY, Command.END_OF_MESSAGE: State.SESSION, Command.ABORT: State.SESSION},
    ),
    State.OVER: _row(State.OVER, {Command.ABORT: State.OVER}),
}
"""What may come in which state, and where it leads; CLOSED and ERROR take nothing."""

_NEVER_ANSWERED = frozenset({Command.MACROS, Command.ABORT, Command.QUIT, Command.QUIT_NEW_CONNECTION})
_NO_REPLY_FLAGS: Mapping[Command, Protocol] = MappingProxyType(
    {
        Command.CONNECT: Protocol.NO_REPLY_CONNECT,
        Command.HELO: Protocol.NO_REPLY_HELO,
        Command.MAIL: Protocol.NO_REPLY_MAIL,
        Command.RECIPIENT: Protocol.NO_REPLY_RECIPIENT,
        Command.HEADER: Protocol.NO_REPLY_HEADER,
    }
)

_SESSION_STARTS = frozenset({Command.CONNECT, Command.HELO})
_COMMAND_ONLY = frozenset({Command.RECIPIENT, Command.DATA, Command.UNKNOWN})

_HEADER, _MACROS = int(Command.HEADER), int(Command.MACROS)


@dataclass(frozen=True, slots=True)
class Granted:
    """What was agreed: the version in use, and what of our wishes the MTA offered."""

    version: int
    actions: Action
    protocol: Protocol


class MilterConnection:
    """
    The milter's side of one connection from an MTA.

    headers: names of the headers to report, lower case; None for all. The first header of a message is always reported,
    so a message without any can be told from one without these.
    `state` says where the conversation stands, `granted` what was agreed (None before the negotiation).
    """

    def __init__(self, headers: Collection[str] | None = None) -> None:
        self._headers = headers
        self.granted: Granted | None = None
        self._offered: Options | None = None
        self._answered: frozenset[int] = frozenset({Command.OPTIONS})
        self._due: Command | None = None
        self._unread = bytearray()
        self._read_to = 0
        self._end_of_input = False
        self._flooded = False
        self._failure: str | None = None
        self._repeated = b""
        self._move(State.NEGOTIATE)

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._state

    @property
    def reply_due(self) -> bool:
        """Whether the last event needs an answer that has not been sent."""
        return self._due is not None

    @property
    def mid_packet(self) -> bool:
        """Whether bytes of a packet are held that is not all there, once `next_event` has said NEED_DATA."""
        return len(self._unread) > self._read_to

    def receive_data(self, data: bytes) -> None:
        """
        Take bytes from the peer; empty means that it will send no more.

        Ask `next_event` for all there is before giving more: what goes beyond `MAX_UNREAD_BYTES` fails the connection.
        Bytes after the end of the conversation are dropped.

        Raises:
            LocalProtocolError: bytes after the end of input.
        """
        if not data:
            self._end_of_input = True
            return
        if self._end_of_input:
            raise LocalProtocolError("Bytes were given after the end of input.")
        if self._state is State.CLOSED or self._failure is not None:
            return
        del self._unread[: self._read_to]
        self._read_to = 0
        # Not raised here: the answer to the event in hand may still go out, and the peer's errors have one way out.
        self._flooded = self._flooded or len(self._unread) + len(data) > MAX_UNREAD_BYTES
        if not self._flooded:
            self._unread += data

    def next_event(self) -> MilterEvent | Literal[Pause.NEED_DATA, Pause.CONNECTION_CLOSED]:
        """
        Give the next event, `NEED_DATA`, or `CONNECTION_CLOSED` (for ever, once it is over).

        Macros that only repeat the packet before them, as Postfix does with each header, are left out.

        Raises:
            RemoteProtocolError: the peer broke the protocol or stopped within a packet; the text names the state.
            LocalProtocolError: the last event has not been answered.
        """
        if self._failure is not None:
            raise RemoteProtocolError(self._failure)
        if self._due is not None:
            raise LocalProtocolError(f"{self._due.name} must be answered before the next event.")
        if self._flooded:
            self._fail(f"over {MAX_UNREAD_BYTES} bytes came without waiting for an answer")
        if self._state is State.CLOSED:
            return CONNECTION_CLOSED
        if self._repeated or self._state is State.HEADERS:
            self._pass_over()
        head = self._packet_head()
        if head is None:
            return CONNECTION_CLOSED if self._end_of_input else NEED_DATA
        length, code = head
        start = self._read_to
        self._read_to = start + LENGTH_BYTES + length
        event = self._take(code, self._unread[start + HEAD.size : self._read_to])
        if code == _MACROS:
            self._repeated = bytes(self._unread[start : self._read_to])
        elif code != _HEADER:
            self._repeated = b""
        return event

    def send(self, reply: MilterReply) -> bytes:
        """
        Give the bytes of an answer to the last event.

        Raises:
            LocalProtocolError: no answer is due, or not this one; the state stays as it was.
        """
        if self._due is None:
            raise LocalProtocolError(f"No answer is due in state {self._state.value}; {reply!r} cannot be sent.")
        if isinstance(reply, Negotiate) or self._offered is not None:
            return self._negotiate(reply)
        if isinstance(reply, Accept) and self._due is Command.UNKNOWN:
            raise LocalProtocolError("An unknown command cannot be accepted; continue or refuse it.")
        data = encode_reply(reply)
        if not isinstance(reply, Progress):
            self._settle(self._due, reply)
        return data

    def _pass_over(self) -> None:
        """Go to the next packet that makes an event: most of a message are macros that repeat and headers left out."""
        wanted = self._headers if self._state is State.HEADERS and _HEADER not in self._answered else None
        while True:
            if self._repeated and self._unread.startswith(self._repeated, self._read_to):
                self._read_to += len(self._repeated)
            elif wanted is not None and (size := size_if_unwanted(self._unread, self._read_to, wanted)):
                self._read_to += size
            else:
                return

    def _packet_head(self) -> tuple[int, int] | None:
        """Length and command of the next packet; None while it is not all there."""
        unread = len(self._unread) - self._read_to
        if unread >= HEAD.size:
            length, code = HEAD.unpack_from(self._unread, self._read_to)
            if not 1 <= length <= MAX_PACKET_BYTES:
                self._fail(f"a packet of {length} bytes, while 1 to {MAX_PACKET_BYTES} are taken")
            if unread >= LENGTH_BYTES + length:
                return length, code
        if self._end_of_input and unread:
            self._fail(f"the input ended {unread} bytes into a packet")
        return None

    def _take(self, code: int, data: bytearray) -> MilterEvent:
        """Check one packet against the state and move on."""
        after = self._allowed.get(code)
        if after is None:
            self._fail(f"{_name(code)} is out of place")
        try:
            event = decode_event(code, data)
        except RemoteProtocolError as error:
            self._fail(f"{_name(code)} cannot be read, {error}")
        if isinstance(event, Options):
            self._offered = event
        if after is not self._state:
            self._move(after)
        if code in self._answered:
            self._due = COMMANDS[code]
        return event

    def _negotiate(self, reply: MilterReply) -> bytes:
        """Ask for what we want as far as it is offered; from then on it is known which events need an answer."""
        if not isinstance(reply, Negotiate) or self._offered is None:
            raise LocalProtocolError(f"{reply!r} cannot be sent: Negotiate answers Options, and nothing else does.")
        self.granted, self._answered, data = _agreed(self._offered)
        self._offered = self._due = None
        return data

    def _settle(self, command: Command, reply: MilterReply) -> None:
        """Move on after an answer: a final one ends the message or the session, see the module's rules."""
        self._due = None
        if isinstance(reply, Continue) or (command in _COMMAND_ONLY and not isinstance(reply, Accept)):
            return
        self._move(State.OVER if command in _SESSION_STARTS else State.SESSION)

    def _move(self, state: State) -> None:
        self._state = state
        self._allowed = _TRANSITIONS.get(state, {})

    def _fail(self, what: str) -> NoReturn:
        """Raise, now and at each later `next_event`; what was held is given up."""
        self._failure = f"The MTA broke the milter protocol in state {self._state.value}: {what}; drop the connection."
        self._move(State.ERROR)
        self._unread.clear()
        raise RemoteProtocolError(self._failure)


@lru_cache(maxsize=16)
def _agreed(offered: Options) -> tuple[Granted, frozenset[int], bytes]:
    """What we ask for of an offer, the events to answer then, the bytes that say so; an MTA offers the same each time."""
    granted = Granted(
        min(VERSION, offered.version), WANTED_ACTIONS & offered.actions, WANTED_PROTOCOL & offered.protocol
    )
    silent = {command for command, flag in _NO_REPLY_FLAGS.items() if flag & granted.protocol}
    answered = frozenset(Command) - _NEVER_ANSWERED - silent
    return granted, answered, encode_negotiation(granted.version, granted.actions, granted.protocol)


def _name(code: int) -> str:
    return Command(code).name if code in set(Command) else f"command 0x{code:02x}"
