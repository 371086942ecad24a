"""From milter events to a `MessageSeen`: what one connection of the MTA has told so far. No I/O."""

from collections.abc import Mapping

from services.edge.core import MessageSeen, ReceivedLines, Scope, resolve_of
from shared.smtp.milter_events import (
    Abort,
    Command,
    Connect,
    EndOfHeaders,
    Header,
    Helo,
    Macros,
    MailFrom,
    MilterEvent,
    QuitNewConnection,
    Recipient,
)


class MilterSession:
    """
    The state of one milter connection: the client, and the message that is under way.

    Bounded: names are cut when the message is made, recipients leave one flag, lines are bounded by `ReceivedLines`.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._macros: dict[Command, Mapping[str, str]] = {}
        self._client: Mapping[str, str] = {}
        self._hostname = self._address = self._helo = self._tls_name = ""
        self._sender: str | None = None
        self._auth = self._protected = self._has_headers = False
        self._received = ReceivedLines()
        self._queue_id = ""

    @property
    def in_message(self) -> bool:
        """Whether a message is under way that has not been answered."""
        return self._sender is not None

    def take(self, event: MilterEvent) -> MessageSeen | None:
        """Note *event*; at the end of the headers, give the message."""
        match event:
            case Macros(stage=stage, values=values):
                self._macros[stage] = values
                self._queue_id = values.get("i", self._queue_id)
            case Header(name=name, value=value):
                self._has_headers = True
                if name.strip().lower() == "received":
                    self._received.add(value)
            case Recipient(address=recipient):
                self._protected = self._protected or self._scope.protects(recipient)
            case EndOfHeaders():
                return self._end_message()
            case _:
                self._turn(event)
        return None

    def _turn(self, event: MilterEvent) -> None:
        """What begins or ends a client or a message."""
        match event:
            case Connect(hostname=hostname, address=address):
                client = self._macros.get(Command.CONNECT, {})
                self._forget_client()
                self._client, self._hostname, self._address = client, hostname, address
            case Helo(name=name):
                self._forget_message()
                self._helo = name
                self._tls_name = self._macros.pop(Command.HELO, {}).get("cert_subject", "")
            case MailFrom(address=sender):
                self._begin_message(sender)
            case QuitNewConnection():
                self._forget_client()
            case Abort():
                self._forget_message()
            case _:
                pass  # nothing that a verdict needs

    def _begin_message(self, sender: str) -> None:
        # Taken, not only read: what was said of one message's login must never cover the next one.
        mail = self._macros.pop(Command.MAIL, {})
        self._forget_message()
        self._sender = sender
        self._auth = bool(mail.get("auth_authen") or mail.get("auth_type"))

    def _end_message(self) -> MessageSeen:
        message = MessageSeen(
            address=_plain(self._client.get("client_addr") or self._address),
            helo=self._helo,
            client_name=self._client.get("client_name") or self._hostname,
            client_resolve=resolve_of(self._client.get("client_resolve", "")),
            tls_name=self._tls_name,
            daemon_port=self._client.get("daemon_port", ""),
            auth=self._auth,
            null_sender=not self._sender,
            protected=self._protected,
            has_headers=self._has_headers,
            received=tuple(self._received.kept),
            queue_id=self._queue_id,
        )
        self._forget_message()
        return message

    def _forget_client(self) -> None:
        self._macros, self._client = {}, {}
        self._hostname = self._address = self._helo = self._tls_name = ""
        self._forget_message()

    def _forget_message(self) -> None:
        self._sender = None
        self._auth = self._protected = self._has_headers = False
        self._received = ReceivedLines()
        self._queue_id = ""


def _plain(address: str) -> str:
    """An IPv6 address as such: milters get it as in SMTP's literals, `IPv6:2001:db8::7` (RFC 5321, 4.1.3)."""
    return address[5:] if address[:5].lower() == "ipv6:" else address
