"""What the notifier takes from the environment, beside what all services take."""

from typing import Annotated

import msgspec

from shared.domain.errors import ConfigError
from shared.runtime.settings import CommonSettings

_MAX_PORT = 65_535


class NotifierSettings(CommonSettings, frozen=True, kw_only=True):
    """
    The relay that carries the notices, and how we sign them.

    relay: host:port. relay_starttls: encrypt or do not send. relay_user, relay_password: only with it.
    notice_from: our real address; it gets the bounces. receiver_name: who writes, in plain words.
    whom_to_ask: one line with a person or an address; empty names notice_from.
    message_id_domain: empty takes the domain of notice_from.
    retry_first_s, retry_max_s: real time between attempts; it doubles from the first to the second.
    """

    relay: str = "127.0.0.1:25"
    relay_starttls: bool = False
    relay_user: str = ""
    relay_password: str = ""
    relay_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 30.0
    notice_from: str = ""
    receiver_name: str = "the operators of the receiving mail server"
    whom_to_ask: str = ""
    message_id_domain: str = ""
    retry_first_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
    retry_max_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 3600.0

    @property
    def relay_address(self) -> tuple[str, int]:
        """Host and port of the relay."""
        host, _, port = self.relay.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def id_domain(self) -> str:
        """The right side of our Message-IDs; also what we say in EHLO."""
        return self.message_id_domain or self.notice_from.rpartition("@")[2]


def check(settings: NotifierSettings) -> None:
    """
    See that the settings fit together.

    Raises:
        ConfigError: they do not; names the variable and what it takes.
    """
    local, _, domain = settings.notice_from.rpartition("@")
    if not local or not domain or not _is_one_word(settings.notice_from):
        raise ConfigError(
            "set PATCHGATE_NOTICE_FROM to the address that notices come from, such as postmaster@mx.example"
        )
    host, _, port = settings.relay.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
        raise ConfigError(f"PATCHGATE_RELAY is {settings.relay!r}; it takes host:port, such as 127.0.0.1:25")
    if settings.relay_user and not settings.relay_starttls:
        raise ConfigError(
            "PATCHGATE_RELAY_USER needs PATCHGATE_RELAY_STARTTLS=true: a password is not sent in the clear"
        )
    if not _is_one_word(settings.id_domain):
        raise ConfigError("PATCHGATE_MESSAGE_ID_DOMAIN takes a domain name, such as mx.example")
    for name in ("receiver_name", "whom_to_ask"):
        if not getattr(settings, name).isprintable():
            raise ConfigError(f"PATCHGATE_{name.upper()} must be one line of text")


def _is_one_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & set(" <>")
