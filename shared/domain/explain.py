"""
Why a server is where it is: the explanation, from the same state and by the same functions as the edges' verdict.

Row and window come from `verdict.py`, what comes next from `schedule.py`; nothing is worked out a second way, so report and
gate cannot disagree. Pure: `now` is the edge's clock and gives the hour of the window only.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

import msgspec

from shared.domain import events as e
from shared.domain import schedule
from shared.domain.blocking import as_if_given, grant_at, waits_for
from shared.domain.build import Build
from shared.domain.catalogue import Assessment, BuildCatalogue, KnownUpdate
from shared.domain.evidence import Reading
from shared.domain.explain_plain import plain
from shared.domain.explanation import (
    REASON_MEANS,
    TIE_MEANS,
    CaseShown,
    CaseState,
    Counting,
    Evidence,
    Explanation,
    FloorShown,
    HeldShown,
    Lacks,
    LawShown,
    NextStep,
    NoticeShown,
    NoticesShown,
    ReadingShown,
    RowShown,
    ServerState,
    Span,
    VerdictNow,
    Window,
)
from shared.domain.floors import Floor
from shared.domain.policy import Policy
from shared.domain.records import CaseSchedule, Exemption, Row
from shared.domain.state import Case, Law, Server, decision_of
from shared.domain.verdict import MINUTES_PER_HOUR, action_in, judge, row_at, window_start

__all__ = ["explain", "next_step_at", "plain", "row_in_force", "server_state", "step_in_words"]

_MILDEST_FIRST: tuple[CaseState, ...] = ("observed", "held", "reported", "throttled", "blocked-partly", "blocked")


def explain(
    server: Server,
    law: Law,
    policy: Policy,
    catalogue: BuildCatalogue,
    *,
    now: datetime,
    beside: Iterable[Server] = (),
    exemptions: Iterable[Exemption] = (),
) -> Explanation:
    """
    All that is known of *server* and what follows from it.

    now: UTC, the edge's clock; gives the hour of the window. beside: the servers under the other ids that its messages
    match, if there are any: the mildest of all their cases holds. exemptions: all that are in force.
    """
    exempt = _exempt(server, policy, exemptions)
    assessment = catalogue.assess(server.reading.product, server.reading.low, server.reading.high, on=now.date())
    return Explanation(
        server=server.server,
        at=now,
        state=server_state(server, law),
        connector=server.connector,
        tie=server.tie,
        tie_means=TIE_MEANS[server.tie].format(connector=server.connector),
        matches=server.matches,
        first_seen=server.first_seen,
        last_seen=server.last_seen,
        reading=_reading_shown(server.reading, assessment),
        lacks=_lacks(assessment, rollups=catalogue.has_rollups(assessment.product)),
        evidence=_evidence(server),
        counting=tuple(_counting(server, policy)),
        cases=tuple(_CaseView(server, case, law, policy).shown(catalogue, now) for case in server.cases),
        verdict=_verdict([server, *beside], law, policy, now, exempt),
        next_step=_next_step(server, law, policy),
        law=_law_shown(law, policy),
        exempt=exempt,
    )


def server_state(server: Server, law: Law) -> ServerState:
    """The state of the mildest living case, for that one holds; without one: released, counting, or no case."""
    living = [_case_state(case, row_in_force(server, case, law)) for case in server.cases if case.released_at is None]
    if living:
        return min(living, key=_MILDEST_FIRST.index)
    if server.cases:
        return "released"
    return "counting" if server.hours else "no-case"


def row_in_force(server: Server, case: Case, law: Law) -> Row | None:
    """The row of *case* that the edges apply at law time; None when it is released."""
    shown = _schedule_of(server, case)
    return row_at(shown, law.now) if shown else None


def next_step_at(server: Server, law: Law, policy: Policy) -> datetime | None:
    """When (UTC, expected) something next falls due for *server* by itself; None: nothing ever will."""
    found = schedule.next_step(server, law, policy)
    return None if found is None else law.utc_of(found[0])


def _schedule_of(server: Server, case: Case) -> CaseSchedule | None:
    decision = decision_of(server)
    return next((found for found in decision.cases if found.product == case.product), None) if decision else None


def _case_state(case: Case, row: Row | None) -> CaseState:
    if case.released_at is not None:
        return "released"
    if not case.enforced or case.kept is not None:
        return "held" if case.enforced else "observed"
    if row is None or not (row.throttle_minutes_per_hour or row.block_minutes_per_hour):
        return "reported"
    if not row.block_minutes_per_hour:
        return "throttled"
    return "blocked" if row.block_minutes_per_hour == MINUTES_PER_HOUR else "blocked-partly"


def _text(build: Build | None) -> str:
    return "" if build is None else str(build)


def _reading_shown(reading: Reading, assessment: Assessment) -> ReadingShown:
    return ReadingShown(
        product=reading.product,
        shown=_text(reading.shown),
        update=assessment.update.name if assessment.update else "",
        low=_text(reading.low),
        high=_text(reading.high),
        form=reading.form,
        reason=reading.reason,
        because=REASON_MEANS.get(reading.reason, "the documentation of readings tells what this code means"),
    )


def _lacks(assessment: Assessment, *, rollups: bool) -> Lacks:
    return Lacks(
        security_updates=assessment.missing_security,
        holes=assessment.cves_open,
        holes_exploited=assessment.cves_exploited,
        support_ended=assessment.support_ended.isoformat() if assessment.support_ended else "",
        rollups=rollups,
    )


def _evidence(server: Server) -> Evidence | None:
    newest = max(server.below, key=lambda below: below.seen_at, default=None)
    if newest is None:
        return None
    return Evidence(line=newest.line, seen_at=newest.seen_at, edge=newest.edge, seq=newest.seq)


def _counting(server: Server, policy: Policy) -> Iterator[Counting]:
    for product in sorted({hour.product for hour in server.hours}):
        seqs = tuple(hour.seq for hour in server.hours if hour.product == product)
        yield Counting(product=product, hours=len(seqs), needed=policy.opening_hours, seqs=seqs)


def _law_shown(law: Law, policy: Policy) -> LawShown:
    return LawShown(
        now=law.now,
        h=law.h,
        held_s=law.held_so_far.total_seconds(),
        standing_still="freeze" if law.frozen else "blind" if law.blind else "",
        seq=law.seq,
        policy_version=policy.version,
    )


def _exempt(server: Server, policy: Policy, exemptions: Iterable[Exemption]) -> tuple[Exemption, ...]:
    """Those of *exemptions* that its newest message matches, and that by which its clocks stand."""
    ids = {server.server, *server.matches}
    targets = {
        "server": ids,
        "connector": set(policy.names_of(server.connector)),
        "peer": {one.rpartition("@")[2] for one in ids} | {case.exempt_peer for case in server.cases},
    }
    return tuple(one for one in exemptions if one.target in targets[one.kind])


def _verdict(
    servers: list[Server], law: Law, policy: Policy, now: datetime, exempt: tuple[Exemption, ...]
) -> VerdictNow:
    """The edge's own `judge`, for a message that shows what the newest one showed; freeze and exemption let it pass."""
    if law.frozen:
        return VerdictNow(action="accept", why="frozen by an operator: nothing is slowed or refused", reply="")
    if exempt:
        return VerdictNow(action="accept", why="exempt: nothing of it is slowed or refused", reply="")
    decisions = [decision for server in servers if (decision := decision_of(server)) is not None]
    found = judge(servers[0].reading, decisions, policy, law_now=law.now, now=now, connector=servers[0].connector)
    return VerdictNow(action=found.action, why=found.why, reply=found.reply.line if found.reply else "")


