"""What falls due: everything up to law time, in order of instant and server."""

from collections.abc import Iterator
from datetime import datetime

from tests.second_law.case import Ahead, Case
from tests.second_law.clocks import end_exemption, end_pause, goes_on
from tests.second_law.law import SecondLaw, Server, midnight_after
from tests.second_law.queue import blocks
from tests.second_law.words import DAY


def passes(law: SecondLaw, h: datetime, at: datetime, *, blind: bool) -> None:
    """H has come to *h*; what is due is written."""
    law.at = max(law.at, at)
    law.h = max(law.h, min(h, at))
    law.hold("blind", on=blind)
    fall_due(law)


def fall_due(law: SecondLaw) -> None:
    """Everything up to law time, in order of instant and server; nothing while the law stands still."""
    while not law.holds:
        found = [(due + law.held, server.id) for server in law.servers.values() for due in _next(law, server)]
        found += [(until, "") for until in _reprieves(law)]
        found = [(due, name) for due, name in found if due <= law.h]
        if not found:
            return
        due, name = min(found)
        if name:
            _happens(law, law.servers[name], due - law.held)
        else:
            _reprieve_over(law, due)


def _reprieves(law: SecondLaw) -> Iterator[datetime]:
    """When pauses and exemptions are over."""
    for account in law.pauses:
        pause = law.pause_of(account)
        if pause is not None:
            yield midnight_after(pause.last)
    yield from law.exempt.values()


def _reprieve_over(law: SecondLaw, due: datetime) -> None:
    """One pause or exemption is over."""
    at = law.reached(due)
    for account in sorted(law.pauses):
        pause = law.pause_of(account)
        if pause is not None and midnight_after(pause.last) == due:
            end_pause(law, account, pause.last, at, due)
            return
    kind, target = next(key for key, until in sorted(law.exempt.items()) if until == due)
    end_exemption(law, kind, target, at, due)


def _next(law: SecondLaw, server: Server) -> Iterator[datetime]:
    """The instants at which something of its cases is due."""
    for case in server.cases:
        yield from (due for due, _, _ in _dues(law, server, case))


def _dues(law: SecondLaw, server: Server, case: Case) -> Iterator[tuple[datetime, int, str]]:
    """What a case has ahead: when, in which order at one instant, what."""
    if case.ends is not None:
        yield case.ends, 0, "ends"
    else:
        yield law.expires(server, case), 0, "expires"
    if case.running:
        yield from _steps(law, case)
    for reason, until in case.holds.items():
        if until is not None:
            yield until, 4, f"hold {reason}"


def _steps(law: SecondLaw, case: Case) -> Iterator[tuple[datetime, int, str]]:
    grant = law.grant_at(case)
    if grant is not None:
        yield max(grant, case.waits[1]) if case.waits else grant, 1, "granted"
    if case.entered < len(case.stages):
        clock = case.starts_at(case.entered + 1)
        if clock is not None:
            yield case.instant_of(clock), 2, "stage"
    for ahead in case.ahead:
        yield case.instant_of(ahead.clock), 3, "notice"


def _happens(law: SecondLaw, server: Server, due: datetime) -> None:
    """The first of what is due of this server at this instant."""
    found = [(order, what, case) for case in server.cases for at, order, what in _dues(law, server, case) if at == due]
    _, what, case = min(found, key=lambda one: one[0])
    utc = due + law.held_so_far
    if what in ("ends", "expires"):
        server.cases.remove(case)
        if case.past is not None and what == "ends":
            server.past[case.product] = case.past
        law.told.append(("ended", server.id, case.product, what == "expires", "", utc))
    elif what == "granted":
        blocks(law, case, due, utc)
    elif what == "stage":
        case.entered += 1
        case.ahead.append(Ahead(case.clock(due), "stage", case.entered))
        law.told.append(("stage", server.id, case.product, case.entered, utc))
    elif what.startswith("hold "):
        goes_on(law, case, what.removeprefix("hold "), due, utc)
    else:
        _notice(law, case, due)


def _notice(law: SecondLaw, case: Case, due: datetime) -> None:
    """The first notice that is due now; the one before blocking is followed by another while none is delivered and blocking not granted."""
    ahead = min((a for a in case.ahead if case.instant_of(a.clock) == due), key=lambda a: a.kind != "opening")
    case.ahead.remove(ahead)
    asked = law.policy.notices
    if ahead.kind == "before-blocking" and case.told_of_blocking and case.granted:
        return
    if ahead.kind == "before-blocking" and asked.needed_for_blocking and case.delivered is None:
        case.ahead.append(Ahead(ahead.clock + asked.repeat_days * DAY, "before-blocking", ahead.stage))
    case.told_of_blocking |= ahead.kind == "before-blocking"
    law.tell(case, ahead.kind, ahead.stage, due + law.held_so_far)
