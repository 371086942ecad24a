"""
`decide`: what follows from an input, or from an instant that has come. Pure, and nothing is read that the log lacks.

Each rule is one function. The caller (`fold.py`) writes the events to the log in the order given, and evolves after each
list; due things are written before the next input.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from shared.domain import events as e
from shared.domain.identity import Identity, Naming
from shared.domain.policy import Floor, Policy, Standing, complaints_of
from shared.domain.records import AdoptPolicy, ReportNotice, Row, SetFreeze, Sighting
from shared.domain.state import Case, Law, Server

REQUEST_MAX_AGE = timedelta(hours=24)
REQUEST_IDS_KEPT = timedelta(days=16)  # longer than the 14 days that `requests` keeps a record
NEWS_PER_HOUR = 4
"""Sightings of one server that are news in one UTC hour. At the bound only a cure is: nobody can fill the log with builds."""


class View(Protocol):
    """What deciding may look at: the state as the log made it."""

    @property
    def law(self) -> Law:
        """The globals."""
        ...

    policy: Policy
    naming: Naming
    servers: dict[str, Server]
    requests: dict[str, datetime]


# --- the schedule of a case ----------------------------------------------------------------------------------------


def plan_for(policy: Policy, day0: datetime, *, enforced: bool) -> e.Plan:
    """The way of a case from *day0* (law time): in observe it stands at day 0; blocking rows wait for their grant."""
    rows = tuple(
        Row(
            since=day0 + timedelta(days=stage.from_day),
            stage=number,
            throttle_minutes_per_hour=stage.throttle_minutes_per_hour,
            block_minutes_per_hour=stage.block_minutes_per_hour,
        )
        for number, stage in enumerate(policy.stages, start=1)
    )
    if not enforced:
        return e.Plan(rows=rows[:1])
    granted = tuple(row for row in rows if not row.block_minutes_per_hour)
    blocking = rows[len(granted) :]
    return e.Plan(rows=granted, blocking=blocking, notices=_ladder(policy, granted, blocking))


def _ladder(policy: Policy, granted: tuple[Row, ...], blocking: tuple[Row, ...]) -> tuple[e.PlannedNotice, ...]:
    day0 = granted[0].since
    planned = [e.PlannedNotice(kind="opening", since=day0, stage=1)]
    for row in granted[1:2]:
        before = max(day0, row.since - timedelta(days=policy.notices.before_throttling_days))
        planned.append(e.PlannedNotice(kind="before-throttling", since=before, stage=row.stage))
    planned += [e.PlannedNotice(kind="stage", since=row.since, stage=row.stage) for row in granted[1:]]
    for row in blocking[:1]:
        before = max(day0, row.since - timedelta(days=policy.notices.before_blocking_days))
        planned.append(e.PlannedNotice(kind="before-blocking", since=before, stage=row.stage))
    return tuple(sorted(planned, key=lambda notice: notice.since))


# --- what falls due ------------------------------------------------------------------------------------------------


def next_due(server: Server, policy: Policy) -> datetime | None:
    """The law time at which something next falls due for *server*; None: nothing ever will by itself."""
    instants = [instant for case in server.cases for instant in _dues(server, case, policy)]
    return min(instants) if instants else None


def fall_due(server: Server, law: Law, policy: Policy, instant: datetime) -> list[e.Event]:
    """The first thing that is due for *server* at *instant* of law time: one case, one step."""
    for case in server.cases:
        if instant in _dues(server, case, policy):
            return _fall_due(server, case, law, policy, instant)
    return []


def _dues(server: Server, case: Case, policy: Policy) -> Iterator[datetime]:
    if case.ends_law is not None:
        yield case.ends_law
        return
    if case.entered < len(case.rows):
        yield case.rows[case.entered].since
    if case.planned:
        yield case.planned[0].since
    grant = _grant_at(case, policy)
    if grant is not None:
        yield grant
    if server.below_law is not None:
        yield server.below_law + policy.expire_after


def _grant_at(case: Case, policy: Policy) -> datetime | None:
    """When blocking may begin: as planned, and not before a delivered notice is old enough."""
    if not case.blocking or not case.enforced:
        return None
    planned = case.blocking[0].since
    if not policy.notices.needed_for_blocking:
        return planned
    if case.delivered_law is None:
        return None
    return max(planned, case.delivered_law + timedelta(hours=policy.notices.hours_before_blocking))


def _fall_due(server: Server, case: Case, law: Law, policy: Policy, instant: datetime) -> list[e.Event]:
    name, product = server.server, case.product
    if case.ends_law == instant:
        return [e.CaseEnded(server=name, product=product, expired=False)]
    if server.below_law is not None and server.below_law + policy.expire_after == instant:
        return [e.CaseEnded(server=name, product=product, expired=True)]
    if case.entered < len(case.rows) and case.rows[case.entered].since == instant:
        row = case.rows[case.entered]
        return [
            e.StageEntered(
                server=name,
                product=product,
                stage=row.stage,
                throttle_minutes_per_hour=row.throttle_minutes_per_hour,
                block_minutes_per_hour=row.block_minutes_per_hour,
            )
        ]
    if _grant_at(case, policy) == instant:
        return [_grant(server, case, instant)]
    return [_planned_notice(server, case, law, policy)]


def _grant(server: Server, case: Case, instant: datetime) -> e.BlockingGranted:
    rows = _shifted(case.blocking, instant)
    notices = tuple(e.PlannedNotice(kind="stage", since=row.since, stage=row.stage) for row in rows)
    return e.BlockingGranted(server=server.server, product=case.product, rows=rows, notices=notices)


def _planned_notice(server: Server, case: Case, law: Law, policy: Policy) -> e.NoticeDue:
    planned = case.planned[0]
    again = None
    if planned.kind == "before-blocking" and case.delivered_law is None and policy.notices.needed_for_blocking:
        again = planned.since + timedelta(days=policy.notices.repeat_days)
    return _notice(server, case, law, policy, planned, again)


def _notice(
    server: Server, case: Case, law: Law, policy: Policy, what: e.PlannedNotice, again: datetime | None = None
) -> e.NoticeDue:
    """A notice with all that it needs; its id is the same however often it is decided."""
    return e.NoticeDue(
        notice=f"{case.opened_seq}-{case.ordinal + 1}",
        kind=what.kind,
        stage=what.stage,
        server=server.server,
        connector=server.connector,
        product=case.product,
        floor=case.floor,
        opened_at=case.opened_at,
        rows=_dated(law, case.rows),
        blocking=_dated(law, _not_before(case, law, policy)),
        line=server.line,
        line_seen_at=server.line_seen_at or server.last_seen,
        line_edge=server.line_edge,
        again=again,
    )


def _not_before(case: Case, law: Law, policy: Policy) -> tuple[Row, ...]:
    """The rows that wait, as early as they can still come: a notice that is repeated promises no day that is gone."""
    if not case.blocking:
        return ()
    told = case.delivered_law or law.now
    needed = timedelta(hours=policy.notices.hours_before_blocking) if policy.notices.needed_for_blocking else timedelta()
    return _shifted(case.blocking, max(case.blocking[0].since, told + needed))


def _shifted(rows: tuple[Row, ...], first: datetime) -> tuple[Row, ...]:
    """*rows* with the same distances, beginning at *first*."""
    later = first - rows[0].since
    return tuple(msgspec.structs.replace(row, since=row.since + later) for row in rows)


def _dated(law: Law, rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(msgspec.structs.replace(row, since=law.utc_of(row.since)) for row in rows)


# --- holds ---------------------------------------------------------------------------------------------------------


def decide_blind(law: Law, *, blind: bool) -> list[e.Event]:
    """H lags too far, or has caught up: the law stands still while nobody could have seen a cure."""
    if blind and not law.blind:
        return [e.HoldBegan(reason="blind", since=law.h)]
    if law.blind and not blind:
        return [e.HoldEnded(reason="blind", held=law.held_so_far)]
    return []


# --- sightings -----------------------------------------------------------------------------------------------------


def decide_sighting(view: View, sighting: Sighting, *, at: datetime) -> list[e.Event]:
    """News is an event, with what follows from it; the rest gives an empty list and is counted by the caller."""
    reading = sighting.reading
    if reading is None or sighting.facts.client_resolve == "tempfail":
        return []
    who = view.naming.identify(sighting.facts)
    if who.server is None:
        return []
    # In UTC, for its day and hour count; and never later than now.
    facts = msgspec.structs.replace(sighting.facts, seen_at=min(sighting.facts.seen_at, at).astimezone(UTC))
    sighting = msgspec.structs.replace(sighting, facts=facts)
    floor = view.policy.floor_for(reading.product, facts.seen_at.date())
    standing = floor.standing(reading) if floor else Standing.UNKNOWN
    known = view.servers.get(who.server)
    below = (
        standing is Standing.BELOW
        and not _outdated(known, sighting, floor)
        and who.tie in view.policy.open_ties
        and not facts.imported  # what was imported may release, never accuse
    )
    releases = _releases(view, sighting, who)
    drops = [] if standing is not Standing.AT_OR_ABOVE else _drops(view, who, reading.product)
    hours = _hours(view, known, sighting, at=at, below=below, cured=standing is Standing.AT_OR_ABOVE)
    cure = bool(releases or drops)
    if not cure and not _has_place(view, known, who, at):
        return []
    news = _news(view, known, sighting, who, below=below, hours=hours) + (["cure"] if cure else [])
    if not news:
        return []
    sighted = e.ServerSighted(
        server=who.server,
        connector=who.connector,
        tie=who.tie,
        matches=who.matches,
        facts=facts,
        reading=reading,
        evidence=sighting.origin,
        news=tuple(news),
        below=below,
        at_law=view.law.of_utc(facts.seen_at),
        hours=hours,
    )
    modes = () if releases else _modes(view, who)
    return [sighted, *drops, *releases, *modes, *_openings(view, known, sighted, floor)]


def _modes(view: View, who: Identity) -> Iterator[e.Event]:
    """
    Cases follow the connector in which their server is seen, for a policy can make, rename or move one.

    Where that is only observed, so are those of the other ids that the message matches.
    """
    enforced = view.policy.enforced(who.connector)
    for server_id in who.matches:
        server = view.servers.get(server_id)
        if server is not None and (server_id == who.server or not enforced):
            yield from _clocks(server, view.policy, view.law, enforced=enforced)


def _outdated(known: Server | None, sighting: Sighting, floor: Floor | None) -> bool:
    """Whether the server is known to have been patched after this was seen: what comes late accuses nobody then."""
    if known is None or floor is None or sighting.facts.seen_at >= known.last_seen:
        return False
    return floor.standing(known.reading) is Standing.AT_OR_ABOVE


def _has_place(view: View, known: Server | None, who: Identity, at: datetime) -> bool:
    """At the bounds, of new names a day and of a server's news an hour, nobody can fill state or log. Cures need no place."""
    law = view.law
    if known is not None:
        return known.news_hour != e.hour_of(at) or known.news < NEWS_PER_HOUR
    return who.tie == "connector" or law.new_names_on != at.date() or law.new_names < view.policy.new_names_per_day


