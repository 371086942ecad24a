"""
All pieces, on all cores, in two passes: first a sample that tells which hosts are the reader's own, then everything.

Workers are processes; each gets a piece and gives a tally back, so memory is one tally a worker and one in all.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import islice
from multiprocessing import get_context
from typing import NamedTuple

from services.cli.common import CommandError
from services.cli.look.headers import received_of
from services.cli.look.jsonl import Headers
from services.cli.look.jsonl import mails_of as exported_of
from services.cli.look.logged import Logged
from services.cli.look.mailbox import Block, blocks_of
from services.cli.look.own_line import normal
from services.cli.look.own_names import Chains, Own, infer, merged, note_chain, note_top
from services.cli.look.postfix_log import logged_in
from services.cli.look.rspamd import history_in
from services.cli.look.sources import UNREADABLE, Piece, Trouble, pieces_of, reason_of
from services.cli.look.tally import Found, Tally, Teller, add, note_trouble
from shared.domain.catalogue import BuildCatalogue, load_catalogue

SAMPLE_PIECES = 64
SAMPLE_MAILS = 500
"""Mails of each sampled piece; pieces are sampled evenly over all."""

AHEAD = 4  # pieces that wait for each worker: enough to keep it busy, few enough to end soon


class Scanned(NamedTuple):
    """All that was seen. bytes_read: as the files are on disk."""

    tally: Tally
    own: Own
    pieces: int
    bytes_read: int


Progress = Callable[[int, int, int], None]
"""Told after each piece: bytes done, bytes in all, mails so far."""


def scan(paths: Sequence[str], *, own: frozenset[str], jobs: int | None, progress: Progress) -> Scanned:
    """
    Read everything that *paths* hold.

    own: hosts that are the reader's own; where it is empty they are inferred. jobs: worker processes, None for one a core.
    """
    pieces, tally = sorted_out(pieces_of(paths))
    workers = min(jobs or os.cpu_count() or 1, max(1, len(pieces)))
    total = sum(piece.size for piece in pieces)
    if workers == 1:
        owned = own_of(pieces, own)
        return _gather(tally, owned, pieces, total, ((piece, tally_of(piece, owned)) for piece in pieces), progress)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        owned = Own(own, inferred=False) if own else infer(merged(pool.map(chains_of, _sample(pieces))))
        told = _in_parallel(pool, pieces, owned, ahead=AHEAD * workers)
        return _gather(tally, owned, pieces, total, told, progress)


def sorted_out(found: Iterable[Piece | Trouble]) -> tuple[list[Piece], Tally]:
    """The pieces, and a tally of what could not be opened."""
    pieces: list[Piece] = []
    troubles = Tally()
    for one in found:
        if isinstance(one, Piece):
            pieces.append(one)
        else:
            note_trouble(troubles, one)
    return pieces, troubles


def own_of(pieces: Sequence[Piece], named: frozenset[str]) -> Own:
    """The own hosts: those that are *named*, else those that a sample of *pieces* shows."""
    return Own(named, inferred=False) if named else infer(merged(map(chains_of, _sample(pieces))))


def _sample(pieces: Sequence[Piece]) -> Sequence[Piece]:
    step = max(1, len(pieces) // SAMPLE_PIECES)
    return pieces[::step]


def _in_parallel(
    pool: ProcessPoolExecutor, pieces: Sequence[Piece], own: Own, *, ahead: int
) -> Iterator[tuple[Piece, Tally]]:
    rest = iter(pieces)
    running: dict[Future[Tally], Piece] = {pool.submit(tally_of, piece, own): piece for piece in islice(rest, ahead)}
    while running:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield running.pop(future), _result_of(future)
            for piece in islice(rest, 1):
                running[pool.submit(tally_of, piece, own)] = piece


def _result_of(future: Future[Tally]) -> Tally:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise CommandError(
            "a process that read mail was ended from outside, as for want of memory: try again with --jobs 1"
        ) from error


def _gather(
    troubles: Tally,
    own: Own,
    pieces: Sequence[Piece],
    total: int,
    told: Iterable[tuple[Piece, Tally]],
    progress: Progress,
) -> Scanned:
    whole, done = troubles, 0
    for piece, tally in told:
        add(whole, tally)
        done += piece.size
        progress(done, total, whole.mails)
    return Scanned(whole, own, len(pieces), done)


@cache
def _catalogue() -> BuildCatalogue:
    return load_catalogue()


def mails_of(piece: Piece) -> Iterator[Found]:
    """What the door for this kind of piece brings."""
    match piece.kind:
        case "jsonl":
            return exported_of(piece)
        case "log":
            return logged_in(piece)
        case "rspamd":
            return history_in(piece)
        case "mbox" | "mail":
            return blocks_of(piece)


def chains_of(piece: Piece) -> Chains:
    """How the top lines of a sample of *piece* follow each other; what cannot be read is told by the second pass."""
    chains = Chains()
    try:
        for found in islice(mails_of(piece), SAMPLE_MAILS):
            if isinstance(found, Block):
                note_chain(chains, received_of(found.headers))
            elif isinstance(found, Headers):
                note_chain(chains, found.received)
            elif isinstance(found, Logged) and found.own:
                note_top(chains, normal(found.own))
    except UNREADABLE:
        return chains
    return chains


def tally_of(piece: Piece, own: Own) -> Tally:
    """The tally of one piece. A piece that breaks off is told, and counts as far as it went."""
    teller = Teller(own, _catalogue())
    try:
        for found in mails_of(piece):
            teller.told(found)
    except UNREADABLE as error:
        teller.trouble(Trouble(piece.paths[0], f"breaks off: {reason_of(error)}"))
    return teller.tally
