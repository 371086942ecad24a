"""The explanation of a server at each point of its way, and that it says what really happens next."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.catalogue import load_catalogue
from shared.domain.evidence import Reading
from shared.domain.explain import explain, next_step_at, plain, server_state, step_in_words
from shared.domain.explanation import REASON_MEANS, CaseShown, Explanation
from shared.domain.state import decision_of
from shared.domain.verdict import judge, window_start
from tests.support.scenario import E2007, E2016, FLOOR_2016, SERVER, START, World, policy_for, reading

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
CATALOGUE = load_catalogue()


def explained(world: World, *, server: str = SERVER, now: datetime | None = None) -> Explanation:
    """The explanation of one server as things stand in *world*."""
    fold = world.fold
    return explain(fold.servers[server], fold.law, fold.policy, CATALOGUE, now=now or world.now)


def the_case(world: World) -> CaseShown:
    """Its only case."""
    (case,) = explained(world).cases
    return case


def aged(days: int, *, settle: bool = True, what: Reading | None = None, world: World | None = None) -> World:
    """A world whose server has a case that is *days* old, seen daily; settle: its notices are delivered."""
    world = world or World()
    world.open_case(what)
    for _ in range(days):
        world.pass_time(DAY)
        world.see(what)
        if settle:
            world.settle()
    return world


# --- stages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "state", "stage", "minutes", "next_stage"),
    [
        (0, "reported", 1, (0, 0), 2),
        (29, "reported", 1, (0, 0), 2),
        (30, "throttled", 2, (5, 0), 3),
        (40, "throttled", 3, (10, 0), 4),
        (50, "throttled", 4, (20, 0), 5),
        (60, "blocked-partly", 5, (30, 5), 6),
        (70, "blocked-partly", 6, (0, 10), 7),
        (80, "blocked-partly", 7, (0, 20), 8),
        (90, "blocked", 8, (0, 60), None),
    ],
)
def test_each_stage_is_told_with_its_minutes_and_what_follows(
    days: int, state: str, stage: int, minutes: tuple[int, int], next_stage: int | None
) -> None:
    """State, stage, minutes of the row in force, and the next row, on each step of the table."""
    case = the_case(aged(days))
    assert (case.state, case.stage, case.stages) == (state, stage, 8)
    assert case.row is not None
    assert (case.row.throttle_minutes_per_hour, case.row.block_minutes_per_hour) == minutes
    assert (case.next_row.stage if case.next_row else None) == next_stage
    assert [row.stage for row in case.rows if row.in_force] == [stage]
    assert [row.stage for row in case.rows if row.begun] == list(range(1, stage + 1))


def test_dates_follow_from_the_opening() -> None:
    """Without holds each row comes its number of days after the opening, and all is exact."""
    case = the_case(aged(35))
    assert [row.since - case.opened_at for row in case.rows] == [d * DAY for d in (0, 30, 40, 50, 60, 70, 80, 90)]
    assert all(row.exact for row in case.rows)


def test_a_hold_moves_what_is_to_come_and_marks_what_is_past() -> None:
    """Dates to come move by the hold; those past are told as reckoned, not as exact."""
    world = aged(35)
    before = the_case(world)
    world.freeze("freeze-0001", frozen=True)
    world.pass_time(2 * DAY)
    frozen = the_case(world)
    world.freeze("freeze-0002", frozen=False)
    after = the_case(world)
    assert [row.since for row in frozen.rows] == [row.since + 2 * DAY for row in before.rows]
    assert [row.since for row in after.rows] == [row.since for row in frozen.rows]
    assert [row.exact for row in after.rows] == [False, False, True, True, True, True, True, True]


def test_while_the_law_stands_still_no_stage_comes() -> None:
    """The row in force is the one at law time: three days of freeze before day 30 bring no throttling."""
    world = aged(29)
    world.freeze("freeze-0001", frozen=True)
    world.pass_time(3 * DAY)
    case = the_case(world)
    assert (case.state, case.stage) == ("reported", 1)
    assert case.next_row is not None
    assert case.next_row.since == case.opened_at + 33 * DAY


@pytest.mark.parametrize("days", [0, 20, 25, 31, 45, 52, 58, 61, 71, 90])
def test_the_next_step_is_what_then_happens(days: int) -> None:
    """Letting time pass to the next step writes that very event, and none before."""
    world = aged(days)
    step = explained(world).next_step
    assert step is not None
    mark = len(world.log)
    world.pass_time(step.at - world.now - timedelta(seconds=1), step=DAY)
    assert world.events(mark) == []
    (event, *_) = world.pass_time(timedelta(seconds=1))
    assert event.__struct_config__.tag == step.event


# --- verdict and window --------------------------------------------------------------------------------------------


WORLDS = {days: aged(days) for days in (31, 61, 85, 91)}


@given(days=st.sampled_from(sorted(WORLDS)), minutes=st.integers(0, 60 * 24 * 3))
def test_verdict_and_window_are_the_edges_own(days: int, minutes: int) -> None:
    """In every minute the explained verdict is the edge's, and the window holds that minute with that action."""
    world = WORLDS[days]
    fold, now = world.fold, world.now + timedelta(minutes=minutes)
    server = fold.servers[SERVER]
    decision = decision_of(server)
    assert decision is not None
    edge = judge(server.reading, [decision], fold.policy, law_now=fold.law.now, now=now)
    x = explained(world, now=now)
    assert (x.verdict.action, x.verdict.why) == (edge.action, edge.why)
    assert x.verdict.reply == (edge.reply.line if edge.reply else "")
    window = x.cases[0].window
    assert window is not None
    assert window.start_minute == window_start(fold.policy.salt, SERVER, now)
    holding = [span.action for span in window.spans if span.from_minute <= now.minute < span.until_minute]
    assert holding == ([] if edge.action == "accept" else [edge.action])


