"""Pauses and exemptions in `enforcer-state` and `decisions`: written when they change, taken up again, audited."""

from datetime import timedelta

import msgspec
import pytest

from services.cli.audit_tables import Tables
from services.enforcer.books import Books, Outgoing, whole_state
from services.enforcer.restore import StoredState, _read_back
from shared.domain.fold import Fold
from shared.domain.policy import parse_policy, shipped_policy_text
from shared.domain.records import PauseAccount, ResumeAccount, SetExemption
from shared.domain.reprieves import Reprieves
from shared.domain.state import Position
from shared.domain.verify import Audit
from shared.messaging import topics as t
from shared.messaging.codec import encode
from tests.support.acts import IN_BRANCH, acts_story, aged
from tests.support.scenario import PEER, World, stored_servers

Table = dict[bytes, bytes]


def kept(records: list[Outgoing], topic: str, table: Table) -> None:
    """What a compacted topic keeps of *records*."""
    for record in records:
        if record.topic == topic and record.key is not None:
            table.pop(record.key, None)
            if record.value is not None:
                table[record.key] = record.value


def test_what_the_books_write_is_what_a_restart_takes_up() -> None:
    """At each place of a story in which everything happens once."""
    books, state, log = Books(), Table(), 0

    def look(world: World) -> None:
        nonlocal log
        kept(books.changes(world.fold, world.log[log:]), t.ENFORCER_STATE, state)
        log = len(world.log)
        stored = StoredState()
        for key, value in state.items():
            stored.take(key, value)
        assert stored.accounts == world.fold.reprieves.accounts
        assert stored.exemptions == world.fold.reprieves.in_force()
        assert stored.keys == state.keys()
        anew = Fold(world.fold.policy, world.fold.law)
        anew.restore(stored_servers(world.fold.servers), stored.requests, Reprieves(stored.accounts, stored.exemptions))
        assert anew.reprieves.due == world.fold.reprieves.due
        whole = Table()
        kept(list(whole_state(world.fold, state.keys())), t.ENFORCER_STATE, whole)
        assert whole == state

    acts_story(look)
    assert log > 40


def test_only_what_changed_is_written() -> None:
    """A pause writes its account, an exemption the policy records of both tables, and a sighting neither."""
    world, books = aged(2, **IN_BRANCH), Books()
    books.changes(world.fold, [])

    def keys_after(before: int) -> set[bytes]:
        return {
            record.key
            for record in books.changes(world.fold, world.log[before:])
            if record.key and (record.key.startswith(t.KEY_ACCOUNT_PREFIX) or record.key == t.KEY_POLICY)
        }

    before = len(world.log)
    world.ask(PauseAccount, account="it", days=2)
    assert keys_after(before) == {b"account it"}
    before = len(world.log)
    world.ask(SetExemption, kind="peer", target=PEER, owner="ops", until=world.now + timedelta(days=1))
    assert keys_after(before) == {t.KEY_POLICY}
    before = len(world.log)
    world.see()
    assert keys_after(before) == set()


def test_a_forgotten_account_is_deleted() -> None:
    """An empty value, and the copy of a standby forgets it, too."""
    stored = StoredState()
    stored.take(b"account it", b'{"account":"it"}')
    stored.take(b"account it", None)
    assert stored.accounts == {}


def test_an_account_that_cannot_be_read_makes_the_state_be_folded_anew() -> None:
    """As any damage does."""
    stored = StoredState()
    stored.note(b"account it", b"torn")
    assert b"account it" in stored.unreadable


@pytest.mark.parametrize("damage", ["", "account", "account gone", "exemption", "edges' exemption"])
def test_the_audit_compares_accounts_and_exemptions(damage: str) -> None:
    """In both tables, as values."""
    world = aged(2, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=5)
    world.ask(SetExemption, kind="peer", target=PEER, owner="ops", until=world.now + timedelta(days=1))
    fold, books = world.fold, Books()
    state, decisions = Table(), Table()
    kept(list(whole_state(fold, set())), t.ENFORCER_STATE, state)
    kept(books.heal_decisions(fold, {}), t.DECISIONS, decisions)
    state[t.KEY_POSITION] = encode(Position(offsets={}, law=fold.law, marks=(), counts={}))
    decisions[t.KEY_HEARTBEAT] = encode(books.heartbeat(fold, at=world.now, policy_digest=fold.policy.digest))
    if damage == "account":
        state[b"account it"] = state[b"account it"].replace(b"2026", b"2025")
    elif damage == "account gone":
        del state[b"account it"]
    elif damage:
        table = state if damage == "exemption" else decisions
        table[t.KEY_POLICY] = table[t.KEY_POLICY].replace(PEER.encode(), b"192.0.2.99")
    tables = Tables(state, decisions)
    tables.compare_at(fold.law.seq, fold)
    report = tables.report()
    assert report.ok is not bool(damage), report.differences
    assert all("pause accounts" in one or "exemptions" in one for one in report.differences)


def test_a_checkpoint_with_another_digest_of_pauses_is_found() -> None:
    """What a pause left is part of the state that a log must fold to."""
    world = aged(2, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=5)
    world.ask(ResumeAccount, account="it")
    checkpoint = world.fold.checkpoint()
    assert checkpoint.reprieves
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    audit.fold.reprieves.accounts.clear()
    audit._check_digest(msgspec.structs.replace(checkpoint, reprieves=""))  # the state of the audit, as it was damaged
    with pytest.raises(Exception, match="another digest"):
        audit._check_digest(checkpoint)


def test_a_log_of_acts_is_decided_again_from_its_bytes_alone() -> None:
    """By a fold that knows nothing but the policy that ships."""
    world = acts_story()
    audit = Audit()
    assert audit.fold.policy == parse_policy(shipped_policy_text())
    for _, stored in world.log:
        audit.take(stored)
    report = audit.report()
    assert (report.what, report.decided_again) == ("", len(world.log) - 2)


async def test_a_leader_that_reads_its_state_back_has_pauses_and_exemptions() -> None:
    """The fold that goes on is as the one that wrote."""
    world = acts_story()
    stored = StoredState(position=Position(offsets={}, law=world.fold.law, marks=(), counts={}))
    records = list(whole_state(world.fold, set()))
    for record in records:
        stored.take(record.key or b"", record.value)
    fold = (await _read_back(stored)).fold
    assert fold.reprieves.digest() == world.fold.reprieves.digest() != ""
    assert fold.reprieves.in_force() == world.fold.reprieves.in_force() != ()
