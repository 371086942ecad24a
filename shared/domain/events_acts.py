"""The events of pauses, exemptions, holds, signatures and acknowledgements, and of cases that move. Part of `events.py`, by which name everybody knows them."""

from datetime import date
from typing import Literal

import msgspec

from shared.domain.evidence import UtcDatetime
from shared.domain.records import Exemption, Row

CaseHoldReason = Literal["pause", "dispute", "mixed"]
"""Why a case is held: its account is paused; its admin disputes it; two machines seem to speak under its server's name."""


class _ActEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """Base of these events, as of those in `events.py`."""


class PauseBegan(_ActEvent, frozen=True, kw_only=True, tag="pause-began.v1"):
    """An account is paused, from now to the end of the UTC day *last*; first: the day on which it began."""

    account: str
    first: date
    last: date


class PauseEnded(_ActEvent, frozen=True, kw_only=True, tag="pause-ended.v1"):
    """The pause of an account is over. used_to: the last UTC day that it used; those after it came back."""

    account: str
    used_to: date


class Exempted(_ActEvent, frozen=True, kw_only=True, tag="exempted.v1"):
    """An exemption is in force; it takes the place of one of the same kind and target."""

    exemption: Exemption


class ExemptionEnded(_ActEvent, frozen=True, kw_only=True, tag="exemption-ended.v1"):
    """An exemption is over: its time was up, or somebody lifted it."""

    kind: Literal["server", "peer", "connector"]
    target: str


class CaseHeld(_ActEvent, frozen=True, kw_only=True, tag="case-held.v1"):
    """
    The clock of a case stands, and its mail passes. Held already for another reason, it is for this one, too.

    row: in force from now on, without minutes. until: law time at which the hold ends by itself; None: when somebody says so.
    ends: of a pause, the midnight (UTC) at which it ends.
    """

    server: str
    product: str
    reason: CaseHoldReason
    until: UtcDatetime | None
    row: Row
    ends: UtcDatetime | None = None


class NoticeAcknowledged(_ActEvent, frozen=True, kw_only=True, tag="notice-acknowledged.v1"):
    """The admin has the notice: as good as delivered, at this law time. notices: what was pending, and is settled now."""

    server: str
    product: str
    notices: tuple[str, ...]
    at_law: UtcDatetime


class ReadingsLifted(_ActEvent, frozen=True, kw_only=True, tag="readings-lifted.v1"):
    """What was struck of a server counts again, from its next sighting on."""

    server: str


class BlockingSigned(_ActEvent, frozen=True, kw_only=True, tag="blocking-signed.v1"):
    """An operator signed that a blocking stage may begin; at_law: when, in law time. beside: beside the notice, for a protected server."""

    server: str
    product: str
    stage: int
    at_law: UtcDatetime
    beside: bool = False


class CaseMoved(_ActEvent, frozen=True, kw_only=True, tag="case-moved.v1"):
    """A case goes from one id of a server (source) to a better one, with all that it has; case: its number."""

    server: str
    product: str
    source: str
    case: int
