"""State x act: each cell of the table in `docs/architecture/acts.md`, read from the page, is what a real fold decides."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.domain import events as e
from shared.domain.policy import Caps, Protected
from shared.domain.records import (
    AcknowledgeNotice,
    CorrectCase,
    DisputeCase,
    PauseAccount,
    ResolveCase,
    ResumeAccount,
    SetExemption,
    SetMode,
    SignBlocking,
)
from tests.support.acts import DAY, aged, outcome
from tests.support.scenario import FLOOR_2016, SERVER, START, World, policy_for, reading

PAGE = Path(__file__).parents[2] / "docs" / "architecture" / "acts.md"
UNTIL = START + 200 * DAY


def _table() -> dict[str, dict[str, str]]:
    """State to act to cell, as the page has it."""
    lines = PAGE.read_text(encoding="utf-8").partition("## State x act")[2].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    acts = [cell.strip("`") for cell in rows[0][1:]]
    return {row[0]: dict(zip(acts, row[1:], strict=True)) for row in rows[2:]}


# --- states ----------------------------------------------------------------------------------------------------------


def _no_case() -> World:
    world = World()
    world.see()
    return world


def _no_notice_yet() -> World:
    world = World()
    for _ in range(3):
        world.pass_time(timedelta(minutes=30))
        world.pass_time(timedelta(minutes=30), watched=False)  # the case opens ahead of H
        world.see()
    return world


def _notice_pending() -> World:
    world = World()
    world.open_case()
    for _ in range(31):
        world.pass_time(DAY)
        world.see()
    return world


def _paused() -> World:
    world = aged(35)
    world.ask(PauseAccount, account=SERVER, days=10)
    return world


def _disputed() -> World:
    world = aged(35)
    world.ask_of_case(DisputeCase)
    return world


def _released() -> World:
    world = aged(35)
    world.see(reading(build=FLOOR_2016))
    return world


def _mixed() -> World:
    world = _released()
    world.pass_time(timedelta(hours=1))
    world.see()
    return world


def _exempt() -> World:
    world = aged(35)
    world.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=UNTIL)
    return world


def _ended() -> World:
    world = _released()
    world.pass_time(2 * DAY)
    return world


def _in_the_queue() -> World:
    """Other cases take the room of this day and the next."""
    world = World(policy_for(caps=Caps(newly_blocked_per_day=1, newly_blocked_percent_of_open_cases=0)))
    for _ in range(61):
        for name in ("ahead.example", "next.example"):
            world.open_case(name=name, helo=name)
        world.open_case()
        world.settle()
        world.pass_time(DAY - timedelta(hours=9))
        if len(world.fold.queue):
            return world
    raise AssertionError("nobody waits")


def _protected() -> World:
    clinics = Protected(title="Clinics", domains=("alt.example",))
    return aged(65, policy=policy_for(protected=(clinics,)))


STATES: dict[str, Callable[[], World]] = {
    "no case": _no_case,
    "observed": lambda: aged(5, policy=policy_for("observe")),
    "waiting, no notice due yet": _no_notice_yet,
    "throttled, notice pending": _notice_pending,
    "throttled, notice delivered": lambda: aged(35),
    "blocked": lambda: aged(65),
    "waiting in the queue of the cap": _in_the_queue,
    "protected, blocking needs a signature": _protected,
    "paused": _paused,
    "disputed": _disputed,
    "released": _released,
    "mixed, held": _mixed,
    "exempt": _exempt,
    "ended": _ended,
}
BEFORE = {"paused": "throttled, notice delivered", "disputed": "throttled, notice delivered"}


# --- acts ------------------------------------------------------------------------------------------------------------


def _number(world: World) -> int:
    """The case's number; that of the last one that was open, or one of no case."""
    return max((record.seq for record, _ in world.log if isinstance(record.event, e.CaseOpened)), default=1)


def _other_mode(world: World) -> str:
    return "enforce" if world.fold.policy.mode == "observe" else "observe"


ACTS: dict[str, Callable[[World], list[e.Event]]] = {
    "pause": lambda w: w.ask(PauseAccount, account=SERVER, days=3),
    "resume": lambda w: w.ask(ResumeAccount, account=SERVER),
    "exempt server": lambda w: w.ask(SetExemption, kind="server", target=SERVER, owner="ops", until=UNTIL),
    "dispute": lambda w: w.ask(DisputeCase, server=SERVER, case=_number(w)),
    "upheld": lambda w: w.ask(ResolveCase, server=SERVER, case=_number(w), outcome="upheld"),
    "rejected": lambda w: w.ask(ResolveCase, server=SERVER, case=_number(w), outcome="rejected"),
    "runs-on": lambda w: w.ask(ResolveCase, server=SERVER, case=_number(w), outcome="runs-on"),
    "sign next": lambda w: w.ask(SignBlocking, server=SERVER, case=_number(w), stage=5),
    "acknowledge": lambda w: w.ask(AcknowledgeNotice, server=SERVER, case=_number(w)),
    "correct": lambda w: w.ask(CorrectCase, server=SERVER, case=_number(w)),
    "mode": lambda w: w.ask(SetMode, connector="", mode=_other_mode(w)),
}
_LETTER = {"done": "D", "no effect": "N", "refused": "R"}


def _cells() -> Iterator[tuple[str, str, str]]:
    table = _table()
    for state, row in table.items():
        for act, cell in row.items():
            yield state, act, table[BEFORE[state]][act] if cell == "as before" else cell


def test_the_page_has_every_state_and_act() -> None:
    """Nothing that is decided is missing from the page, and the other way round."""
    table = _table()
    assert STATES.keys() == table.keys()
    assert all(ACTS.keys() == row.keys() for row in table.values())


@pytest.mark.parametrize(("state", "act", "cell"), list(_cells()))
def test_each_cell_is_what_the_fold_decides(state: str, act: str, cell: str) -> None:
    """Done, no effect and on record, or refused; and a request that is not done changes nothing else."""
    world = STATES[state]()
    world.log += world.fold.tick(at=world.now, blind=False)  # what was asked for before may have made something due
    before = (world.fold.digest(), world.fold.reprieves.digest(), world.fold.policy)
    events = ACTS[act](world)
    assert _LETTER[outcome(events)] == cell
    if cell != "D":
        assert len(events) == 1
        assert (world.fold.digest(), world.fold.reprieves.digest(), world.fold.policy) == before