def test_a_window_that_wraps_stays_inside_its_hour() -> None:
    """The minutes that run over the end of the hour are its first ones, and their sum is the row's."""
    world = WORLDS[61]
    windows = [explained(world, now=world.now + hour * HOUR).cases[0].window for hour in range(48)]
    wrapped = [window for window in windows if window is not None and len(window.spans) == 3]
    assert wrapped
    for window in (window for window in windows if window is not None):
        lengths = {"defer": 0, "reject": 0}
        for span in window.spans:
            assert 0 <= span.from_minute < span.until_minute <= 60
            lengths[span.action] += span.until_minute - span.from_minute
        assert lengths == {"defer": 30, "reject": 5}


def test_a_freeze_lets_everything_pass_and_says_so() -> None:
    """While frozen, the verdict is accept also where the row blocks every minute."""
    world = aged(91)
    assert explained(world).verdict.action == "reject"
    world.freeze("freeze-0001", frozen=True)
    x = explained(world)
    assert (x.verdict.action, x.verdict.reply, x.law.standing_still) == ("accept", "", "freeze")
    assert any("frozen" in line for line in plain(x))


def test_the_mildest_case_of_all_ids_holds() -> None:
    """A message that matches a second id, whose case is at day 0, is judged by that one."""
    world = aged(91)
    fold, old = world.fold, world.fold.servers[SERVER]
    alone = explain(old, fold.law, fold.policy, CATALOGUE, now=world.now)
    reported = msgspec.structs.replace(old.cases[0], rows=old.cases[0].rows[:1])
    beside = msgspec.structs.replace(old, server="ex07.alt.example", cases=(reported,))
    together = explain(old, fold.law, fold.policy, CATALOGUE, now=world.now, beside=[beside])
    assert (alone.verdict.action, together.verdict.action) == ("reject", "accept")


def test_the_state_of_a_server_is_its_mildest_case() -> None:
    """One case blocked, one just opened: what holds is the milder."""
    world = aged(91)
    fold, old = world.fold, world.fold.servers[SERVER]
    young = msgspec.structs.replace(old.cases[0], product=E2007, rows=old.cases[0].rows[:1])
    both = msgspec.structs.replace(old, cases=(*old.cases, young))
    assert (server_state(old, fold.law), server_state(both, fold.law)) == ("blocked", "reported")


# --- blocking waits ------------------------------------------------------------------------------------------------


def test_without_a_delivered_notice_blocking_waits_and_says_for_what() -> None:
    """The throttle row goes on; blocking rows come not before a day after a notice that would be delivered now."""
    world = aged(70, settle=False)
    case = the_case(world)
    assert (case.state, case.stage) == ("throttled", 4)
    assert "a delivered notice" in case.blocking_waits_for
    waiting = [row for row in case.rows if not row.granted]
    assert [row.stage for row in waiting] == [5, 6, 7, 8]
    assert waiting[0].since == world.now + DAY
    assert case.notices.delivered_at is None
    assert [notice.pending for notice in case.notices.open].count(True) == case.notices.fell_due
    assert any("not before" in line for line in plain(explained(world)))


def test_a_notice_that_was_delivered_in_time_moves_nothing() -> None:
    """Half a day before blocking: it begins on its day, though a notice delivered only now would be too late for that."""
    world = aged(59)
    world.pass_time(DAY / 2)
    case = the_case(world)
    assert next(row.since for row in case.rows if not row.granted) == case.opened_at + 60 * DAY


