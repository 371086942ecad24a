"""
`decide`: what follows from an input, or from H that lags. Pure, and nothing is read that the log lacks.

Each rule is one function. The caller (`fold.py`) writes the events to the log in the order given, and evolves after each
list; what fell due (`schedule.py`) is written before the next input.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from shared.domain import cures, rehome, relapse
from shared.domain import events as e
from shared.domain.blocking import grant_at, grant_blocking
from shared.domain.caps import Waiter, in_turn
from shared.domain.clocks import Seen, clocks, held_from_day0, refuses
from shared.domain.evidence import Facts, Reading
from shared.domain.floors import Floor, Standing
from shared.domain.identity import Identity
from shared.domain.policy import Policy, complaints_of
from shared.domain.records import Act, AdoptPolicy, ReportNotice, SetFreeze, Sighting
from shared.domain.schedule import notice_due
from shared.domain.state import Case, Law, Server
from shared.domain.view import View

REQUEST_MAX_AGE = timedelta(hours=24)
REQUEST_IDS_KEPT = timedelta(days=16)  # longer than the 14 days that `requests` keeps a record
NEWS_PER_HOUR = 4
"""Sightings of one server that are news in one UTC hour. At the bound only a cure is: nobody can fill the log with builds."""


# --- holds ---------------------------------------------------------------------------------------------------------


def decide_blind(law: Law, *, blind: bool) -> list[e.Event]:
    """H lags too far, or has caught up: the law stands still while nobody could have seen a cure."""
    if blind and not law.blind:
        return [e.HoldBegan(reason="blind", since=law.h)]
    if law.blind and not blind:
        return [e.HoldEnded(reason="blind", held=law.held_so_far, at_law=law.now)]
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
    facts = _in_utc(sighting.facts, at)
    floor = view.policy.floor_for(reading.product, facts.seen_at.date())
    standing = floor.standing(reading) if floor else Standing.UNKNOWN
    matched = [server for server_id in who.matches if (server := view.servers.get(server_id)) is not None]
    known = matched[0] if matched and matched[0].server == who.server else None
    of_now = not facts.imported and all(facts.seen_at >= server.last_seen for server in matched)
    cured_before = cures.cured_before(view, known, who.server, facts, floor, reading.product)
    below = standing is Standing.BELOW and facts.seen_at > cured_before and _accuses(view, matched, who, facts, reading)
    releases = _releases(view, matched, facts, reading, by=who.server)
    met = standing is Standing.AT_OR_ABOVE
    cured_at = cures.cured_at(known, facts, reading.product, cured_before, lifted=met or bool(releases), below=below)
    drops = cures.drops(matched, facts, reading.product) if met else []
    clears = cures.clears(matched, facts, reading.product, releases, met=met)
    elsewhere = rehome.case_to_move(matched, who, reading) if below else None
    move = elsewhere if of_now else None
    counts = below and (move is not None or elsewhere is None)
    hours = _hours(view, known, reading, facts.seen_at, at=at, below=counts, cured=met and cured_at is not None)
    cure = bool(releases or drops)
    if not cure and not _has_place(view, known, who, at):
        return []
    mixed = relapse.mixes(view, known, who, facts, reading, at.date()) if below and known else None
    news = _news(view, known, facts, reading, who, below=below, hours=hours)
    too = (
        ("cure", cure),
        ("cleared", bool(clears)),
        ("mixed", mixed is not None),
        ("moved", move is not None),
        ("narrowed", of_now and known is not None and known.is_narrowed(reading.product, floor)),
    )
    news += [what for what, it_is in too if it_is]
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
        cured_at=cured_at,
        kept=below,
    )
    modes = _modes(view, matched, who, sighted, at.date(), but=releases) if of_now else ()
    others = (cleared for cleared in clears if cleared.server != who.server)  # of this one the sighting says it
    cured = (sighted, *drops, *others, *releases)
    if move is not None:
        return [*cured, *_moved(view, sighted, *move, at.date(), modes)]
    again = relapse.mixed(view, who.server, mixed, who.connector) if mixed else ()
    opens = _openings(view, sighted, floor, at.date()) if elsewhere is None else []
    return [*cured, *modes, *again, *opens]


def _in_utc(facts: Facts, at: datetime) -> Facts:
    """For its day and hour count; and never later than now."""
    if facts.seen_at <= at and facts.seen_at.tzinfo is UTC:
        return facts
    return msgspec.structs.replace(facts, seen_at=min(facts.seen_at, at).astimezone(UTC))


def _accuses(view: View, matched: Sequence[Server], who: Identity, facts: Facts, reading: Reading) -> bool:
    """
    Whether a reading below the floor may count against its server: by a tie that opens.

    What was imported may release, never accuse; nor does what an operator struck, of any id that the message matches.
    """
    return (
        who.tie in view.policy.open_ties
        and not facts.imported
        and not any(server.strikes(reading) for server in rehome.with_homes(view, matched))
    )


def _moved(
    view: View, sighted: e.ServerSighted, source: Server, case: Case, day: date, modes: Iterable[e.Event]
) -> Iterator[e.Event]:
    """The case comes under the best id, whose connector says its mode; of the others the modes are what they are."""
    yield from (
        event
        for event in modes
        if (getattr(event, "server", ""), getattr(event, "product", "")) != (source.server, case.product)
    )
    yield e.CaseMoved(server=sighted.server, product=case.product, source=source.server, case=case.opened_seq)
    home = msgspec.structs.replace(
        source, server=sighted.server, connector=sighted.connector, tie=sighted.tie, cases=(case,)
    )
    seen = Seen(sighted.matches, sighted.connector, sighted.facts.peer, sighted.tie, sighted.reading)
    changed = list(clocks(view, home, day=day, seen=seen))
    # What waited for a signature at the old id only comes from now on.
    granted = None if changed or not case.enforced else _granted_now(view, home, case, view.policy)
    yield from [*changed, *([granted] if granted else [])]


def _modes(
    view: View,
    matched: Iterable[Server],
    who: Identity,
    sighted: e.ServerSighted,
    day: date,
    *,
    but: Sequence[e.CaseReleased | e.NoticeDue],
) -> Iterator[e.Event]:
    """
    Cases follow the connector in which their server is seen, for a policy can make, rename or move one; not *but*, just released.

    Where that is only observed, or the message is exempt, so are those of the other ids that the message matches.
    """
    if not any(server.cases for server in matched):
        return
    peer = sighted.facts.peer
    accuses = sighted.reading if sighted.below else None
    seen = Seen(ids=who.matches, connector=who.connector, peer=peer, tie=who.tie, accuses=accuses)
    enforced = view.policy.enforced(who.connector) and not view.reprieves.spare(
        view.policy, who.matches, who.connector, peer
    )
    for server in matched:
        if server.server == who.server or not enforced:
            released = {one.product for one in but if one.server == server.server}
            rest = tuple(case for case in server.cases if case.product not in released)
            left = msgspec.structs.replace(server, cases=rest) if released else server
            yield from clocks(view, left, day=day, seen=seen)


def _has_place(view: View, known: Server | None, who: Identity, at: datetime) -> bool:
    """At the bounds, of new names a day and of a server's news an hour, nobody can fill state or log. Cures need no place."""
    law = view.law
    if known is not None:
        return known.news_hour != e.hour_of(at) or known.news < NEWS_PER_HOUR
    return who.tie == "connector" or law.new_names_on != at.date() or law.new_names < view.policy.new_names_per_day


