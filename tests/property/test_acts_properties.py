"""Properties of the acts: whatever is asked for in whatever order, nobody is worse off for help, and no clock runs while held."""

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain import events as e
from shared.domain.accounts import account_of, statement
from shared.domain.fold import Fold
from shared.domain.records import Row
from shared.domain.state import Case, Law, Server, decision_of
from shared.domain.verdict import row_at
from tests.property.test_law_properties import Step, happen, live, lives, quick, step
from tests.support.acts import HELPFUL, ask_any
from tests.support.scenario import World, policy_for

MONTH = timedelta(days=30)


def minutes(server: Server | None, product: str, law: Law) -> tuple[int, int]:
    """Block and throttle minutes of an hour that a case of *server* has in force; none where there is no case that binds."""
    decision = decision_of(server) if server else None
    found = next((case for case in decision.cases if case.product == product), None) if decision else None
    row = row_at(found, law.now) if found is not None and found.enforced else None
    return (row.block_minutes_per_hour, row.throttle_minutes_per_hour) if row else (0, 0)


@quick
@given(
    st.sampled_from([0, 29, 59, 62, 85]),
    st.lists(step, max_size=12),
    st.lists(st.tuples(st.sampled_from(HELPFUL), st.integers(0, 1000)), min_size=1, max_size=3),
    st.lists(step.filter(lambda one: one[0] != "act"), max_size=12),
)
def test_no_act_that_is_meant_to_help_makes_anything_harsher(
    days: int, before: list[Step], helps: list[tuple[str, int]], after: list[Step]
) -> None:
    """The same life with and without it: with it each case of each server is as mild or milder, at every step from then on."""
    plain, helped = live(days, "delivered", before), live(days, "delivered", before)
    for what, number in helps:
        ask_any(helped, what, number)
    for number, one in enumerate(after):
        for world in (plain, helped):
            happen(world, 1000 + number, one)
        for name, server in helped.fold.servers.items():
            for case in server.cases:
                with_help = minutes(server, case.product, helped.fold.law)
                assert with_help <= minutes(plain.fold.servers.get(name), case.product, plain.fold.law)


@quick
@given(lives)
def test_a_case_is_held_if_and_only_if_it_must_be(world: World) -> None:
    """For a pause while its account is paused; and whoever is held has one row, without minutes, and keeps his way."""
    fold = world.fold
    for server in fold.servers.values():
        for case in server.cases:
            paused = fold.reprieves.paused_until(account_of(fold.policy, server.server, server.connector))
            runs = case.enforced and case.released_at is None
            assert (case.held_for("pause") is not None) == (paused is not None and runs)
            assert (case.kept is not None) == (runs and bool(case.holds))
            if case.kept is not None:
                (row,) = case.rows
                assert (row.throttle_minutes_per_hour, row.block_minutes_per_hour) == (0, 0)
                assert (case.planned, case.blocking) == ((), ())
                assert case.kept.since <= row.since


@quick
@given(lives)
def test_no_account_ever_uses_more_days_than_the_quota(world: World) -> None:
    """At no record of the log, in no year."""
    fold = Fold(policy_for())
    for record, stored in world.log:
        fold.apply(record, stored)
        if isinstance(record.event, e.PauseBegan | e.PauseEnded):
            for name, account in fold.reprieves.accounts.items():
                shown = statement(account, name, 90, record.at.date())
                assert all(0 <= year.used <= 90 for year in shown.years)


@quick
@given(lives)
def test_whoever_is_blocked_was_throttled_for_thirty_days_in_which_its_clock_ran(world: World) -> None:
    """
    Counted by hand from the rows in force in each stretch of the log: time held, observed, exempt or frozen does not count.

    A case keeps its count wherever it moves, and a relapse goes on with that of the case before it.
    """
    fold, throttled = Fold(policy_for()), Counter[int]()
    left: dict[tuple[str, str], int] = {}
    for record, stored in world.log:
        before = None if fold.is_empty else fold.law.now
        standing = dict(fold.servers.items())
        fold.apply(record, stored)
        match record.event:
            case e.ClockStarted() as started:
                throttled.pop(number(fold, started), None)
            case e.CaseReleased() as released:
                left[released.server, released.product] = throttled[number(fold, released)]
            case e.CaseOpened(inherited=inherited) as opened if inherited:
                throttled[record.seq] = left[opened.server, opened.product]
            case _:
                pass
        if before is not None and fold.law.now > before:
            for server in standing.values():
                for one in server.cases:
                    count(throttled, one, before, fold.law.now)


def number(fold: Fold, event: e.ClockStarted | e.CaseReleased) -> int:
    """Of the case that *event* is about."""
    case = fold.servers[event.server].case_of(event.product)
    return case.opened_seq if case else 0


def count(throttled: Counter[int], case: Case, since: datetime, until: datetime) -> None:
    """Add the time of one stretch in which a throttling row was in force; a blocking one needs a month of that before it."""
    key = case.opened_seq
    rows: tuple[Row, ...] = () if case.released_at is not None or not case.enforced else case.rows
    for row, over in zip(rows, [*(later.since for later in rows[1:]), until], strict=bool(rows)):
        begin, end = max(row.since, since), min(over, until)
        if begin >= end:
            continue
        if row.block_minutes_per_hour:
            assert throttled[key] >= MONTH.total_seconds()
        elif row.throttle_minutes_per_hour:
            throttled[key] += int((end - begin).total_seconds())