def test_the_earliest_blocking_is_when_it_comes() -> None:
    """A notice delivered at that moment brings blocking at the very instant that was told as the earliest."""
    world = aged(70, settle=False)
    told = next(row.since for row in the_case(world).rows if not row.granted)
    world.settle()
    assert the_case(world).blocking_waits_for == "its day"
    world.pass_time(told - world.now)
    case = the_case(world)
    assert (case.state, case.stage) == ("blocked-partly", 5)
    assert case.row is not None
    assert case.row.since == told


def test_a_policy_that_needs_no_notice_only_waits_for_the_day() -> None:
    """Without that need nothing is waited for but the date."""
    notices = msgspec.structs.replace(policy_for().notices, needed_for_blocking=False)
    case = the_case(aged(45, settle=False, world=World(policy_for(notices=notices))))
    assert case.blocking_waits_for == "its day"
    assert [row.since - case.opened_at for row in case.rows if not row.granted][0] == 60 * DAY  # noqa: RUF015  (the list reads as the table does)


# --- other states --------------------------------------------------------------------------------------------------


def test_in_observe_a_case_stands_at_day_0() -> None:
    """Observed: no window, no minutes, nothing to come but the expiry."""
    world = aged(45, world=World(policy_for("observe")))
    x = explained(world)
    (case,) = x.cases
    assert (x.state, case.state, case.enforced, case.window, case.next_row) == (
        "observed",
        "observed",
        False,
        None,
        None,
    )
    assert (x.verdict.action, x.verdict.why) == ("accept", "observed only")
    assert x.next_step is not None
    assert x.next_step.at == case.expires_at


def test_a_released_case_tells_when_it_ends() -> None:
    """Released: no row is in force any more, and the case ends a day later."""
    world = aged(91)
    world.see(reading(build=FLOOR_2016))
    x = explained(world)
    (case,) = x.cases
    assert (x.state, case.state, case.row, case.window, case.next_row) == ("released", "released", None, None, None)
    assert (case.released_at, case.ends_at, case.expires_at) == (world.now, world.now + DAY, None)
    assert x.verdict.action == "accept"
    assert x.next_step is not None
    assert (x.next_step.event, x.next_step.at) == ("case-ended.v1", case.ends_at)
    assert any(line.startswith("Released") for line in plain(x))


def test_readings_are_counted_before_a_case_opens() -> None:
    """Two of three hours: which product, how many, and the records that say so."""
    world = World()
    world.see()
    world.pass_time(HOUR)
    world.see()
    x = explained(world)
    (count,) = x.counting
    assert (x.state, count.product, count.hours, count.needed, len(count.seqs)) == ("counting", E2016, 2, 3, 2)
    assert x.next_step is None
    assert any("2 of 3 distinct hours" in line for line in plain(x))


def test_a_patched_server_has_no_case_and_is_told_so() -> None:
    """Exchange SE, nothing missing on that day: no case, no evidence, and no word of holes or of an end of support."""
    world = World()
    world.see(reading("Microsoft Exchange SE", Build(99, 0, 0, 1)))
    x = explained(world)
    assert (x.state, x.cases, x.evidence, x.counting) == ("no-case", (), None, ())
    text = " ".join(plain(x))
    assert "nothing is held against it" in text
    assert "holes" not in text
    assert "ended on" not in text


def test_before_its_first_row_a_case_does_nothing() -> None:
    """Opened by a message seen after H: law time has not reached day 0 yet, so no row is in force."""
    world = World()
    for _ in range(2):
        world.see()
        world.pass_time(HOUR)
    world.now += timedelta(minutes=10)  # H stays behind
    world.see()
    x = explained(world)
    (case,) = x.cases
    assert (case.state, case.stage, case.row) == ("reported", 0, None)
    assert case.next_row is not None
    assert (case.next_row.stage, case.next_row.since) == (1, world.now)
    assert any(line.startswith("Next: stage 1") for line in plain(x))


def test_a_server_without_a_connector_and_without_a_line_is_told_so() -> None:
    """No range, no internet connector, nothing kept of the line: said in words, not left out."""
    world = World(policy_for(connectors=()))
    world.open_case(own_lines=())
    lines = plain(explained(world))
    assert any("(no connector)" in line for line in lines)
    assert "    (no line was kept)" in lines


