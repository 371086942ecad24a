"""What an act is answered, word for word: the answer names the act that was asked, what became of it, and why."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.domain import events as e
from shared.domain.acts import STRUCK_MAX
from shared.domain.blocking import waits_for
from shared.domain.build import Build
from shared.domain.policy import Protected
from shared.domain.records import (
    AcknowledgeNotice,
    CorrectCase,
    DisputeCase,
    LiftStruck,
    PauseAccount,
    ResolveCase,
    ResumeAccount,
    SetExemption,
    SetMode,
    SignBlocking,
)
from tests.support.acts import BRANCH, DAY, IN_BRANCH, aged
from tests.support.scenario import FLOOR_2016, NAME, SERVER, START, World, policy_for, reading

UNTIL = START + 90 * DAY
TOLD_UNTIL = f"{UNTIL:%Y-%m-%d %H:%MZ}"


def grown(days: int = 35, **changes: Any) -> World:
    """One case, so many days old, told and delivered."""
    return aged(days, policy=policy_for(**changes) if changes else None)


def released() -> World:
    """Cured, and not yet ended."""
    world = grown()
    world.see(reading(build=FLOOR_2016))
    return world


def observed() -> World:
    """A case that stands at day 0."""
    return aged(5, policy=policy_for("observe"))


def disputed() -> World:
    """An admin disputes the case."""
    world = grown()
    world.ask_of_case(DisputeCase)
    return world


def mixed(*more: type[DisputeCase]) -> World:
    """Below its floor an hour after its cure."""
    world = released()
    world.pass_time(timedelta(hours=1))
    world.see()
    for act in more:
        world.ask_of_case(act)
    return world


def corrected() -> World:
    """One reading is struck."""
    world = grown()
    world.ask_of_case(CorrectCase)
    return world


def exempt(until: Any = UNTIL, **fields: Any) -> Callable[[World], list[e.Event]]:
    """Ask for an exemption of the server."""
    return lambda world: world.ask(
        SetExemption, **{"kind": "server", "target": SERVER, "owner": "ops", "until": until, **fields}
    )


def after(first: Callable[[World], list[e.Event]], world: World) -> World:
    """The world in which that was asked."""
    first(world)
    return world


def of_case(act: Any, **fields: Any) -> Callable[[World], list[e.Event]]:
    """Ask for an act on the server's one case."""
    return lambda world: world.ask_of_case(act, **fields)


def plain(act: Any, **fields: Any) -> Callable[[World], list[e.Event]]:
    """Ask for an act."""
    return lambda world: world.ask(act, **fields)


