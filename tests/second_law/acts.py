"""The acts, each as its row of the page says."""

import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from shared.domain import records as r
from tests.second_law.case import Case
from tests.second_law.clocks import account_of, clocks, end_exemption, end_pause, exempted_by, goes_on, holds
from tests.second_law.law import Pause, SecondLaw, Server
from tests.second_law.words import DAY, names_of, stands

DONE, NO_EFFECT, REFUSED = "done", "no effect", "refused"
STRUCK_AT_MOST = 16
EXEMPT_AT_MOST = 1000


def acts(law: SecondLaw, act: Any) -> None:
    """Outcome first, then what follows from it."""
    place = len(law.told)
    outcome = _of_account(law, act) if isinstance(act, r.PauseAccount | r.ResumeAccount) else _other(law, act)
    law.told.insert(place, ("decided", outcome))


# --- accounts ------------------------------------------------------------------------------------------------------


def _of_account(law: SecondLaw, act: r.PauseAccount | r.ResumeAccount) -> str:
    owners = {c.owner for c in law.policy.connectors if c.kind != "internet"}
    if act.as_owner and (act.as_owner != act.account or act.as_owner not in {c.owner for c in law.policy.connectors}):
        return REFUSED
    pause = law.pause_of(act.account)
    if isinstance(act, r.ResumeAccount):
        if pause is None:
            return NO_EFFECT
        end_pause(law, act.account, min(pause.last, law.at.date()), law.now, None)  # at nobody's cost beyond its days
        return DONE
    known = act.account in owners or any(account_of(law, s) == act.account for s in law.servers.values())
    if not known or pause is not None:
        return REFUSED
    first = law.at.date()
    last = first + timedelta(days=act.days - 1)
    used = {day for old in law.pauses.get(act.account, []) for day in days(old)}
    wanted = {*used, *days(Pause(first, last))}
    for year in {first.year, last.year}:
        fresh = any(day.year == year for day in wanted - used)
        if fresh and sum(day.year == year for day in wanted) > law.policy.pauses.days_per_year:
            return REFUSED
    law.pauses.setdefault(act.account, []).append(Pause(first, last))
    law.told.append(("pause", act.account, first, last))
    clocks(law, of=lambda server: account_of(law, server) == act.account, starts=False)
    return DONE


def days(pause: Pause) -> list[Any]:
    """The UTC days that it uses."""
    return [pause.first + number * DAY for number in range(((pause.over or pause.last) - pause.first).days + 1)]


# --- exemptions, struck readings -----------------------------------------------------------------------------------


def _other(law: SecondLaw, act: Any) -> str:
    if isinstance(act, r.DisputeCase | r.AcknowledgeNotice):
        return _of_case(law, act, owner=act.as_owner)
    if act.as_owner:
        return REFUSED
    if isinstance(act, r.SetExemption):
        return _exempt(law, act)
    if isinstance(act, r.LiftStruck):
        server = law.servers.get(act.server)
        if server is None or not server.struck:
            return NO_EFFECT
        server.struck.clear()
        law.told.append(("lifted", act.server))
        return DONE
    return _of_case(law, act, owner="")


def _exempt(law: SecondLaw, act: r.SetExemption) -> str:
    key = (act.kind, act.target)
    if act.until is None and act.why.strip():
        if key not in law.exempt:
            return NO_EFFECT
        end_exemption(law, act.kind, act.target, law.now, None)
        return DONE
    named = act.kind != "connector" or any(c.name == act.target for c in law.policy.connectors)
    if act.until is not None and named and law.exempt.get(key) == act.until:
        return NO_EFFECT
    if act.until is None or not _may_be_exempt(law, act, act.until):
        return REFUSED
    law.exempt[key] = act.until
    law.told.append(("exempt", act.kind, act.target, act.until))
    clocks(law, of=exempted_by(law, act.kind, act.target), starts=False)
    return DONE


