"""
The state as the enforcer last wrote it, read from `enforcer-state` as a stream.

Memory is that of what the caller makes of the servers, and some bytes a server; never that of the topic.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from services.cli import common
from services.cli.audit_tables import accounts_of, is_server, position_of
from services.cli.bus import each, reading
from services.cli.progress import counting
from shared.domain.errors import RecordSchemaError
from shared.domain.policy import Policy
from shared.domain.records import PolicyRecord
from shared.domain.reprieves import Reprieves
from shared.domain.state import Law, Server
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.runtime.settings import CommonSettings

Made = TypeVar("Made")


class Live(msgspec.Struct, frozen=True):
    """The globals of the law, the policy in force, and who is spared for a while."""

    law: Law
    policy: Policy
    reprieves: Reprieves = msgspec.field(default_factory=Reprieves)


async def live(settings: CommonSettings) -> Live:
    """
    What stands in `enforcer-state` besides the servers.

    Raises:
        CommandError: no enforcer has written yet.
        RecordSchemaError: it cannot be read.
        TransientError: the broker is not there.
    """
    kept: dict[bytes, bytes] = {}
    async with reading(settings) as consumer:
        async for record in each(settings, consumer, t.ENFORCER_STATE):
            key = record.key or b""
            if key in {t.KEY_POSITION, t.KEY_POLICY} or key.startswith(t.KEY_ACCOUNT_PREFIX):
                kept[key] = record.value or b""
    position, policy = position_of(kept), kept.get(t.KEY_POLICY)
    if position is None or not policy:
        raise common.CommandError(
            f"nothing is known yet: the enforcer has written no state under the prefix {settings.topic_prefix}"
        )
    record_of_policy = decode(t.DECISIONS, policy)
    if not isinstance(record_of_policy, PolicyRecord):
        raise RecordSchemaError("the policy in enforcer-state is none; the next start of the enforcer writes it anew")
    accounts = {name: one for name, one in accounts_of(kept).items() if one is not None}
    return Live(position.law, record_of_policy.policy, Reprieves(accounts, record_of_policy.exemptions))


class Newest(Generic[Made]):
    """What *make* gives of the newest state of each server, without None; of the records of a key the last counts."""

    def __init__(self, make: Callable[[Server], Made | None]) -> None:
        self._make = make
        self._made: dict[str, Made] = {}
        self._seen: set[int] = set()

    def __len__(self) -> int:
        """How many servers there are."""
        return len(self._seen)

    def take(self, key: bytes, value: bytes | None) -> None:
        """
        One record of `enforcer-state`.

        Raises:
            RecordSchemaError: it is no server's.
        """
        if not is_server(key):
            return
        name = key.decode(errors="replace")
        self._made.pop(name, None)
        if not value:
            self._seen.discard(hash(key))
            return
        self._seen.add(hash(key))
        made = self._make(decode(t.ENFORCER_STATE, value))
        if made is not None:
            self._made[name] = made

    def of_all(self) -> list[Made]:
        """What was made, by server id."""
        return [self._made[name] for name in sorted(self._made)]


async def newest(settings: CommonSettings, make: Callable[[Server], Made | None]) -> tuple[list[Made], int]:
    """
    What *make* gives of each server, by its id, without None; and how many servers there are.

    Raises:
        TransientError: the broker is not there.
    """
    found = Newest(make)
    with counting("servers read") as tell:
        async with reading(settings) as consumer:
            async for record in each(settings, consumer, t.ENFORCER_STATE):
                found.take(record.key or b"", record.value)
                tell(len(found))
    return found.of_all(), len(found)
