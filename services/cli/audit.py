"""`patchgate audit`: write the log to a file, and prove of log or file that it was neither changed nor wrongly decided."""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from services.cli import common
from services.cli.audit_show import show
from services.cli.audit_tables import Tables, TablesReport
from services.cli.bus import each, reading
from services.cli.log_source import records
from services.cli.outputs import keep_apart
from services.cli.progress import Tell, counting
from services.cli.what_if import what_if
from shared.domain.errors import ConfigError
from shared.domain.events import chain
from shared.domain.fold import RULES
from shared.domain.verify import Audit, VerifyReport, seal, verify_export
from shared.messaging import topics as t
from shared.runtime.settings import CommonSettings

app = typer.Typer(no_args_is_help=True)
app.command()(show)
app.command("what-if")(what_if)

_LONGEST_LINE = 2_000_000  # above any record that the bus takes; what is longer is no record, and is read in pieces


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """
    What `audit verify` found.

    verdict: what that proves, in a sentence. source: a file, or the topic; tables: None where a file was read.
    """

    ok: bool
    verdict: str
    source: str
    log: VerifyReport
    tables: TablesReport | None = None


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write it; replaced only when all is written.")],
    parquet: Annotated[
        bool, typer.Option("--parquet", help="As a table for DuckDB and the like; without a seal.")
    ] = False,
    source: Annotated[
        Path | None, typer.Option("--of", metavar="EXPORT", help="With --parquet: of an export, not of the bus.")
    ] = None,
) -> None:
    """Write the log to FILE: the stored bytes, one record a line, and a last line that seals them; or as Parquet."""
    if source and not parquet:
        raise typer.BadParameter("--of is for --parquet: an export is a file already")
    keep_apart([file, _part_of(file)], [source])
    settings = common.settings()
    with _replacing(file) as fresh:
        if parquet:
            told = f"{asyncio.run(_parquet(settings, source, fresh))} records written to {file} as Parquet"
        else:
            count, head = _sealed(settings, fresh)
            told = f"{count} records written to {file}; head {head}"
    typer.echo(told)


@contextmanager
def _replacing(file: Path) -> Iterator[Path]:
    """Give another file to write; it takes the place of *file* when all went well, and is gone otherwise."""
    fresh = _part_of(file)
    try:
        yield fresh
        fresh.replace(file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error}") from error
    finally:
        fresh.unlink(missing_ok=True)


def _part_of(file: Path) -> Path:
    return file.with_name(file.name + ".part")


