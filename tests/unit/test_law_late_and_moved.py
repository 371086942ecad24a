"""What comes late, moves or is renamed makes nobody harsher. Each was once wrong; each is one short life."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.policy import Connector, Protected, Relapses
from shared.domain.records import AcknowledgeNotice, CorrectCase, PauseAccount, ResumeAccount
from shared.domain.verify import Audit
from tests.support.acts import IN_BRANCH, aged
from tests.support.scenario import FLOOR_2016, NAME, SERVER, World, policy_for, reading

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
VERIFIED: dict[str, Any] = {"client_name": NAME, "client_resolve": "ok"}
PATCHED = reading(build=FLOOR_2016)


def audited(world: World) -> str:
    """What an audit finds wrong."""
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    return audit.report().what


# --- a pause whose case moves ----------------------------------------------------------------------------------------


def paused_and_moved() -> World:
    """A case that refuses all is paused, and then DNS confirms the name of its server."""
    world = aged(95)
    world.ask(PauseAccount, account=SERVER, days=10)
    world.pass_time(DAY)
    assert "CaseMoved" in world.kinds(world.see(**VERIFIED))
    return world


def test_a_paused_case_that_moves_stays_held_to_the_end_that_was_told() -> None:
    """Whose account the new id is says nothing of what was granted; when that is over the next message lets it go on."""
    world = paused_and_moved()
    assert [hold.reason for hold in world.case(NAME).holds] == ["pause"]
    world.adopt(policy_for(version=2))
    world.pass_time(8 * DAY)
    world.see(**VERIFIED)
    assert [hold.reason for hold in world.case(NAME).holds] == ["pause"]
    world.pass_time(2 * DAY)
    world.see(**VERIFIED)
    assert world.case(NAME).holds == ()
    assert audited(world) == ""


def test_a_pause_of_the_new_account_takes_the_old_ones_place() -> None:
    """And its end is the end, as for every case of that account."""
    world = paused_and_moved()
    world.ask(PauseAccount, account=NAME, days=20)
    world.pass_time(12 * DAY)
    world.see(**VERIFIED)
    assert world.case(NAME).held_for("pause") is not None
    world.ask(ResumeAccount, account=NAME)
    assert world.case(NAME).holds == ()


# --- 24 hours after the notice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["delivered", "acknowledged"])
def test_the_24_hours_run_from_the_delivery_also_where_h_lags(how: str) -> None:
    """Edges were silent for 55 minutes, which is not blind: these belong to nobody's 24 hours."""
    world = aged(74, told="failed")
    world.pass_time(timedelta(minutes=55), watched=False, step=timedelta(minutes=5))
    assert not world.fold.law.blind
    told_at = world.now
    if how == "delivered":
        world.pass_time(timedelta(minutes=0))
        for notice in world.case().pending:
            world.take(world.report(notice.notice, SERVER))
    if world.case().delivered_law is None:
        world.ask_of_case(AcknowledgeNotice)
    world.pass_time(25 * HOUR, step=timedelta(minutes=5))
    granted = next(record for record, _ in world.log if isinstance(record.event, e.BlockingGranted))
    assert granted.due is not None
    assert granted.due - told_at >= 24 * HOUR


# --- what was seen before a cure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("newest", [reading(), reading(high=FLOOR_2016)])
def test_what_was_seen_before_the_cure_of_the_last_case_opens_no_new_one(newest: Any) -> None:
    """However late it comes, and whatever was seen since: it would inherit the clock of that case."""
    world = aged(75)
    before = world.now
    world.pass_time(5 * HOUR)
    world.see(PATCHED)
    world.pass_time(26 * HOUR)
    assert world.fold.servers[SERVER].cases == ()
    world.see(newest)
    for hours in (1, 2, 3):
        world.see(seen_at=before + hours * HOUR)
    assert world.fold.servers[SERVER].cases == ()
    assert len(world.fold.servers[SERVER].hours) == (newest == reading())


# --- what a case leaves behind ---------------------------------------------------------------------------------------


def test_a_case_that_was_wrong_leaves_no_clock_not_even_an_older_ones() -> None:
    """The name had a case of 75 days; one that moved there was corrected: the next begins at day 0."""
    world = aged(75, **VERIFIED)
    world.see(PATCHED, **VERIFIED)
    world.pass_time(26 * HOUR)
    world.open_case()
    world.see(**VERIFIED)
    assert world.case(NAME).opened_seq
    world.ask_of_case(CorrectCase, NAME)
    world.pass_time(HOUR)
    world.open_case(reading(build=Build(15, 1, 2507, 40)), **VERIFIED)
    assert world.case(NAME).inherited is None
    assert audited(world) == ""


def test_where_nothing_is_inherited_a_mixed_case_begins_at_day_0_too() -> None:
    """relapses.days 0: always at day 0."""
    relapses = Relapses(days=0)
    world = aged(75, policy=policy_for(relapses=relapses))
    world.see(PATCHED)
    world.pass_time(HOUR)
    assert "CaseMixed" in world.kinds(world.see())
    assert not world.case().inherited
    assert all(not row.block_minutes_per_hour for row in world.case().rows)


# --- who is protected ------------------------------------------------------------------------------------------------


def test_a_server_that_is_protected_by_its_connectors_new_name_waits_for_a_signature() -> None:
    """The entry is the old one; that its connector took the server over makes it hold from the adoption on."""
    internet = policy_for().connectors[0]
    old = Connector(name="old", kind="partner", owner="it", ranges=("192.0.2.0/24",), mode="enforce")
    clinic = Connector(name="clinic", kind="partner", owner="it", ranges=("198.51.100.0/24",), mode="enforce")
    protected = (Protected(title="hospital", connectors=("clinic",)),)
    world = aged(58, policy=policy_for(connectors=(internet, old, clinic), protected=protected))
    wider = msgspec.structs.replace(clinic, ranges=(*clinic.ranges, *old.ranges), formerly=("old",))
    world.adopt(policy_for(version=2, connectors=(internet, wider), protected=protected))
    world.pass_time(6 * DAY)
    case = world.case(f"{NAME}@old")
    assert all(not row.block_minutes_per_hour for row in case.rows)
    assert audited(world) == ""


def test_the_case_of_an_owner_moves_with_its_pause_where_the_connector_is_the_same() -> None:
    """Nothing of the above makes an ordinary pause longer."""
    world = aged(35, **IN_BRANCH)
    world.ask(PauseAccount, account="it", days=2)
    world.pass_time(3 * DAY)
    assert world.case(f"{NAME}@branch").holds == ()
