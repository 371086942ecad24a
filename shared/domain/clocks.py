"""
Which cases are enforced, and what starts and stops their clocks: modes, exemptions, pauses. Pure.

An observed or exempt case stands at day 0; it begins there when that is over. One that begins while its account is paused, while
a dispute of it is open, or while it would be held as mixed, is held at once.
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from shared.domain import events as e
from shared.domain.accounts import account_of
from shared.domain.evidence import Reading
from shared.domain.floors import Standing
from shared.domain.holds import go_on, hold, hold_now
from shared.domain.policy import Policy, Tie
from shared.domain.reprieves import Reprieves
from shared.domain.schedule import plan_for
from shared.domain.state import Case, CaseHold, Law, Server
from shared.domain.view import View


class Seen(NamedTuple):
    """As what a server was just seen. ids: all that the message matches. tie: the best one. accuses: what it showed, if that is below the floor."""

    ids: tuple[str, ...]
    connector: str
    peer: str
    tie: Tie
    accuses: Reading | None = None


def clocks(
    view: View,
    server: Server,
    *,
    day: date,
    policy: Policy | None = None,
    reprieves: Reprieves | None = None,
    seen: Seen | None = None,
    now: datetime | None = None,
    starts: bool = True,
) -> Iterator[e.Event]:
    """
    What of the clocks of *server* differs from what must be, put right: observed and exempt ones stand, the others run or are held.

    policy, reprieves: those that are about to be in force, where they change. seen: as what the server was just seen, else it
    is as it is on record. now: the law time at which that is. starts: whether one may begin; what is meant to spare begins none.
    """
    policy, reprieves, now = policy or view.policy, reprieves or view.reprieves, now or view.law.now
    ids, connector, peer, tie, accuses = seen or Seen(
        (server.server, *server.matches), policy.present_name(server.connector), "", server.tie
    )
    paused = reprieves.paused_until(account_of(policy, server.server, connector))
    # Its account's pause has ended, or is not its account's any more. A case that moved outlasts its own: to the end that was told.
    of_before = account_of(
        view.policy, server.server, seen.connector if seen else view.policy.present_name(server.connector)
    )
    over = not paused and view.reprieves.paused_until(of_before) is not None
    for case in server.cases:
        if case.released_at is not None:
            continue
        spared = reprieves.spare(policy, ids, connector, peer or case.exempt_peer)
        its = accuses is not None and accuses.product == case.product
        accused = accuses if its else server.accused_of(case.product)
        enforced = not spared and refuses(policy, tie, case.product, connector, day, accused)
        noted = _peer_noted(reprieves, server, case, seen)
        if not enforced and (case.enforced or noted != case.exempt_peer):
            plan = plan_for(policy, now, enforced=False)
            yield e.ClockStopped(server=server.server, product=case.product, plan=plan, peer=noted)
        elif enforced and not case.enforced:
            if not starts:
                continue
            plan = plan_for(policy, now, enforced=True)
            yield e.ClockStarted(server=server.server, product=case.product, plan=plan)
            yield from _held_again(server.server, case, plan, paused=paused)
        elif enforced and paused and case.held_for("pause") is None:
            yield hold_now(server, case, view.law, "pause", ends=paused)
        elif not paused and (hold := case.held_for("pause")) is not None and (over or _is_over(hold, view.law)):
            yield go_on(server, case, "pause", now)


def _is_over(pause: CaseHold, law: Law) -> bool:
    return pause.ends is None or law.h >= pause.ends


def _peer_noted(reprieves: Reprieves, server: Server, case: Case, seen: Seen | None) -> str:
    """The exempt peer that *case* notes, observed or not: nothing else tells later from where its server is seen."""
    if seen is None:
        return case.exempt_peer
    if reprieves.spares_peer(seen.peer):
        return seen.peer
    return "" if seen.ids[0] == server.server else case.exempt_peer


def held_from_day0(view: View, server_id: str, product: str, connector: str, plan: e.Plan) -> Iterator[e.Event]:
    """A case that opens while its account is paused is held at once; an observed one is not."""
    paused = view.reprieves.paused_until(account_of(view.policy, server_id, connector))
    if plan.notices and paused:
        yield hold(server_id, product, "pause", plan.rows[0], plan.rows[0].since, ends=paused)


def _held_again(server_id: str, case: Case, plan: e.Plan, *, paused: datetime | None) -> Iterator[e.Event]:
    first = plan.rows[0]
    for kept in case.holds:
        if kept.reason != "pause":
            yield hold(server_id, case.product, kept.reason, first, first.since, until=kept.until)
    if paused:
        yield hold(server_id, case.product, "pause", first, first.since, ends=paused)


def refuses(policy: Policy, tie: Tie, product: str, connector: str, day: date, accused: Reading | None) -> bool:
    """
    Whether *policy* still says what a case rests on: its connector is enforced, its tie opens, and its product has a floor.

    accused: the newest reading that did, and is below the floor yet. None: it is not on record, and not asked for.
    """
    floor = policy.floor_for(product, day)
    if floor is None or not policy.enforced(connector) or tie not in policy.open_ties:
        return False
    return accused is None or floor.standing(accused) is Standing.BELOW
