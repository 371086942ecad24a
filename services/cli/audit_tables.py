"""What stands in `enforcer-state` and `decisions`, compared as values with what the log folds to, at the seq that each is of."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec

from services.cli.bus import table
from shared.domain.accounts import Account
from shared.domain.errors import RecordSchemaError
from shared.domain.fold import Fold, digest_of
from shared.domain.records import Decision, Heartbeat, PolicyRecord
from shared.domain.state import Position, Server, decision_of
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.runtime.settings import CommonSettings

_MOST_TOLD = 20
_MODULUS = 1 << 128


class TablesReport(msgspec.Struct, frozen=True, kw_only=True):
    """servers, decisions: how many were compared. differences: the first 20, a sentence each."""

    ok: bool
    servers: int
    decisions: int
    differences: tuple[str, ...]


class Tables:
    """Both tables, as large as the topics."""

    def __init__(self, state: dict[bytes, bytes], decisions: dict[bytes, bytes]) -> None:
        self._state, self._decisions = state, decisions
        self._differences: list[str] = []
        self._servers = self._decided = 0
        self._heartbeat = _heartbeat_of(decisions)
        self._position = self._try_position()
        self._due = {
            "enforcer-state": self._position.law.seq if self._position else 0,
            "decisions": self._heartbeat.seq if self._heartbeat else 0,
        }

    @classmethod
    async def read(cls, settings: CommonSettings) -> "Tables":
        """
        Both tables as they are now. `decisions` are read last, and so never the older.

        Raises:
            TransientError: the broker is not there.
        """
        state = await table(settings, t.ENFORCER_STATE)
        return cls(state, await table(settings, t.DECISIONS))

    def compare_at(self, seq: int, fold: Fold) -> None:
        """Compare what is of *seq* with the state there; call it behind each record."""
        if seq == self._due["enforcer-state"]:
            self._due["enforcer-state"] = 0
            self._compare(self._state_differs(fold))
        if seq == self._due["decisions"]:
            self._due["decisions"] = 0
            self._compare(self._decisions_differ(fold))

    def report(self) -> TablesReport:
        """What was found, behind the last record."""
        for name, seq in self._due.items():
            if seq:
                self._differ(f"{name} is of record {seq}, and the log was not found right up to there")
        if self._position is None:
            self._differ("enforcer-state holds no position that can be read: no enforcer ran, or its table was lost")
        if self._heartbeat is None:
            self._differ("decisions hold no heartbeat that can be read: no enforcer ran, or its table was lost")
        return TablesReport(
            ok=not self._differences,
            servers=self._servers,
            decisions=self._decided,
            differences=tuple(self._differences),
        )

    def _try_position(self) -> Position | None:
        try:
            return position_of(self._state)
        except RecordSchemaError as error:
            self._differ(str(error))
            return None

    def _compare(self, differences: Iterator[str]) -> None:
        for difference in differences:
            self._differ(difference)

    def _differ(self, sentence: str) -> None:
        if len(self._differences) < _MOST_TOLD:
            self._differences.append(sentence)

    # -- enforcer-state ---------------------------------------------------------------------------------------------

    def _state_differs(self, fold: Fold) -> Iterator[str]:
        stored = {key: value for key, value in self._state.items() if is_server(key)}
        self._servers = len(stored)
        yield from _keys_differ("enforcer-state", stored.keys(), {name.encode() for name in fold.servers})
        for key, value in stored.items():
            expected = fold.servers.get(key.decode(errors="replace"))
            if expected is not None and _read(t.ENFORCER_STATE, value) != expected:
                yield f"enforcer-state holds another state of {expected.server} than the log makes"
        if self._position is not None:
            law = msgspec.structs.replace(
                self._position.law, h=fold.law.h, at=fold.law.at
            )  # these two go on without records
            if law != fold.law:
                yield "the position holds other globals (held, rules, head or counts) than the log makes"
        if _requests_of(self._state) != fold.requests:
            yield "enforcer-state holds other request ids than the log makes"
        if accounts_of(self._state) != fold.reprieves.accounts:
            yield "enforcer-state holds other pause accounts than the log makes"
        if not _is_policy(_read(t.DECISIONS, self._state.get(t.KEY_POLICY)), fold):
            yield "enforcer-state holds another policy, or other exemptions, than the log makes"

    # -- decisions --------------------------------------------------------------------------------------------------

    def _decisions_differ(self, fold: Fold) -> Iterator[str]:
        stored = {key: value for key, value in self._decisions.items() if is_server(key)}
        self._decided = len(stored)
        expected = {name.encode(): made for name, server in fold.servers.items() if (made := decision_of(server))}
        yield from _keys_differ("decisions", stored.keys(), expected.keys())
        for key, value in stored.items():
            if key in expected and _read(t.DECISIONS, value) != expected[key]:
                yield f"decisions holds another decision on {expected[key].server} than the log makes"
        if not _is_policy(_read(t.DECISIONS, self._decisions.get(t.KEY_POLICY)), fold):
            yield "decisions holds another policy, or other exemptions, than the log"
        digest = sum(digest_of(key.decode(errors="replace"), value) for key, value in stored.items()) % _MODULUS
        heartbeat = self._heartbeat
        if heartbeat is not None and (heartbeat.count, heartbeat.digest) != (len(stored), f"{digest:032x}"):
            yield f"the heartbeat counts {heartbeat.count} decisions with digest {heartbeat.digest}, the table has {len(stored)} with {digest:032x}"


def is_server(key: bytes) -> bool:
    """Whether a key is a server id: those hold a dot or an at sign, the reserved ones neither."""
    return not key.startswith((t.KEY_REQUEST_PREFIX, t.KEY_ACCOUNT_PREFIX)) and (b"." in key or b"@" in key)


def _keys_differ(name: str, stored: AbstractSet[bytes], expected: AbstractSet[bytes]) -> Iterator[str]:
    for key in sorted(expected - stored):
        yield f"{name} lacks {key.decode()}"
    for key in sorted(stored - expected):
        yield f"{name} holds {key.decode(errors='replace')}, which the log does not know"


def _read(topic: str, value: bytes | None) -> Server | Decision | Heartbeat | PolicyRecord | None:
    try:
        found: Server | Decision | Heartbeat | PolicyRecord = decode(topic, value)
    except RecordSchemaError:
        return None  # which differs from everything
    return found


def position_of(state: dict[bytes, bytes]) -> Position | None:
    """
    The position in `enforcer-state`; None where there is none.

    Raises:
        RecordSchemaError: it cannot be read.
    """
    value = state.get(t.KEY_POSITION)
    try:
        return msgspec.json.decode(value, type=Position) if value else None
    except msgspec.MsgspecError as error:
        raise RecordSchemaError(f"the position in enforcer-state cannot be read: {error}") from error


def _heartbeat_of(decisions: dict[bytes, bytes]) -> Heartbeat | None:
    found = _read(t.DECISIONS, decisions.get(t.KEY_HEARTBEAT))
    return found if isinstance(found, Heartbeat) else None


def _requests_of(state: dict[bytes, bytes]) -> dict[str, datetime | None]:
    """The request ids and when each was decided; None where that cannot be read."""
    return {
        key.removeprefix(t.KEY_REQUEST_PREFIX).decode(errors="replace"): _instant(value)
        for key, value in state.items()
        if key.startswith(t.KEY_REQUEST_PREFIX)
    }


def accounts_of(state: dict[bytes, bytes]) -> dict[str, Account | None]:
    """The pause accounts; None where one cannot be read."""
    return {
        key.removeprefix(t.KEY_ACCOUNT_PREFIX).decode(errors="replace"): _account(value)
        for key, value in state.items()
        if key.startswith(t.KEY_ACCOUNT_PREFIX) and value
    }


def _account(value: bytes) -> Account | None:
    try:
        return msgspec.json.decode(value, type=Account)
    except msgspec.MsgspecError:
        return None


def _is_policy(found: object, fold: Fold) -> bool:
    return found == PolicyRecord(policy=fold.policy, exemptions=fold.reprieves.in_force())


def _instant(value: bytes) -> datetime | None:
    try:
        return msgspec.json.decode(value, type=datetime)
    except msgspec.MsgspecError:
        return None
