"""Signatures: who needs which before blocking, and what becomes of each that is given. A table of cases, and the whole way."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.ahead import ahead_of
from shared.domain.catalogue import load_catalogue
from shared.domain.explain import explain
from shared.domain.policy import Caps, Policy, Protected
from shared.domain.records import DisputeCase, SignBlocking
from shared.domain.schedule import notice_due
from shared.domain.verify import Audit
from tests.support.scenario import FLOOR_2016, SERVER, World, policy_for, reading

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
IN_BRANCH: dict[str, Any] = {"peer": "198.51.100.9"}
CLINIC = Protected(title="Clinics", domains=("alt.example",))


def guarded(version: int = 1, mode: str = "enforce", **changes: Any) -> Policy:
    """Enforced; all of alt.example is protected."""
    return policy_for(mode, version, **{"protected": (CLINIC,), **changes})


def aged(days: int, policy: Policy, *, told: bool = True) -> World:
    """A case so many days old, seen and (told) notified each day."""
    world = World(policy)
    world.open_case()
    live(world, days, told=told)
    return world


def live(world: World, days: int, *, told: bool = True) -> None:
    """So many days."""
    for _ in range(days):
        world.see()
        if told:
            world.settle()
        world.pass_time(DAY, step=DAY / 2)


def sign(world: World, stage: int = 5) -> tuple[str, str]:
    """The outcome of signing a stage of the one case, and why."""
    events = world.ask_of_case(SignBlocking, stage=stage)
    decided = next(event for event in events if isinstance(event, e.RequestDecided))
    return decided.outcome, decided.reason


def stages(world: World) -> list[int]:
    """Of the rows that the one case has."""
    return [row.stage for row in world.case().rows]


def audited(world: World) -> str:
    """What an audit finds wrong."""
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    return audit.report().what


# --- what becomes of the act -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protected", "days", "told", "stage", "outcome", "why"),
    [
        (False, 0, False, 5, "done", "signed"),
        (False, 40, False, 5, "done", "signed"),
        (False, 40, False, 6, "no effect", "its first blocking stage, 5"),
        (False, 40, True, 5, "no effect", "no signature is asked for"),
        (False, 63, True, 5, "refused", "it has none"),
        (False, 40, False, 4, "refused", "no blocking stage"),
        (False, 40, False, 9, "refused", "those are 5, 6, 7, 8"),
        (True, 40, True, 5, "done", "signed"),
        (True, 40, True, 7, "done", "signed"),
        (True, 40, False, 5, "done", "signed"),
        (True, 40, True, 2, "refused", "no blocking stage"),
        (True, 75, True, 5, "done", "signed"),
    ],
)
def test_what_becomes_of_a_signature(
    protected: bool, days: int, told: bool, stage: int, outcome: str, why: str
) -> None:
    """By who the server is, what it was told, and which stage is ahead."""
    world = aged(days, guarded() if protected else policy_for(), told=told)
    decided, reason = sign(world, stage)
    assert decided == outcome
    assert why in reason
    assert (world.case().signed_at(stage) is not None) == (outcome == "done")
    if outcome == "done" and days < 60:  # later it is granted in that moment
        assert sign(world, stage) == ("no effect", f"stage {stage} was signed before")
    assert audited(world) == ""


def test_a_notice_that_is_not_old_enough_leaves_room_for_a_signature() -> None:
    """Delivered two hours ago: the day after it no signature is asked for any more."""
    world = aged(40, policy_for(), told=False)
    world.settle()
    world.pass_time(2 * HOUR)
    assert sign(world)[0] == "done"
    late = aged(40, policy_for(), told=False)
    late.settle()
    late.pass_time(24 * HOUR)
    assert sign(late)[0] == "no effect"


def test_where_no_notice_is_needed_no_signature_is_asked_for() -> None:
    """The policy's open word is enough."""
    notices = msgspec.structs.replace(policy_for().notices, needed_for_blocking=False)
    assert sign(aged(3, policy_for(notices=notices)))[0] == "no effect"


