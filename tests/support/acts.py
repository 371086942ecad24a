"""Acts asked for in a small world, and a story in which each of them is done."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from shared.domain import events as e
from shared.domain.fold import Fold
from shared.domain.policy import Policy
from shared.domain.records import (
    AcknowledgeNotice,
    Act,
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
from tests.support.scenario import FLOOR_2016, NAME, PEER, SERVER, World, reading

DAY = timedelta(days=1)
BRANCH = f"{NAME}@branch"
IN_BRANCH: dict[str, Any] = {"peer": "198.51.100.7"}
"""What a message from the on-premises connector of `policy_for` shows; its owner, and so its account, is `it`."""


def outcome(events: list[e.Event]) -> str:
    """What became of the request that brought *events*; a policy that came into force was done."""
    decided = next((event for event in events if isinstance(event, e.RequestDecided)), None)
    return decided.outcome if decided else "done"


def reason(events: list[e.Event]) -> str:
    """Why."""
    return next(event.reason for event in events if isinstance(event, e.RequestDecided))


def aged(days: int, *, told: str = "delivered", policy: Policy | None = None, **of_facts: Any) -> World:
    """A world with one case so many days old, seen each day, whose notices had this outcome."""
    world = World(policy)
    world.open_case(**of_facts)
    for _ in range(days):
        world.pass_time(DAY)
        world.settle(told)
        world.see(**of_facts)
    return world


def acts_story(tell: Callable[[World], None] = lambda _: None) -> World:
    """Every act is asked for, in an order in which each changes something. tell: called where something stands that goes again."""
    world = aged(2, told="failed", **IN_BRANCH)
    world.ask_of_case(AcknowledgeNotice, BRANCH)
    world.ask(PauseAccount, account="it", days=3, as_owner="it")
    tell(world)
    world.pass_time(DAY)
    world.ask(ResumeAccount, account="it")
    world.ask(PauseAccount, account="it", days=1)
    world.pass_time(DAY)
    until = world.now + 5 * DAY
    world.ask(SetExemption, kind="server", target=BRANCH, owner="ops", until=until)
    world.ask(SetExemption, kind="peer", target="198.51.100.7", owner="ops", until=until)
    world.ask(SetExemption, kind="server", target=BRANCH, owner="ops", until=None)
    world.pass_time(6 * DAY)
    world.see(**IN_BRANCH)
    world.ask_of_case(SignBlocking, BRANCH, stage=5)
    world.ask_of_case(DisputeCase, BRANCH)
    tell(world)
    world.ask_of_case(ResolveCase, BRANCH, outcome="rejected")
    world.see(reading(build=FLOOR_2016), **IN_BRANCH)
    tell(world)
    world.pass_time(timedelta(hours=1))
    world.see(**IN_BRANCH)
    world.ask(SetMode, connector="branch", mode="observe")
    world.ask_of_case(CorrectCase, BRANCH)
    tell(world)
    world.ask(LiftStruck, server=BRANCH)
    world.ask(PauseAccount, account="it", days=30)
    world.ask(SetExemption, kind="connector", target="internet", owner="ops", until=world.now + 9 * DAY)
    world.see()
    tell(world)
    world.open_case()
    world.see(client_name=NAME, client_resolve="ok")
    tell(world)
    return world


HELPFUL = ("pause", "resume", "dispute", "rejected", "exempt-server", "exempt-peer", "exempt-connector")
"""Acts that are meant to help, and what ends some of them early."""

ANY = (*HELPFUL, "upheld", "runs-on", "acknowledge", "correct", "lift-struck", "lift", "mode")


def ask_any(world: World, what: str, number: int) -> list[e.Event]:
    """The act *what* about the server, case, account or span that *number* picks among those there are."""
    return world.ask(lambda **asked: any_act(world.fold, what, number, **asked))


def any_act(fold: Fold, what: str, number: int, *, made_at: datetime, **asked: Any) -> Act:
    """The same, not asked yet."""
    names = sorted(fold.servers) or [SERVER]
    name = names[number % len(names)]
    server = fold.servers.get(name)
    cases = server.cases if server else ()
    of_case = {"server": name, "case": cases[number % len(cases)].opened_seq if cases else 1}
    account = ("it", name)[number % 2]
    exempt = {"owner": "ops", "until": made_at + (1 + number % 40) * DAY}
    in_force = [{"kind": one.kind, "target": one.target} for one in fold.reprieves.in_force()]
    lifted = (in_force or [{"kind": "server", "target": name}])[0]
    known: dict[str, tuple[Any, dict[str, Any]]] = {
        "pause": (PauseAccount, {"account": account, "days": 1 + number % 40}),
        "resume": (ResumeAccount, {"account": account}),
        "exempt-server": (SetExemption, {"kind": "server", "target": name, **exempt}),
        "exempt-peer": (SetExemption, {"kind": "peer", "target": (PEER, IN_BRANCH["peer"])[number % 2], **exempt}),
        "exempt-connector": (
            SetExemption,
            {"kind": "connector", "target": ("internet", "branch")[number % 2], **exempt},
        ),
        "lift": (SetExemption, {"owner": "ops", "until": None, **lifted}),
        "mode": (
            SetMode,
            {"connector": ("internet", "branch")[number % 2], "mode": ("observe", "enforce")[number // 2 % 2]},
        ),
        "lift-struck": (LiftStruck, {"server": name}),
        "dispute": (DisputeCase, of_case),
        "acknowledge": (AcknowledgeNotice, of_case),
        "correct": (CorrectCase, of_case),
    }
    act, fields = known.get(what, (ResolveCase, {"outcome": what, **of_case}))
    made: Act = act(**{**fields, **asked}, made_at=made_at)
    return made
