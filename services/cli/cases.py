"""`patchgate cases`: every case, where it stands and what comes next; `patchgate due`: what will happen in the next days."""

import asyncio
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

import msgspec
import typer

from services.cli import common
from services.cli.live_state import Live, live, newest
from shared.domain.ahead import Ahead, CaseRow, ahead_of, case_rows, floors_ahead
from shared.domain.evidence import UtcDatetime
from shared.domain.explanation import CaseState
from shared.domain.state import Server
from shared.runtime.clock import open_clock
from shared.runtime.settings import CommonSettings

_HOUR_AND_MINUTE = "%Y-%m-%d %H:%MZ"

AsCsv = Annotated[bool, typer.Option("--csv", help="For spreadsheets, with a line of names.")]
OfConnector = Annotated[str, typer.Option("--connector", metavar="NAME", help="Only those seen in this connector.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("cases")(cases)
    app.command("due")(due)


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What will happen up to *until*, in order. at: now, by this machine's clock; h: up to where the law has seen."""

    at: UtcDatetime
    h: UtcDatetime
    until: UtcDatetime
    steps: tuple[Ahead, ...]


def cases(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only those in this state; may be said several times.")
    ] = None,
    connector: OfConnector = "",
    as_json: common.AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List every case: number, server, product, stage and since when, what comes next and when, state."""
    _only_one(as_json=as_json, as_csv=as_csv)
    rows = asyncio.run(_cases(common.settings(), _states(state or []), connector))
    if as_json:
        common.echo_json(rows)
    elif as_csv:
        typer.echo(csv_text(CaseRow.__struct_fields__, rows), nl=False)
    else:
        typer.echo("\n".join(cases_text(rows)))


def due(
    days: Annotated[int, typer.Option("--days", min=0, max=3650, help="How far to look ahead.")] = 14,
    connector: OfConnector = "",
    as_json: common.AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Tell what will happen, not before which day, to whom, and what keeps it back; sightings and acts may change it."""
    _only_one(as_json=as_json, as_csv=as_csv)
    settings = common.settings()
    now = open_clock(settings.clock_file).now()
    found = asyncio.run(_due(settings, now, now + timedelta(days=days), connector))
    if as_json:
        common.echo_json(found)
    elif as_csv:
        typer.echo(csv_text(Ahead.__struct_fields__, found.steps), nl=False)
    else:
        typer.echo("\n".join(due_text(found, days)))


def _only_one(*, as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise typer.BadParameter("--json or --csv, not both")


def _states(texts: list[str]) -> frozenset[CaseState]:
    for text in texts:
        if text not in get_args(CaseState):
            raise typer.BadParameter(f"no case is {text!r}; the states are {', '.join(get_args(CaseState))}")
    return msgspec.convert(texts, frozenset[CaseState])


async def _cases(settings: CommonSettings, states: frozenset[CaseState], connector: str) -> list[CaseRow]:
    now = await live(settings)
    found, _ = await newest(settings, lambda server: wanted_cases(server, now, states, connector) or None)
    return [row for rows in found for row in rows]


def wanted_cases(server: Server, now: Live, states: frozenset[CaseState], connector: str) -> tuple[CaseRow, ...]:
    """The cases of *server* that were asked for."""
    if connector and server.connector != connector:
        return ()
    return tuple(row for row in case_rows(server, now.law, now.policy) if not states or row.state in states)


async def _due(settings: CommonSettings, at: datetime, until: datetime, connector: str) -> Due:
    now = await live(settings)
    found, _ = await newest(
        settings,
        lambda server: None if connector and server.connector != connector else _ahead(server, now, until) or None,
    )
    return due_of(now, at, until, (step for steps in found for step in steps))


def _ahead(server: Server, now: Live, until: datetime) -> tuple[Ahead, ...]:
    return tuple(ahead_of(server, now.law, now.policy, until=until)) if server.cases else ()


def due_of(now: Live, at: datetime, until: datetime, steps: Iterable[Ahead]) -> Due:
    """The whole answer: the steps of the servers, and the floors, in order."""
    floors = floors_ahead(now.policy, after=at.astimezone(UTC).date(), until=until.astimezone(UTC).date())
    found = sorted((*steps, *floors), key=lambda step: (step.not_before, step.server))
    return Due(at=at, h=now.law.h, until=until, steps=tuple(found))


# --- telling -----------------------------------------------------------------------------------------------------------


def cases_text(rows: list[CaseRow]) -> Iterator[str]:
    """A table."""
    cells = [
        (
            str(row.case),
            row.server,
            row.product,
            row.state,
            str(row.stage),
            _day(row.since),
            f"{_day(row.next_at)} {row.next_step}".strip(),
        )
        for row in rows
    ]
    yield from table_text(("case", "server", "product", "state", "stage", "since", "next, not before"), cells)
    yield f"{common.counted(len(rows), 'case')}."


def due_text(found: Due, days: int) -> Iterator[str]:
    """A table."""
    cells = [(_day(s.not_before), s.server or "(all)", s.product, s.what, s.blocked_by) for s in found.steps]
    yield from table_text(("not before", "server", "product", "what", "kept back by"), cells)
    steps = common.counted(len(found.steps), "step")
    yield f"{steps} in {common.counted(days, 'day')}, seen from {_day(found.at)}; the law has seen everything up to {_day(found.h)}."


def table_text(names: tuple[str, ...], cells: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Columns as wide as what stands in them, the last as long as it is."""
    widths = [max(len(one) for one in column) for column in zip(names, *cells, strict=True)]
    for line in (names, *cells):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def csv_text(names: tuple[str, ...], rows: Iterable[msgspec.Struct]) -> str:
    """As CSV; instants as ISO 8601, nothing where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(msgspec.to_builtins(row).values())
    return out.getvalue()


def _day(instant: datetime | None) -> str:
    return instant.astimezone(UTC).strftime(_HOUR_AND_MINUTE) if instant else ""