def _hours(
    view: View, known: Server | None, sighting: Sighting, *, at: datetime, below: bool, cured: bool
) -> tuple[e.Hour, ...]:
    """The hours that count for opening after this sighting: stale ones fall out, a cure clears its product's."""
    reading = sighting.reading
    before = known.hours if known else ()
    if reading is None:
        return before
    this_hour = e.hour_of(sighting.facts.seen_at)
    oldest = e.hour_of(at) - view.policy.expire_days * 24
    kept = tuple(hour for hour in before if hour.hour >= oldest and not (cured and hour.product == reading.product))
    counted = any(hour.hour == this_hour and hour.product == reading.product for hour in kept)
    if not below or counted or this_hour < oldest or (known is not None and known.case_of(reading.product) is not None):
        return kept
    return (*kept, e.Hour(hour=this_hour, seq=view.law.seq + 1, product=reading.product))


def _news(
    view: View, known: Server | None, sighting: Sighting, who: Identity, *, below: bool, hours: tuple[e.Hour, ...]
) -> list[str]:
    reading, facts = sighting.reading, sighting.facts
    if known is None or reading is None:
        return ["first"] if who.tie == "connector" else ["first", "new name"]
    news = []
    seen = (known.reading.product, known.reading.low, known.reading.high, known.tie, known.connector)
    changed = seen != (reading.product, reading.low, reading.high, who.tie, who.connector)
    if changed and facts.seen_at >= known.last_seen:  # what comes late says nothing of the server as it is now
        news.append("changed")
    if hours and hours[-1].seq == view.law.seq + 1:
        news.append("hour")
    if below and (known.below_day is None or facts.seen_at.date() > known.below_day):
        news.append("day")
    return news