def _hours(
    view: View,
    known: Server | None,
    reading: Reading,
    seen_at: datetime,
    *,
    at: datetime,
    below: bool,
    cured: bool,
) -> tuple[e.Hour, ...]:
    """The hours that count for opening after this sighting: stale ones fall out, a cure clears its product's."""
    before = known.hours if known else ()
    this_hour = e.hour_of(seen_at)
    oldest = e.hour_of(at) - view.policy.expire_days * 24
    kept = tuple(hour for hour in before if hour.hour >= oldest and not (cured and hour.product == reading.product))
    counted = any(hour.hour == this_hour and hour.product == reading.product for hour in kept)
    if not below or counted or this_hour < oldest or (known is not None and known.case_of(reading.product) is not None):
        return kept
    return (*kept, e.Hour(hour=this_hour, seq=view.law.seq + 1, product=reading.product))


def _news(
    view: View,
    known: Server | None,
    facts: Facts,
    reading: Reading,
    who: Identity,
    *,
    below: bool,
    hours: tuple[e.Hour, ...],
) -> list[str]:
    if known is None:
        return ["first"] if who.tie == "connector" else ["first", "new name"]
    news = []
    seen = (known.reading.product, known.reading.low, known.reading.high, known.tie, known.connector)
    changed = seen != (reading.product, reading.low, reading.high, who.tie, who.connector)
    if changed and facts.seen_at >= known.last_seen:  # what comes late says nothing of the server as it is now
        news.append("changed")
    if hours and hours[-1].seq == view.law.seq + 1:
        news.append("hour")
    newest = known.below_of(reading.product)
    if below and (newest is None or facts.seen_at.date() > newest.seen_at.date()):
        news.append("day")
    return news


