"""Readiness: is what the pages show still moving, and what keeps the law back. All ages are real time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from services.status.reader import STALLED_S
from services.status.settings import StatusSettings
from services.status.standbys import Standby
from services.status.view import Board, View
from shared.domain.evidence import UtcDatetime
from shared.domain.records import EdgeReport
from shared.domain.state import Position
from shared.runtime.clock import Clock

_UNMARKED = datetime.min.replace(tzinfo=UTC)  # before every mark: an unmarked partition holds H back most of all

HEARTBEAT_MAX_S = 60.0
"""Twelve heartbeats of the usual 5 s: by then the enforcer is gone, not slow."""


class HeldBackBy(msgspec.Struct, frozen=True, kw_only=True):
    """The partition of mail-evidence with the least mark: H is no further. mark: None where no edge has marked it yet."""

    partition: int
    mark: UtcDatetime | None
    age_s: float | None


class EdgeHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One edge by its last report. observing: why it only watches, "" when it enforces. table_agrees: None: not comparable."""

    edge: str
    report_age_s: float
    version: str
    observing: str
    heartbeat_seq: int
    table_agrees: bool | None
    counts: dict[str, int]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """
    Whether this report can be relied on, and why not. Ages in real seconds; None where there is nothing to be old yet.

    shown_age_s: how long ago what is shown was last known to be the newest: it is so old at most. lag: records not read yet,
    by topic. h: everything seen up to there has been folded. warnings: worth a look, but the report is right. leader: the
    enforcer that wrote the last heartbeat. standbys: enforcers that would take over; null while the broker has not told.
    """

    ready: bool
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    shown_age_s: float | None
    lag: dict[str, int]
    trouble: str
    h: UtcDatetime | None
    h_age_s: float | None
    held_back_by: HeldBackBy | None
    standing_still: Literal["", "freeze", "blind"]
    held_s: float
    seq: int
    heartbeat_age_s: float | None
    heartbeat_seq: int
    leader: str
    standbys: tuple[Standby, ...] | None
    servers: int
    table_count: int
    table_agrees: bool | None
    policy_version: int
    policy_mode: str
    edges: tuple[EdgeHealth, ...]
    unreadable_records: int
    scaled_clock: bool


def readiness(board: Board, settings: StatusSettings, clock: Clock) -> Readiness:
    """The readiness of what *board* shows."""
    view = board.view or View()
    law = view.position.law if view.position else None
    now = clock.real_now()
    h_age = clock.real_age(law.h).total_seconds() if law else None
    heartbeat_age = _age_s(view.heartbeat_appended, now)
    shown_age = _age_s(board.reader.progress, now)
    edges = tuple(_edge(view, report, clock) for report in view.edges.values())
    reasons = tuple(_reasons(board, settings, shown_age=shown_age, heartbeat_age=heartbeat_age, h_age=h_age))
    return Readiness(
        ready=not reasons,
        reasons=reasons,
        warnings=tuple(_warnings(view, edges, board.standbys or ())),
        shown_age_s=shown_age,
        lag=dict(board.reader.lag),
        trouble=board.reader.trouble,
        h=law.h if law else None,
        h_age_s=h_age,
        held_back_by=held_back_by(view.position, clock) if view.position else None,
        standing_still="freeze" if law and law.frozen else "blind" if law and law.blind else "",
        held_s=law.held_so_far.total_seconds() if law else 0.0,
        seq=law.seq if law else 0,
        heartbeat_age_s=heartbeat_age,
        heartbeat_seq=view.table.heartbeat.seq if view.table.heartbeat else 0,
        leader=view.table.heartbeat.leader if view.table.heartbeat else "",
        standbys=board.standbys,
        servers=len(view.servers),
        table_count=view.table.count,
        table_agrees=None if view.differs_in is None else not view.differs_in,
        policy_version=view.table.policy.version if view.table.policy else 0,
        policy_mode=view.table.policy.mode if view.table.policy else "",
        edges=edges,
        unreadable_records=view.unreadable,
        scaled_clock=clock.scaled,
    )


def held_back_by(position: Position, clock: Clock) -> HeldBackBy | None:
    """The partition whose newest mark is the least, an unmarked one first; None before any partition is known."""
    if not position.marks:
        return None
    partition, mark = min(enumerate(position.marks), key=lambda pair: pair[1] or _UNMARKED)
    age = None if mark is None else clock.real_age(mark).total_seconds()
    return HeldBackBy(partition=partition, mark=mark, age_s=age)


def _age_s(instant: datetime | None, now: datetime) -> float | None:
    return None if instant is None else max(timedelta(), now - instant).total_seconds()


def _reasons(
    board: Board, settings: StatusSettings, *, shown_age: float | None, heartbeat_age: float | None, h_age: float | None
) -> Iterator[str]:
    if board.view is None:
        yield f"the topics have not been read to their end yet ({board.reader.trouble or 'reading'})"
        return
    if shown_age is not None and shown_age > STALLED_S:
        yield f"what is shown is {shown_age:.0f} s old ({board.reader.trouble or 'records wait, none comes'})"
    if heartbeat_age is None:
        yield "no heartbeat in `decisions`: the enforcer has not started yet"
    elif heartbeat_age > HEARTBEAT_MAX_S:
        yield f"the last heartbeat is {heartbeat_age:.0f} s old: the enforcer is not running"
    if board.view.position is None:
        yield "no position in `enforcer-state`: the enforcer has written nothing yet"
    elif h_age is not None and h_age > settings.blind_after_s:
        yield f"H is {h_age:.0f} s old, more than blind_after ({settings.blind_after_s} s): look at held_back_by"


def _warnings(view: View, edges: tuple[EdgeHealth, ...], standbys: tuple[Standby, ...]) -> Iterator[str]:
    if view.differs_in:
        yield f"the decisions read here differ from the heartbeat ({view.differs_in}); run `patchgate audit verify`"
    for edge in edges:
        if edge.table_agrees is False:
            yield f"edge {edge.edge} holds other decisions than its heartbeat says; it reads them again by itself"
        if edge.observing:
            yield f"edge {edge.edge} only observes: {edge.observing}"
    for standby in standbys:
        if not standby.warm:
            yield f"enforcer {standby.instance} stands by and is not warm yet: a takeover would wait until it has read the state"
    if view.unreadable:
        yield f"{view.unreadable} records could not be read; the log of this service names each"


def _edge(view: View, report: EdgeReport, clock: Clock) -> EdgeHealth:
    return EdgeHealth(
        edge=report.edge,
        report_age_s=clock.real_age(report.at).total_seconds(),
        version=report.version,
        observing=report.observing,
        heartbeat_seq=report.heartbeat_seq,
        table_agrees=view.edge_agrees(report),
        counts=report.counts,
    )
