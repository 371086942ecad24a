"""
What people ask for, decided: see `docs/architecture/acts.md`, whose tables this is. Pure.

Each act is one function: who may, why not, what follows. An outcome is recorded before what it brings.
"""

from datetime import timedelta

from shared.domain import events as e
from shared.domain.holds import go_on, hold_now
from shared.domain.records import Act, CorrectCase, DisputeCase, ResolveCase, Struck
from shared.domain.state import Case, Server
from shared.domain.view import View

STRUCK_MAX = 16
"""Readings of one server that may be struck; at the bound one more is refused, until they are lifted."""


def decide_act(view: View, act: Act) -> list[e.Event]:
    """The outcome of *act*, and what follows from it."""
    match act:
        case DisputeCase():
            return _dispute(view, act)
        case ResolveCase():
            return _resolve(view, act)
        case _:
            return _refused(act, "no rule decides it yet")


# --- cases -----------------------------------------------------------------------------------------------------------


def _dispute(view: View, act: DisputeCase) -> list[e.Event]:
    server, case = _case_named(view, act)
    if server is None or case is None:
        return _nothing(act, _NOT_OPEN)
    if case.released_at is not None:
        return _nothing(act, "the case is released: nothing holds its server any more")
    if not case.enforced:
        return _nothing(act, "the case is only observed: there is nothing to hold")
    if case.disputed:
        return _refused(act, "the case was disputed before, and that is possible once")
    until = view.law.now + timedelta(days=view.policy.disputes.days)
    told = f"mail passes and the clock stands until an operator decides, for {view.policy.disputes.days} days at most"
    return [*_done(act, told), hold_now(server, case, view.law, "dispute", until=until)]


def _resolve(view: View, act: ResolveCase) -> list[e.Event]:
    server, case = _case_named(view, act)
    if server is None or case is None:
        return _nothing(act, _NOT_OPEN)
    reason: e.CaseHoldReason = "mixed" if act.outcome == "runs-on" else "dispute"
    if case.held_for(reason) is None:
        what = "the case is not held as mixed" if reason == "mixed" else "no dispute of the case is open"
        return _nothing(act, what)
    if act.outcome == "upheld":
        return _end_struck(act, server, case, "upheld")
    told = "the case runs on" if len(case.holds) == 1 else "the case stays held for another reason"
    return [*_done(act, told), go_on(server, case, reason, view.law.now)]


def _end_struck(act: ResolveCase | CorrectCase, server: Server, case: Case, why: str) -> list[e.Event]:
    reading = server.reading
    known = reading.product == case.product
    struck = Struck(product=case.product, low=reading.low if known else None, high=reading.high if known else None)
    if struck not in server.struck and len(server.struck) >= STRUCK_MAX:
        return _refused(act, f"{STRUCK_MAX} readings of this server are struck already: lift them first")
    ended = e.CaseEnded(
        server=server.server,
        product=case.product,
        expired=False,
        why="upheld" if why == "upheld" else "corrected",
        struck=struck,
    )
    return [*_done(act, "the case ends, and its reading opens nothing until that is lifted"), ended]


_NOT_OPEN = "this case is not open"


def _case_named(view: View, act: DisputeCase | ResolveCase | CorrectCase) -> tuple[Server | None, Case | None]:
    server = view.servers.get(act.server)
    case = next((case for case in server.cases if case.opened_seq == act.case), None) if server else None
    return server, case


# --- outcomes --------------------------------------------------------------------------------------------------------


def _done(act: Act, reason: str) -> list[e.Event]:
    return [e.RequestDecided(request=act, outcome="done", reason=reason)]


def _nothing(act: Act, reason: str) -> list[e.Event]:
    return [e.RequestDecided(request=act, outcome="no effect", reason=reason)]


def _refused(act: Act, reason: str) -> list[e.Event]:
    return [e.RequestDecided(request=act, outcome="refused", reason=reason)]
