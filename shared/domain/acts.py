"""
What people ask for, decided: see `docs/architecture/acts.md`, whose tables this is. Pure.

Each act is one function: why not, then what follows. An outcome is recorded before what it brings. What a pause or an exemption
changes for cases is `clocks.py`'s to say, at its beginning as at its end.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from shared.domain import accounts
from shared.domain import events as e
from shared.domain.clocks import clocks
from shared.domain.decide import adapted, decided_before
from shared.domain.floors import Standing
from shared.domain.holds import go_on, hold_now
from shared.domain.identity import peer_of
from shared.domain.policy import Mode, Policy
from shared.domain.records import (
    AcknowledgeNotice,
    Act,
    CaseAct,
    CorrectCase,
    DisputeCase,
    Exemption,
    LiftStruck,
    PauseAccount,
    ResolveCase,
    ResumeAccount,
    SetExemption,
    SetMode,
    SignBlocking,
    Struck,
)
from shared.domain.rehome import home_of
from shared.domain.signatures import signature
from shared.domain.state import Case, Server
from shared.domain.view import View

STRUCK_MAX = 16
"""Readings of one server that may be struck; at the bound one more is refused, until they are lifted."""

EXEMPTIONS_MAX = 1000
EXEMPTIONS_BYTES_MAX = 400_000
"""Exemptions in force, in number and as JSON, for the edges read all of them in one record; at the bound one more is refused."""

EXEMPT_AT_MOST = timedelta(days=366)


def decide_act(view: View, act: Act, *, at: datetime) -> list[e.Event]:
    """The outcome of *act*, and what follows from it."""
    before = decided_before(view, act, at=at)
    if before:
        return before
    if act.as_owner:
        complaint = _not_his(view, act)
        if complaint:
            return _refused(act, complaint)
    if not isinstance(act, CaseAct):
        return _DECIDES[type(act)](view, act, at)
    server, case = _case_named(view, act)
    if server is None or case is None:
        return _nothing(act, "this case is not open")
    if isinstance(act, AcknowledgeNotice):
        return _acknowledge(view, act, server, case, at)
    return _DECIDES_CASE[type(act)](view, act, server, case)


def fall_due(view: View, ends: datetime) -> list[e.Event]:
    """The first pause or exemption that ends at *ends* (UTC), with what follows."""
    for name, account in sorted(view.reprieves.accounts.items()):
        if account.running and accounts.midnight_after(account.pauses[-1].last) == ends:
            over = e.PauseEnded(account=name, used_to=account.pauses[-1].last)
            return [over, *_put_right(view, over, _of_account(view, name), ends.date(), view.law.law_of(ends))]
    one = next(one for one in view.reprieves.in_force() if one.until == ends)
    ended = e.ExemptionEnded(kind=one.kind, target=one.target)
    return [ended, *_put_right(view, ended, _exempted(view, one.kind, one.target), ends.date(), view.law.law_of(ends))]


def _put_right(
    view: View, event: e.Event, names: list[str], day: date, now: datetime | None = None
) -> Iterator[e.Event]:
    """What *event* changes for the clocks of these servers. What would begin at the next sighting begins by no pause and no exemption."""
    after, starts = view.reprieves.after(event), isinstance(event, e.ExemptionEnded)
    for name in names:
        yield from clocks(view, view.servers[name], day=day, reprieves=after, now=now, starts=starts)


# --- who -------------------------------------------------------------------------------------------------------------


def _not_his(view: View, act: Act) -> str:
    """Why an owner may not ask for this; "" if he may."""
    if isinstance(act, PauseAccount | ResumeAccount):
        owns = any(connector.owner == act.as_owner for connector in view.policy.connectors)
        return "" if owns and act.account == act.as_owner else "an owner may pause and resume his own account only"
    if isinstance(act, DisputeCase | AcknowledgeNotice):
        server = home_of(view, act.server, act.case)
        of = view.policy.connector_named(server.connector) if server else None
        if of is not None and of.owner == act.as_owner:
            return ""
        return "an owner may act for servers that are seen in his connectors only"
    return "this is for an operator to ask for"


# --- accounts --------------------------------------------------------------------------------------------------------


def _pause(view: View, act: PauseAccount, at: datetime) -> list[e.Event]:
    name, today = act.account, at.astimezone(UTC).date()
    complaint = _no_account(view, name)
    if complaint:
        return _refused(act, complaint)
    account = view.reprieves.accounts.get(name)
    if account is not None and account.running:
        return _refused(act, f"it is paused already, to the end of {account.pauses[-1].last} (UTC); resume it first")
    last = today + timedelta(days=act.days - 1)
    complaint = accounts.lacking(account, today, last, view.policy.pauses.days_per_year)
    if complaint:
        return _refused(act, complaint)
    began = e.PauseBegan(account=name, first=today, last=last)
    return [
        *_done(act, f"paused to the end of {last} (UTC)"),
        began,
        *_put_right(view, began, _of_account(view, name), today),
    ]


def _resume(view: View, act: ResumeAccount, at: datetime) -> list[e.Event]:
    name, today = act.account, at.astimezone(UTC).date()
    account = view.reprieves.accounts.get(name)
    if account is None or not account.running:
        return _nothing(act, "it is not paused")
    last = account.pauses[-1].last
    used_to = min(today, last)
    ended = e.PauseEnded(account=name, used_to=used_to)
    told = f"the pause is over; {(last - used_to).days} days came back"
    return [*_done(act, told), ended, *_put_right(view, ended, _of_account(view, name), today)]


def _no_account(view: View, name: str) -> str:
    """Why there is no account of that name; "" if there is one."""
    if _owned(view.policy, name):
        return ""
    server = view.servers.get(name)
    if server is None:
        return f"no connector of kind on-premises or partner has the owner {name!r}, and no server has that id"
    owner = accounts.account_of(view.policy, name, server.connector)
    return "" if owner == name else f"this server is seen in a connector of {owner}: the account is {owner}"


def _owned(policy: Policy, owner: str) -> list[str]:
    owned = (one for one in policy.connectors if one.kind != "internet" and one.owner == owner)
    return [name for one in owned for name in one.names]


def _of_account(view: View, name: str) -> list[str]:
    """The servers of an account, sorted. Those of an owner have a connector of his in their ids."""
    endings = tuple(f"@{connector}" for connector in _owned(view.policy, name))
    return sorted(server for server in view.servers if server == name or server.endswith(endings))


# --- exemptions --------------------------------------------------------------------------------------------------------


def _exempt(view: View, act: SetExemption, at: datetime) -> list[e.Event]:
    target, complaint = _target_of(view, act)
    known = view.reprieves.exemptions.get((act.kind, target))
    until = act.until.astimezone(UTC) if act.until else None
    if until is None:
        return _lift(view, act, target, at) if known else _nothing(act, f"this {act.kind} is not exempt")
    if not complaint and known is not None and known.until == until:
        return _nothing(act, f"it is exempt until {until:%Y-%m-%d %H:%MZ} already")
    complaint = complaint or _not_until(act, until, at)
    exempted = e.Exempted(exemption=Exemption(kind=act.kind, target=target, owner=act.owner, until=until))
    complaint = complaint or _no_room(view, exempted)
    if complaint:
        return _refused(act, complaint)
    told = f"nothing of it is refused until {until:%Y-%m-%d %H:%MZ}"
    names = _exempted(view, act.kind, target)
    return [*_done(act, told), exempted, *_put_right(view, exempted, names, at.astimezone(UTC).date())]


def _lift(view: View, act: SetExemption, target: str, at: datetime) -> list[e.Event]:
    ended = e.ExemptionEnded(kind=act.kind, target=target)
    names = _exempted(view, act.kind, target)
    return [*_done(act, "the exemption is lifted"), ended, *_put_right(view, ended, names, at.astimezone(UTC).date())]


def _target_of(view: View, act: SetExemption) -> tuple[str, str]:
    """The target as records name it, and why it cannot be exempt; "" if it can."""
    if act.kind == "peer":
        try:
            return peer_of(act.target.removesuffix("/64")), ""
        except ValueError:
            return act.target, f"{act.target!r} is no IP address"
    if act.kind == "connector":
        known = any(one.name == act.target for one in view.policy.connectors)
        return act.target, "" if known else f"the policy names no connector {act.target!r}"
    return act.target, "" if act.target in view.servers else f"no server with the id {act.target!r} was ever seen"


def _not_until(act: SetExemption, until: datetime, at: datetime) -> str:
    if not act.why.strip():
        return "an exemption needs its reason (why)"
    if until <= at:
        return f"{until:%Y-%m-%d %H:%MZ} has come already"
    return f"an exemption lasts {EXEMPT_AT_MOST.days} days at most" if until > at + EXEMPT_AT_MOST else ""


def _no_room(view: View, exempted: e.Exempted) -> str:
    after = view.reprieves.after(exempted).in_force()
    if len(after) > EXEMPTIONS_MAX or len(msgspec.json.encode(after)) > EXEMPTIONS_BYTES_MAX:
        return (
            f"{len(view.reprieves.exemptions)} exemptions are in force, and there is no room for more; lift some first"
        )
    return ""


def _exempted(view: View, kind: str, target: str) -> list[str]:
    """The servers whose clocks an exemption moves at once; of a peer none is known, each is when it is seen next."""
    if kind == "peer":
        return []
    if kind == "server":  # all ids of a message have the name of its host
        host = target.partition("@")[0]
        alike = sorted(name for name in view.servers if name.partition("@")[0] == host)
        return [name for name in alike if name == target or target in view.servers[name].matches]
    found = view.policy.connector_named(target)
    endings = tuple(f"@{name}" for name in found.names) if found and found.kind != "internet" else ("",)
    names = sorted(name for name in view.servers if name.endswith(endings))
    present = view.policy.present_name(target)
    return [name for name in names if view.policy.present_name(view.servers[name].connector) == present]


# --- cases -----------------------------------------------------------------------------------------------------------


def _dispute(view: View, act: DisputeCase, server: Server, case: Case) -> list[e.Event]:
    if case.released_at is not None:
        return _nothing(act, _RELEASED)
    if not case.enforced:
        return _nothing(act, "the case is only observed: there is nothing to hold")
    if case.disputed:
        return _refused(act, "the case was disputed before, and that is possible once")
    until = view.law.now + timedelta(days=view.policy.disputes.days)
    told = f"mail passes and the clock stands until an operator decides, for {view.policy.disputes.days} days at most"
    return [*_done(act, told), hold_now(server, case, view.law, "dispute", until=until)]


def _resolve(view: View, act: ResolveCase, server: Server, case: Case) -> list[e.Event]:
    reason: e.CaseHoldReason = "mixed" if act.outcome == "runs-on" else "dispute"
    if case.held_for(reason) is None:
        what = "the case is not held as mixed" if reason == "mixed" else "no dispute of the case is open"
        return _nothing(act, what)
    if act.outcome == "upheld":
        return _end_struck(act, server, case, "upheld")
    told = "the case runs on" if len(case.holds) == 1 else "the case stays held for another reason"
    return [*_done(act, told), go_on(server, case, reason, view.law.now)]


def _sign(view: View, act: SignBlocking, server: Server, case: Case) -> list[e.Event]:
    if case.released_at is not None:
        return _nothing(act, _RELEASED)
    if not case.enforced:
        return _nothing(act, "the case is only observed: it has no blocking ahead")
    outcome, reason, follows = signature(server, case, act.stage, view.law, view.policy)
    return [e.RequestDecided(request=act, outcome=outcome, reason=reason), *follows]


def _correct(view: View, act: CorrectCase, server: Server, case: Case) -> list[e.Event]:
    del view
    return _end_struck(act, server, case, "corrected")


def _end_struck(act: ResolveCase | CorrectCase, server: Server, case: Case, why: str) -> list[e.Event]:
    reading = server.reading
    known = case.floor.standing(reading) is Standing.BELOW  # else nobody knows any more which builds were accused
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


def _lift_struck(view: View, act: LiftStruck, at: datetime) -> list[e.Event]:
    del at
    server = view.servers.get(act.server)
    if server is None or not server.struck:
        return _nothing(act, "no reading of this server is struck")
    number = len(server.struck)
    told = f"{number} reading{'s count' if number > 1 else ' counts'} again, from the next sighting on"
    return [*_done(act, told), e.ReadingsLifted(server=act.server)]


def _acknowledge(view: View, act: AcknowledgeNotice, server: Server, case: Case, at: datetime) -> list[e.Event]:
    if case.released_at is not None:
        return _nothing(act, _RELEASED)
    planned = case.kept.planned if case.kept else case.planned
    if not case.enforced or any(notice.kind == "opening" for notice in planned):
        return _refused(act, "no notice of this case has fallen due yet")
    if case.delivered_law is not None and not case.pending:
        return _nothing(act, "its notices were delivered already")
    told = e.NoticeAcknowledged(
        server=server.server,
        product=case.product,
        notices=tuple(notice.notice for notice in case.pending),
        at_law=view.law.of_utc(at),
    )
    return [*_done(act, "the notice counts as delivered now"), told]


_RELEASED = "the case is released: nothing holds its server any more"


def _case_named(view: View, act: CaseAct) -> tuple[Server | None, Case | None]:
    server = home_of(view, act.server, act.case)
    case = next((case for case in server.cases if case.opened_seq == act.case), None) if server else None
    return server, case


# --- mode ------------------------------------------------------------------------------------------------------------


def _mode(view: View, act: SetMode, at: datetime) -> list[e.Event]:
    policy = view.policy
    connector = next((one for one in policy.connectors if one.name == act.connector), None)
    if act.connector and connector is None:
        return _refused(act, f"the policy names no connector {act.connector!r}")
    if (connector.mode if connector else policy.mode) == act.mode:
        return _nothing(act, f"its mode is {act.mode} already")
    new = with_mode(policy, act.connector, act.mode)
    return [e.PolicyAdopted(policy=new, request=act), *adapted(view, new, at.astimezone(UTC).date())]


def with_mode(policy: Policy, connector: str, mode: Mode) -> Policy:
    """*policy*, one version on, with the mode of *connector* changed; "": that of the whole."""
    changed = {
        "connectors": tuple(
            msgspec.structs.replace(one, mode=mode) if one.name == connector else one for one in policy.connectors
        )
    }
    return msgspec.structs.replace(policy, version=policy.version + 1, **(changed if connector else {"mode": mode}))


# --- outcomes --------------------------------------------------------------------------------------------------------


def _done(act: Act, reason: str) -> list[e.Event]:
    return [e.RequestDecided(request=act, outcome="done", reason=reason)]


def _nothing(act: Act, reason: str) -> list[e.Event]:
    return [e.RequestDecided(request=act, outcome="no effect", reason=reason)]


def _refused(act: Act, reason: str) -> list[e.Event]:
    return [e.RequestDecided(request=act, outcome="refused", reason=reason)]


_DECIDES: dict[type, Callable[[View, Any, datetime], list[e.Event]]] = {
    PauseAccount: _pause,
    ResumeAccount: _resume,
    SetExemption: _exempt,
    LiftStruck: _lift_struck,
    SetMode: _mode,
}
_DECIDES_CASE: dict[type, Callable[[View, Any, Server, Case], list[e.Event]]] = {
    DisputeCase: _dispute,
    ResolveCase: _resolve,
    SignBlocking: _sign,
    CorrectCase: _correct,
}