def _sealed(settings: CommonSettings, fresh: Path) -> tuple[int, str]:
    with fresh.open("wb") as out:
        count, head = asyncio.run(_copy(settings, out))
        out.write(seal(count, head) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    return count, head


async def _parquet(settings: CommonSettings, source: Path | None, fresh: Path) -> int:
    try:
        writer = import_module("services.cli.audit_parquet")
    except ImportError as error:
        raise common.CommandError("Parquet needs pyarrow: install patchgate with the extra `parquet`") from error
    with counting("records written") as tell:
        async with aclosing(records(settings, source)) as log:
            count: int = await writer.write(log, fresh, tell)
    return count


async def _copy(settings: CommonSettings, out: BinaryIO) -> tuple[int, str]:
    """Copy the log; returns how many records, and the hash of the last."""
    count, last = 0, b""
    with counting("records written") as tell:
        async with reading(settings) as consumer, aclosing(each(settings, consumer, t.LOG)) as log:
            async for record in log:
                last = record.value or b""
                out.write(last + b"\n")
                count += 1
                tell(count)
    return count, chain(last) if count else ""


@app.command()
def verify(
    file: Annotated[Path | None, typer.Argument(help="An export; without it the log itself, and the tables.")] = None,
    noted: Annotated[
        str | None,
        typer.Option("--head", metavar="HASH", help="The head that an earlier audit told: the log must come by it."),
    ] = None,
    as_json: common.AsJson = False,
) -> None:
    """
    Check the chain, fold the log again, decide it again. Exit code 1, and the first wrong seq, if anything is off.

    With --head also if no record has that hash, so that a log that was written anew or cut off is found.
    What older or newer rules decided is not decided again; the verdict says so, and the exit code is 0.
    """
    head = "" if noted is None else _head_of(noted)
    found = _verify_file(file, head) if file else asyncio.run(_verify_topic(common.settings(), head))
    if as_json:
        common.echo_json(found)
    else:
        for line in sentences(found):
            typer.echo(line)
    if not found.ok:
        if not as_json:
            common.fail(f"audit: {found.verdict}")
        raise typer.Exit(1)


def _head_of(text: str) -> str:
    """Raises: BadParameter: *text* is no hash."""
    if not re.fullmatch("[0-9a-f]{64}", text.lower()):
        raise typer.BadParameter(
            f"--head {text!r} is no hash of a record: it has 64 hex digits, as `audit verify` told"
        )
    return text.lower()


def _verify_file(file: Path, noted: str) -> Verified:
    try:
        with file.open("rb") as content, counting("records checked") as tell:
            report = verify_export(_lines(content, tell), noted=noted)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    return _verified(str(file), report)


def _lines(content: BinaryIO, tell: Tell) -> Iterator[bytes]:
    count = 0
    while line := content.readline(_LONGEST_LINE):
        yield line
        count += 1
        tell(count)


async def _verify_topic(settings: CommonSettings, noted: str) -> Verified:
    """Tables first, then the log: so the log holds everything that the tables are made of."""
    tables = await Tables.read(settings)
    audit = Audit(noted=noted)
    with counting("records checked") as tell:
        async with reading(settings) as consumer, aclosing(each(settings, consumer, t.LOG)) as log:
            async for record in log:
                if not audit.take(record.value or b""):
                    break
                tables.compare_at(audit.seq, audit.fold)
                tell(audit.seq)
    return _verified(f"topic {settings.topic_prefix}{t.LOG}", audit.report(), tables.report())


def _verified(source: str, log: VerifyReport, tables: TablesReport | None = None) -> Verified:
    ok = log.ok and (tables is None or tables.ok)
    return Verified(ok=ok, verdict=_verdict(log, tables), source=source, log=log, tables=tables)


def sentences(found: Verified) -> Iterator[str]:
    """What was checked, in numbers."""
    log = found.log
    yield f"{found.source}: {log.records} records follow each other without a gap, each with the hash of the one before."
    yield f"{log.checkpoints} checkpoints compared; the records fold to {log.servers} servers, digest {log.digest}."
    yield f"{log.decided_again} records decided again with the same outcome; {log.taken_as_given} taken as given (first policy, rules, holds)."
    for epoch in log.epochs:
        if not epoch.decided_again:
            yield f"From record {epoch.first_seq} on rules {epoch.rules} of patchgate {epoch.version} decided, which are not this one's: not decided again."
    if found.tables is not None:
        yield from _of_tables(found.tables)
    if log.noted_head_seq is not None:
        yield f"The head noted earlier is the hash of record {log.noted_head_seq}."
    if log.ok:  # whoever notes the head of a log that is not whole would ask for it in vain
        yield f"Head: {log.head} (note it: the next audit must come by it, with --head)."
    if found.ok:
        yield found.verdict


def _of_tables(tables: TablesReport) -> Iterator[str]:
    yield (
        f"{tables.servers} servers of enforcer-state and {tables.decisions} decisions compared with what the log folds to: "
        f"{common.counted(len(tables.differences), 'difference')}."
    )
    yield from (f"  {difference}" for difference in tables.differences)


def _verdict(log: VerifyReport, tables: TablesReport | None) -> str:
    if not log.ok:
        return (
            log.what if log.first_wrong_seq is None else f"the first wrong record is {log.first_wrong_seq}: {log.what}"
        )
    if tables is not None and not tables.ok:
        return f"the log is right, the tables differ from it: {tables.differences[0]}"
    return " ".join(_of_whole(log))


def _of_whole(log: VerifyReport) -> Iterator[str]:
    """All right, or which records were only seen to be whole."""
    ends = [*(epoch.first_seq - 1 for epoch in log.epochs[1:]), log.records]
    left = [(epoch, end) for epoch, end in zip(log.epochs, ends, strict=True) if not epoch.decided_again]
    if not left:
        yield "All right."
        return
    yield "Whole."
    for epoch, end in left:
        kind = "older" if epoch.rules < RULES else "newer"
        yield f"Records {epoch.first_seq} to {end} were decided by {kind} rules ({epoch.rules}; this patchgate has {RULES}) and were not decided again."
    if not log.decided_again:
        yield "Not one decision was: to have them decided again, audit with the patchgate that has those rules."
