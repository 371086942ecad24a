"""What earlier code wrote is read, verified and continued by today's; what later code wrote is refused in one line."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from services.enforcer.restore import StoredState, restore
from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.errors import ConfigError, EventSchemaError, PatchgateError
from shared.domain.fold import RULES, Fold, Written
from shared.domain.policy import parse_policy, shipped_policy_text
from shared.domain.records import Decision, Origin, PolicyRecord, ReportNotice, ServerSeen
from shared.domain.state import Position, decision_of
from shared.domain.verify import Audit, verify_export
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.data.golden import make
from tests.support import golden
from tests.support.scenario import facts, reading, refold, stored_servers, taken_over

GOLDEN = pytest.mark.parametrize("rules", golden.known())


def decisions_of(fold: Fold) -> dict[str, Decision]:
    """Of all servers that have one."""
    return {name: made for name, server in fold.servers.items() if (made := decision_of(server)) is not None}


def folded(stored: list[bytes]) -> Fold:
    """The state that they fold to."""
    return refold(stored, parse_policy(shipped_policy_text()))


def test_there_is_a_golden_log_of_all_rules_that_there_were() -> None:
    """Make one before raising `RULES`: tests/data/golden/make.py says how."""
    assert set(range(1, RULES)) <= set(golden.known())


def test_golden_logs_are_small() -> None:
    """They are cloned by everybody."""
    assert all(path.stat().st_size < 100_000 for path in golden.FOLDER.iterdir() if path.is_file())


@GOLDEN
def test_a_golden_log_is_whole_and_folds_to_what_its_own_code_made_of_it(rules: int) -> None:
    """Chain, checkpoints, seal; the digest and each decision; and, where its rules are today's, each record decided again."""
    report, end = verify_export(golden.export_of(rules)), golden.end_of(rules)
    assert report.ok, report.what
    assert (report.records, report.head, report.digest, report.servers) == (
        end.records,
        end.head,
        end.digest,
        end.servers,
    )
    assert report.checkpoints >= 1
    assert [epoch.rules for epoch in report.epochs] == [rules]
    assert (report.decided_again > 900, report.other_rules > 900) == (rules == RULES, rules != RULES)
    assert decisions_of(folded(golden.stored_of(rules))) == end.decisions


@GOLDEN
def test_a_golden_log_holds_nearly_everything_that_can_happen(rules: int) -> None:
    """Else it would hold later code to little."""
    tags = {type(e.decode_log(stored).event) for stored in golden.stored_of(rules)}
    assert tags >= {
        e.AccusationDropped,
        e.BlockingGranted,
        e.CaseEnded,
        e.CaseOpened,
        e.CaseReleased,
        e.Checkpoint,
        e.ClockStarted,
        e.ClockStopped,
        e.HoldBegan,
        e.HoldEnded,
        e.NoticeDue,
        e.NoticeSettled,
        e.PolicyAdopted,
        e.RequestDecided,
        e.StageEntered,
    }


@GOLDEN
def test_one_changed_byte_of_a_golden_log_is_found(rules: int) -> None:
    """Wherever it stands."""
    lines = golden.export_of(rules)
    for place in range(3, len(lines), 97):
        middle = len(lines[place]) // 2
        changed = lines[place][:middle] + bytes([lines[place][middle] ^ 1]) + lines[place][middle + 1 :]
        report = verify_export([*lines[:place], changed, *lines[place + 1 :]])
        assert not report.ok
        assert report.first_wrong_seq in (place + 1, place + 2)


class Continued:
    """The enforcer's day after the upgrade: a new epoch where the rules are new, and then as always."""

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self.now = fold.law.at
        self.stored = self._bytes(fold.begin(at=self.now, version="today"))
        self._offset = 1_000_000

    def wait(self, until: timedelta) -> None:
        """Time passes, watched."""
        self.now += until
        self.fold.advance(self.now, at=self.now)
        self._tick()

    def see(self, name: str, build: Build) -> None:
        """A mail of a server."""
        place = Origin(topic="mail-evidence", partition=0, offset=self._offset)
        self._take(ServerSeen(facts=facts(self.now, name=name), reading=reading(build=build), origin=place))

    def settle(self) -> None:
        """All that is pending is told to have arrived."""
        for name in sorted(self.fold.servers):
            for case in self.fold.servers[name].cases:
                for pending in case.pending:
                    self._take(_delivered(pending.notice, name, self.now))

    def _take(self, message: ServerSeen | ReportNotice) -> None:
        self._tick()
        self._offset += 1
        topic = "sightings" if isinstance(message, ServerSeen) else "requests"
        cause = Origin(topic=topic, partition=0, offset=self._offset)
        self.stored += self._bytes(self.fold.take(message, cause, at=self.now))

    def _tick(self) -> None:
        self.stored += self._bytes(self.fold.tick(at=self.now, blind=False))

    def _bytes(self, written: list[Written]) -> list[bytes]:
        return [stored for _, stored in written]


def _delivered(notice: str, server: str, now: Any) -> ReportNotice:
    return ReportNotice(
        id=f"notice-{notice}-told",
        who="notifier",
        why="",
        made_at=now,
        notice=notice,
        server=server,
        outcome="delivered",
    )


def go_on(fold: Fold) -> Continued:
    """Half a year more: new servers, blocking, a cure, expiry."""
    world = Continued(fold)
    for _ in range(3):
        world.see("fresh.alt.example", make.OLD)
        world.wait(timedelta(hours=1))
    for _ in range(180):
        world.wait(timedelta(days=1))
        world.settle()
        world.see("fresh.alt.example", make.OLD)
    world.see("fresh.alt.example", make.NEW)
    world.wait(timedelta(days=2))
    return world