def _may_be_exempt(law: SecondLaw, act: r.SetExemption, until: datetime) -> bool:
    """With a reason, for an instant to come, of something that is known; a thousand at most."""
    fits = (act.kind, act.target) in law.exempt or len(law.exempt) < EXEMPT_AT_MOST
    return bool(act.why.strip()) and law.at < until <= law.at + 366 * DAY and _is_known(law, act) and fits


def _is_known(law: SecondLaw, act: r.SetExemption) -> bool:
    if act.kind == "server":
        return act.target in law.servers
    if act.kind == "connector":
        return act.target in [c.name for c in law.policy.connectors]
    try:
        ipaddress.ip_address(act.target)  # an IPv6 peer may be written as its prefix, too; these worlds have none
    except ValueError:
        return False
    return True


# --- cases ---------------------------------------------------------------------------------------------------------


def _of_case(law: SecondLaw, act: Any, *, owner: str) -> str:
    server = law.servers.get(law.gone_to(act.server, act.case))
    owned = {name for c in law.policy.connectors if c.owner == owner for name in names_of(law.policy, c.name)}
    if owner and not (server and server.connector in owned):
        return REFUSED
    case = next((c for c in server.cases if c.number == act.case), None) if server else None
    if server is None or case is None or (case.released and not isinstance(act, r.CorrectCase)):
        return NO_EFFECT
    decided: dict[type, Callable[[], str]] = {
        r.CorrectCase: lambda: _strike(law, server, case, "corrected"),
        r.DisputeCase: lambda: _dispute(law, case),
        r.ResolveCase: lambda: _resolve(law, server, case, act.outcome),
        r.SignBlocking: lambda: _sign(law, case, act.stage),
        r.AcknowledgeNotice: lambda: _acknowledge(law, case),
    }
    return decided[type(act)]()


def _dispute(law: SecondLaw, case: Case) -> str:
    if not case.enforced:
        return NO_EFFECT
    if case.disputed:
        return REFUSED
    case.disputed = True
    holds(law, case, "dispute", law.now + law.policy.disputes.days * DAY)
    return DONE


def _resolve(law: SecondLaw, server: Server, case: Case, outcome: str) -> str:
    reason = "mixed" if outcome == "runs-on" else "dispute"
    if reason not in case.holds:
        return NO_EFFECT
    if outcome == "upheld":
        return _strike(law, server, case, "upheld")
    goes_on(law, case, reason, law.now, None)
    return DONE


def _strike(law: SecondLaw, server: Server, case: Case, why: str) -> str:
    """The case ends, and its reading counts no more: the newest one's range, or every build if that does not accuse."""
    newest = server.reading
    of_it = stands(case.floor, newest) == "below"
    struck = (case.product, newest.low if of_it else None, newest.high if of_it else None)
    if struck not in server.struck:
        if len(server.struck) >= STRUCK_AT_MOST:
            return REFUSED
        server.struck.append(struck)
    server.cases.remove(case)
    server.past.pop(case.product, None)
    law.told.append(("ended", server.id, case.product, False, why, None))
    return DONE


def _sign(law: SecondLaw, case: Case, stage: int) -> str:
    if not case.enforced:
        return NO_EFFECT
    first, waiting = case.first_blocking, case.next_to_grant()
    if first is None or waiting is None or not waiting <= stage <= len(case.stages):
        return REFUSED
    protected = law.protected(case)
    if stage in (case.signed if protected else case.instead):
        return NO_EFFECT
    needed = law.policy.notices.needed_for_blocking
    told = case.delivered and case.delivered + timedelta(hours=law.policy.notices.hours_before_blocking) <= law.now
    if not protected and (told or not needed or stage != first):
        return NO_EFFECT
    case.signed.setdefault(stage, law.now)
    if not protected:
        case.instead[stage] = law.now
    law.told.append(("signed", case.server, case.product, stage))
    return DONE


def _acknowledge(law: SecondLaw, case: Case) -> str:
    if not case.told_now:
        return REFUSED
    if case.delivered is not None and not case.pending:
        return NO_EFFECT
    law.told.append(("acknowledged", case.server, case.product, len(case.pending)))
    case.pending.clear()
    case.delivered = law.law_of(law.at)
    return DONE
