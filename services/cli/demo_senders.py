"""The demo's mail servers: real SMTP from one address, each with its own name, its own line on top, and a queue."""

import asyncio
import smtplib
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from time import monotonic
from typing import NamedTuple

from shared.domain.build import Build

_SMTP_TIMEOUT_S = 10.0


class Answer(NamedTuple):
    """What the receiver said at the end of the message, and how long that took in real seconds."""

    code: int
    text: str
    took_s: float

    @property
    def line(self) -> str:
        """The reply as one line."""
        return f"{self.code} {self.text}"


@dataclass
class MailServer:
    """One old or new server: its name, its build, and where it connects from and to."""

    name: str
    build: Build
    own_address: str
    receiver: tuple[str, int]
    title: str
    sent: int = field(default=0, init=False)

    async def send(self, *, at: datetime) -> Answer:
        """Hand over one mail that this server dates *at*."""
        self.sent += 1
        return await asyncio.to_thread(self._send, self._message(at))

    def received_line(self, at: datetime) -> str:
        """The line that this server writes on top of what it sends."""
        how = "Microsoft SMTP Server"
        if self.build.major >= 15:  # noqa: PLR2004  (Exchange 2013 and later say how they encrypt)
            how += " (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)"
        return f"from desk.{self.name} (10.0.0.5) by {self.name} (10.0.0.2) with {how} id {self.build}; {format_datetime(at)}"

    def _message(self, at: datetime) -> EmailMessage:
        message = EmailMessage()
        message["Received"] = self.received_line(at)
        message["Date"] = format_datetime(at)
        message["From"] = f"office@{self.name}"
        message["To"] = "reader@receiver.example"
        message["Subject"] = f"Invoice {self.sent}"
        message["Message-ID"] = f"<{self.sent}.{at:%Y%m%d%H%M%S}@{self.name}>"
        message.set_content("Please find the invoice attached.\n")
        return message

    def _send(self, message: EmailMessage) -> Answer:
        began = monotonic()
        with smtplib.SMTP(
            *self.receiver, local_hostname=self.name, source_address=(self.own_address, 0), timeout=_SMTP_TIMEOUT_S
        ) as client:
            client.ehlo()
            client.mail(message["From"])
            client.rcpt(message["To"])
            code, text = client.data(message.as_bytes())
        return Answer(code, text.decode("ascii", "replace"), monotonic() - began)