@GOLDEN
def test_a_golden_log_is_continued_and_the_whole_of_it_verifies(rules: int) -> None:
    """From the folded log, and from the stored state: the same records; a cure ends what earlier code began."""
    before = golden.stored_of(rules)
    world = go_on(folded(before))
    restored = folded(before)
    taken_up = Fold(restored.policy, restored.law)
    taken_up.restore(stored_servers(restored.servers), restored.requests, taken_over(restored.reprieves))
    assert go_on(taken_up).stored == world.stored
    audit = Audit()
    for stored in (*before, *world.stored):
        audit.take(stored)
    report = audit.report()
    assert report.ok, report.what
    assert [epoch.rules for epoch in report.epochs] == sorted({rules, RULES})
    assert report.digest == world.fold.digest()
    events = [e.decode_log(stored).event for stored in world.stored]
    happened = {(type(event), getattr(event, "server", "")) for event in events}
    assert (e.CaseOpened, "fresh.alt.example@192.0.2.7") in happened
    assert (e.CaseReleased, "fresh.alt.example@192.0.2.7") in happened
    open_before = {name for name, decision in golden.end_of(rules).decisions.items() if decision.cases}
    ended = {server for what, server in happened if what is e.CaseEnded}
    assert set() < open_before <= ended, "nobody saw them any more"


def test_the_script_gives_the_same_log_each_time(tmp_path: Path) -> None:
    """And one that is right; where there is a golden one of these rules, it came to the same."""
    first, second = (make.write(tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    world = make.Scripted()
    make.live(world)
    if RULES in golden.known():
        end = golden.end_of(RULES)
        assert (world.end().decisions, world.end().digest) == (end.decisions, end.digest)


# --- newer than this code ------------------------------------------------------------------------------------------


class _Stored:
    """A record of the log, as the client hands it over."""

    def __init__(self, value: bytes, offset: int) -> None:
        self.value, self.offset = value, offset


class _Reader:
    """Holds one log and no other topic; as much of the client as `restore` uses."""

    def __init__(self, stored: list[bytes]) -> None:
        self._records = [_Stored(value, offset) for offset, value in enumerate(stored)]
        self._at = 0

    def assign(self, _: list[TopicPartition]) -> None:
        self._at = 0

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, len(self._records))

    def seek(self, _: TopicPartition, offset: int) -> None:
        self._at = offset

    async def seek_to_beginning(self, _: TopicPartition) -> None:
        self._at = 0

    async def position(self, _: TopicPartition) -> int:
        return self._at

    async def getmany(self, partition: TopicPartition, *, timeout_ms: int) -> dict[TopicPartition, list[_Stored]]:
        del timeout_ms
        records, self._at = self._records[self._at :], len(self._records)
        return {partition: records}


def newer(stored: list[bytes]) -> list[bytes]:
    """The same log, on which rules of tomorrow went on."""
    last = e.decode_log(stored[-1])
    adopted = e.LogRecord(
        seq=last.seq + 1,
        at=last.at,
        due=None,
        h=last.h,
        prev=e.chain(stored[-1]),
        cause=None,
        event=e.RulesAdopted(rules=RULES + 1, version="tomorrow"),
    )
    return [*stored, e.encode_log(adopted)]


def state_of(fold: Fold) -> StoredState:
    """What the enforcer of tomorrow left in `enforcer-state`."""
    stored = StoredState()
    stored.take(t.KEY_POSITION, encode(Position(offsets={}, law=fold.law, marks=(), counts={})))
    stored.take(t.KEY_POLICY, encode(PolicyRecord(policy=fold.policy)))
    for name in fold.servers:
        stored.take(name.encode(), fold.servers.stored(name))
    return stored


async def refused(stored: StoredState, log: list[bytes]) -> PatchgateError:
    """The error of an enforcer that starts on it."""
    with pytest.raises(PatchgateError) as error:
        await restore(stored, _Reader(log), "")
    assert "\n" not in str(error.value)
    return error.value


@pytest.mark.parametrize("table", ["read back", "lost"])
async def test_state_and_log_of_newer_rules_are_refused_in_one_line(table: str) -> None:
    """Whether the table is there or the log is folded: both numbers, and what to do."""
    log = newer(golden.stored_of(golden.known()[-1]))
    error = await refused(state_of(folded(log)) if table == "read back" else StoredState(), log)
    assert isinstance(error, ConfigError)
    assert str(error) == (
        f"the log was written by rules {RULES + 1}, and this patchgate has rules {RULES}: start the newer one"
    )


async def test_an_event_that_this_code_does_not_know_is_refused_in_one_line() -> None:
    """With its offset; nothing is folded past it."""
    log = newer(golden.stored_of(golden.known()[-1]))
    unknown = log[-1].replace(b"rules-adopted.v1", b"rules-adopted.v9")
    error = await refused(StoredState(), [*log[:-1], unknown])
    assert isinstance(error, EventSchemaError)
    assert f"offset {len(log) - 1} of the log cannot be read" in str(error)
    assert "start the patchgate that wrote it" in str(error)


@GOLDEN
async def test_a_golden_log_and_its_state_are_taken_up_by_the_enforcer(rules: int) -> None:
    """From its table without folding, and from the log where the table is lost: the same state."""
    log = golden.stored_of(rules)
    back = await restore(state_of(folded(log)), _Reader(log), "")
    anew = await restore(StoredState(), _Reader(log), "")
    assert (back.rebuilt, anew.rebuilt) == ("", "enforcer-state has no position")
    assert back.fold.digest() == anew.fold.digest() == golden.end_of(rules).digest
    assert msgspec.structs.asdict(back.fold.law) == msgspec.structs.asdict(anew.fold.law)
