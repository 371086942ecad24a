"""A made-up year: the same for the same seed, by the real rules, and told so that nobody is misled."""

from datetime import date
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from services.cli.simulate import simulated
from services.cli.simulate_text import total
from shared.domain import events as e
from shared.domain import simulate
from shared.domain.build import Build
from shared.domain.floors import FloorWave
from shared.domain.fold import Written
from shared.domain.policy import Caps, Connector, Policy, Stage, parse_policy, shipped_policy_text
from shared.domain.population import HABITS, first_day, population
from shared.domain.simulate import Simulated, Simulation, Tally, _Life, everybody_enforced
from shared.domain.verify import Audit
from tests.support.scenario import E2016, policy_for

BEGIN = date(2027, 1, 4)


def shipped() -> Policy:
    """The policy that ships, with everybody enforced."""
    return everybody_enforced(parse_policy(shipped_policy_text()))


def stages(*rows: tuple[int, int, int]) -> tuple[Stage, ...]:
    """Day, minutes deferred, minutes refused."""
    return tuple(
        Stage(from_day=day, throttle_minutes_per_hour=throttle, block_minutes_per_hour=block)
        for day, throttle, block in rows
    )


def year(policy: Policy, *, servers: int = 150, days: int = 120, seed: int = 1) -> Simulated:
    """A small one."""
    return simulated(policy, seed=seed, servers=servers, days=days)


@cache
def usual() -> Simulated:
    """Of the policy that ships."""
    return year(shipped())


def whole(found: Simulated) -> Tally:
    """All days and groups together."""
    return total(tally for day in found.days for tally in day.groups.values())


# --- the population --------------------------------------------------------------------------------------------------


def test_the_shares_of_the_habits_are_a_hundred_and_the_population_has_them() -> None:
    """To some points in a hundred."""
    assert sum(habit.share for habit in HABITS) == 100
    senders = list(population(shipped(), seed=1, servers=4000, begin=BEGIN))
    for habit in HABITS:
        share = 100 * sum(one.habit is habit for one in senders) / len(senders)
        assert abs(share - habit.share) < 3


def test_outdated_servers_are_below_the_floor_and_become_acceptable() -> None:
    """By the policy's own floors of the first day; who is current was never below."""
    policy = shipped()
    for one in population(policy, seed=1, servers=300, begin=BEGIN):
        old, new = (policy.floor_for(what.product, BEGIN) for what in (one.old, one.new))
        assert new is not None
        assert new.standing(one.new).value == "at or above"
        if one.habit.outdated:
            assert old is not None
            assert old.standing(one.old).value == "below"
            assert (one.old.product != one.new.product) or not one.habit.replaces
        else:
            assert one.old is one.new


def test_half_of_the_servers_belong_to_the_policys_connectors() -> None:
    """By address or TLS name, as far as a connector names somebody; the rest is tied by DNS or by HELO."""
    connectors = (
        Connector(name="net", kind="internet", owner="a", mode="enforce"),
        Connector(name="v4", kind="on-premises", owner="a", ranges=("192.0.2.0/30",), mode="enforce"),
        Connector(name="v6", kind="on-premises", owner="a", ranges=("2001:db8::/48",), mode="enforce"),
        Connector(name="tls", kind="partner", owner="a", tls_names=("mx.partner.example",), mode="enforce"),
    )
    policy = policy_for(connectors=connectors)
    one = Simulation(policy, seed=1, servers=400, begin=BEGIN)
    ids = [life.server or "" for life in one._lives]
    for name in ("v4", "v6", "tls"):
        assert sum(server.endswith(f"@{name}") for server in ids) > 40
    assert sum("@" not in server for server in ids) > 60
    assert sum("@198." in server for server in ids) > 60
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "floors",
    [
        (),
        (FloorWave(product=E2016, effective=date(2026, 1, 1), source="test"),),
        (FloorWave(product=E2016, effective=date(2026, 1, 1), builds=(Build(15, 1, 2507, 0),), source="test"),),
    ],
)
def test_a_policy_with_few_floors_has_its_population_too(floors: tuple[FloorWave, ...]) -> None:
    """Without any, nobody is below; where no build is acceptable, whoever acts replaces the server."""
    policy = policy_for(floors=floors)
    assert first_day(policy) == date(2026, 1, 1)
    found = year(policy, days=100)
    cost = whole(found)
    assert bool(cost.delayed) == bool(floors)
    assert any(group.outdated for group in found.groups) == bool(floors)


