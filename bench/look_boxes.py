"""Mailboxes for the benchmark of `look`: mails of many servers over a year, all made up, the same in each run."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

HOSTS = 2_000
SMALL_BYTES = 3_000
LARGE_BYTES = 60_000

_FIRST = datetime(2026, 1, 5, tzinfo=UTC)
_YEAR_S = 320 * 86_400
_BUILDS = ("15.1.2507.27", "15.1.2507.61", "15.2.1748.39", "15.2.1544.14", "14.3.123.4", "15.0.1497.48", "15.2.2562.29")
_OTHERS = (
    "from [10.1.2.3] (unknown [10.1.2.3]) by {host} (Postfix) with ESMTPSA id {id}\n\tfor <you@own.example>; {date}",
    "from app (app.{host} [10.1.2.3]) by {host} (8.15.2/8.15.2/Debian-22) with ESMTP id {id}; {date}",
    "from [10.1.2.3] (helo=app) by {host} with esmtpsa (TLS1.3) tls TLS_AES_256_GCM_SHA384\n\t(Exim 4.96)\n\tid {id}; {date}",
)
_EXCHANGE = (
    "from {host} (10.0.0.5) by {host} (10.0.0.5) with Microsoft\n SMTP Server (version=TLS1_2,"
    " cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id\n {build}; {date}"
)
_OWN = (
    "from {host} ({host} [{address}])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"
    "\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\n\t(No client certificate requested)\n"
    "\tby mx.own.example (Postfix) with ESMTPS id {id}\n\tfor <you@own.example>; {date} (UTC)"
)
_REST = (
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={host}; s=s1;\n\th=from:to:subject:date; bh={noise};\n\tb={noise}\n"
    "Authentication-Results: mx.own.example;\n\tdkim=pass header.d={host}; spf=pass smtp.mailfrom=a@{host}\n"
    "From: Somebody <a@{host}>\nTo: You <you@own.example>\nSubject: mail {number}\nMessage-ID: <{id}@{host}>\nDate: {date}\n"
    "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
)
_WORDS = b"The quick brown fox jumps over the lazy dog while the postmaster reads his log.\n"


def write(path: Path, mail_bytes: int, whole_bytes: int) -> int:
    """Write an mbox of mails of about *mail_bytes* each, *whole_bytes* in all; how many mails it holds."""
    chance = random.Random(f"look {mail_bytes}")  # noqa: S311  (made-up mails)
    written = number = 0
    with path.open("wb") as out:
        while written < whole_bytes:
            mail = _mail(chance, number, mail_bytes)
            out.write(mail)
            written += len(mail)
            number += 1
    return number


def _mail(chance: random.Random, number: int, size: int) -> bytes:
    host_number = chance.randrange(HOSTS)
    host = f"mail{host_number}.sender{host_number % 700}.example"
    when = _FIRST + timedelta(seconds=chance.randrange(_YEAR_S))
    fields = {
        "host": host,
        "address": f"198.{18 + host_number % 2}.{host_number // 250}.{host_number % 250}",
        "build": _BUILDS[host_number % len(_BUILDS)],
        "number": number,
        "id": f"4Z{chance.getrandbits(52):x}",
        "noise": f"{chance.getrandbits(600):x}",
        "date": format_datetime(when),
    }
    lines = [_OWN]
    if host_number % 4 == 0:
        lines += [_EXCHANGE, _EXCHANGE] if host_number % 8 else [_EXCHANGE]
    else:
        lines += [_OTHERS[host_number % len(_OTHERS)]]
    head = f"From a@{host} {when:%a %b %e %H:%M:%S %Y}\nReturn-Path: <a@{host}>\n"
    head += "".join(f"Received: {line.format(**fields)}\n" for line in lines) + _REST.format(**fields)
    text = head.encode()
    return text + _WORDS * max(1, (size - len(text)) // len(_WORDS)) + b"\n"
