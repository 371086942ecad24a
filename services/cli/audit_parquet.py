"""
The log as Parquet, for DuckDB and the like: a row a record, what is asked for most in columns of its own, the rest as JSON.

Written in row groups, so memory is that of one. Such a file is for questions; what proves the log is the export with its seal.
Needs `pyarrow` (extra `parquet`).
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from services.cli.progress import Tell
from shared.domain import events as e

ROWS_PER_GROUP = 10_000
"""Some 10 MB of records at a time."""

_INSTANT = pa.timestamp("us", tz="UTC")
_OF_RECORD: dict[str, Any] = {
    "seq": pa.int64(),
    "written_at": _INSTANT,  # `at` is a word of SQL
    "due": _INSTANT,
    "h": _INSTANT,
    "event": pa.string(),
    "cause_topic": pa.string(),
    "cause_offset": pa.int64(),
}
_OF_EVENT: dict[str, Any] = {
    "server": pa.string(),
    "product": pa.string(),
    "connector": pa.string(),
    "tie": pa.string(),
    "below": pa.bool_(),
    "enforced": pa.bool_(),
    "expired": pa.bool_(),
    "stage": pa.int64(),
    "throttle_minutes_per_hour": pa.int64(),
    "block_minutes_per_hour": pa.int64(),
    "notice": pa.string(),
    "kind": pa.string(),
    "outcome": pa.string(),
    "reason": pa.string(),
}
SCHEMA = pa.schema(
    list(
        {
            **_OF_RECORD,
            **_OF_EVENT,
            "shown": pa.string(),
            "request": pa.string(),
            "who": pa.string(),
            "why": pa.string(),
            "policy_version": pa.int64(),
            "hash": pa.string(),
            "record": pa.string(),
        }.items()
    )
)


async def write(records: AsyncIterator[tuple[e.LogRecord, bytes]], file: Path, tell: Tell) -> int:
    """
    Write *records* to *file*; returns how many.

    Raises:
        OSError: it cannot be written.
    """
    count, rows = 0, list[dict[str, object]]()
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        async for record, stored in records:
            rows.append(row_of(record, stored))
            count += 1
            tell(count)
            if len(rows) == ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    return count


def row_of(record: e.LogRecord, stored: bytes) -> dict[str, object]:
    """The columns of a record; None where its event has no such field."""
    event = record.event
    row: dict[str, object] = {name: getattr(event, name, None) for name in _OF_EVENT}
    request = getattr(event, "request", None)
    if isinstance(event, e.RequestDecided):  # the notice that a report is about
        row |= {"notice": getattr(request, "notice", None), "server": getattr(request, "server", None)}
    shown = event.reading.shown if isinstance(event, e.ServerSighted) else None
    return row | {
        "seq": record.seq,
        "written_at": record.at,
        "due": record.due,
        "h": record.h,
        "event": str(event.__struct_config__.tag),
        "cause_topic": record.cause.topic if record.cause else None,
        "cause_offset": record.cause.offset if record.cause else None,
        "product": event.reading.product if isinstance(event, e.ServerSighted) else row["product"],
        "shown": None if shown is None else str(shown),
        "request": None if request is None else str(request.__struct_config__.tag),
        "who": getattr(request, "who", None),
        "why": getattr(request, "why", None),
        "policy_version": event.policy.version if isinstance(event, e.PolicyAdopted) else None,
        "hash": e.chain(stored),
        "record": stored.decode(),
    }