# --- the year --------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_year_and_another_one_another() -> None:
    """To the last mail."""
    assert year(shipped(), servers=60, days=50, seed=7) == year(shipped(), servers=60, days=50, seed=7)
    assert year(shipped(), servers=60, days=50, seed=7) != year(shipped(), servers=60, days=50, seed=8)


def test_the_log_of_a_year_is_one_that_the_audit_decides_again() -> None:
    """It comes of the enforcer's own fold, in its order."""
    audit = Audit()

    def each(one: Written) -> None:
        assert audit.take(one[1]), audit.report().what

    made = Simulation(shipped(), seed=3, servers=60, begin=BEGIN, each=each)
    for _ in range(100):
        made.day()
    report = audit.report()
    assert report.ok, report.what
    assert report.digest == made.fold.digest()
    assert made.report().records == report.records > 1000


def test_what_is_left_out_would_have_been_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every patched server seen three times a day, too, the log has the same events."""

    def story() -> list[Any]:
        events: list[Any] = []
        made = Simulation(shipped(), seed=5, servers=80, begin=BEGIN, each=lambda one: events.append(one[0]))
        for _ in range(70):
            made.day()
        fed = (e.ServerSighted, e.CaseOpened, e.CaseReleased)
        return [(one.seq, one.due, type(one.event), one.at if isinstance(one.event, fed) else None) for one in events]

    told = story()
    monkeypatch.setattr(_Life, "is_over", property(lambda _: False))
    whole_mails = Simulation._mails

    def all_mails(self: Simulation, sending: list[_Life], number: int) -> Any:
        for life in sending:
            known, life.known = life.known, False
            yield from whole_mails(self, [life], number)
            life.known = known

    monkeypatch.setattr(Simulation, "_mails", all_mails)
    assert story() == told


def test_mail_is_slowed_from_the_first_throttling_stage_on_and_bounces_from_the_first_blocking_one() -> None:
    """On the policy's days, counted from the opening: not one mail earlier."""
    for day in usual().days:
        tally = total(day.groups.values())
        assert not (tally.delayed and day.day <= 30)
        assert not (tally.bounced and day.day <= 60)
    assert whole(usual()).delayed > 0
    assert whole(usual()).bounced > 0


def test_who_is_current_pays_nothing_and_who_never_patches_most() -> None:
    """That is the point of it."""
    cost = {name: total(day.groups[name] for day in usual().days) for name in usual().days[0].groups}
    assert cost["current"] == Tally()
    assert cost["never"].bounced > cost["prompt"].bounced
    assert {group.name: group.cured for group in usual().groups}["never"] == 0
    prompt = next(group for group in usual().groups if group.name == "prompt")
    assert prompt.cured == prompt.outdated > 0


def test_blocking_that_lacks_a_notice_is_kept_back_and_told() -> None:
    """Servers without a contact are slowed for ever; nobody of them is refused."""
    made = Simulation(shipped(), seed=1, servers=150, begin=BEGIN)
    days = [total(made.day().groups.values()) for _ in range(100)]
    assert days[40].waiting == 0
    assert 0 < days[-1].waiting <= days[-1].slowed
    for life in made._lives:
        server = made.fold.servers.get(life.server or "")
        for case in server.cases if server else ():
            if any(row.block_minutes_per_hour for row in case.rows):
                assert life.sender.contact


def test_a_cap_makes_a_queue_that_is_told() -> None:
    """Of all whose day has come as many are refused a day as the policy says; the others wait, and are told apart from untold ones."""
    caps = Caps(newly_blocked_per_day=2, newly_blocked_percent_of_open_cases=0)
    notices = msgspec.structs.replace(policy_for().notices, needed_for_blocking=False)
    policy = policy_for(stages=stages((0, 0, 0), (1, 5, 0), (5, 0, 60)), caps=caps, notices=notices)
    days = [total(day.groups.values()) for day in year(policy, days=16).days]
    assert max(day.queued for day in days) > 5
    assert {day.waiting for day in days} == {0}
    assert all(later.refused - day.refused <= 2 for day, later in pairwise(days))
    assert days[-1].queued < max(day.queued for day in days)


