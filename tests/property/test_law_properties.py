"""Properties of the law: cut anywhere, told twice, ticked for nothing, and the edge's row is the enforcer's row."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.enforcer.books import Books, policy_records, state_of
from services.enforcer.restore import StoredState
from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.evidence import Reading
from shared.domain.fold import Fold
from shared.domain.records import Decision, Row
from shared.domain.repeats import Repeats
from shared.domain.schedule import next_due
from shared.domain.state import Server, decision_of
from shared.domain.verdict import action_in, judge, row_at, window_start
from shared.domain.verify import Audit
from shared.messaging import topics as t
from tests.support.acts import ANY, IN_BRANCH, ask_any
from tests.support.scenario import (
    E2007,
    FLOOR_2016,
    START,
    World,
    policy_for,
    reading,
    refold,
    stored_servers,
    taken_over,
)

READINGS: tuple[Reading, ...] = (
    reading(),
    reading(build=FLOOR_2016),
    reading(build=Build(15, 1, 2507, 6), high=FLOOR_2016),
    reading(E2007, None),
)
NAMES = ("ex07.alt.example", "ex16.alt.example")

step = st.one_of(
    st.tuples(st.just("see"), st.sampled_from(READINGS), st.sampled_from(NAMES)),
    st.tuples(st.just("late"), st.sampled_from(READINGS), st.integers(1, 2000)),
    st.tuples(st.just("verified"), st.sampled_from(READINGS), st.sampled_from(NAMES)),
    st.tuples(st.just("terms"), st.booleans(), st.integers(0, 2400)),
    st.tuples(st.just("pass"), st.integers(1, 400), st.booleans()),
    st.tuples(st.just("settle"), st.sampled_from(["delivered", "failed", "lapsed"]), st.none()),
    st.tuples(st.just("freeze"), st.booleans(), st.none()),
    st.tuples(st.just("mode"), st.sampled_from(["observe", "enforce"]), st.none()),
    st.tuples(st.just("act"), st.sampled_from(ANY), st.integers(0, 1000)),
    st.tuples(st.just("branch"), st.sampled_from(READINGS), st.sampled_from(NAMES)),
)
Step = tuple[str, object, object]


def live(days: int, outcome: str, steps: Sequence[Step], *, world: World | None = None, first: int = 0) -> World:
    """A world in which a case is *days* old, its notices had this outcome, and then *steps* happened; or one that goes on."""
    if world is None:
        world = World()
        world.open_case()
        for _ in range(days):
            world.pass_time(timedelta(days=1), step=timedelta(days=1))
            world.settle(outcome)
            world.see()
    for number, one in enumerate(steps, start=first):
        happen(world, number, one)
    return world


def happen(world: World, number: int, one: Step) -> None:
    """One step."""
    kind, what, more = one
    if isinstance(what, Reading):
        see(world, kind, what, more)
    elif kind == "act":
        ask_any(world, str(what), int(str(more)))
    elif kind == "terms":
        notices = replace(world.fold.policy.notices, needed_for_blocking=what, hours_before_blocking=more)
        terms = policy_for(world.fold.policy.mode, world.fold.policy.version + 1, notices=notices)
        world.adopt(terms, f"request-{number}")
    elif kind == "pass":
        world.pass_time(timedelta(hours=int(str(what))), watched=bool(more))
    elif kind == "settle":
        world.settle(str(what))
    elif kind == "freeze":
        world.freeze(f"freeze-{number:04}", frozen=bool(what))
    else:
        world.adopt(policy_for(str(what), world.fold.policy.version + 1), f"request-{number}")


def see(world: World, kind: str, what: Reading, more: object) -> None:
    """A sighting: from the internet, late, with a verified name, or in a connector."""
    if kind == "late":
        world.see(what, seen_at=world.now - timedelta(hours=int(str(more))))
        return
    beside = {"verified": {"client_name": more, "client_resolve": "ok"}, "branch": IN_BRANCH}
    world.see(what, name=more, helo=more, **beside.get(kind, {}))


lives = st.builds(
    live,
    st.sampled_from([0, 29, 59, 62, 85]),  # random steps alone would hardly ever reach throttling or blocking
    st.sampled_from(["delivered", "failed"]),
    st.lists(step, min_size=1, max_size=40),
)
quick = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(lives, st.data())
def test_a_fold_cut_anywhere_is_the_whole(world: World, data: st.DataObject) -> None:
    """The first part's state, stored and taken up again, and the rest give the same as one go."""
    cut = data.draw(st.integers(2, len(world.log)))
    first = refold([stored for _, stored in world.log[:cut]], policy_for())
    second = Fold(first.policy, first.law)
    second.restore(stored_servers(first.servers), first.requests, taken_over(first.reprieves))
    for record, stored in world.log[cut:]:
        second.apply(record, stored)
    assert second.digest() == world.fold.digest()
    assert second.law.head == world.fold.law.head
    assert second.servers == world.fold.servers
    assert second.requests == world.fold.requests
    assert second.reprieves.digest() == world.fold.reprieves.digest()