ANSWERS: dict[str, tuple[Callable[[], World], Callable[[World], list[e.Event]], str, str]] = {
    "resume what is not paused": (grown, plain(ResumeAccount, account=SERVER), "no effect", "it is not paused"),
    "pause": (
        grown,
        plain(PauseAccount, account=SERVER, days=3),
        "done",
        f"paused to the end of {(START + 37 * DAY).date()} (UTC)",
    ),
    "pause what is paused": (
        lambda: after(plain(PauseAccount, account=SERVER, days=3), grown()),
        plain(PauseAccount, account=SERVER, days=1),
        "refused",
        f"it is paused already, to the end of {(START + 37 * DAY).date()} (UTC); resume it first",
    ),
    "pause for longer than a year grants": (
        grown,
        plain(PauseAccount, account=SERVER, days=100),
        "refused",
        "of 2027 90 of 90 days are left, and 97 are asked for",
    ),
    "pause of nobody": (
        grown,
        plain(PauseAccount, account="nobody", days=1),
        "refused",
        "no connector of kind on-premises or partner has the owner 'nobody', and no server has that id",
    ),
    "resume on the day of the pause": (
        lambda: after(plain(PauseAccount, account=SERVER, days=3), grown()),
        plain(ResumeAccount, account=SERVER),
        "done",
        "the pause is over; 2 days came back",
    ),
    "an owner asks for what an operator may": (
        grown,
        of_case(CorrectCase, as_owner="it"),
        "refused",
        "this is for an operator to ask for",
    ),
    "an owner asks for another's account": (
        grown,
        plain(PauseAccount, account=SERVER, days=1, as_owner="it"),
        "refused",
        "an owner may pause and resume his own account only",
    ),
    "an owner asks for another's server": (
        grown,
        of_case(DisputeCase, as_owner="it"),
        "refused",
        "an owner may act for servers that are seen in his connectors only",
    ),
    "acknowledge what is released": (
        released,
        of_case(AcknowledgeNotice),
        "no effect",
        "the case is released: nothing holds its server any more",
    ),
    "exempt a connector of nobody": (
        grown,
        exempt(kind="connector", target="nobody"),
        "refused",
        "the policy names no connector 'nobody'",
    ),
    "exempt until": (grown, exempt(), "done", f"nothing of it is refused until {TOLD_UNTIL}"),
    "exempt again": (
        lambda: after(exempt(), grown()),
        exempt(),
        "no effect",
        f"it is exempt until {TOLD_UNTIL} already",
    ),
    "exempt without a reason": (grown, exempt(why=" "), "refused", "an exemption needs its reason (why)"),
    "exempt until the past": (
        grown,
        exempt(until=START),
        "refused",
        f"{START:%Y-%m-%d %H:%MZ} has come already",
    ),
    "exempt for too long": (
        grown,
        exempt(until=START + 500 * DAY),
        "refused",
        "an exemption lasts 366 days at most",
    ),
    "lift no exemption": (grown, exempt(until=None), "no effect", "this server is not exempt"),
    "lift an exemption": (lambda: after(exempt(), grown()), exempt(until=None), "done", "the exemption is lifted"),
    "dispute": (
        grown,
        of_case(DisputeCase),
        "done",
        "mail passes and the clock stands until an operator decides, for 14 days at most",
    ),
    "dispute what is observed": (
        observed,
        of_case(DisputeCase),
        "no effect",
        "the case is only observed: there is nothing to hold",
    ),
    "dispute twice": (
        lambda: after(of_case(ResolveCase, outcome="rejected"), disputed()),
        of_case(DisputeCase),
        "refused",
        "the case was disputed before, and that is possible once",
    ),
    "dispute what is released": (
        released,
        of_case(DisputeCase),
        "no effect",
        "the case is released: nothing holds its server any more",
    ),
    "resolve no dispute": (
        grown,
        of_case(ResolveCase, outcome="rejected"),
        "no effect",
        "no dispute of the case is open",
    ),
    "resolve what is not mixed": (
        grown,
        of_case(ResolveCase, outcome="runs-on"),
        "no effect",
        "the case is not held as mixed",
    ),
    "reject a dispute": (disputed, of_case(ResolveCase, outcome="rejected"), "done", "the case runs on"),
    "uphold a dispute": (
        disputed,
        of_case(ResolveCase, outcome="upheld"),
        "done",
        "the case ends, and its reading opens nothing until that is lifted",
    ),
    "mixed, and disputed, runs on": (
        lambda: mixed(DisputeCase),
        of_case(ResolveCase, outcome="runs-on"),
        "done",
        "the case stays held for another reason",
    ),
    "sign what is released": (
        released,
        of_case(SignBlocking, stage=5),
        "no effect",
        "the case is released: nothing holds its server any more",
    ),
    "sign what is observed": (
        observed,
        of_case(SignBlocking, stage=5),
        "no effect",
        "the case is only observed: it has no blocking ahead",
    ),
    "lift nothing": (grown, plain(LiftStruck, server=SERVER), "no effect", "no reading of this server is struck"),
    "lift of a server never seen": (
        World,
        plain(LiftStruck, server="nobody.example"),
        "no effect",
        "no reading of this server is struck",
    ),
    "lift one": (
        corrected,
        plain(LiftStruck, server=SERVER),
        "done",
        "1 reading counts again, from the next sighting on",
    ),
    "acknowledge what is observed": (
        observed,
        of_case(AcknowledgeNotice),
        "refused",
        "no notice of this case has fallen due yet",
    ),
    "acknowledge what was delivered": (
        grown,
        of_case(AcknowledgeNotice),
        "no effect",
        "its notices were delivered already",
    ),
    "acknowledge what failed": (
        lambda: aged(2, told="failed"),
        of_case(AcknowledgeNotice),
        "done",
        "the notice counts as delivered now",
    ),
    "a mode that is so already": (
        grown,
        plain(SetMode, connector="", mode="enforce"),
        "no effect",
        "its mode is enforce already",
    ),
    "a mode of nobody": (
        grown,
        plain(SetMode, connector="nowhere", mode="observe"),
        "refused",
        "the policy names no connector 'nowhere'",
    ),
    "a case that is not open": (
        grown,
        lambda world: world.ask(DisputeCase, server=SERVER, case=99_999),
        "no effect",
        "this case is not open",
    ),
    "a case of a server never seen": (
        grown,
        lambda world: world.ask(DisputeCase, server="nobody.example", case=1),
        "no effect",
        "this case is not open",
    ),
    "freeze what is frozen": (
        lambda: after(lambda world: world.freeze("freeze-0001", frozen=True), grown()),
        lambda world: world.freeze("freeze-0002", frozen=True),
        "no effect",
        "frozen already",
    ),
    "unfreeze what is not": (
        grown,
        lambda world: world.freeze("freeze-0001", frozen=False),
        "no effect",
        "not frozen",
    ),
    "an act of the day before yesterday": (
        grown,
        plain(PauseAccount, account=SERVER, days=1, made_at=START),
        "refused",
        "made over 24 hours ago; make it again",
    ),
}