def _releases(
    view: View, matched: Iterable[Server], facts: Facts, reading: Reading, *, by: str
) -> list[e.CaseReleased | e.NoticeDue]:
    """A cure counts for every id that the message matches, and lifts at once."""
    found: list[e.CaseReleased | e.NoticeDue] = []
    for server in matched:
        case = server.case_of(reading.product)
        if case is None or case.released_at is not None:
            continue
        if case.floor.standing(reading) is not Standing.AT_OR_ABOVE:
            continue
        if not cures.may_cure(server, facts, case.product) or relapse.is_still_seen(server, case, view.law):
            continue
        clock = relapse.clock_left(case, view.law)
        found.append(
            e.CaseReleased(
                server=server.server,
                product=case.product,
                cure=reading,
                by=by,
                seen_at=facts.seen_at,
                ends_at=view.law.now + timedelta(hours=view.policy.release_hours),
                clock=clock,
                at_law=view.law.now if clock is not None else None,
                throttled=relapse.throttled(case, view.law) if clock is not None else timedelta(),
            )
        )
        if case.enforced and case.ordinal:
            told = e.PlannedNotice(kind="release", since=view.law.now, stage=case.entered)
            found.append(notice_due(server, case, view.law, view.policy, told))
    return found


def _openings(view: View, sighted: e.ServerSighted, floor: Floor | None, day: date) -> list[e.Event]:
    """A case opens after readings below the floor in enough distinct UTC hours; while there is one, none are counted."""
    product = sighted.reading.product
    counted = tuple(hour.seq for hour in sighted.hours if hour.product == product)
    if not sighted.below or floor is None or len(counted) < view.policy.opening_hours:
        return []
    peer = sighted.facts.peer
    spared = view.reprieves.spare(view.policy, sighted.matches, sighted.connector, peer)
    # By the floor of today, too: this may have been seen before a wave that accepts it.
    enforced = not spared and refuses(view.policy, sighted.tie, product, sighted.connector, day, sighted.reading)
    left = relapse.inherited(view, sighted) if enforced else relapse.Inherited()
    plan = relapse.plan_again(view.policy, sighted.at_law, left.clock, enforced=enforced)
    opened = e.CaseOpened(
        server=sighted.server,
        product=product,
        floor=floor,
        connector=sighted.connector,
        enforced=enforced,
        evidence=counted,
        plan=plan,
        peer=peer if view.reprieves.spares_peer(peer) else "",
        inherited=left.clock,
        throttled=left.throttled,
    )
    return [opened, *held_from_day0(view, sighted.server, product, sighted.connector, plan)]


