"""What an audit finds in a log: nothing in a true one, and the first wrong record in any other."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.evidence import Facts
from shared.domain.fold import CHECKPOINT_EVERY, RULES
from shared.domain.policy import Caps
from shared.domain.records import Origin
from shared.domain.state import Law
from shared.domain.verify import Audit, VerifyReport, seal, verify_export
from tests.support.acts import acts_story
from tests.support.scenario import E2007, FLOOR_2016, START, World, policy_for, reading

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def audited(stored: list[bytes]) -> VerifyReport:
    """The report on these records."""
    audit = Audit()
    for value in stored:
        audit.take(value)
    return audit.report()


def exported(stored: list[bytes]) -> list[bytes]:
    """The lines of an export of these records."""
    return [*(value + b"\n" for value in stored), seal(len(stored), e.chain(stored[-1])) + b"\n"]


@cache
def whole_story() -> World:
    """A log in which nearly everything happens: opening, stages, holds, policies, blocking, release, expiry, a checkpoint."""
    world = World(policy_for("observe"))
    world.open_case(reading(E2007, None))
    world.open_case(name="ex16.alt.example")
    world.adopt(policy_for(version=2), "to-enforce")
    world.adopt(policy_for(version=2), "not-above")
    world.settle()
    world.pass_time(31 * DAY)
    world.pass_time(3 * HOUR, watched=False)
    world.freeze("freeze-01", frozen=True)
    world.pass_time(3 * HOUR)
    world.freeze("freeze-02", frozen=False)
    world.settle()
    for _ in range(50):
        world.pass_time(2 * DAY)
        world.settle()
        world.see(name="ex16.alt.example")
    world.see(reading(build=FLOOR_2016), name="ex16.alt.example")
    for number in range(CHECKPOINT_EVERY):
        world.see(name=f"host{number}.alt.example")
    world.pass_time(2 * HOUR)
    return world


def story() -> list[bytes]:
    """Its stored bytes."""
    return [stored for _, stored in whole_story().log]


def chained(records: list[e.LogRecord]) -> list[bytes]:
    """These records with seq and chain made to fit: what a forger who knows the format would write."""
    stored: list[bytes] = []
    for seq, record in enumerate(records, start=1):
        prev = e.chain(stored[-1]) if stored else ""
        stored.append(e.encode_log(msgspec.structs.replace(record, seq=seq, prev=prev)))
    return stored


def small_story() -> World:
    """A case that opened, with its first notice settled."""
    world = World()
    world.open_case()
    world.settle()
    world.pass_time(31 * DAY)
    return world


def forged(change: Callable[[list[e.LogRecord]], object]) -> VerifyReport:
    """The report on the small story after *change*, with the chain made to fit."""
    records = [record for record, _ in small_story().log]
    change(records)
    return audited(chained(records))


def place_of(kind: type[e.Event], world: World | None = None) -> int:
    """Where in the small story the first event of *kind* stands."""
    return next(i for i, event in enumerate((world or small_story()).events()) if isinstance(event, kind))


def sighting_above(place: int) -> int:
    """Where in the whole story the next sighting behind *place* stands."""
    events = whole_story().events()
    return next(i for i in range(place + 1, len(events)) if isinstance(events[i], e.ServerSighted))


# --- true logs -----------------------------------------------------------------------------------------------------


def test_a_true_log_is_found_right_and_counted() -> None:
    """Every record is decided again or named as taken as given, and the state is the one that the enforcer had."""
    world, report = whole_story(), audited(story())
    assert (report.ok, report.first_wrong_seq, report.what) == (True, None, "")
    assert report.records == len(story())
    assert report.decided_again + report.taken_as_given + report.checkpoints == report.records
    assert report.taken_as_given == 4  # rules, policy, and a hold that began and ended
    assert report.checkpoints == 1
    assert (report.servers, report.digest) == (len(world.fold.servers), world.fold.digest())
    assert report.head == world.fold.law.head


def test_the_story_holds_every_kind_of_event() -> None:
    """What this module audits is the whole contract, and stays so when an event is added."""
    kinds = {type(event) for event in whole_story().events()}
    stopped = World()
    stopped.open_case()
    stopped.adopt(policy_for("observe", version=2), "to-observe")
    kinds |= {type(event) for event in stopped.events()}
    mild = World()
    mild.see()
    mild.see(reading(build=FLOOR_2016))
    kinds |= {type(event) for event in mild.events()}
    queued = World(policy_for(caps=Caps(newly_blocked_per_day=1, newly_blocked_percent_of_open_cases=0)))
    for _ in range(64):
        for name in ("ex15.alt.example", "ex16.alt.example"):
            queued.open_case(name=name, helo=name)
        queued.settle()
        queued.pass_time(DAY - 6 * HOUR)
    kinds |= {type(event) for event in queued.events()}
    assert audited([stored for _, stored in queued.log]).ok
    acts = acts_story()
    kinds |= {type(event) for event in acts.events()}
    assert kinds == set(e.Event.__args__)
    assert audited([stored for _, stored in acts.log]).ok
    assert audited([stored for _, stored in stopped.log]).ok
    assert audited([stored for _, stored in mild.log]).ok


def test_a_true_export_is_found_right() -> None:
    """Records one a line, and the seal."""
    assert verify_export(exported(story())).ok


def test_a_prefix_of_whole_steps_is_right_without_a_seal() -> None:
    """A live log may go on after any step."""
    assert audited(story()[:40]).ok


# --- damage --------------------------------------------------------------------------------------------------------


def test_a_changed_record_is_found_by_the_next_ones_hash() -> None:
    """What no rule reads is in the hash all the same."""
    stored = story()
    place = sighting_above(5)
    stored[place] = stored[place].replace(b'"edge":"mx1"', b'"edge":"mx2"')
    report = audited(stored)
    assert (report.ok, report.first_wrong_seq) == (False, place + 2)
    assert f"record {place + 1} or this one was changed" in report.what
    assert report.records == place + 1


def test_a_missing_a_doubled_and_a_swapped_record_are_found() -> None:
    """Each is named at the first place where the log is wrong."""
    stored = story()
    for broken in (
        [*stored[:20], *stored[21:]],
        [*stored[:20], stored[19], *stored[20:]],
        [*stored[:20], stored[21], stored[20], *stored[22:]],
    ):
        report = audited(broken)
        assert (report.ok, report.first_wrong_seq) == (False, 21)
        assert "missing, doubled or out of place" in report.what


def test_a_record_that_nobody_can_read_is_one_clear_line() -> None:
    """An unknown tag says where, and what to do."""
    stored = story()
    place = sighting_above(5)
    stored[place] = stored[place].replace(b'"type":"server-sighted.v1"', b'"type":"server-sighted.v9"')
    report = audited(stored)
    assert (report.ok, report.first_wrong_seq) == (False, place + 1)
    assert report.what.startswith("cannot be read: damaged, or written by a newer patchgate")
    assert "\n" not in report.what


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_bytes_that_are_no_record_are_named(value: bytes) -> None:
    """Whatever stands in the log, the audit ends with a report."""
    assert audited([*story()[:5], value]).first_wrong_seq == 6


def test_an_empty_log_is_not_right() -> None:
    """Nothing was checked, so nothing is green."""
    assert audited([]).what == "there is no record"
    assert not verify_export([]).ok


def test_a_log_that_ends_in_the_middle_of_a_step_is_wrong() -> None:
    """A transaction is whole or not there."""
    opened = next(i for i, event in enumerate(whole_story().events()) if isinstance(event, e.CaseOpened))
    report = audited(story()[:opened])
    assert (report.ok, report.first_wrong_seq) == (False, opened + 1)
    assert "case-opened.v1 must follow" in report.what


# --- the seal ------------------------------------------------------------------------------------------------------


def test_an_export_without_its_end_is_not_right() -> None:
    """Cut off at a line, in a line, or with records missing above the seal."""
    lines = exported(story())
    assert "does not end with its seal" in verify_export(lines[:-1]).what
    assert "does not end with its seal" in verify_export([*lines[:-1], lines[-1][:30]]).what
    assert "the end is missing" in verify_export([*lines[:50], lines[-1]]).what


def test_a_last_record_that_was_changed_is_found_by_the_seal() -> None:
    """No record follows it, so the seal must tell."""
    lines = exported(story()[:4])
    assert verify_export(lines).ok
    lines[-2] = lines[-2].replace(b'"edge":"mx1"', b'"edge":"mx2"')
    report = verify_export(lines)
    assert (report.ok, report.first_wrong_seq) == (False, 5)
    assert "record 4 or the seal was changed" in report.what


def test_wrong_records_are_told_before_a_wrong_seal() -> None:
    """The first wrong seq is what an auditor looks for."""
    lines = exported(story())
    report = verify_export([*lines[:3], b"{}\n", *lines[4:-1]])
    assert report.first_wrong_seq == 4


# --- forgery: the chain fits, the law does not -----------------------------------------------------------------------


def test_an_invented_stage_is_found() -> None:
    """Somebody wants a server blocked early."""

    def change(records: list[e.LogRecord]) -> None:
        place = place_of(e.StageEntered)
        event = msgspec.structs.replace(records[place].event, block_minutes_per_hour=60)
        records[place] = msgspec.structs.replace(records[place], event=event)

    report = forged(change)
    assert report.first_wrong_seq == place_of(e.StageEntered) + 1
    assert "block_minutes_per_hour of stage-entered.v1 is written as 60, decided as 0" in report.what


def test_a_stage_before_its_time_is_found() -> None:
    """The H of a record says what could be due by then."""

    def change(records: list[e.LogRecord]) -> None:
        place = place_of(e.StageEntered)
        early = records[place].h - DAY * 10
        moved = [msgspec.structs.replace(r, h=max(early, records[place - 2].h)) for r in records[place - 1 :]]
        records[place - 1 :] = moved

    report = forged(change)
    assert not report.ok
    assert "nothing was due by then" in report.what


def test_what_was_due_and_is_left_out_is_found() -> None:
    """A notice that was never written, before an input and before another consequence."""
    first = place_of(e.NoticeDue)
    report = forged(lambda records: records.pop(first))
    assert report.first_wrong_seq == first + 1
    assert "notice-due.v1 was due before this input was decided" in report.what
    later = place_of(e.StageEntered)
    report = forged(lambda records: records.pop(later))
    assert report.first_wrong_seq == later + 1
    assert "stage-entered.v1 decided" in report.what


def test_an_input_whose_consequence_is_left_out_is_found() -> None:
    """The third hour opens a case; a log without the opening is wrong."""
    place = place_of(e.CaseOpened)
    report = forged(lambda records: records.pop(place))
    assert report.first_wrong_seq == place + 1
    assert "case-opened.v1 decided" in report.what


def test_a_consequence_with_another_cause_or_due_is_found() -> None:
    """Who or what brought it is part of the record."""

    def other_cause(records: list[e.LogRecord]) -> None:
        place = place_of(e.CaseOpened)
        records[place] = msgspec.structs.replace(records[place], cause=records[2].cause)

    def other_due(records: list[e.LogRecord]) -> None:
        place = place_of(e.StageEntered)
        records[place] = msgspec.structs.replace(records[place], due=START)

    assert "differ from what brought case-opened.v1" in forged(other_cause).what
    assert "differ from what brought stage-entered.v1" in forged(other_due).what


def test_an_input_decided_twice_is_found() -> None:
    """Redelivery changes nothing, so nothing of it may stand in the log."""

    def change(records: list[e.LogRecord]) -> None:
        assert [type(record.event) for record in records[2:4]] == [e.ServerSighted] * 2
        records[3] = msgspec.structs.replace(records[3], cause=records[2].cause)

    assert "was decided before" in forged(change).what


def test_an_input_that_is_no_news_is_found() -> None:
    """What would not have been written must not stand there."""
    world = World()
    world.see()
    records = [record for record, _ in world.log]
    sighted = records[2]
    assert sighted.cause is not None
    again = msgspec.structs.replace(sighted, cause=msgspec.structs.replace(sighted.cause, offset=99))
    assert "is no news" in audited(chained([*records, again])).what


def test_a_consequence_that_poses_as_an_input_is_found() -> None:
    """Only what can be asked or seen begins a step."""

    def change(records: list[e.LogRecord]) -> None:
        cause = Origin(topic="requests", partition=0, offset=999)
        records.append(msgspec.structs.replace(records[place_of(e.NoticeDue)], cause=cause, due=None))
        records[-1] = msgspec.structs.replace(records[-1], at=records[-2].at, h=records[-2].h)

    assert "cannot be the first record of an input" in forged(change).what


def test_time_that_goes_back_is_found() -> None:
    """Neither at nor H goes back, and H is never above at."""

    def back(records: list[e.LogRecord]) -> None:
        records[4] = msgspec.structs.replace(records[4], at=START - DAY, h=START - DAY)

    def above(records: list[e.LogRecord]) -> None:
        records[4] = msgspec.structs.replace(records[4], h=records[4].at + DAY)

    assert "goes back" in forged(back).what
    assert "h lies after at" in forged(above).what


def test_a_hold_that_does_not_fit_is_found() -> None:
    """That H lagged is taken as given; how long the law stood still is not."""
    world = World()
    world.open_case()
    world.pass_time(3 * HOUR, watched=False)
    world.pass_time(HOUR)
    records = [record for record, _ in world.log]
    place = place_of(e.HoldEnded, world)
    longer = msgspec.structs.replace(records[place].event, held=DAY)
    records[place] = msgspec.structs.replace(records[place], event=longer)
    report = audited(chained(records))
    assert report.first_wrong_seq == place + 1
    assert "held of hold-ended.v1" in report.what


def test_a_checkpoint_in_the_wrong_place_and_a_missing_one_are_found() -> None:
    """Its place is a rule like any other."""
    records = [record for record, _ in whole_story().log]
    early = [
        *records[:3],
        msgspec.structs.replace(records[3], cause=None, due=None, event=_checkpoint_after(records[:3])),
    ]
    assert "no checkpoint was due here" in audited(chained(early)).what
    world = World()
    for number in range(CHECKPOINT_EVERY):
        world.see(name=f"host{number}.alt.example")
    records = [record for record, _ in world.log]
    records.pop(place_of(e.Checkpoint, world))
    assert "a checkpoint was due before this input" in audited(chained(records)).what


def _checkpoint_after(records: list[e.LogRecord]) -> e.Checkpoint:
    audit = Audit()
    for value in chained(records):
        audit.take(value)
    return e.Checkpoint(servers=len(audit.fold.servers), digest=audit.fold.digest())


def test_a_checkpoint_with_another_digest_is_found() -> None:
    """The state that the enforcer had is not the one that its log makes."""
    records = [record for record, _ in whole_story().log]
    place = place_of(e.Checkpoint, whole_story())
    other = e.Checkpoint(servers=len(whole_story().fold.servers), digest="0" * 32)
    records[place] = msgspec.structs.replace(records[place], event=other)
    report = audited(chained(records))
    assert report.first_wrong_seq == place + 1
    assert "another digest" in report.what


def test_facts_that_break_the_rules_end_in_a_report() -> None:
    """A date beyond the calendar is a finding, not a crash."""

    def change(records: list[e.LogRecord]) -> None:
        last = "9999-12-31T23:00:00Z"
        for place, record in enumerate(records[2:], start=2):
            far = msgspec.json.decode(f'"{last}"', type=type(START))
            records[place] = msgspec.structs.replace(record, at=far, h=far)
            if isinstance(record.event, e.ServerSighted):
                seen = msgspec.convert({**msgspec.structs.asdict(record.event.facts), "seen_at": far}, Facts)
                records[place] = msgspec.structs.replace(
                    records[place], event=msgspec.structs.replace(record.event, facts=seen, at_law=far)
                )

    assert not forged(change).ok


# --- epochs --------------------------------------------------------------------------------------------------------


def test_a_log_begins_with_its_rules_and_a_policy() -> None:
    """Anything else has no law to be decided by."""
    assert "a log begins with" in forged(lambda records: records.pop(1)).what
    assert "a log begins with" in forged(lambda records: records.pop(0)).what


def test_where_other_rules_decided_only_chain_and_state_are_checked() -> None:
    """An epoch of newer rules is not decided again, and the report says so; its damage is found all the same."""
    records = [record for record, _ in small_story().log]
    newer = msgspec.structs.replace(records[0], event=e.RulesAdopted(rules=RULES + 1, version="9.9"))
    place = place_of(e.StageEntered)
    stage = msgspec.structs.replace(records[place].event, throttle_minutes_per_hour=59)
    records[place] = msgspec.structs.replace(records[place], event=stage)
    digest = _checkpoint_after([newer, *records[1:]])
    last = msgspec.structs.replace(records[-1], event=digest, cause=None, due=None)
    stored = chained([newer, *records[1:], last])
    report = audited(stored)
    assert (report.ok, report.decided_again, report.checkpoints) == (True, 0, 1)
    assert report.other_rules == len(records) - 2
    assert [(epoch.rules, epoch.version, epoch.decided_again) for epoch in report.epochs] == [(RULES + 1, "9.9", False)]
    stored[4] = stored[4].replace(b"mx1", b"mx2")
    assert audited(stored).first_wrong_seq == 6


def test_rules_never_go_back() -> None:
    """An epoch begins with higher rules only."""
    world = small_story()
    again = msgspec.structs.replace(
        world.log[-1][0], cause=None, due=None, event=e.RulesAdopted(rules=RULES, version="x")
    )
    report = audited(chained([*(record for record, _ in world.log), again]))
    assert "rules only rise" in report.what


def test_the_audit_ends_at_the_state_of_the_enforcer() -> None:
    """Whoever goes on from an audit has the law as the enforcer had it."""
    world = small_story()
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    assert audit.fold.servers == world.fold.servers
    law, own = audit.fold.law, world.fold.law
    assert msgspec.structs.replace(own, h=law.h, at=law.at) == law
    assert isinstance(law, Law)
