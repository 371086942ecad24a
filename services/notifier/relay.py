"""The relay: one mail, one answer. Nothing of what it says but codes leaves this module: its texts hold addresses."""

import re
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib
import msgspec
import structlog

from services.notifier.delivery import Answer
from services.notifier.settings import NotifierSettings

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b", re.ASCII)  # RFC 3463, section 2
_FIRST_PERMANENT = 500
_REFUSALS = range(400, 600)  # RFC 5321, section 4.2.1; the library shows what is no reply at all as -1
# About us and not about one mail: it may pass once somebody has mended it.
_ABOUT_US = (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPHeloError, aiosmtplib.SMTPConnectResponseError)


class Mailer(Protocol):
    """Carries one mail."""

    async def send(self, message: EmailMessage, recipient: str) -> Answer:
        """Hand *message* over for one recipient; every failure is an answer."""
        ...


class Relay:
    """The real one: a connection for each mail, since there are few."""

    def __init__(self, settings: NotifierSettings, log: structlog.stdlib.BoundLogger) -> None:
        self._settings = settings
        self._log = log

    async def send(self, message: EmailMessage, recipient: str) -> Answer:
        """As `Mailer.send`; bounded by relay_timeout_s for each step of the dialogue."""
        try:
            return await self._send(message, recipient)
        except aiosmtplib.SMTPRecipientsRefused as error:
            first = error.recipients[0]
            return _answer(first.code, first.message)
        except aiosmtplib.SMTPResponseException as error:
            return self._refusal(error)
        except (aiosmtplib.SMTPNotSupported, ValueError) as error:
            return self._unable(error, recipient)
        except (aiosmtplib.SMTPException, OSError) as error:
            self._log.warning("relay_unreachable", relay=self._settings.relay, error=type(error).__name__)
            return Answer(kind="unreachable")

    def _refusal(self, error: aiosmtplib.SMTPResponseException) -> Answer:
        answer = _answer(error.code, error.message)
        if not isinstance(error, _ABOUT_US):
            return answer
        self._log.error("relay_refuses_us", error=type(error).__name__, code=answer.code)
        return msgspec.structs.replace(answer, kind="unreachable")

    def _unable(self, error: Exception, recipient: str) -> Answer:
        """Something is asked for that the relay does not offer: letters of the address, or what our settings want."""
        about_us = recipient.isascii()
        self._log.error("relay_lacks_what_we_need" if about_us else "address_unusable", error=type(error).__name__)
        return Answer(kind="unreachable" if about_us else "refused")

    async def _send(self, message: EmailMessage, recipient: str) -> Answer:
        settings = self._settings
        host, port = settings.relay_address
        _, text = await aiosmtplib.send(
            message,
            sender=settings.notice_from,
            recipients=[recipient],
            hostname=host,
            port=port,
            username=settings.relay_user or None,
            password=settings.relay_password or None,
            local_hostname=settings.id_domain,
            timeout=settings.relay_timeout_s,
            start_tls=settings.relay_starttls,
        )
        return Answer(kind="delivered", code=250, enhanced=_enhanced(text))


def _answer(code: int, text: str) -> Answer:
    if code not in _REFUSALS:
        return Answer(kind="unreachable")
    return Answer(kind="refused" if code >= _FIRST_PERMANENT else "later", code=code, enhanced=_enhanced(text))


def _enhanced(text: str) -> str:
    found = _ENHANCED.match(text)
    return found[1] if found else ""