# --- requests ------------------------------------------------------------------------------------------------------


def decide_request(view: View, request: AdoptPolicy | ReportNotice | SetFreeze, *, at: datetime) -> list[e.Event]:
    """Every readable request is recorded with its outcome; what it changes follows."""
    if isinstance(request, ReportNotice):
        # Settling is by the notice itself: told twice or late, it changes nothing more, so age and id do not matter.
        return _report_notice(view, request, at)
    before = decided_before(view, request, at=at)
    if before:
        return before
    if isinstance(request, SetFreeze):
        return _set_freeze(view, request)
    return _adopt_policy(view, request, at.date())


def decided_before(view: View, request: AdoptPolicy | SetFreeze | Act, *, at: datetime) -> list[e.Event]:
    """The outcome of a request whose id is known, or that is too old to be decided; empty for all others."""
    if request.id in view.requests:
        return [
            e.RequestDecided(request=request, outcome="no effect", reason="a request with this id was decided before")
        ]
    if at - request.made_at > REQUEST_MAX_AGE:
        return [e.RequestDecided(request=request, outcome="refused", reason="made over 24 hours ago; make it again")]
    return []


def _report_notice(view: View, request: ReportNotice, at: datetime) -> list[e.Event]:
    number = request.notice.partition("-")[0]
    server = rehome.home_of(view, request.server, int(number) if number.isdecimal() else 0)
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
        at_law=view.law.of_utc(at),  # not when H was: blocking may begin so many hours after it at the earliest
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
    return [done, e.HoldEnded(reason="freeze", held=view.law.held_so_far, at_law=view.law.now)]


def _adopt_policy(view: View, request: AdoptPolicy, day: date) -> list[e.Event]:
    policy, in_force = request.policy, view.policy.version
    complaints = list(complaints_of(policy))
    if policy.version <= in_force:
        complaints.insert(0, f"its version is {policy.version}, and must be above {in_force}, the one in force")
    if complaints:
        return [e.RequestDecided(request=request, outcome="refused", reason="; ".join(complaints)[:1000])]
    return [e.PolicyAdopted(policy=policy, request=request), *adapted(view, policy, day)]


def adapted(view: View, policy: Policy, day: date) -> Iterator[e.Event]:
    """What a new policy changes for the cases that are open: their mode, and blocking that it asks less for."""
    asked = 0
    for name in sorted(view.servers):
        server = view.servers[name]
        changed = list(clocks(view, server, day=day, policy=policy))
        yield from changed
        at_rest = {getattr(event, "product", "") for event in changed}  # it stands, is held, or goes on from now
        for case in server.cases:
            accused = server.accused_of(case.product)
            if case.product not in at_rest and refuses(
                policy, server.tie, case.product, server.connector, day, accused
            ):
                granted = _granted_now(view, server, case, policy, ahead=0 if case.waits else asked)
                asked += granted is not None and case.waits is None
                yield from [granted] if granted else []


def _granted_now(
    view: View, server: Server, case: Case, policy: Policy, *, ahead: int = 0
) -> e.BlockingGranted | e.BlockingWaits | None:
    """What the case gets that has all that *policy* asks for since before now; None: nothing, or nothing new."""
    law = view.law
    grant = grant_at(server, msgspec.structs.replace(case, waits=None), policy)
    if grant is None or grant > law.now:
        return None
    # Not backwards, and ahead by a moment: its stage falls due like any other, and not while the law stands still.
    granted = grant_blocking(server, case, policy, law.now + timedelta(seconds=1))
    since = case.waits.since if case.waits else view.queue.behind(law.now)
    waiter = Waiter(since, server.server, server.cases.index(case))
    found = in_turn(granted, waiter, queue=view.queue, law=law, policy=policy, ahead=ahead)
    return None if case.waits and isinstance(found, e.BlockingWaits) else found