def _next_step(server: Server, law: Law, policy: Policy) -> NextStep | None:
    found = schedule.next_step(server, law, policy)
    if found is None:
        return None
    instant, event = found
    return NextStep(at=law.utc_of(instant), event=str(event.__struct_config__.tag), what=step_in_words(event))


def step_in_words(event: e.Event) -> str:
    """What falls due, for people."""
    match event:
        case e.StageEntered():
            minutes = (event.throttle_minutes_per_hour, event.block_minutes_per_hour)
            text = f"stage {event.stage} begins ({minutes[0]} minutes an hour deferred, {minutes[1]} refused)"
        case e.BlockingGranted():
            text = f"blocking is granted and begins with stage {event.rows[0].stage}"
        case e.NoticeDue():
            text = f"a notice falls due: {event.kind.replace('-', ' ')}"
        case e.CaseWentOn():
            text = f"the case goes on: {_OVER[event.reason]}"
        case e.CaseEnded(expired=True):
            text = "the case expires, unless a reading below the floor is seen before"
        case e.CaseEnded():
            text = "the released case ends"
        case _:  # cannot happen: `fall_due` gives none of the others
            text = str(event.__struct_config__.tag)
    return text


_OVER = {
    "pause": "the pause is over",
    "dispute": "nobody decided the dispute",
    "mixed": "nobody said which machine it is",
}


