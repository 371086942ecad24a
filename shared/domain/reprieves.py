"""
What spares servers for a while, beside the state of each: paused accounts, and exemptions in force. One a fold; not to be shared.

Bounds: 1,000 exemptions (`acts.py` refuses more); of accounts those with a pause in this year or the last are kept.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from shared.domain import events as e
from shared.domain.accounts import Account, Pause, ended, is_old, midnight_after, paused
from shared.domain.errors import InvariantError
from shared.domain.policy import Policy
from shared.domain.records import Exemption
from shared.domain.servers import digest_of

Spared = Literal["", "server", "connector", "peer"]

_MODULUS = 1 << 128
_ENCODE = msgspec.json.Encoder().encode


class Reprieves:
    """accounts: by name. exemptions: by kind and target. changed: accounts whose state moved since they were last taken."""

    def __init__(self, accounts: Mapping[str, Account] | None = None, exemptions: Iterable[Exemption] = ()) -> None:
        self.accounts: dict[str, Account] = dict(accounts or {})
        self.exemptions: dict[tuple[str, str], Exemption] = {(one.kind, one.target): one for one in exemptions}
        self.changed: set[str] = set()
        self.due = self._next_due()
        """The instant (UTC) at which the first of them ends; None: none does."""

    # -- reading ----------------------------------------------------------------------------------------------------

    def paused_until(self, account: str) -> datetime | None:
        """The midnight (UTC) at which the pause of *account* that is in force ends; None: none is."""
        found = self.accounts.get(account)
        return midnight_after(found.pauses[-1].last) if found is not None and found.running else None

    def spare(self, policy: Policy, servers: Iterable[str], connector: str, peer: str) -> Spared:
        """By what kind of exemption a message, or a server, is spared that has these ids, *connector* and *peer*; "" by none."""
        known = self.exemptions
        if not known:
            return ""
        if any(("server", server) in known for server in servers):
            return "server"
        if any(("connector", name) in known for name in policy.names_of(connector)):
            return "connector"
        return "peer" if ("peer", peer) in known else ""

    def spares_peer(self, peer: str) -> bool:
        """Whether *peer* is exempt, whatever else is."""
        return ("peer", peer) in self.exemptions

    def in_force(self) -> tuple[Exemption, ...]:
        """The exemptions, by kind and target."""
        return tuple(self.exemptions[key] for key in sorted(self.exemptions))

    def after(self, event: e.Event) -> "Reprieves":
        """What they will be after *event*."""
        later = Reprieves(self.accounts, self.exemptions.values())
        later.apply(event)
        return later

    def digest(self) -> str:
        """Their digest for checkpoints, hex; "" where there is nothing."""
        if not self.accounts and not self.exemptions:
            return ""
        shares = [digest_of(f"account {name}", _ENCODE(account)) for name, account in self.accounts.items()]
        shares += [digest_of(f"exemption {one.kind} {one.target}", _ENCODE(one)) for one in self.exemptions.values()]
        return f"{sum(shares) % _MODULUS:032x}"

    # -- evolving ---------------------------------------------------------------------------------------------------

    def apply(self, event: e.Event) -> bool:
        """
        After *event*; whether it was one of theirs.

        Raises:
            InvariantError: it speaks of a pause or an exemption that is not there.
        """
        match event:
            case e.PauseBegan():
                self._begin(event)
            case e.PauseEnded():
                if self.paused_until(event.account) is None:
                    raise InvariantError(f"a pause of {event.account} ended, and none is in force")
                self._set(event.account, ended(self.accounts[event.account], event.used_to))
            case e.Exempted():
                self.exemptions[event.exemption.kind, event.exemption.target] = event.exemption
            case e.ExemptionEnded():
                if self.exemptions.pop((event.kind, event.target), None) is None:
                    raise InvariantError(f"an exemption of {event.kind} {event.target} ended, and none is in force")
            case _:
                return False
        self.due = self._next_due()
        return True

    def _begin(self, event: e.PauseBegan) -> None:
        pause = Pause(first=event.first, last=event.last)
        self._set(event.account, paused(self.accounts.get(event.account), event.account, pause))
        for name in [name for name, account in self.accounts.items() if is_old(account, event.first.year)]:
            del self.accounts[name]
            self.changed.add(name)

    def _set(self, name: str, account: Account) -> None:
        self.accounts[name] = account
        self.changed.add(name)

    def _next_due(self) -> datetime | None:
        pauses = [midnight_after(one.pauses[-1].last) for one in self.accounts.values() if one.running]
        return min([*pauses, *(one.until for one in self.exemptions.values())], default=None)

    def take_changed(self) -> list[str]:
        """The accounts whose state moved since the last call, sorted."""
        names = sorted(self.changed)
        self.changed.clear()
        return names
