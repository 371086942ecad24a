"""What `look` and `import` share at the command line: paths, the standard input among them, and progress while somebody watches."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from services.cli.common import CommandError, is_terminal
from services.cli.look.scan import Progress
from services.cli.look.sources import Trouble

SOME_NOT_READ = 3
"""Exit code: the rest was done, but something could not be read."""

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH…",
        help="mbox, Maildir, mail, log of Postfix, history of rspamd, directory; gz, xz, zst; - is stdin.",
    ),
]
OwnNames = Annotated[
    list[str],
    typer.Option(
        "--own", metavar="NAME", help="A host of yours that writes Received lines; repeat it. Default: inferred."
    ),
]

_COPY_BYTES = 1_000_000


@contextmanager
def spooled(paths: list[str]) -> Iterator[list[str]]:
    """
    The paths, with the standard input copied to a file until the block ends: it is read twice, and by several processes.

    Raises:
        CommandError: there is no room for the copy.
    """
    if "-" not in paths:
        yield paths
        return
    with tempfile.TemporaryDirectory(prefix="patchgate-look-") as spool:
        copy = Path(spool) / "stdin"
        try:
            with copy.open("wb") as out:
                while part := sys.stdin.buffer.read(_COPY_BYTES):
                    out.write(part)
        except OSError as error:
            raise CommandError(
                f"the standard input cannot be kept below {tempfile.gettempdir()} while it is read: {(error.strerror or '').lower()}."
                " Give a file instead of -, or set TMPDIR to a directory with room"
            ) from error
        yield [str(copy) if path == "-" else path for path in paths]


@contextmanager
def watched(what: str) -> Iterator[Progress]:
    """A bar on stderr, with rate and time left, that is told how far *what* has come; nothing where nobody watches."""
    columns = (
        TextColumn("{task.fields[mails]:,} mails"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal()) as bar:
        task = bar.add_task(what, total=None, mails=0)

        def tell(done: int, total: int, mails: int) -> None:
            bar.update(task, completed=done, total=total, mails=mails)

        yield tell


def nothing_in(troubles: list[Trouble], troubles_all: int) -> str:
    """Why there is nothing to report or send, in one sentence."""
    why = f": {troubles[0].place}: {troubles[0].why}" if troubles else ": the paths hold no mail"
    more = f" (and {troubles_all - 1} more)" if troubles_all > 1 else ""
    return f"there is nothing to report{why}{more}"