@pytest.mark.parametrize("state", ["observed", "released", "ended", "no case"])
def test_without_blocking_ahead_a_signature_has_no_effect(state: str) -> None:
    """Observed, released, ended, or another case's number."""
    world = aged(3, guarded(mode="observe" if state == "observed" else "enforce"))
    number = world.case().opened_seq
    if state in {"released", "ended"}:
        world.see(reading(build=FLOOR_2016))
    if state == "ended":
        world.pass_time(2 * DAY)
    number += state == "no case"
    decided = world.ask(SignBlocking, server=SERVER, case=number, stage=5)
    assert world.kinds(decided) == ["RequestDecided"]
    assert getattr(decided[0], "outcome", "") == "no effect"


def test_a_held_case_can_be_signed_and_goes_on_with_it() -> None:
    """The signature is of the case, and nothing begins while it is held."""
    world = aged(75, guarded())
    world.ask_of_case(DisputeCase)
    assert sign(world, 5)[0] == "done"
    assert not [event for event in world.pass_time(13 * DAY) if isinstance(event, e.BlockingGranted)]
    world.see()
    world.pass_time(2 * DAY)
    assert stages(world)[-1] == 5


# --- what is granted -------------------------------------------------------------------------------------------------


def test_a_signature_of_the_first_blocking_stage_stands_for_the_notice() -> None:
    """No notice was ever delivered; on its day all blocking rows come."""
    world = aged(40, policy_for(), told=False)
    assert sign(world)[0] == "done"
    live(world, 22, told=False)
    rows = world.case().rows
    assert [row.stage for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert rows[4].since - rows[0].since == 60 * DAY


def test_signed_after_its_day_blocking_begins_then_and_keeps_its_distances() -> None:
    """Not backwards."""
    world = aged(75, policy_for(), told=False)
    now = world.fold.law.now
    assert sign(world)[0] == "done"
    world.pass_time(timedelta(seconds=1))
    assert [row.since - now for row in world.case().rows[4:]] == [days * DAY for days in (0, 10, 20, 30)]


def test_a_signature_is_not_undone_by_a_notice_that_is_delivered_after_it() -> None:
    """Nor the other way round: what is there first is enough."""
    world = aged(75, policy_for(), told=False)
    now = world.fold.law.now
    sign(world)
    world.settle()
    world.pass_time(HOUR)
    assert world.case().rows[4].since == now


def test_a_notice_promises_no_later_day_than_a_signature_allows() -> None:
    """On the eve of its day, signed and never told: blocking is told for its day."""
    world = aged(59, policy_for(), told=False)
    sign(world)
    server, law, case = world.fold.servers[SERVER], world.fold.law, world.case()
    planned = e.PlannedNotice(kind="before-blocking", since=law.now, stage=5)
    assert notice_due(server, case, law, world.fold.policy, planned).blocking[0].since == law.utc_of(
        case.blocking[0].since
    )


def test_a_protected_server_gets_row_by_row_and_stays_at_the_row_before() -> None:
    """Each on its day and not before its signature; what comes later keeps its distance."""
    world = aged(75, guarded())
    assert stages(world) == [1, 2, 3, 4]
    sign(world, 5)
    live(world, 12)
    assert stages(world) == [1, 2, 3, 4, 5]  # stage 6 was due after 10 days
    sign(world, 6)
    live(world, 1)
    assert stages(world) == [1, 2, 3, 4, 5, 6]
    sign(world, 7)  # ahead of its day
    live(world, 8)
    assert stages(world)[-1] == 6
    live(world, 3)
    assert stages(world)[-1] == 7
    rows = world.case().rows
    assert rows[-1].since - rows[-2].since == 10 * DAY
    assert [row.stage for row in world.case().blocking] == [8]
    assert audited(world) == ""


def test_a_protected_server_needs_the_notice_beside_the_signature() -> None:
    """Signed, but never told: the last throttle row stays; told, blocking comes a day later."""
    world = aged(75, guarded(), told=False)
    sign(world)
    live(world, 3, told=False)
    assert stages(world)[-1] == 4
    world.settle()
    told = world.fold.law.now
    live(world, 2, told=False)
    assert stages(world)[-1] == 5
    assert world.case().rows[-1].since == told + DAY


def test_only_the_first_row_of_a_protected_server_counts_for_the_cap() -> None:
    """Its later rows need no room, and no turn."""
    caps = Caps(newly_blocked_per_day=1, newly_blocked_percent_of_open_cases=0)
    world = aged(60, guarded(caps=caps))
    for stage in (5, 6, 7, 8):
        sign(world, stage)
    live(world, 35)
    granted = [event for event in world.events() if isinstance(event, e.BlockingGranted)]
    assert [(event.rows[0].stage, event.newly) for event in granted] == [(5, True), (6, False), (7, False), (8, False)]
    assert [len(event.rest) for event in granted] == [3, 2, 1, 0]
    assert [len(event.notices) for event in granted] == [1, 1, 1, 1]
    assert world.fold.law.newly_blocked == 1


def test_who_is_protected_no_more_gets_what_waited_from_then_on() -> None:
    """By another policy: blocking begins with its first stage, not with the stage of that day."""
    world = aged(85, guarded())
    assert stages(world) == [1, 2, 3, 4]
    now = world.fold.law.now
    granted = [
        event for event in world.adopt(policy_for(version=2), "unprotect") if isinstance(event, e.BlockingGranted)
    ]
    assert [row.stage for row in granted[0].rows] == [5, 6, 7, 8]
    assert granted[0].rows[0].since == now + timedelta(seconds=1)
    assert audited(world) == ""


def test_a_signature_that_was_given_beside_the_notice_never_stands_for_one() -> None:
    """Protected no more, and never told: he is told first, unless an operator signs that it begins without."""
    world = aged(75, guarded(), told=False)
    sign(world)
    live(world, 1, told=False)
    world.adopt(policy_for(version=2), "unprotect")
    live(world, 10, told=False)
    assert stages(world)[-1] == 4
    assert sign(world)[0] == "done"
    live(world, 1, told=False)
    assert stages(world)[-1] == 8
    assert audited(world) == ""


def test_who_becomes_protected_keeps_the_rows_that_he_has() -> None:
    """A new policy changes no row that was granted; what waits then needs its signatures."""
    world = aged(62, policy_for())
    assert stages(world)[-1] == 8
    world.adopt(guarded(2), "protect")
    live(world, 30)
    assert stages(world)[-1] == 8
    other = aged(40, policy_for())
    other.adopt(guarded(2), "protect")
    live(other, 30)
    assert stages(other)[-1] == 4


# --- what is told ----------------------------------------------------------------------------------------------------


def test_it_is_told_that_a_signature_is_missing() -> None:
    """In the explanation and in what lies ahead; with the missing notice beside it."""
    world = aged(65, guarded(), told=False)
    server, law = world.fold.servers[SERVER], world.fold.law
    shown = explain(server, law, world.fold.policy, load_catalogue(), now=world.now).cases[0]
    assert "a delivered notice" in shown.blocking_waits_for
    assert "the signature of an operator for stage 5" in shown.blocking_waits_for
    assert "Clinics" in shown.blocking_waits_for
    world.settle()
    world.pass_time(2 * DAY)
    server, law = world.fold.servers[SERVER], world.fold.law
    shown = explain(server, law, world.fold.policy, load_catalogue(), now=world.now).cases[0]
    assert shown.blocking_waits_for.startswith("the signature of an operator for stage 5")
    [step] = [
        step
        for step in ahead_of(server, law, world.fold.policy, until=world.now + DAY)
        if step.blocked_by == "signature missing"
    ]
    assert step.not_before == law.utc_of(law.now)
    sign(world)
    server, law = world.fold.servers[SERVER], world.fold.law
    shown = explain(server, law, world.fold.policy, load_catalogue(), now=world.now).cases[0]
    assert shown.blocking_waits_for == "its day"