class _CaseView:
    """One case of a server, and what to show of it."""

    def __init__(self, server: Server, case: Case, law: Law, policy: Policy) -> None:
        self.server, self.case, self.law, self.policy = server, case, law, policy
        self.row = row_in_force(server, case, law)

    def shown(self, catalogue: BuildCatalogue, now: datetime) -> CaseShown:
        case, law = self.case, self.law
        rows = tuple(self._rows())
        released = case.released_at is not None
        patchable = catalogue.patch_exists(case.product, case.floor.builds, now.date())
        newest = catalogue.newest_public(case.product, now.date())
        return CaseShown(
            product=case.product,
            accuses=_accusation(case.floor),
            floor=FloorShown(builds=_texts(case.floor.builds), whole_product=not case.floor.builds),
            state=_case_state(case, self.row),
            enforced=case.enforced,
            stage=self.row.stage if self.row else 0,
            stages=len(self.policy.stages),
            row=next((row for row in rows if row.in_force), None),
            window=self._window(now),
            rows=rows,
            next_row=None if released else next((row for row in rows if not row.begun), None),
            blocking_waits_for=self._blocking_waits_for(),
            notices=self._notices(),
            opened_at=case.opened_at,
            released_at=case.released_at,
            ends_at=None if case.ends_law is None else law.utc_of(case.ends_law),
            expires_at=self._expires_at(),
            remedy=_remedy(case.floor, self.server.reading, newest)
            if patchable and newest is not None
            else _replace_server(case.product),
            patch_exists=patchable,
            opened_seq=case.opened_seq,
            evidence_seqs=case.evidence,
            held=tuple(self._held()),
            inherited_s=None if case.inherited is None else case.inherited.total_seconds(),
            mixed=case.mixed,
        )

    def _rows(self) -> Iterator[RowShown]:
        for row in self.case.rows:
            yield self._row_shown(row, granted=True)
        later = self._grant_later()
        for row in self.case.blocking:
            yield self._row_shown(msgspec.structs.replace(row, since=row.since + later), granted=False)

    def _row_shown(self, row: Row, *, granted: bool) -> RowShown:
        begun = granted and row.since <= self.law.now
        return RowShown(
            stage=row.stage,
            since=self.law.utc_of(row.since),
            exact=not begun or not self.law.held_so_far,
            throttle_minutes_per_hour=row.throttle_minutes_per_hour,
            block_minutes_per_hour=row.block_minutes_per_hour,
            granted=granted,
            begun=begun,
            in_force=row == self.row,
        )

    def _grant_later(self) -> timedelta:
        """By how much blocking comes later than planned, at least: what is missing counts as if it came right now."""
        if not self.case.blocking:
            return timedelta()
        # The rule stands once, in `blocking`; asking it here keeps the two from disagreeing.
        case = as_if_given(self.server, self.case, self.policy, self.law.now)
        grant = grant_at(self.server, case, self.policy)
        planned = case.blocking[0].since
        return max(timedelta(), grant - planned) if grant is not None else timedelta()

    def _blocking_waits_for(self) -> str:
        return waits_for(self.server, self.case, self.law, self.policy) if self.case.blocking else ""

    def _window(self, now: datetime) -> Window | None:
        row = self.row
        if row is None or not self.case.enforced or not (row.throttle_minutes_per_hour or row.block_minutes_per_hour):
            return None
        start = window_start(self.policy.salt, self.server.server, now)
        return Window(
            hour=now.replace(minute=0, second=0, microsecond=0), start_minute=start, spans=tuple(_spans(row, start))
        )

    def _notices(self) -> NoticesShown:
        case, law = self.case, self.law
        pending = [NoticeShown(kind=one.kind, at=one.due_at, pending=True, notice=one.notice) for one in case.pending]
        to_come = [NoticeShown(kind=one.kind, at=law.utc_of(one.since), pending=False) for one in case.planned]
        delivered = None if case.delivered_law is None else law.utc_of(case.delivered_law)
        return NoticesShown(fell_due=case.ordinal, delivered_at=delivered, open=(*pending, *to_come))

    def _held(self) -> Iterator[HeldShown]:
        for hold in self.case.holds if self.case.kept is not None else ():
            until = hold.ends or (self.law.utc_of(hold.until) if hold.until is not None else None)
            yield HeldShown(reason=hold.reason, since=self.law.utc_of(hold.since), until=until)

    def _expires_at(self) -> datetime | None:
        expiry = schedule.expires_at(self.server, self.case, self.policy)
        return None if self.case.released_at is not None or expiry is None else self.law.utc_of(expiry)


def _spans(row: Row, start: int) -> Iterator[Span]:
    """The minutes of the hour by what the edge does in each, from minute 0 on."""
    for action, minutes in groupby(range(MINUTES_PER_HOUR), key=lambda minute: action_in(row, start, minute)):
        run = list(minutes)
        if action != "accept":
            yield Span(action=action, from_minute=run[0], until_minute=run[-1] + 1)


def _texts(builds: Iterable[Build]) -> tuple[str, ...]:
    return tuple(str(build) for build in builds)


def _accusation(floor: Floor) -> str:
    if not floor.builds:
        return f"it hands over mail as {floor.product}, of which no build is acceptable any more"
    return f"it hands over mail as {floor.product} with a build below the floor ({' or '.join(_texts(floor.builds))})"


def _remedy(floor: Floor, reading: Reading, newest: KnownUpdate) -> str:
    low = reading.low
    same_branch = [build for build in floor.builds if low is not None and build.branch == low.branch]
    least = (same_branch or list(floor.builds))[-1]
    best = f"{newest.build}, {newest.name}, of {newest.released.isoformat()}"
    return (
        f"install {floor.product} build {least} or newer (newest public one: {best}); "
        "the first mail that shows it is accepted and lifts everything at once"
    )


def _replace_server(product: str) -> str:
    return f"no public update of {product} is acceptable: replace the server, or send through another one; every other product passes at once"
