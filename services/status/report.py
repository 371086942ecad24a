"""The report on one server: its explanation, and what happened so far."""

from collections.abc import Sequence

import msgspec

from services.status.timeline import TimelineEvent
from services.status.view import View
from shared.domain.catalogue import BuildCatalogue
from shared.domain.evidence import UtcDatetime
from shared.domain.explain import explain, plain
from shared.domain.explanation import CaseShown, Explanation, RowShown
from shared.domain.policy import Policy
from shared.domain.state import Law


class ServerReport(msgspec.Struct, frozen=True, kw_only=True):
    """explanation: why it is where it is. plain: the same in words. timeline: its newest events and those of all, oldest first."""

    explanation: Explanation
    plain: tuple[str, ...]
    timeline: tuple[TimelineEvent, ...]


def report_on(
    name: str, view: View, law: Law, policy: Policy, catalogue: BuildCatalogue, *, now: UtcDatetime
) -> ServerReport | None:
    """The report on *name*; None where no such server is known."""
    server = view.servers.get(name)
    if server is None:
        return None
    beside = [view.servers[other] for other in server.matches if other != name and other in view.servers]
    timeline = tuple(view.timelines.of(name))
    exemptions = view.table.exemptions
    explained = explain(server, law, policy, catalogue, now=now, beside=beside, exemptions=exemptions)
    explanation = _with_log_dates(explained, timeline)
    return ServerReport(explanation=explanation, plain=tuple(plain(explanation)), timeline=timeline)


def _with_log_dates(explanation: Explanation, timeline: Sequence[TimelineEvent]) -> Explanation:
    """What is past gets its date from the log, where that part of it is kept: a hold moves what is to come, not what was."""
    cases = tuple(
        _case_dated(
            case, [event for event in timeline if event.product == case.product and event.seq >= case.opened_seq]
        )
        for case in explanation.cases
    )
    return msgspec.structs.replace(explanation, cases=cases)


def _case_dated(case: CaseShown, events: Sequence[TimelineEvent]) -> CaseShown:
    began = {event.stage: event for event in events}
    rows = tuple(_row_dated(row, began.get(row.stage)) for row in case.rows)
    delivered = [event.happened for event in events if event.delivered]
    notices = msgspec.structs.replace(case.notices, delivered_at=delivered[-1]) if delivered else case.notices
    in_force = next((row for row in rows if row.in_force), None)
    return msgspec.structs.replace(case, rows=rows, row=in_force, notices=notices)


def _row_dated(row: RowShown, began: TimelineEvent | None) -> RowShown:
    if began is None or not row.begun:
        return row
    return msgspec.structs.replace(row, since=began.happened, exact=True)
