"""Corners of the acts that one careless line would break: each was found by breaking it."""

from datetime import timedelta

import pytest

from services.enforcer.books import Books
from shared.domain import events as e
from shared.domain.accounts import Pause, ended, lacking, paused
from shared.domain.records import AcknowledgeNotice, CorrectCase, DisputeCase, Exemption, ResolveCase, SetExemption
from shared.domain.repeats import Repeats
from shared.domain.reprieves import Reprieves
from shared.messaging import topics as t
from tests.support.acts import DAY, aged, outcome
from tests.support.scenario import E2007, FLOOR_2016, NAME, SERVER, START, World, policy_for, reading

D = START.date()


def test_a_day_that_was_used_already_costs_nothing_more() -> None:
    """With no day left but today, which was used, a pause of today is granted."""
    account = ended(paused(None, "it", Pause(first=D, last=D)), D)
    assert lacking(account, D, D, 1) == ""
    assert lacking(account, D, D + DAY, 1) != ""


def test_a_notice_that_arrives_in_a_dispute_blocks_from_its_end_on_at_the_earliest() -> None:
    """Its day had come and its notice was old enough days before: the rows begin when it goes on, stage by stage."""
    world = aged(70, told="failed")
    world.ask_of_case(DisputeCase)
    world.ask_of_case(AcknowledgeNotice)
    world.pass_time(10 * DAY)
    world.ask_of_case(ResolveCase, outcome="rejected")
    gone_on = world.fold.law.now
    world.pass_time(timedelta(hours=1))
    blocking = [row.since for row in world.case().rows if row.block_minutes_per_hour]
    assert blocking[0] >= gone_on
    assert [since - blocking[0] for since in blocking] == [0 * DAY, 10 * DAY, 20 * DAY, 30 * DAY]


def test_a_pause_that_ends_while_the_law_stands_still_ends_where_it_stood_though_h_moved_on_since() -> None:
    """A freeze over its midnight, lifted, and H looked at only a day later: that day counts, the frozen ones do not."""
    world = World()
    world.open_case()
    world.pass_time(DAY)
    world.ask(DisputeCase, server=SERVER, case=1)  # no effect: nothing but the pause holds it
    pause = e.PauseBegan(account=SERVER, first=world.now.date(), last=world.now.date())
    world.fold.reprieves.apply(pause)
    world.freeze("freeze-01", frozen=True)
    world.pass_time(3 * DAY)
    stood = world.fold.law.now
    world.freeze("freeze-02", frozen=False)
    assert world.fold.reprieves.due is not None
    assert world.fold.law.law_of(world.fold.reprieves.due) == stood


def test_both_accounts_and_exemptions_are_in_the_digest() -> None:
    """Another account beside the same exemption is another digest."""
    exempted = e.Exempted(exemption=Exemption(kind="peer", target="192.0.2.7", owner="ops", until=START + DAY))
    one = Reprieves().after(exempted)
    other = one.after(e.PauseBegan(account="it", first=D, last=D))
    assert len({Reprieves().digest(), one.digest(), other.digest()}) == 3


def test_a_pending_notice_is_acknowledged_though_an_earlier_one_was_delivered() -> None:
    """It is settled, and not sent."""
    world = aged(29)
    world.pass_time(2 * DAY)
    assert world.case().pending
    assert world.case().delivered_law is not None
    assert outcome(world.ask_of_case(AcknowledgeNotice)) == "done"
    assert world.case().pending == ()


def test_a_correction_strikes_all_builds_where_the_newest_reading_is_of_another_product() -> None:
    """And never a reading of another product's numbers."""
    world = aged(2)
    world.see(reading(E2007, None))
    world.ask_of_case(CorrectCase)
    (struck,) = world.fold.servers[SERVER].struck
    assert (struck.product, struck.low) == (reading().product, None)
    world = aged(2)
    world.see(reading("Microsoft Exchange 2019"))
    world.ask_of_case(CorrectCase)
    (struck,) = world.fold.servers[SERVER].struck
    assert (struck.low, struck.high) == (None, None)