@quick
@given(lives, st.data())
def test_what_was_worked_out_while_following_is_what_the_log_gives(world: World, data: st.DataObject) -> None:
    """The digests of both tables, and what falls due in which order; wherever in its topic the policy stood, and whatever was in force before."""
    told, followed = world.fold, StoredState()
    records = [state_of(server) for server in told.servers.values()]
    policies = [event.policy for event in world.events() if isinstance(event, e.PolicyAdopted)]
    for policy in (
        told.policy,
        *data.draw(st.lists(st.sampled_from(policies), max_size=1)),
    ):  # the last one inserted comes first
        where = data.draw(st.integers(0, len(records)))
        newest = next((at for at, record in enumerate(records) if record.key == t.KEY_POLICY), len(records))
        records.insert(min(where, newest), policy_records(Fold(policy))[1])
    for record in records:
        followed.note(record.key or b"", record.value)
        followed.servers.work_out(data.draw(st.integers(0, 1)))
    taken_up = Fold(told.policy, told.law)
    taken_up.restore(followed.servers, told.requests, taken_over(told.reprieves))
    books, anew = Books(), Books()
    books.heal_decisions(taken_up, {})
    anew.heal_decisions(refold([stored for _, stored in world.log], policy_for()), {})
    assert (taken_up.digest(), books.count, books.digest) == (told.digest(), anew.count, anew.digest)
    assert _dues(taken_up) == _dues(told) == sorted(_next_dues(told))


def _dues(fold: Fold) -> list[tuple[datetime, str]]:
    """What the fold holds to be due, in order; entries that are out of date left out."""
    live = {(slot.due, name) for name, slot in fold.servers.slots()}
    return sorted(set(fold._due) & live)


def _next_dues(fold: Fold) -> Iterator[tuple[datetime, str]]:
    for name, server in fold.servers.items():
        due = next_due(server, fold.policy)
        if due is not None:
            yield due, name


@quick
@given(lives)
def test_what_is_remembered_of_repeats_is_what_the_policy_in_force_says(world: World) -> None:
    """An adopted policy that leaves it as it was keeps it; any other has it worked out anew."""
    repeats, servers = Repeats(world.fold.policy), world.fold.servers
    for name, slot in servers.slots():
        assert slot.repeat in (None, repeats.of(servers[name]))


@quick
@given(lives)
def test_empty_ticks_change_nothing(world: World) -> None:
    """Ticking again at the same H writes nothing."""
    world.fold.tick(at=world.now, blind=world.fold.law.blind)  # what the last input made due at once
    assert world.fold.tick(at=world.now, blind=world.fold.law.blind) == []


@quick
@given(lives, st.sampled_from(READINGS))
def test_redelivery_changes_nothing(world: World, what: Reading) -> None:
    """The same sighting once more is no news, but for readings that only told of a change back."""
    world.see(what)
    world.log += world.fold.tick(at=world.now, blind=world.fold.law.blind)  # what the first one made due at once
    servers = dict(world.fold.servers)
    assert world.see(what) == []
    assert world.fold.servers == servers


@quick
@given(lives)
def test_the_edges_row_is_the_enforcers_row(world: World) -> None:
    """What an edge finds at h - held is the stage that the enforcer has entered."""
    law = world.fold.law
    for server in world.fold.servers.values():
        decision = decision_of(server)
        for schedule in decision.cases if decision else ():
            case = server.case_of(schedule.product)
            assert case is not None
            row = row_at(schedule, law.now)
            assert row in (case.rows[case.entered - 1], None)
            if row is None:
                assert case.rows[0].since > law.now  # opened by a sighting that H has not reached