def _releases(view: View, sighting: Sighting, who: Identity) -> list[e.Event]:
    """A cure counts for every id that the message matches, and lifts at once."""
    reading = sighting.reading
    found: list[e.Event] = []
    for server_id in who.matches:
        server = view.servers.get(server_id)
        case = server.case_of(reading.product) if server and reading else None
        if server is None or case is None or reading is None or case.released_at is not None:
            continue
        if case.floor.standing(reading) is not Standing.AT_OR_ABOVE:
            continue
        found.append(
            e.CaseReleased(
                server=server_id,
                product=case.product,
                cure=reading,
                by=who.server or server_id,
                seen_at=sighting.facts.seen_at,
                ends_at=view.law.now + timedelta(hours=view.policy.release_hours),
            )
        )
        if case.enforced and case.ordinal:
            told = e.PlannedNotice(kind="release", since=view.law.now, stage=case.entered)
            found.append(_notice(server, case, view.law, view.policy, told))
    return found


def _drops(view: View, who: Identity, product: str) -> list[e.Event]:
    return [
        e.AccusationDropped(server=server_id, product=product)
        for server_id in who.matches
        if server_id in view.servers and any(hour.product == product for hour in view.servers[server_id].hours)
    ]


def _openings(view: View, known: Server | None, sighted: e.ServerSighted, floor: Floor | None) -> list[e.Event]:
    """A case opens after readings below the floor in enough distinct UTC hours."""
    product = sighted.reading.product
    counted = tuple(hour.seq for hour in sighted.hours if hour.product == product)
    if not sighted.below or floor is None or len(counted) < view.policy.opening_hours:
        return []
    if known is not None and known.case_of(product) is not None:
        return []
    enforced = view.policy.enforced(sighted.connector)
    return [
        e.CaseOpened(
            server=sighted.server,
            product=product,
            floor=floor,
            connector=sighted.connector,
            enforced=enforced,
            evidence=counted,
            plan=plan_for(view.policy, sighted.at_law, enforced=enforced),
        )
    ]