@pytest.mark.parametrize(
    ("minutes", "delayed", "bounced"),
    [((0, 0), 0, 0), ((60, 0), 0, 100), ((0, 60), 0, 100), ((30, 0), 50, 0), ((0, 15), 0, 25)],
)
def test_mails_fare_as_the_minutes_of_the_stage_say(minutes: tuple[int, int], delayed: int, bounced: int) -> None:
    """In percent of those sent: the gate's own window; whoever retries into closed minutes for ever bounces, too."""
    policy = policy_for(stages=stages((0, 0, 0), (1, *minutes)))
    made = Simulation(policy, seed=2, servers=250, begin=BEGIN)
    for _ in range(40):
        made.day()
    steady = total(tally for day in made.report().days[20:] for tally in day.groups.values())
    if minutes[1] == 0 and minutes[0]:
        assert abs(100 * steady.delayed / steady.sent - delayed) < 4
        assert abs(100 * steady.bounced / steady.sent - bounced) < 4
    if not any(minutes):
        assert (steady.delayed, steady.bounced) == (0, 0)
    if minutes[1]:  # only who was told is refused
        assert 0 < 100 * steady.bounced / steady.sent <= bounced


def test_tries_that_cannot_fare_otherwise_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a stage leaves no minute open: the same outcome as with all of them put to the gate."""
    policy = policy_for(stages=stages((0, 0, 0), (1, 60, 0), (3, 20, 0)))
    told = year(policy, servers=40, days=7)
    monkeypatch.setattr(simulate, "_next_try", lambda now, retry, *_: now + retry)
    assert year(policy, servers=40, days=7) == told
    assert whole(told).delayed > 0
    assert whole(told).bounced > 0


def test_a_refused_mail_tells_whoever_has_no_contact() -> None:
    """Where blocking needs no notice: all that patch promptly have done so a fortnight after their first bounce."""
    notices = msgspec.structs.replace(policy_for().notices, needed_for_blocking=False)
    policy = policy_for(stages=stages((0, 0, 0), (1, 0, 60)), notices=notices)
    made = Simulation(policy, seed=1, servers=200, begin=BEGIN)
    for _ in range(28):
        made.day()
    untold = [life for life in made._lives if life.sender.habit.name == "prompt" and not life.sender.contact]
    assert untold
    assert not any(life.old for life in untold)


def test_who_relapses_shows_the_old_build_again_and_acts_only_when_told_again() -> None:
    """And late, then; not a third time."""
    made = Simulation(shipped(), seed=1, servers=200, begin=BEGIN)
    for life in (life for life in made._lives if life.sender.habit.name == "relapses"):
        shown = []
        for day in range(1, 400):
            if day in {1, 150}:
                life.tell(day)
            life.wake(day)
            shown.append(life.old)
        turns = [day for day in range(1, 399) if shown[day] != shown[day - 1]]
        assert len(turns) == 3
        assert 1 <= turns[0] <= 14
        assert 20 <= turns[1] - turns[0] <= 60
        assert 209 <= turns[2] <= 300


def test_retries_are_the_senders_own() -> None:
    """Of 20 closed minutes: who tries every 5 minutes is through within 20 or so, who every 30 seldom meets the next hour's, too."""
    policy = policy_for(stages=stages((0, 0, 0), (1, 20, 0)))
    found = year(policy, days=40)
    means = {one.retry_minutes: one.delay_minutes / one.delayed for one in found.retries if one.gives_up_hours == 120}
    assert 5 <= means[5] <= 20
    assert 30 <= means[30] <= 40
    assert 60 <= means[60] <= 110
    assert sum(one.sent for one in found.retries) == whole(found).sent


def test_a_group_that_hears_of_it_early_patches_early() -> None:
    """Where nothing is enforced, nobody is told, and all act as late as they would anyway."""
    observed = year(parse_policy(shipped_policy_text()), days=60)
    enforced = year(shipped(), days=60)
    late, early = (next(group.cured for group in one.groups if group.name == "prompt") for one in (observed, enforced))
    assert early > late
