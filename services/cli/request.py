"""`patchgate request ID`: what became of a request that somebody made, by any way in."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC
from typing import Annotated

import msgspec
import typer

from services.cli import common
from services.cli.bus import each, reading
from services.cli.log_source import decoded
from services.cli.progress import counting
from shared.domain.answer import Answer, AnyRequest, Outcome, request_in
from shared.domain.errors import RecordSchemaError
from shared.domain.evidence import UtcDatetime
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.runtime.settings import CommonSettings


class Became(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request. act: its tag. decided_at: None while the outcome is `none yet`. again: records that only say it came once more."""

    id: str
    act: str
    who: str
    why: str
    made_at: UtcDatetime
    outcome: Outcome
    seq: int | None = None
    reason: str = ""
    decided_at: UtcDatetime | None = None
    again: int = 0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("request")(request)


def request(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="Of the request, as the asking command told it.")],
    as_json: common.AsJson = False,
) -> None:
    """Tell what became of a request: done, no effect, refused and why, or not decided yet."""
    found = asyncio.run(became(common.settings(), request_id))
    if as_json:
        common.echo_json(found)
        return
    typer.echo(sentence(found))


def sentence(found: Became) -> str:
    """In words."""
    asked = f"{found.id}: {found.act}, asked by {found.who} {found.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    if found.decided_at is None:
        return f"{asked}: not decided yet; the enforcer has not come to it, and will decide it when it runs."
    reason = f": {found.reason}" if found.reason else ""
    again = f" It was asked {common.counted(found.again, 'more time')} since, without effect." if found.again else ""
    return f"{asked}: {found.outcome} (log record {found.seq}, {found.decided_at:%Y-%m-%d %H:%M:%SZ}){reason}.{again}"


async def became(settings: CommonSettings, request_id: str) -> Became:
    """
    What the log says of it; else whether it still waits in `requests` or `control`.

    Raises:
        CommandError: nobody asked under that id, or so long ago that even `requests` forgot it undecided.
        TransientError: the broker is not there.
    """
    found: Became | None = None
    async with aclosing(_holding(settings, t.LOG, request_id)) as log:
        async for value in log:
            record = decoded(value, 0)
            asked = request_in(record.event)
            if asked is None or asked.id != request_id:
                continue
            if found is not None:
                found = msgspec.structs.replace(found, again=found.again + 1)
                continue
            answer = Answer.of(request_id, record)
            found = msgspec.structs.replace(
                _of(asked), outcome=answer.outcome, seq=answer.seq, reason=answer.reason, decided_at=record.at
            )
    for topic in (t.REQUESTS, t.CONTROL) if found is None else ():
        async for value in _holding(settings, topic, request_id):
            waits = _waiting(topic, value)
            if found is None and waits is not None and waits.id == request_id:
                found = _of(waits)
    if found is None:
        raise common.CommandError(f"no request {request_id} stands in the log, and none waits to be decided")
    return found


def _of(asked: AnyRequest) -> Became:
    tag = str(asked.__struct_config__.tag)
    return Became(id=asked.id, act=tag, who=asked.who, why=asked.why, made_at=asked.made_at, outcome="none yet")


async def _holding(settings: CommonSettings, topic: str, text: str) -> AsyncGenerator[bytes, None]:
    """The values of *topic* that hold *text*: most do not, and need no decoding."""
    needle, count = text.encode(errors="replace"), 0
    with counting(f"records of {topic} read") as tell:
        async with reading(settings) as consumer, aclosing(each(settings, consumer, topic)) as records:
            async for record in records:
                tell(count := count + 1)
                if record.value and needle in record.value:
                    yield record.value


def _waiting(topic: str, value: bytes) -> AnyRequest | None:
    try:
        waits: AnyRequest = decode(topic, value)
    except RecordSchemaError:  # somebody else's; the enforcer makes a dead letter of it
        return None
    return waits
