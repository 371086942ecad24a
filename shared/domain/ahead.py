"""
What lies ahead of a server: every step that its case takes by itself up to an instant, and what keeps others back. Pure.

The steps are those of `schedule.py`, each evolved into the state by `evolve.py`, so they are what the enforcer would write if
nothing was seen, asked or told meanwhile. Dates are UTC and "not before": whatever holds the law moves them on.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Literal

import msgspec

from shared.domain import events as e
from shared.domain import schedule
from shared.domain.blocking import as_if_given, grant_at, told_at
from shared.domain.evidence import UtcDatetime
from shared.domain.evolve import evolve_server
from shared.domain.explain import row_in_force, server_state, step_in_words
from shared.domain.explanation import CaseState
from shared.domain.policy import Policy
from shared.domain.state import Case, Law, Server

STEPS_MAX = 500
"""Steps of one server: more than its stages and a notice a week for three years. At the bound the rest is left out."""

BlockedBy = Literal[
    "", "notice missing", "notice not settled", "signature missing", "cap of the day", "frozen", "blind"
]
"""
What keeps a step back: no notice of the case was delivered; the notifier has not yet told what became of the notice; a
protected server's stage is not signed; the case waits in the queue of the cap; the law stands still because somebody froze
it, or because nobody could have seen a cure.
"""


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """One step. server, product: "" for a floor of the policy that takes effect. event: its tag in the log, where it will be one."""

    not_before: UtcDatetime
    server: str
    connector: str
    product: str
    what: str
    event: str
    blocked_by: BlockedBy = ""


class CaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """
    A case in a list. case: its number, the log record that opened it. since: when its stage began.

    next_at, next_step: what it does by itself, None and "" where nothing.
    """

    case: int
    server: str
    connector: str
    product: str
    state: CaseState
    stage: int
    since: UtcDatetime | None
    next_at: UtcDatetime | None
    next_step: str
    opened_at: UtcDatetime
    shown: str


def case_rows(server: Server, law: Law, policy: Policy) -> Iterator[CaseRow]:
    """Each case of *server*, by itself."""
    for case in server.cases:
        alone = msgspec.structs.replace(server, cases=(case,))
        state = server_state(alone, law)
        if state in {"no-case", "counting"}:  # cannot happen: there is a case
            continue
        row = row_in_force(alone, case, law)
        instant, step = schedule.next_step(alone, law, policy) or (None, None)
        yield CaseRow(
            case=case.opened_seq,
            server=server.server,
            connector=server.connector,
            product=case.product,
            state=state,  # type: ignore[arg-type]  # a case's, as was just seen
            stage=row.stage if row else 0,
            since=law.utc_of(row.since) if row else None,
            next_at=law.utc_of(instant) if instant is not None else None,
            next_step=step_in_words(step) if step is not None else "",
            opened_at=case.opened_at,
            shown=str(server.reading.shown or ""),
        )


def ahead_of(server: Server, law: Law, policy: Policy, *, until: datetime) -> Iterator[Ahead]:
    """Each step of *server* up to *until*, in order; what waits for something comes last."""
    standing: BlockedBy = "frozen" if law.frozen else "blind" if law.blind else ""
    now = server
    for case in server.cases:
        for notice in case.pending:
            yield _told(
                server,
                case.product,
                notice.due_at,
                f"the {_words(notice.kind)} notice is sent",
                "",
                standing or "notice not settled",
            )
    for _ in range(STEPS_MAX):
        found = schedule.next_step(now, law, policy)  # the dates in a notice would be later ones; none is shown
        if found is None or law.utc_of(found[0]) > until:
            break
        at, event = law.utc_of(found[0]), found[1]
        queued = isinstance(event, e.BlockingGranted) and (waiting := now.case_of(event.product)) and waiting.waits
        kept_back = standing or ("cap of the day" if queued else "")
        yield _told(server, _product_of(event), at, step_in_words(event), _tag(event), kept_back)
        now = evolve_server(now, _record(law, at, event), policy.version)
    for case in now.cases:
        yield from _waiting(server, case, law, policy, until, standing)


def floors_ahead(policy: Policy, *, after: date, until: date) -> Iterator[Ahead]:
    """The waves that take effect on a later day than *after*, up to *until*."""
    for wave in policy.floors:
        if after < wave.effective <= until:
            builds = " or ".join(str(build) for build in wave.builds) or "none is acceptable any more"
            yield Ahead(
                not_before=datetime(wave.effective.year, wave.effective.month, wave.effective.day, tzinfo=UTC),
                server="",
                connector="",
                product=wave.product,
                what=f"a floor takes effect: {builds}",
                event="",
            )


def _waiting(
    server: Server, case: Case, law: Law, policy: Policy, until: datetime, standing: BlockedBy
) -> Iterator[Ahead]:
    """Blocking that would come in that time if a notice was delivered now, or the next stage signed."""
    if not case.blocking or not case.enforced or grant_at(server, case, policy) is not None:
        return
    first = grant_at(server, as_if_given(server, case, policy, law.now), policy)
    if first is not None and law.utc_of(first) <= until:
        what = f"blocking begins with stage {case.blocking[0].stage}"
        missing: BlockedBy = "notice missing" if told_at(case, policy) is None else "signature missing"
        yield _told(server, case.product, law.utc_of(first), what, "", standing or missing)


def _told(server: Server, product: str, at: datetime, what: str, event: str, blocked_by: BlockedBy) -> Ahead:
    return Ahead(
        not_before=at,
        server=server.server,
        connector=server.connector,
        product=product,
        what=what,
        event=event,
        blocked_by=blocked_by,
    )


def _record(law: Law, at: datetime, event: e.Event) -> e.LogRecord:
    return e.LogRecord(seq=law.seq + 1, at=at, due=at, h=at, prev="", cause=None, event=event)


def _product_of(event: e.Event) -> str:
    return str(getattr(event, "product", ""))


def _tag(event: e.Event) -> str:
    return str(event.__struct_config__.tag)


def _words(kind: e.NoticeKind) -> str:
    return kind.replace("-", " ")