def _just_opened() -> World:
    """A case whose opening notice has not fallen due: its account is paused from the first moment on."""
    world = World()
    world.see(**IN_BRANCH)
    world.ask(PauseAccount, account="it", days=2)
    for _ in range(2):
        world.pass_time(timedelta(hours=1), step=timedelta(minutes=30))
        world.see(**IN_BRANCH)
    return world


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_names_the_act_and_says_why(name: str) -> None:
    """What was asked stands in the log beside what became of it."""
    make, ask, outcome, reason = ANSWERS[name]
    world = make()
    events = ask(world)
    (decided,) = [event for event in events if isinstance(event, e.RequestDecided)]
    assert (decided.outcome, decided.reason) == (outcome, reason)
    assert decided.request is not None
    assert decided.request.made_at <= world.now
    assert decided.request.why.strip() in {"test", ""}
    if outcome != "done":
        assert events == [decided]


def test_two_struck_readings_are_told_as_two() -> None:
    """One word more than of one."""
    world = corrected()
    newer = reading(build=Build(15, 1, 2507, 40))
    for _ in range(3):
        world.see(newer)
        world.pass_time(timedelta(hours=1), step=timedelta(minutes=30))
    world.ask_of_case(CorrectCase)
    (decided, _) = world.ask(LiftStruck, server=SERVER)
    assert isinstance(decided, e.RequestDecided)
    assert decided.reason == "2 readings count again, from the next sighting on"


def test_a_case_whose_notice_has_not_fallen_due_cannot_be_acknowledged() -> None:
    """Its account was paused when it opened, so nobody was told yet."""
    world = _just_opened()
    (decided,) = world.ask_of_case(AcknowledgeNotice, BRANCH)
    assert isinstance(decided, e.RequestDecided)
    assert (decided.outcome, decided.reason) == ("refused", "no notice of this case has fallen due yet")


def test_at_the_bound_of_struck_readings_the_next_is_refused() -> None:
    """And the case stays open."""
    world, decided = World(), None
    for number in range(STRUCK_MAX + 1):
        older = reading(build=Build(15, 1, 2507, 39 - number))
        for _ in range(3):
            world.see(older)
            world.pass_time(timedelta(hours=1), step=timedelta(minutes=30))
        decided, *_ = world.ask_of_case(CorrectCase)
    assert isinstance(decided, e.RequestDecided)
    assert decided.outcome == "refused"
    assert decided.reason == f"{STRUCK_MAX} readings of this server are struck already: lift them first"
    assert isinstance(decided.request, CorrectCase)


def test_what_keeps_blocking_back_of_a_protected_server_is_both_told() -> None:
    """The notice, and the signature."""
    by_name = Protected(title="hospital", domains=(NAME,))
    world = aged(70, told="failed", policy=policy_for(protected=(by_name,)))
    server = world.fold.servers[SERVER]
    assert waits_for(server, server.cases[0], world.fold.law, world.fold.policy) == (
        "a delivered notice: none was delivered so far, and blocking begins 24 hours after one at the earliest; and for "
        "the signature of an operator for stage 5, for the server is protected (hospital)"
    )