def test_when_the_next_step_comes_is_none_where_nothing_falls_due() -> None:
    """The list's date is the explanation's."""
    world = aged(20)
    server, law, policy = world.fold.servers[SERVER], world.fold.law, world.fold.policy
    step = explained(world).next_step
    assert step is not None
    assert next_step_at(server, law, policy) == step.at
    assert next_step_at(msgspec.structs.replace(server, cases=()), law, policy) is None


def test_a_step_without_words_is_told_by_its_tag() -> None:
    """A check that cannot fail today: `decide` lets no other events fall due."""
    assert step_in_words(e.Checkpoint(servers=1, digest="")) == "checkpoint.v1"


# --- why and what to do --------------------------------------------------------------------------------------------


def test_the_evidence_is_named_with_its_record() -> None:
    """The newest line below the floor: the line, when, which edge, and a record of the log that is that sighting."""
    world = aged(3)
    evidence = explained(world).evidence
    assert evidence is not None
    record, _ = world.log[evidence.seq - 1]
    assert record.event.__struct_config__.tag == "server-sighted.v1"
    assert (evidence.seen_at, evidence.edge) == (world.now, "mx1")
    assert "15.1.2507.39" in evidence.line
    case = the_case(world)
    assert [world.log[seq - 1][0].event.__struct_config__.tag for seq in case.evidence_seqs] == [
        "server-sighted.v1"
    ] * 3
    assert world.log[case.opened_seq - 1][0].event.__struct_config__.tag == "case-opened.v1"


def test_a_floor_of_builds_is_met_by_a_patch() -> None:
    """Below a build: the remedy names that build and the newest public one."""
    case = the_case(aged(0))
    assert case.floor.builds == ("15.1.2507.61",)
    assert case.patch_exists
    assert "15.1.2507.61 or newer" in case.remedy
    assert any("ExSetup.exe" in line for line in plain(explained(aged(0))))


def test_a_branch_of_its_own_is_met_by_its_own_build() -> None:
    """Exchange 2019 CU14 is told the build of CU14, not that of CU15."""
    old = reading("Microsoft Exchange 2019", Build(15, 2, 1544, 4))
    assert "build 15.2.1544.36 or newer" in the_case(aged(0, what=old)).remedy


@pytest.mark.parametrize(
    ("product", "build", "told"),
    [
        (E2007, Build(8, 3, 83, 6), "It lacks 25 update rollups for sure; 3 known holes are open, "),
        (E2016, Build(15, 1, 2507, 39), "It lacks 11 security updates for sure; 40 known holes are open, "),
    ],
)
def test_what_is_lacked_is_called_what_it_is(product: str, build: Build, told: str) -> None:
    """Rollups bring all kinds of fixes: of the 25 no list says which brought any for security."""
    world = World()
    world.see(reading(product, build))
    assert told in " ".join(plain(explained(world, now=datetime(2026, 11, 24, tzinfo=UTC))))


def test_a_floor_of_a_whole_product_means_another_server() -> None:
    """Exchange 2007: no build shown, none acceptable, no patch to install."""
    bare = Reading(product=E2007, shown=None, low=None, high=None, form="mapi", reason="no-build-shown")
    x = explained(aged(0, what=bare))
    (case,) = x.cases
    assert (case.floor.whole_product, case.floor.builds, case.patch_exists) == (True, (), False)
    assert "replace the server" in case.remedy
    assert (x.reading.shown, x.reading.because) == ("", REASON_MEANS["no-build-shown"])
    assert not any("How to check" in line for line in plain(x))


def test_a_range_is_told_with_its_reason() -> None:
    """A line that lags: from which build to which, and why."""
    lagging = Reading(
        product=E2016,
        shown=Build(15, 1, 2308, 8),
        low=Build(15, 1, 2308, 8),
        high=Build(15, 1, 2308, 27),
        form="smtp",
        reason="smtp-lags-cu",
    )
    lines = plain(explained(aged(0, what=lagging)))
    assert any("from 15.1.2308.8 to 15.1.2308.27" in line and "lag behind" in line for line in lines)


def test_an_unknown_reason_code_points_to_the_docs() -> None:
    """A code that a newer detector brings is no error."""
    strange = msgspec.structs.replace(reading(), reason="from-the-future")
    assert "documentation" in explained(aged(0, what=strange)).reading.because


def test_an_explanation_is_json_and_comes_back() -> None:
    """What the API sends is read back as the same."""
    for world in (aged(61), aged(70, settle=False), world_of_one()):
        x = explained(world)
        assert msgspec.json.decode(msgspec.json.encode(x), type=Explanation) == x


def world_of_one() -> World:
    """One sighting, no case."""
    world = World(at=START)
    world.see()
    return world
