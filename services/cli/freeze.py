"""`patchgate freeze` and `unfreeze`: the edges obey on sight; the enforcer records it and lets no case age."""

import asyncio
import uuid

import typer

from services.cli import common
from services.cli.bus import ask
from services.cli.what_begins import by_unfreezing
from shared.domain.answer import Answer
from shared.domain.events import LogRecord, RequestDecided
from shared.domain.records import SetFreeze
from shared.runtime.clock import open_clock

_WAIT_S = 10.0  # a living enforcer answers in under a second


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("freeze")(freeze)
    app.command("unfreeze")(unfreeze)


def freeze(who: common.Who, why: common.Why, wait_s: common.WaitS = _WAIT_S, as_json: common.AsJson = False) -> None:
    """From now on nothing is slowed or refused, and no case ages, until it is lifted."""
    _set(who, why, wait_s, frozen=True, as_json=as_json)


def unfreeze(
    who: common.Who,
    why: common.Why,
    yes: common.Yes = False,
    wait_s: common.WaitS = _WAIT_S,
    as_json: common.AsJson = False,
) -> None:
    """Tell what is slowed and refused again, ask, and lift the freeze."""
    if not yes:
        common.confirm("lifting a freeze", by_unfreezing(common.settings()), "Lift the freeze?")
    _set(who, why, wait_s, frozen=False, as_json=as_json)


def _set(who: str, why: str, wait_s: float, *, frozen: bool, as_json: bool) -> None:
    settings = common.settings()
    made_at = open_clock(settings.clock_file).now()
    request = common.request_of(SetFreeze, id=str(uuid.uuid4()), who=who, why=why, made_at=made_at, frozen=frozen)
    record = asyncio.run(ask(settings, request, wait_s=wait_s))
    answer = Answer.of(request.id, record)
    if as_json:
        common.echo_json(answer)
    else:
        typer.echo(_sentence(record, frozen=frozen))
    if answer.outcome == "refused":
        raise common.CommandError(f"the enforcer refused it (log record {answer.seq}): {answer.reason}")


def _sentence(record: LogRecord | None, *, frozen: bool) -> str:
    done = "nothing is slowed or refused" if frozen else "the freeze is lifted"
    if record is None:
        return (
            f"Published: every edge that reads the bus has obeyed on sight ({done}), but nobody has recorded it yet: "
            "the enforcer does not answer, and will record it when it is back."
        )
    outcome = record.event.outcome if isinstance(record.event, RequestDecided) else "done"
    return f"Recorded as log record {record.seq} ({outcome}): {done}."
