"""Made-up mails and mailboxes for `patchgate look`."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

OWN = "mx.own.example"
FIRST = datetime(2026, 9, 7, 8, 0, tzinfo=UTC)


def own_line(helo: str, name: str, address: str, when: datetime, *, by: str = OWN, number: int = 1) -> str:
    """The line that a Postfix of ours writes; folded as it folds."""
    return (
        f"Received: from {helo} ({name} [{address}])\n\tby {by} (Postfix) with ESMTPS id 4Zq{number:09d}\n"
        f"\tfor <me@own.example>; {format_datetime(when)} (UTC)\n"
    )


def exchange_line(host: str, build: str, when: datetime) -> str:
    """The line that an Exchange 2016 or 2019 writes when it hands a mail over."""
    return (
        f"Received: from {host} (10.0.0.5) by {host} (10.0.0.5) with Microsoft\n SMTP Server (version=TLS1_2,"
        f" cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id\n {build}; {format_datetime(when)}\n"
    )


def mail(host: str, build: str, when: datetime = FIRST, *, address: str = "192.0.2.7", number: int = 1) -> str:
    """One stored mail of an Exchange whose name DNS confirmed."""
    return (
        own_line(host, host, address, when, number=number)
        + exchange_line(host, build, when - timedelta(seconds=2))
        + f"Subject: {number}\nMessage-ID: <{number}@{host}>\n\nHello,\nthis is mail {number}.\n"
    )


def mbox(*mails: str) -> bytes:
    """The mails as an mbox."""
    return "".join(f"From x@{OWN} Mon Sep  7 08:00:00 2026\n{one}\n" for one in mails).encode()


def fleet_mails(hosts: dict[str, str], days: int = 10) -> list[str]:
    """A mail a day and host at different hours, for hosts with their builds."""
    return [
        mail(host, build, FIRST + timedelta(days=day, hours=number), address=f"192.0.2.{10 + number}", number=day)
        for day in range(days)
        for number, (host, build) in enumerate(hosts.items())
    ]
