"""What became of a request: what the record of the log says that decided it."""

from typing import Literal

import msgspec

from shared.domain import events as e
from shared.domain.records import Act, AdoptPolicy, ReportNotice, SetFreeze

AnyRequest = AdoptPolicy | ReportNotice | SetFreeze | Act
Outcome = Literal["done", "no effect", "refused", "none yet"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request. seq: of the record of the log that decided it, None while the outcome is `none yet`."""

    id: str
    outcome: Outcome = "none yet"
    seq: int | None = None
    reason: str = ""

    @classmethod
    def of(cls, request_id: str, record: e.LogRecord | None) -> "Answer":
        """The answer that *record* is; None: nobody decided the request yet."""
        if record is None:
            return cls(id=request_id)
        event = record.event
        if isinstance(event, e.RequestDecided):
            return cls(id=request_id, outcome=event.outcome, seq=record.seq, reason=event.reason)
        return cls(id=request_id, outcome="done", seq=record.seq)


def request_in(event: e.Event) -> AnyRequest | None:
    """The request that *event* decides; None where it decides none."""
    return event.request if isinstance(event, e.RequestDecided | e.PolicyAdopted) else None