@quick
@given(lives)
def test_nobody_is_blocked_without_thirty_days_of_throttling_and_a_delivered_notice(world: World) -> None:
    """Whatever happened: 30 counted days between the first throttle row and the first blocking row, and a delivery, or the policy's word."""
    policies = [event.policy for event in world.events() if isinstance(event, e.PolicyAdopted)]
    for server in world.fold.servers.values():
        for case in server.cases:
            blocking = [row for row in case.rows if row.block_minutes_per_hour]
            if blocking:
                assert case.delivered_law is not None or any(not p.notices.needed_for_blocking for p in policies)
                assert blocking[0].since - case.rows[1].since >= timedelta(days=30)


@quick
@given(lives)
def test_every_life_is_decided_again_from_its_log_alone(world: World) -> None:
    """Nothing was decided by what the log lacks."""
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    assert audit.report().what == ""


@quick
@given(lives)
def test_no_stage_is_jumped_and_no_row_begins_before_it_was_written(world: World) -> None:
    """Stages come one by one from the first on, and what is granted lies ahead: no policy, hold or late report dates it back."""
    fold = Fold(policy_for())
    for record, stored in world.log:
        fold.apply(record, stored)
        event = record.event
        if isinstance(event, e.BlockingGranted):
            case = fold.servers[event.server].case_of(event.product)
            assert case is not None
            assert record.due is not None or event.rows[0].since >= fold.law.now
            stages = [row.stage for row in case.rows]
            assert stages == list(range(1, len(stages) + 1))
            assert [row.since for row in case.rows] == sorted({row.since for row in case.rows})


@quick
@given(lives)
def test_a_message_that_proves_itself_patched_passes_in_every_world(world: World) -> None:
    """At every minute and every case."""
    decisions = [found for s in world.fold.servers.values() if (found := decision_of(s)) is not None]
    for build in (FLOOR_2016, Build(15, 1, 2507, 75), Build(15, 1, 9999, 0)):
        verdict = judge(reading(build=build), decisions, world.fold.policy, law_now=world.fold.law.now, now=world.now)
        assert verdict.action == "accept"


@quick
@given(lives)
def test_law_time_never_runs_back_and_seq_has_no_gap(world: World) -> None:
    """Each record's law time is at or after the one before it."""
    fold = Fold(policy_for())
    before = None
    for number, (record, stored) in enumerate(world.log, start=1):
        fold.apply(record, stored)
        assert record.seq == number
        assert before is None or fold.law.now >= before
        before = fold.law.now
        assert record.due is None or record.due <= record.at


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 60).flatmap(lambda block: st.tuples(st.just(block), st.integers(0, 60 - block))),
    st.integers(0, 59),
)
def test_minutes_of_an_hour_are_the_rows(minutes: tuple[int, int], start: int) -> None:
    """Exactly so many minutes blocked and throttled, wherever the window begins."""
    block, throttle = minutes
    row = Row(since=START, stage=5, throttle_minutes_per_hour=throttle, block_minutes_per_hour=block)
    found = Counter(action_in(row, start, minute) for minute in range(60))
    assert (found["reject"], found["defer"]) == (block, throttle)


def test_minutes_refused_per_hour_over_ten_thousand_servers_are_the_policys() -> None:
    """Every server has exactly its minutes, and the windows are spread evenly over the hour."""
    row = Row(since=START, stage=5, throttle_minutes_per_hour=30, block_minutes_per_hour=5)
    starts = [window_start("k7", f"ex{number}.alt.example@192.0.2.7", START) for number in range(10_000)]
    refused = Counter(minute for start in starts for minute in range(60) if action_in(row, start, minute) != "accept")
    assert sum(refused.values()) == 10_000 * 35
    assert max(refused.values()) < 1.1 * min(refused.values())


@quick
@given(lives)
def test_log_records_survive_the_wire(world: World) -> None:
    """decode(encode(record)) is the record, and state records likewise."""
    for record, stored in world.log:
        assert e.decode_log(stored) == record
    for server in world.fold.servers.values():
        from msgspec import json  # noqa: PLC0415  (only here)

        assert json.decode(json.encode(server), type=Server) == server
        decision = decision_of(server)
        if decision is not None:
            assert json.decode(json.encode(decision), type=Decision) == decision
