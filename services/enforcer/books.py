"""
What the two tables hold, as far as it must be known to keep them right: pure, no Kafka.

`decisions` and `enforcer-state` are written only where their bytes change. Of a decision its share of the digest tells
whether its bytes would change, 128 bits that are kept with its server; of `enforcer-state` the requests are kept, for
those that are forgotten are deleted.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from shared.domain import events as e
from shared.domain.accounts import Account
from shared.domain.fold import Fold, Written, digest_of, encode_server
from shared.domain.records import Heartbeat, PolicyRecord
from shared.domain.servers import Slot, decision_share
from shared.domain.state import Server, decision_of
from shared.messaging import topics as t
from shared.messaging.codec import encode

_MODULUS = 1 << 128
_POLICY_EVENTS = (e.PolicyAdopted, e.Exempted, e.ExemptionEnded)


class Outgoing(NamedTuple):
    """A record to write. topic: without prefix. value: None deletes the key."""

    topic: str
    key: bytes | None
    value: bytes | None


class Books:
    """Those of one fold. What they keep beside it is bounded by 16 days of requests."""

    def __init__(self, requests: Mapping[str, datetime] | None = None, *, leader: str = "") -> None:
        self._leader = leader
        self._count = self._digest = 0
        self._requests = dict(requests or {})

    @property
    def count(self) -> int:
        """How many servers the table of decisions has."""
        return self._count

    @property
    def digest(self) -> str:
        """The digest of the table of decisions, as heartbeats carry it."""
        return f"{self._digest:032x}"

    # -- what one commit changes ------------------------------------------------------------------------------------

    def changes(self, fold: Fold, written: Iterable[Written]) -> list[Outgoing]:
        """The records of one commit but for position and heartbeat, in the order in which they are written."""
        events = [(Outgoing(t.LOG, None, stored), record.event) for record, stored in written]
        changed = fold.take_changed()
        return [
            *(outgoing for outgoing, _ in events),
            *(decision for name in changed for decision in self._decision(fold, name)),
            *(Outgoing(t.ENFORCER_STATE, name.encode(), fold.servers.stored(name)) for name in changed),
            *self._requests_of(fold, events),
            *(account_record(name, fold.reprieves.accounts.get(name)) for name in fold.reprieves.take_changed()),
            *(policy_records(fold) if any(isinstance(event, _POLICY_EVENTS) for _, event in events) else ()),
        ]

    def _decision(self, fold: Fold, name: str) -> Iterator[Outgoing]:
        decision, slot = decision_of(fold.servers[name]), fold.servers.slot(name)
        if decision is None or slot is None:
            return
        value = encode(decision)
        if self._note(slot, digest_of(name, value)):
            yield Outgoing(t.DECISIONS, name.encode(), value)

    def _note(self, slot: Slot, share: int) -> bool:
        """The decision of a server has this share now; whether that is new."""
        if slot.decision == share:
            return False
        self._count += not slot.decision
        self._digest = (self._digest + share - (slot.decision or 0)) % _MODULUS
        slot.decision = share
        return True

    def _requests_of(self, fold: Fold, events: list[tuple[Outgoing, e.Event]]) -> Iterator[Outgoing]:
        if not any(isinstance(event, e.RequestDecided | e.PolicyAdopted) for _, event in events):
            return
        for known in sorted(fold.requests.keys() | self._requests.keys()):
            if fold.requests.get(known) != self._requests.get(known):
                yield request_record(known, fold.requests.get(known))
        self._requests = dict(fold.requests)

    def heartbeat(self, fold: Fold, *, at: datetime, policy_digest: str) -> Heartbeat:
        """How far the law has come. at: never behind the newest record of the log."""
        law = fold.law
        return Heartbeat(
            at=max(at, law.at),
            h=law.h,
            held=law.held_so_far,
            seq=law.seq,
            count=self.count,
            digest=self.digest,
            policy_digest=policy_digest,
            frozen=law.frozen,
            leader=self._leader,
        )

    # -- healing ----------------------------------------------------------------------------------------------------

    def heal_decisions(self, fold: Fold, found: dict[bytes, int]) -> list[Outgoing]:
        """
        What makes topic `decisions` what the state says; nothing where it is.

        To be called before any change is booked; count and digest begin here. found: the share of each live key in the
        topic, reserved keys too; it is used up. Keys that nobody should have written go.
        """
        self._count = self._digest = 0
        healed = []
        for name, slot in fold.servers.slots():
            if slot.decision is None or name in fold.changed:
                slot.decision = decision_share(fold.servers[name])
            if not slot.decision:
                continue
            self._count += 1
            self._digest += slot.decision
            if found.pop(name.encode(), None) != slot.decision:
                healed.append(_decision_record(fold.servers[name]))
        self._digest %= _MODULUS
        found.pop(t.KEY_HEARTBEAT, None)
        if not fold.is_empty:
            policy, _ = policy_records(fold)
            if found.pop(t.KEY_POLICY, None) != digest_of(t.KEY_POLICY.decode(), policy.value or b""):
                healed.append(policy)
        return healed + [Outgoing(t.DECISIONS, key, None) for key in sorted(found)]


def _decision_record(server: Server) -> Outgoing:
    decision = decision_of(server)
    return Outgoing(t.DECISIONS, server.server.encode(), encode(decision) if decision else None)


def state_of(server: Server) -> Outgoing:
    """The record of `enforcer-state` for one server."""
    return Outgoing(t.ENFORCER_STATE, server.server.encode(), encode_server(server))


def request_record(request_id: str, decided_at: datetime | None) -> Outgoing:
    """The record of `enforcer-state` that a request was decided; None: its time is over."""
    value = msgspec.json.encode(decided_at) if decided_at else None
    return Outgoing(t.ENFORCER_STATE, t.KEY_REQUEST_PREFIX + request_id.encode(), value)


def account_record(name: str, account: Account | None) -> Outgoing:
    """The record of `enforcer-state` for a pause account; None: it is forgotten."""
    value = msgspec.json.encode(account) if account else None
    return Outgoing(t.ENFORCER_STATE, t.KEY_ACCOUNT_PREFIX + name.encode(), value)


def policy_records(fold: Fold) -> tuple[Outgoing, Outgoing]:
    """The policy and the exemptions in force, for the edges and for the next start."""
    value = encode(PolicyRecord(policy=fold.policy, exemptions=fold.reprieves.in_force()))
    return Outgoing(t.DECISIONS, t.KEY_POLICY, value), Outgoing(t.ENFORCER_STATE, t.KEY_POLICY, value)


def whole_state(fold: Fold, found: Iterable[bytes]) -> Iterator[Outgoing]:
    """All of `enforcer-state` but the position, after it was lost. found: live keys in the topic; those left over go."""
    records = [state_of(server) for server in fold.servers.values()]
    records += [request_record(known, when) for known, when in fold.requests.items()]
    records += [account_record(name, account) for name, account in fold.reprieves.accounts.items()]
    if not fold.is_empty:
        records.append(policy_records(fold)[1])
    yield from records
    for key in sorted(set(found) - {record.key or b"" for record in records} - {t.KEY_POSITION}):
        yield Outgoing(t.ENFORCER_STATE, key, None)
