"""The edge's settings, each from PATCHGATE_ and its name in capitals; lists are written with commas."""

import ipaddress
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

import msgspec

from shared.domain.errors import ConfigError
from shared.runtime.settings import CommonSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_PORT = 65535


class Endpoint(NamedTuple):
    """Where to listen. inet: host and port; unix: the socket's path in `host`, port 0."""

    kind: Literal["inet", "unix"]
    host: str
    port: int = 0

    def __str__(self) -> str:
        """As the settings write it."""
        return f"unix:{self.host}" if self.kind == "unix" else f"inet:{self.host}:{self.port}"


class EdgeSettings(CommonSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """
    What an edge takes.

    edge: its name in all records; each edge needs its own.
    milter_sockets: `unix:/path` or `inet:host:port`; "" for none.
    smtp_door: host:port of the plain SMTP door, "" for none. smtp_spool: a directory for what the door accepts, "" to
    only count it. never_judged: networks whose mail passes unseen: your own networks and relays.
    submission_ports: ports of your MTA where only your own users send.
    reply_addresses: addresses that refused senders may always write to, besides postmaster@ and abuse@.
    local_file: TOML with `freeze` and `[exempt]`, obeyed with the bus away, "" for none.
    """

    edge: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$(?!\n)")] = "edge"
    milter_sockets: str = "inet:127.0.0.1:11332"
    smtp_door: str = ""
    smtp_spool: str = ""
    never_judged: str = "127.0.0.0/8,::1"
    submission_ports: str = "587,465"
    reply_addresses: str = ""
    local_file: str = ""

    @cached_property
    def milter_endpoints(self) -> tuple[Endpoint, ...]:
        """The milter's sockets. Raises ConfigError."""
        return tuple(parse_endpoint(text) for text in _listed(self.milter_sockets))

    @cached_property
    def door_endpoint(self) -> Endpoint | None:
        """Where the plain door listens. Raises ConfigError."""
        return parse_endpoint(f"inet:{self.smtp_door}") if self.smtp_door else None

    @cached_property
    def never_judged_networks(self) -> tuple[Network, ...]:
        """The networks whose mail passes unseen. Raises ConfigError."""
        return tuple(_network(text) for text in _listed(self.never_judged))

    @cached_property
    def reply_address_set(self) -> frozenset[str]:
        """The reply addresses, lower case."""
        return frozenset(text.lower() for text in _listed(self.reply_addresses))

    @cached_property
    def submission_port_set(self) -> frozenset[str]:
        """The submission ports, as an MTA writes them."""
        return frozenset(_listed(self.submission_ports))

    def check(self) -> None:
        """
        Read every list once.

        Raises:
            ConfigError: one cannot be read, or there is nothing to listen on.
        """
        if not self.milter_endpoints and self.door_endpoint is None:
            raise ConfigError("settings: the edge has nothing to listen on: set PATCHGATE_MILTER_SOCKETS")
        _ = self.never_judged_networks
        for port in self.submission_port_set:
            _port(port, "PATCHGATE_SUBMISSION_PORTS")


def parse_endpoint(text: str) -> Endpoint:
    """
    Read `unix:/path` or `inet:host:port`; an IPv6 host stands in brackets.

    Raises:
        ConfigError: it is neither.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/"):
        return Endpoint("unix", rest)
    host, colon, port = rest.rpartition(":")
    if kind != "inet" or not colon or not host:
        raise ConfigError(f"settings: {text!r} is no place to listen; write unix:/path or inet:host:port")
    return Endpoint("inet", host.strip("[]"), _port(port, text))


def _port(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_PORT):
        raise ConfigError(f"settings: {where}: {text!r} is no port; 1 to {_MAX_PORT} are")
    return int(text)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(f"settings: PATCHGATE_NEVER_JUDGED: {error}; write addresses or networks") from error


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
