"""`patchgate explain CASE`: a case by its number, over or not; what happened to it, from its opening in the log on."""

from collections.abc import Iterator
from contextlib import aclosing

import msgspec

from services.cli.act_targets import opening_of
from services.cli.log_lookup import from_seq
from services.cli.log_source import decoded
from services.cli.progress import counting
from shared.domain import events as e
from shared.domain.event_words import in_words
from shared.domain.evidence import UtcDatetime
from shared.domain.evolve import server_of
from shared.domain.explain import plain
from shared.domain.explanation import Explanation
from shared.runtime.settings import CommonSettings

STEPS_MAX = 1_000
"""Of one case, more than three years of sightings; at the bound the rest is counted."""


class CaseStep(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the log about the case."""

    seq: int
    at: UtcDatetime
    kind: str
    what: str


class CaseHistory(msgspec.Struct, frozen=True, kw_only=True):
    """
    A case from its opening on. over: whether it has ended. more: steps beyond the bound, not told.

    explanation: of its server as it is now; None: not known any more.
    """

    case: int
    server: str
    product: str
    over: bool
    steps: tuple[CaseStep, ...]
    more: int
    explanation: Explanation | None = None


async def history_of(settings: CommonSettings, number: int) -> CaseHistory | None:
    """
    The history of case *number*; None where that record of the log opened none.

    Raises:
        EventSchemaError: a record cannot be read.
        TransientError: the broker is not there.
    """
    opened = await opening_of(settings, number)
    if opened is None:
        return None
    named = msgspec.json.encode(opened.server)
    steps: list[CaseStep] = []
    more, over, count = 0, False, 0
    with counting("records of the log read") as tell:
        async with aclosing(from_seq(settings, number)) as log:
            async for stored in log:
                tell(count := count + 1)
                if named not in stored:  # most are of others, and need no decoding
                    continue
                record = decoded(stored, number + count - 1)
                if not is_about(record.event, number, opened):
                    continue
                more += len(steps) == STEPS_MAX
                steps += [_step(record)] if len(steps) < STEPS_MAX else []
                if over := isinstance(record.event, e.CaseEnded):
                    break
    return CaseHistory(
        case=number, server=opened.server, product=opened.product, over=over, steps=tuple(steps), more=more
    )


def is_about(event: e.Event, number: int, opened: e.CaseOpened) -> bool:
    """Whether *event*, behind the opening, is of this case: an act that names it, or what happened to its server's product."""
    if isinstance(event, e.RequestDecided):
        return getattr(event.request, "case", None) == number
    if server_of(event) != opened.server:
        return False
    product = event.reading.product if isinstance(event, e.ServerSighted) else getattr(event, "product", "")
    return bool(product == opened.product)


def _step(record: e.LogRecord) -> CaseStep:
    event = record.event
    if isinstance(event, e.RequestDecided):
        kind = str(event.request.__struct_config__.tag)
        what = f"{kind.removesuffix('.v1')} asked by {event.request.who}: {event.outcome}, {event.reason}"
    else:
        kind, what = str(event.__struct_config__.tag), in_words(event)
    return CaseStep(seq=record.seq, at=record.due or record.at, kind=kind, what=what)


def history_text(found: CaseHistory) -> Iterator[str]:
    """A line a step; then its server."""
    yield f"Case {found.case} about {found.product}, of {found.server}: {'it is over' if found.over else 'it is open'}."
    for step in found.steps:
        yield f"  {step.at:%Y-%m-%d %H:%M:%SZ}  {step.what} (log seq {step.seq})"
    if found.more:
        yield f"  and {found.more} more"
    if found.explanation is None:
        yield f"{found.server} is not known any more."
    else:
        yield "Its server now:"
        yield from plain(found.explanation)
