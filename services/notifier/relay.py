"""The relay: one mail, one answer. Nothing of what it says but codes leaves this module: its texts hold addresses."""

import re
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib
import structlog

from services.notifier.delivery import Answer
from services.notifier.settings import NotifierSettings

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b", re.ASCII)  # RFC 3463, section 2
_FIRST_PERMANENT = 500


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
        except (
            aiosmtplib.SMTPAuthenticationError,
            aiosmtplib.SMTPHeloError,
            aiosmtplib.SMTPConnectResponseError,
        ) as error:
            # About us and not about this mail: it may pass once somebody has mended it.
            self._log.error("relay_refuses_us", error=type(error).__name__, code=error.code)
            return Answer(kind="unreachable", code=error.code, enhanced=_enhanced(error.message))
        except aiosmtplib.SMTPResponseException as error:
            return _answer(error.code, error.message)
        except (aiosmtplib.SMTPException, OSError) as error:
            self._log.warning("relay_unreachable", relay=self._settings.relay, error=type(error).__name__)
            return Answer(kind="unreachable")
        except ValueError as error:
            self._log.error("address_unusable", error=type(error).__name__)
            return Answer(kind="refused")

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
    return Answer(kind="refused" if code >= _FIRST_PERMANENT else "later", code=code, enhanced=_enhanced(text))


def _enhanced(text: str) -> str:
    found = _ENHANCED.match(text)
    return found[1] if found else ""
