"""What follows from a request: a policy, a notice's end, a freeze; the acts stand in `acts.py`."""

from datetime import datetime

from msgspec.structs import replace

from shared.domain.policy import Policy
from shared.domain.records import Act, AdoptPolicy, ReportNotice, SetFreeze, SetMode
from tests.second_law.acts import acts
from tests.second_law.case import Case
from tests.second_law.clocks import account_of, clocks
from tests.second_law.due import fall_due
from tests.second_law.law import SecondLaw
from tests.second_law.queue import Queue, behind, blocks, cap, place_of
from tests.second_law.words import DAY, HOUR, SECOND

Asked = AdoptPolicy | ReportNotice | SetFreeze | Act


def asks(law: SecondLaw, request: Asked, at: datetime) -> None:
    """Decide a request, and tell its outcome first."""
    law.at = max(law.at, at)
    fall_due(law)
    outcome = _known(law, request)
    if not isinstance(request, ReportNotice):
        law.requests = {key: when for key, when in law.requests.items() if when >= law.at - 16 * DAY}
        law.requests.setdefault(request.id, law.at)
    if outcome:
        law.told.append(("decided", outcome))
    elif isinstance(request, AdoptPolicy):
        _adopt(law, request.policy)
    elif isinstance(request, ReportNotice):
        _settle(law, request)
    elif isinstance(request, SetFreeze):
        _freeze(law, request)
    elif isinstance(request, SetMode) and not request.as_owner:
        _mode(law, request)
    else:
        acts(law, request)


def _mode(law: SecondLaw, request: SetMode) -> None:
    """A new version of the policy with that one line changed."""
    policy = law.policy
    before = [c.mode for c in policy.connectors if c.name == request.connector] if request.connector else [policy.mode]
    if not before or before == [request.mode]:
        law.told.append(("decided", "no effect" if before else "refused"))
        return
    connectors = tuple(replace(c, mode=request.mode) if c.name == request.connector else c for c in policy.connectors)
    changed = {"connectors": connectors} if request.connector else {"mode": request.mode}
    _adopt(law, replace(policy, version=policy.version + 1, **changed))


def _known(law: SecondLaw, request: Asked) -> str:
    """
    Outcome of one that is told twice, or too old; "" for all others.

    Not of a report: a notice is settled once, whatever the id, and what became of it stays true however late it is told.
    """
    if isinstance(request, ReportNotice):
        return ""
    if request.id in law.requests:
        return "no effect"
    return "refused" if request.made_at < law.at - 24 * HOUR else ""


def _freeze(law: SecondLaw, request: SetFreeze) -> None:
    if request.frozen is ("freeze" in law.holds):
        law.told.append(("decided", "no effect"))
        return
    law.told.append(("decided", "done"))
    law.hold("freeze", on=request.frozen)


def _settle(law: SecondLaw, request: ReportNotice) -> None:
    """Only of a notice that is pending; delivered counts from now on."""
    number = int(request.notice.partition("-")[0])
    server = law.servers.get(law.gone_to(request.server, number))
    for case in server.cases if server else ():
        for notice in case.pending:
            if notice.id == request.notice:
                case.pending.remove(notice)
                if request.outcome == "delivered":
                    case.delivered = law.law_of(law.at)
                law.told.append(("decided", "done"))
                law.told.append(("settled", case.server, case.product, request.outcome))
                return
    law.told.append(("decided", "no effect"))


def contradicts(policy: Policy) -> bool:
    """The one contradiction that these worlds hand in: days that do not rise."""
    days = [stage.from_day for stage in policy.stages]
    return days != sorted(set(days))


def _adopt(law: SecondLaw, policy: Policy) -> None:
    if policy.version <= law.policy.version or contradicts(policy):
        law.told.append(("decided", "refused"))
        return
    servers = list(law.servers.values())
    paused = [case for server in servers if law.pause_of(account_of(law, server)) for case in server.cases]
    law.policy = policy
    law.told.append(("adopted", policy.version))
    room = cap(law)  # of the cases that are open as the policy comes, and by its caps
    queue = [place_of(law, c, c.waits[0]) for s in law.servers.values() for c in s.cases if c.waits]
    stood = {case: case.held_since for s in law.servers.values() for case in s.cases if case.running or case.holds}
    clocks(law, lets_go=paused)
    terms(law, room, queue, [case for case, held in stood.items() if case.held_since == held])


def terms(law: SecondLaw, room: int, queue: list[tuple[datetime, str, int]], running: list[Case]) -> None:
    """A policy that asks less, or has more room, grants from its adoption on: first who waits, then who newly asks, by server."""
    left = max(0, room - law.blocked_on.get(law.at.date(), 0))
    asked, last = 0, behind(law)
    for server in sorted(law.servers.values(), key=lambda one: one.id):
        for case in server.cases:
            # What this policy just let go on is granted as at any hold's end.
            grant = law.grant_at(case) if case.running and case in running else None
            if grant is None or grant > law.now:
                continue
            waited, first = case.waits is not None, case.waits[0] if case.waits else last
            place = 1 + sum(one < place_of(law, case, first) for one in queue) + (0 if waited else asked)
            if place <= left or not waited:
                case.due_first = first
                blocks(law, case, law.now + SECOND, None, Queue(room, place, left))
            asked += not waited