# --- requests ------------------------------------------------------------------------------------------------------


def decide_request(view: View, request: AdoptPolicy | ReportNotice | SetFreeze, *, at: datetime) -> list[e.Event]:
    """Every readable request is recorded with its outcome; what it changes follows."""
    if isinstance(request, ReportNotice):
        # Settling is by the notice itself: told twice or late, it changes nothing more, so age and id do not matter.
        return _report_notice(view, request)
    if request.id in view.requests:
        return [
            e.RequestDecided(request=request, outcome="no effect", reason="a request with this id was decided before")
        ]
    if at - request.made_at > REQUEST_MAX_AGE:
        return [e.RequestDecided(request=request, outcome="refused", reason="made over 24 hours ago; make it again")]
    if isinstance(request, SetFreeze):
        return _set_freeze(view, request)
    return _adopt_policy(view, request)


def _report_notice(view: View, request: ReportNotice) -> list[e.Event]:
    server = view.servers.get(request.server)
    case = (
        next((c for c in server.cases if any(n.notice == request.notice for n in c.pending)), None) if server else None
    )
    if server is None or case is None:
        return [
            e.RequestDecided(request=request, outcome="no effect", reason="the notice is settled, or its case is over")
        ]
    settled = e.NoticeSettled(
        server=server.server,
        product=case.product,
        notice=request.notice,
        outcome=request.outcome,
        at_law=view.law.now,
    )
    return [e.RequestDecided(request=request, outcome="done", reason=f"notice {request.outcome}"), settled]


def _set_freeze(view: View, request: SetFreeze) -> list[e.Event]:
    if request.frozen == view.law.frozen:
        state = "frozen already" if request.frozen else "not frozen"
        return [e.RequestDecided(request=request, outcome="no effect", reason=state)]
    if request.frozen:
        done = e.RequestDecided(
            request=request, outcome="done", reason="frozen: nothing is slowed or refused, no case ages"
        )
        return [done, e.HoldBegan(reason="freeze", since=view.law.h)]
    done = e.RequestDecided(request=request, outcome="done", reason="the freeze is lifted")
    return [done, e.HoldEnded(reason="freeze", held=view.law.held_so_far)]


def _adopt_policy(view: View, request: AdoptPolicy) -> list[e.Event]:
    policy, in_force = request.policy, view.policy.version
    complaints = list(complaints_of(policy))
    if policy.version <= in_force:
        complaints.insert(0, f"its version is {policy.version}, and must be above {in_force}, the one in force")
    if complaints:
        return [e.RequestDecided(request=request, outcome="refused", reason="; ".join(complaints)[:1000])]
    return [e.PolicyAdopted(policy=policy, request=request), *_adapted(view, policy)]


def _adapted(view: View, policy: Policy) -> Iterator[e.Event]:
    """What a new policy changes for the cases that are open: their mode, and blocking that it asks less for."""
    for name in sorted(view.servers):
        server = view.servers[name]
        enforced = policy.enforced(server.connector)
        yield from _clocks(server, policy, view.law, enforced=enforced)
        for case in server.cases:
            grant = _grant_at(case, policy) if enforced and case.released_at is None else None
            if grant is not None and grant < view.law.now:
                yield _grant(server, case, view.law.now)  # from now on: under the old policy its day had not come


def _clocks(server: Server, policy: Policy, law: Law, *, enforced: bool) -> Iterator[e.Event]:
    """From observe to enforce a case starts at day 0; from enforce to observe it stands at day 0."""
    for case in server.cases:
        if case.released_at is None and case.enforced != enforced:
            plan = plan_for(policy, law.now, enforced=enforced)
            kind = e.ClockStarted if enforced else e.ClockStopped
            yield kind(server=server.server, product=case.product, plan=plan)
