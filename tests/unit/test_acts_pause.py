"""Pauses and their account: whole UTC days of the calendar year, used once, given back, never more than the quota."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.accounts import Account, Pause, ended, is_old, lacking, paused, statement
from shared.domain.errors import InvariantError
from shared.domain.holds import clock_of
from shared.domain.policy import Connector, Pauses
from shared.domain.records import DisputeCase, Exemption, PauseAccount, ResolveCase, ResumeAccount, SetExemption
from shared.domain.reprieves import Reprieves
from tests.support.acts import BRANCH, DAY, IN_BRANCH, aged, outcome, reason
from tests.support.scenario import FLOOR_2016, PEER, SERVER, START, World, policy_for, reading

D = date(2026, 11, 24)


def used(world: World, account: str = "it") -> list[int]:
    """Days used of this year and the next."""
    shown = statement(world.fold.reprieves.accounts.get(account), account, 90, world.now.date())
    return [year.used for year in shown.years]


def test_a_pause_holds_the_enforced_cases_of_its_account_and_no_others() -> None:
    """All servers of the owner's connectors; the internet's servers are accounts of their own."""
    world = aged(35, **IN_BRANCH)
    world.open_case(name="ex2.alt.example", helo="ex2.alt.example", **IN_BRANCH)
    world.open_case()
    events = world.ask(PauseAccount, account="it", days=3)
    held = [event.server for event in events if isinstance(event, e.CaseHeld)]
    assert held == [BRANCH, "ex2.alt.example@branch"]
    assert world.case(SERVER).kept is None
    assert world.kinds(world.ask(PauseAccount, account=SERVER, days=1)) == ["RequestDecided", "PauseBegan", "CaseHeld"]


def test_a_pause_ends_at_the_midnight_after_its_last_day_and_the_clock_stood_until_then() -> None:
    """Asked for at 11:00 for two days: to the midnight after tomorrow, however far apart H was looked at."""
    world = aged(35, **IN_BRANCH)
    clock = clock_of(world.case(BRANCH), world.fold.law)
    world.ask(PauseAccount, account="it", days=2)
    first = world.case(BRANCH).rows[0].since
    assert [type(event) for event in world.pass_time(36 * timedelta(hours=1))] == []
    over = world.pass_time(timedelta(hours=3))
    assert world.kinds(over) == ["PauseEnded", "CaseWentOn"]
    midnight = datetime.combine(world.now.date(), datetime.min.time(), UTC)
    assert {record.due for record, _ in world.log[-2:]} == {midnight}
    assert clock_of(world.case(BRANCH), world.fold.law) == clock + (world.fold.law.now - midnight)
    assert world.case(BRANCH).rows[0].since == first - clock + (midnight - first)


def test_how_often_h_is_looked_at_changes_nothing_of_a_pauses_end() -> None:
    """In steps of an hour and in one of three days: the same schedule."""
    rows = []
    for step in (timedelta(hours=1), timedelta(days=3)):
        world = aged(35, **IN_BRANCH)
        world.ask(PauseAccount, account="it", days=2)
        world.pass_time(3 * DAY, step=step)
        rows.append(world.case(BRANCH).rows)
    assert rows[0] == rows[1]


@pytest.mark.parametrize("watched", [True, False])
def test_while_the_law_stands_still_a_pause_goes_on_and_its_case_is_not_older_for_it(watched: bool) -> None:
    """A freeze, or a time in which nobody looked, over the midnight of its end: it ends when that is over."""
    world = aged(10, **IN_BRANCH)
    clock = clock_of(world.case(BRANCH), world.fold.law)
    world.ask(PauseAccount, account="it", days=1)
    world.freeze("freeze-01", frozen=True)
    assert "PauseEnded" not in world.kinds(world.pass_time(3 * DAY, watched=watched))
    world.pass_time(timedelta(hours=1))
    world.freeze("freeze-02", frozen=False)
    assert clock_of(world.case(BRANCH), world.fold.law) == clock
    assert "PauseEnded" in world.kinds(world.pass_time(timedelta(minutes=1)))
    assert clock <= clock_of(world.case(BRANCH), world.fold.law) <= clock + timedelta(minutes=1)
    assert used(world) == [1, 0]


def test_a_case_that_opens_or_begins_to_be_enforced_while_its_account_is_paused_is_held_at_once() -> None:
    """And begins at day 0 when the pause is over."""
    world = World()
    world.see(**IN_BRANCH)
    world.ask(PauseAccount, account="it", days=2)
    world.pass_time(timedelta(hours=1))
    world.open_case(**IN_BRANCH)
    assert world.case(BRANCH).held_for("pause") is not None
    world.adopt(policy_for("observe", 2))
    world.adopt(policy_for("enforce", 3), "request-2")
    assert world.case(BRANCH).held_for("pause") is not None
    assert not [event for event in world.pass_time(DAY) if isinstance(event, e.NoticeDue)]
    world.pass_time(2 * DAY)
    assert [event.kind for event in world.events() if isinstance(event, e.NoticeDue)] == ["opening"]


def test_a_case_that_is_paused_and_disputed_goes_on_when_both_are_over() -> None:
    """Whichever ends first."""
    world = aged(35, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=5)
    world.ask_of_case(DisputeCase, BRANCH)
    assert "another reason" in reason(world.ask_of_case(ResolveCase, BRANCH, outcome="rejected"))
    assert world.case(BRANCH).kept is not None
    world.ask(ResumeAccount, account="it")
    assert world.case(BRANCH).kept is None


def test_an_early_end_gives_whole_days_back_and_today_is_used() -> None:
    """Asked for ten, resumed on the third: three are used."""
    world = aged(1, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=10)
    assert used(world) == [10, 0]
    world.pass_time(2 * DAY)
    assert "7 days came back" in reason(world.ask(ResumeAccount, account="it"))
    assert used(world) == [3, 0]
    world.ask(PauseAccount, account="it", days=1)
    world.ask(ResumeAccount, account="it")
    world.ask(PauseAccount, account="it", days=2)
    assert used(world) == [4, 0]


def test_pausing_and_resuming_all_day_long_uses_one_day_and_keeps_two_entries_at_most() -> None:
    """Nobody can fill the state with it."""
    world = aged(1, **IN_BRANCH)
    for _ in range(10):
        assert outcome(world.ask(PauseAccount, account="it", days=1)) == "done"
        assert outcome(world.ask(ResumeAccount, account="it")) == "done"
    assert (used(world), len(world.fold.reprieves.accounts["it"].pauses)) == ([1, 0], 1)


def test_the_quota_is_refused_beyond_its_last_day_with_what_is_left() -> None:
    """And nothing of it happens."""
    world = aged(1, policy=policy_for(pauses=Pauses(days_per_year=5)), **IN_BRANCH)
    assert outcome(world.ask(PauseAccount, account="it", days=6)) == "refused"
    assert outcome(world.ask(PauseAccount, account="it", days=5)) == "done"
    world.pass_time(6 * DAY)
    answer = world.ask(PauseAccount, account="it", days=1)
    assert (outcome(answer), reason(answer)) == ("refused", "of 2026 0 of 5 days are left, and 1 are asked for")
    assert world.case(BRANCH).kept is None


def test_a_pause_over_new_year_uses_days_of_both_years() -> None:
    """And is refused where one of them has too few."""
    world = World(policy_for(pauses=Pauses(days_per_year=20)), at=datetime(2026, 12, 20, 8, tzinfo=UTC))
    world.open_case(**IN_BRANCH)
    assert "of 2027 20 of 20 days are left, and 21" in reason(world.ask(PauseAccount, account="it", days=33))
    assert outcome(world.ask(PauseAccount, account="it", days=17)) == "done"
    assert used(world) == [12, 5]
    world.pass_time(17 * DAY)
    assert outcome(world.ask(PauseAccount, account="it", days=16)) == "refused"
    assert outcome(world.ask(PauseAccount, account="it", days=15)) == "done"


def test_a_lowered_quota_takes_nothing_back_and_grants_nothing_more() -> None:
    """What is used stays used."""
    account = paused(None, "it", Pause(first=D, last=D + 9 * DAY))
    assert lacking(account, D + 10 * DAY, D + 10 * DAY, 5) == "of 2026 0 of 5 days are left, and 1 are asked for"
    assert [year.left for year in statement(account, "it", 5, D).years] == [0, 5]


def test_who_pauses_twice_is_told_until_when_the_first_lasts() -> None:
    """And resuming what is not paused has no effect."""
    world = aged(1, **IN_BRANCH)
    assert outcome(world.ask(ResumeAccount, account="it")) == "no effect"
    world.ask(PauseAccount, account="it", days=2)
    assert "to the end of 2026-11-26" in reason(world.ask(PauseAccount, account="it", days=2))


@pytest.mark.parametrize(
    ("account", "told"),
    [("nobody", "no server has that id"), (BRANCH, "the account is it"), ("postmaster", "no server has that id")],
)
def test_an_account_that_is_none_is_refused_with_the_reason(account: str, told: str) -> None:
    """An unknown one, a server's of a connector with an owner, the internet's owner."""
    assert told in reason(aged(1, **IN_BRANCH).ask(PauseAccount, account=account, days=1))


def test_an_account_whose_connector_gets_another_owner_is_paused_no_longer_there() -> None:
    """Cases follow the account that the policy in force gives them, and none stays held for ever."""
    world = aged(35, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=30)
    internet, branch = world.fold.policy.connectors
    moved: Connector = type(branch)(**{f: getattr(branch, f) for f in branch.__struct_fields__} | {"owner": "hq"})
    assert world.kinds(world.adopt(policy_for(version=2, connectors=(internet, moved)))) == [
        "PolicyAdopted",
        "CaseWentOn",
    ]
    assert world.kinds(world.ask(PauseAccount, account="hq", days=2))[-1] == "CaseHeld"
    assert world.kinds(world.ask(ResumeAccount, account="it")) == ["RequestDecided", "PauseEnded"]
    assert world.case(BRANCH).held_for("pause") is not None


def test_a_second_pause_of_one_day_is_allowed_though_the_quota_shrank_meanwhile() -> None:
    """It asks for no day that is not used already."""
    world = aged(1, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=1)
    world.ask(ResumeAccount, account="it")
    world.adopt(policy_for(version=2, pauses=Pauses(days_per_year=0)))
    assert outcome(world.ask(PauseAccount, account="it", days=1)) == "done"
    world.ask(ResumeAccount, account="it")
    assert "2 are asked for" not in reason(world.ask(PauseAccount, account="it", days=2))
    assert used(world) == [1, 0]


def test_a_pause_begins_no_clock_and_neither_does_its_end() -> None:
    """A case of a peer that is exempt no more begins when it is seen next, and no sooner because its owner asks for time."""
    world = aged(35)
    world.ask(SetExemption, kind="peer", target=PEER, owner="ops", until=world.now + 10 * DAY)
    world.pass_time(DAY)
    world.see()
    world.ask(SetExemption, kind="peer", target=PEER, owner="ops", until=None)
    assert not world.case().enforced
    assert world.kinds(world.ask(PauseAccount, account=SERVER, days=2)) == ["RequestDecided", "PauseBegan"]
    world.pass_time(3 * DAY)
    assert not world.case().enforced
    world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=world.now + DAY)
    assert not world.case().enforced
    world.ask(PauseAccount, account=SERVER, days=2)
    world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=None)
    assert [hold.reason for hold in world.case().holds] == ["pause"]


def test_a_case_that_a_policy_holds_is_not_granted_blocking_by_it() -> None:
    """The policy gives its connector to an owner who has paused, and asks for no notice any more."""
    world = aged(70, told="failed", **IN_BRANCH)
    internet, branch = world.fold.policy.connectors
    other = Connector(name="plant", kind="on-premises", owner="hq", ranges=("203.0.113.0/24",), mode="enforce")
    world.adopt(policy_for(version=2, connectors=(internet, branch, other)))
    world.ask(PauseAccount, account="hq", days=30)
    to_hq = msgspec.structs.replace(branch, owner="hq")
    asks_less = msgspec.structs.replace(world.fold.policy.notices, needed_for_blocking=False)
    policy = policy_for(version=3, connectors=(internet, to_hq, other), notices=asks_less)
    assert world.kinds(world.adopt(policy, "asks-less")) == ["PolicyAdopted", "CaseHeld"]
    assert all(not row.block_minutes_per_hour for row in world.case(BRANCH).rows)


def test_a_cure_in_a_pause_releases_at_once() -> None:
    """A paused case is as free to end as any."""
    world = aged(35, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=5)
    world.see(reading(build=FLOOR_2016), **IN_BRANCH)
    assert world.case(BRANCH).released_at == world.now
    assert world.kinds(world.ask(ResumeAccount, account="it")) == ["RequestDecided", "PauseEnded"]


def test_accounts_of_the_year_before_last_are_forgotten_at_the_next_pause() -> None:
    """The state is bounded by who pauses in two years."""
    world = World()
    world.open_case()
    world.open_case(**IN_BRANCH)
    world.ask(PauseAccount, account=SERVER, days=1)
    world.pass_time(800 * DAY, step=30 * DAY)
    assert set(world.fold.reprieves.accounts) == {SERVER}
    world.ask(PauseAccount, account="it", days=1)
    assert set(world.fold.reprieves.accounts) == {"it"}
    assert SERVER in world.fold.reprieves.changed
    assert not is_old(Account(account="x", pauses=(Pause(first=D, last=D),)), 2027)
    assert not is_old(Account(account="x", pauses=(Pause(first=D, last=D),), running=True), 2030)


def test_a_pause_of_the_year_before_last_is_left_out_at_the_next() -> None:
    """That of last year is kept: the statement shows two years."""
    first = ended(paused(None, "it", Pause(first=D, last=D)), D)
    second = ended(paused(first, "it", Pause(first=D + 365 * DAY, last=D + 365 * DAY)), D + 365 * DAY)
    third = paused(second, "it", Pause(first=D + 730 * DAY, last=D + 730 * DAY))
    assert [[one.first.year for one in account.pauses] for account in (second, third)] == [[2026, 2027], [2027, 2028]]


def test_days_that_an_earlier_year_used_above_todays_quota_refuse_nothing_this_year() -> None:
    """A quota that was lowered counts from then on."""
    used = ended(paused(None, "it", Pause(first=D, last=D + 20 * DAY)), D + 20 * DAY)
    next_year = D + 60 * DAY
    assert lacking(used, next_year, next_year + DAY, 10) == ""
    assert lacking(used, next_year, next_year + 10 * DAY, 10) == "of 2027 10 of 10 days are left, and 11 are asked for"


def test_forgotten_accounts_are_told_by_name() -> None:
    """Their record in the state is deleted by it."""
    world = World()
    world.open_case()
    world.open_case(**IN_BRANCH)
    world.ask(PauseAccount, account=SERVER, days=1)
    world.pass_time(800 * DAY, step=30 * DAY)
    world.fold.reprieves.take_changed()
    world.ask(PauseAccount, account="it", days=1)
    assert world.fold.reprieves.take_changed() == sorted(["it", SERVER])


def test_exemptions_of_one_target_that_differ_have_different_digests() -> None:
    """Until when, and who answers, are part of the state that checkpoints vouch for."""
    until = datetime(2027, 1, 1, tzinfo=UTC)
    one = Exemption(kind="peer", target="192.0.2.7", owner="ops", until=until)
    longer, other = msgspec.structs.replace(one, until=until + DAY), msgspec.structs.replace(one, owner="ben")
    assert len({Reprieves(exemptions=(each,)).digest() for each in (one, longer, other)}) == 3


def test_the_statement_shows_each_pause_what_came_back_and_what_is_left() -> None:
    """As an account statement does."""
    account = ended(paused(None, "it", Pause(first=D, last=D + 9 * DAY)), D + 2 * DAY)
    account = paused(account, "it", Pause(first=D + 30 * DAY, last=D + 40 * DAY))
    shown = statement(account, "it", 90, D)
    assert [(one.days, one.came_back, one.running) for one in shown.pauses] == [(3, 7, False), (11, 0, True)]
    assert [(year.year, year.used, year.left) for year in shown.years] == [(2026, 11, 79), (2027, 3, 87)]
    assert shown.paused_until == datetime(2027, 1, 4, tzinfo=UTC)
    assert statement(None, "it", 90, D).years[0].left == 90


def test_an_end_of_what_never_began_is_a_broken_log() -> None:
    """Evolve takes no nonsense."""
    for event in (e.PauseEnded(account="it", used_to=D), e.ExemptionEnded(kind="peer", target="192.0.2.7")):
        with pytest.raises(InvariantError):
            Reprieves().apply(event)


def test_a_log_without_pauses_has_the_checkpoints_of_before() -> None:
    """The digest of nothing is nothing."""
    assert (Reprieves().digest(), START.year) == ("", 2026)