@pytest.mark.parametrize(("more", "told"), [(timedelta(), "done"), (timedelta(seconds=1), "refused")])
def test_an_exemption_lasts_366_days_and_not_a_second_more(more: timedelta, told: str) -> None:
    """The last allowed instant is allowed."""
    world = aged(1)
    until = world.now + 366 * DAY + more
    assert outcome(world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=until)) == told


def test_a_struck_reading_is_no_news_for_ever() -> None:
    """Until the state or the policy changes; it counts no day and no hour."""
    world = aged(2)
    world.ask_of_case(CorrectCase)
    world.pass_time(3 * DAY)
    repeat = Repeats(world.fold.policy).of(world.fold.servers[SERVER])
    assert repeat is not None
    assert repeat.until > world.now + 1000 * DAY
    assert world.see() == []


def test_an_exempt_message_stops_the_cases_of_its_weaker_ids() -> None:
    """The best id is exempt, and another that the message matches has a case."""
    world = World()
    world.see(client_name=NAME, client_resolve="ok")
    world.open_case()
    assert world.case(SERVER).enforced
    world.ask(SetExemption, kind="server", target=NAME, owner="ops", until=world.now + 9 * DAY)
    world.pass_time(DAY)
    world.see(client_name=NAME, client_resolve="ok")
    cases = [case for name in (NAME, SERVER) for case in world.fold.servers[name].cases]  # it may move to the better id
    assert [case.enforced for case in cases] == [False]


def test_the_end_of_an_exemption_is_told_to_the_edges() -> None:
    """The policy record comes anew without it, and nothing else brings that about."""
    world, books = aged(1), Books()
    world.ask(SetExemption, kind="peer", target="192.0.2.7", owner="ops", until=world.now + DAY)
    books.changes(world.fold, world.log)
    before = len(world.log)
    world.pass_time(2 * DAY)
    keys = [record.key for record in books.changes(world.fold, world.log[before:]) if record.topic == t.DECISIONS]
    assert t.KEY_POLICY in keys


def test_an_end_sorts_before_what_is_due_for_a_server_at_the_same_instant() -> None:
    """An exemption that ends in the instant of a stage: the end is written first."""
    world = aged(29)
    stage = world.fold.law.utc_of(world.case().rows[1].since)
    world.ask(SetExemption, kind="peer", target="203.0.113.1", owner="ops", until=stage)
    assert [name for name in world.kinds(world.pass_time(2 * DAY)) if name in {"ExemptionEnded", "StageEntered"}] == [
        "ExemptionEnded",
        "StageEntered",
    ]


def test_a_cure_of_one_product_moves_the_clocks_of_the_others_too() -> None:
    """A patched 2016 speaks under the name of an Exchange 2007, by now from an exempt peer: only the released case is left alone."""
    world = World()
    world.open_case()
    world.open_case(reading(E2007, None))
    world.ask(SetExemption, kind="peer", target="192.0.2.7", owner="ops", until=world.now + 9 * DAY)
    told = world.see(reading(build=FLOOR_2016))
    stopped = [event.product for event in told if isinstance(event, e.ClockStopped)]
    released = [event.product for event in told if isinstance(event, e.CaseReleased)]
    assert (released, stopped) == ([reading().product], [E2007])


def test_a_tie_counts_from_the_sighting_that_shows_it() -> None:
    """A case that stands because its server was tied too loosely begins with the first message that ties it better."""
    world, name = World(), "ex01.contoso.co.uk"
    world.open_case(name=name)
    world.adopt(policy_for(version=2, open_ties=("connector", "verified", "domain")))
    assert not world.case(f"{name}@192.0.2.7").enforced
    world.pass_time(DAY)
    assert "ClockStarted" in world.kinds(world.see(name=name, helo="mail.contoso.co.uk"))
