"""`patchgate import`: mail that is there to the bus, as evidence that may release a server and never accuses one."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import msgspec
import typer
from aiokafka.errors import KafkaError

from services.cli import common
from services.cli.look.evidence import Made, Maker
from services.cli.look.scan import Progress, mails_of, own_of, sorted_out
from services.cli.look.sources import UNREADABLE, Piece, Trouble, pieces_of, reason_of
from services.cli.look.tally import add, note_trouble
from services.cli.look.watched import SOME_NOT_READ, OwnNames, Paths, nothing_in, spooled, watched
from shared.domain.errors import TransientError
from shared.domain.records import MailEvidence
from shared.messaging import topics as t
from shared.messaging.codec import encode
from shared.messaging.kafka import new_producer, running
from shared.runtime.catalogue_files import load_catalogue_of
from shared.runtime.settings import CommonSettings

BATCH_RECORDS = 500
"""Records that are sent before their answers are awaited."""

ANSWER_S = 30.0
"""Seconds for the broker's answers to one batch; then the import ends, and can be run again."""

_TROUBLES_SHOWN = 10


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The summary. own: one's own servers; troubles: the first of what could not be read."""

    made: Made
    own: tuple[str, ...]
    own_inferred: bool
    troubles: tuple[Trouble, ...]
    troubles_all: int


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", help="Send mail that is there to the bus, as evidence that accuses nobody.")(import_)


def import_(paths: Paths, *, own: OwnNames = [], as_json: common.AsJson = False) -> None:  # noqa: B006  (typer's way)
    """
    Send what mails of these paths show to the bus, marked as imported: it may release a server, and never opens or ages a case.

    A second run sends the same again, which changes nothing. Exit codes: 0 all was read and sent; 1 nothing could be read, or
    the bus failed; 2 wrong command line; 3 something could not be read, and the rest was sent.
    """
    settings = common.settings()
    named = frozenset(name.lower() for name in own)
    with spooled(paths) as there, watched("import") as progress:
        pieces, troubles = sorted_out(pieces_of(there))
        if not pieces:
            raise common.CommandError(nothing_in(troubles.troubles, troubles.troubles_all))
        owned = own_of(pieces, named)
        maker = Maker(owned, load_catalogue_of(settings.state_dir), datetime.now(UTC))
        asyncio.run(_send(settings, _records(maker, pieces, progress), maker.made))
    add(troubles, maker.troubles)
    if not maker.made.mails:
        raise common.CommandError(nothing_in(troubles.troubles, troubles.troubles_all))
    sent = Sent(
        made=maker.made,
        own=tuple(sorted(owned.names)),
        own_inferred=owned.inferred,
        troubles=tuple(troubles.troubles),
        troubles_all=troubles.troubles_all,
    )
    if as_json:
        common.echo_json(sent)
    else:
        _tell(sent)
    if sent.troubles_all:
        raise typer.Exit(SOME_NOT_READ)


def _records(maker: Maker, pieces: Sequence[Piece], progress: Progress) -> Iterator[MailEvidence]:
    """The records of all pieces, one after another: the bus is slower than one core reads."""
    total, done = sum(piece.size for piece in pieces), 0
    for piece in pieces:
        try:
            for found in mails_of(piece):
                record = maker.record_of(found)
                if record is not None:
                    yield record
        except UNREADABLE as error:
            note_trouble(maker.troubles, Trouble(piece.paths[0], f"breaks off: {reason_of(error)}"))
        done += piece.size
        progress(done, total, maker.made.mails)


async def _send(settings: CommonSettings, records: Iterator[MailEvidence], made: Made) -> None:
    """
    All of *records* to `mail-evidence`. No marks: an import has looked at no mail that comes in now.

    Raises:
        TransientError: the broker is not there, or goes away.
    """
    topic = settings.topic_prefix + t.MAIL_EVIDENCE
    sent = 0
    try:
        async with running(producer := new_producer(settings.bootstrap)):
            # In a thread: reading may take long between two batches, and the client has its own work meanwhile.
            while batch := await asyncio.to_thread(lambda: list(islice(records, BATCH_RECORDS))):
                async with asyncio.timeout(ANSWER_S):
                    waiting = [
                        await producer.send(topic, encode(record), key=record.facts.peer.encode()) for record in batch
                    ]
                    await asyncio.gather(*waiting)
                sent += len(batch)
    except (KafkaError, OSError) as error:  # a time-out is an OSError
        raise TransientError(
            f"the broker at {settings.bootstrap} cannot be used ({type(error).__name__}) after {sent} records of {made.mails} mails:"
            " is it running, and are there the topics (`patchgate topics apply`)? Run the import again: what comes twice changes nothing"
        ) from error


def _tell(sent: Sent) -> None:
    made = sent.made
    products = ", ".join(f"{product} {records:,}" for product, records in sorted(made.products.items()))
    lines = [
        f"{made.records:,} records sent of {made.mails:,} mails{': ' + products if products else ''}.",
        f"Not sent: {made.repeated:,} that show what a record of the same hour shows; {made.undated:,} without a date, or with one to come;",
        f"  {made.nothing_judged:,} whose sender shows no product that is judged; {made.own:,} of one's own servers;",
        f"  {made.not_ours:,} whose line on top is of none of them (--own NAME adds one).",
        f"Own servers{' (inferred; --own NAME corrects)' if sent.own_inferred else ''}: {', '.join(sent.own) or 'none'}.",
        "Imported evidence may release a server; it never opens, ages or reopens a case.",
    ]
    for line in lines:
        typer.echo(line)
    for trouble in sent.troubles[:_TROUBLES_SHOWN]:
        common.fail(f"{trouble.place}: {trouble.why}")
    if sent.troubles_all > _TROUBLES_SHOWN:
        common.fail(f"and {sent.troubles_all - _TROUBLES_SHOWN:,} more could not be read; --json holds them")
