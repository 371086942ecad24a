"""The servers whose mail flows through the campaign: old ones, patched ones, and what each puts on top of its mail."""

from dataclasses import dataclass
from random import Random

from tests.faults.truth import Mail
from tests.support.decisions import OLD, PATCHED, line_of

PRODUCT = "Microsoft Exchange 2016"
SENDERS_MAX = 14
"""Servers that send at a time; one more, and the oldest falls silent, so that its case expires."""

NEIGHBOUR_LINE = "from pc.alt.example (pc.alt.example [10.0.0.5]) by {name} (Postfix) with ESMTPS id 4XyZ9q; Tue, 24 Nov 2026 11:59:00 +0000"


@dataclass
class Sender:
    """One mail server. verified: DNS confirms its name, so that its id is the name alone."""

    number: int
    patched: bool = False

    @property
    def name(self) -> str:
        """Its host name."""
        return f"ex{self.number}.alt.example"

    @property
    def peer(self) -> str:
        """Its address, of the range for benchmarks (RFC 2544)."""
        return f"198.18.{self.number // 250 % 256}.{self.number % 250 + 1}"

    @property
    def verified(self) -> bool:
        """Half of them are."""
        return self.number % 2 == 0

    @property
    def server(self) -> str:
        """Its id by its best tie."""
        return self.name if self.verified else f"{self.name}@{self.peer}"


@dataclass(frozen=True)
class Letter:
    """One mail to be sent, with what is known of it."""

    sender: Sender
    mail: Mail
    line: str
    mail_from: str
    recipient: str


class Population:
    """Who sends at present. rng: of the world, not of a fault, so that a fault replayed alone draws the same."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._next = 1
        self.live: list[Sender] = []

    def newcomer(self) -> Sender:
        """One more old server."""
        sender = Sender(self._next)
        self._next += 1
        self.live.append(sender)
        del self.live[:-SENDERS_MAX]
        return sender

    def live_on(self) -> None:
        """Now and then one is patched, and now and then a patched one goes back."""
        for sender in self.live:
            if self._rng.random() < (0.25 if sender.patched else 0.04):
                sender.patched = not sender.patched

    def letter(self, sender: Sender | None = None, *, plain: bool = False) -> Letter:
        """A mail of *sender*, or of anybody. plain: nothing about it but the server's own line."""
        sender = sender or self._rng.choice(self.live)
        chance = 1.0 if plain else self._rng.random()
        line = line_of(PATCHED if sender.patched else OLD, sender.name)
        kind, mail_from, recipient = "own line", "<a@alt.example>", "<b@neu.example>"
        if chance < 0.08:
            kind, mail_from = "null sender", "<>"
        elif chance < 0.16:
            kind, recipient = "to postmaster", "<postmaster@neu.example>"
        elif chance < 0.26:
            kind, line = "neighbour", NEIGHBOUR_LINE.format(name=sender.name)
        elif chance < 0.34:
            kind, line = "patched neighbour", line_of(PATCHED, f"other-{sender.name}")
        proves = kind == "own line" and not sender.patched
        return Letter(sender, Mail(sender.server, PRODUCT if proves else "", kind), line, mail_from, recipient)
