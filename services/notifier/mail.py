"""
A notice as a mail: headers around the text.

The Message-ID is fixed by the notice and its reader, so that a mail that goes out twice after a crash is known as one.
"""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from hashlib import sha256

import msgspec

from services.notifier.ledger import OpenNotice
from services.notifier.texts import Signature, write
from shared.domain.catalogue import BuildCatalogue
from shared.domain.events import NoticeDue
from shared.domain.records import Contact

_LINE_MAX = 998  # RFC 5322, section 2.1.1


class Composer(msgspec.Struct, frozen=True, kw_only=True):
    """Makes the mails of one receiver."""

    catalogue: BuildCatalogue
    signed: Signature
    notice_from: str
    id_domain: str

    def compose(self, notice: OpenNotice, contact: Contact, *, now: datetime) -> EmailMessage:
        """The mail of *notice* for *contact*, dated *now*."""
        text = write(notice.due, notice.told_at, contact, self.catalogue, self.signed)
        message = EmailMessage()
        message["From"] = Address(self.signed.receiver, addr_spec=self.notice_from)
        message["To"] = contact.address
        message["Subject"] = text.subject
        message["Date"] = format_datetime(now)
        message["Message-ID"] = message_id(notice.due, contact, self.id_domain)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5: nobody's vacation answers it
        plain = text.body.isascii() and max(map(len, text.body.splitlines())) <= _LINE_MAX
        message.set_content(text.body, charset="utf-8", cte="7bit" if plain else "quoted-printable")
        return message


def message_id(notice: NoticeDue, contact: Contact, domain: str) -> str:
    """The same for the same notice and contact; the hash tells apart logs that were begun anew, and names nobody."""
    facts = f"{notice.notice}\n{notice.server}\n{notice.opened_at.isoformat()}\n{contact.id}"
    return f"<{notice.notice}.{sha256(facts.encode()).hexdigest()[:16]}@{domain}>"
