"""
Which notices are due and not settled, by the log alone. Pure: a fold over the log's records.

A notice is open from `notice-due` until the log tells what became of it: `notice-settled`, or the decision on our report
where its case was over already. It is void once its case was released, ended, or began anew: then it is not sent any more.
The notice of a release stays good.
"""

from datetime import datetime

import msgspec

from shared.domain import events as e
from shared.domain.records import ReportNotice


class OpenNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice to be settled. due_at: what its age counts from; told_at: when the log told it; offset: where in the log."""

    due: e.NoticeDue
    due_at: datetime
    told_at: datetime
    offset: int
    void: bool = False


class Ledger:
    """The open notices, oldest first. Bounded by the law: each settles, or is reported lapsed after 48 hours."""

    def __init__(self) -> None:
        self.open: dict[str, OpenNotice] = {}

    def note(self, offset: int, record: e.LogRecord) -> None:
        """Fold one record of the log, which stands at *offset*."""
        event = record.event
        match event:
            case e.NoticeDue():
                self.open[event.notice] = OpenNotice(
                    due=event, due_at=record.due or record.at, told_at=record.at, offset=offset
                )
            case e.NoticeSettled():
                self.open.pop(event.notice, None)
            case e.NoticeAcknowledged():
                for notice in event.notices:
                    self.open.pop(notice, None)
            case e.RequestDecided(request=ReportNotice() as report):
                self.open.pop(report.notice, None)
            case e.CaseReleased() | e.CaseEnded() | e.ClockStarted() | e.ClockStopped():
                self._void(event.server, event.product)
            case _:
                pass

    def keep_from(self, position: int) -> int:
        """The offset to start from again: that of the oldest open notice, or *position* where there is none."""
        return min((notice.offset for notice in self.open.values()), default=position)

    def _void(self, server: str, product: str) -> None:
        for notice in list(self.open.values()):
            due = notice.due
            if due.server == server and due.product == product and due.kind != "release":
                self.open[due.notice] = msgspec.structs.replace(notice, void=True)
