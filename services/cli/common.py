"""
What all commands share: the settings, JSON, and one line on stderr for every error.

A command raises; `main` prints. Only what is cheap to import stands here: `patchgate --help` needs it.
"""

import getpass
import os
import sys
from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec
import typer

from shared.domain.answer import AnyRequest
from shared.domain.errors import ConfigError, PatchgateError
from shared.runtime.settings import CommonSettings, from_env


def login() -> str:
    """The name under which this process runs; "" where the machine knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
Who = Annotated[
    str,
    typer.Option(
        "--who",
        default_factory=login,
        show_default="your login name",
        help="Who asks: a login name, never an address; it stands in the log for ever.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for those who read the log.")]
WaitS = Annotated[float, typer.Option("--wait", min=0.0, max=600.0, help="Seconds to wait for the enforcer's record.")]


class CommandError(PatchgateError):
    """A command cannot do what was asked; the text says why and what to do."""


def settings() -> CommonSettings:
    """
    The settings of this machine, from the environment.

    Raises:
        ConfigError: one cannot be used.
    """
    return from_env(CommonSettings, os.environ)


def echo_json(value: object) -> None:
    """Print *value* as one line of JSON."""
    typer.echo(msgspec.json.encode(value))


def confirm(what: str, words: Iterable[str], question: str) -> None:
    """
    Tell what will begin, and ask; on stderr, for stdout is the answer's.

    what: the act, for a script that has to say that it means it. words: lines; taken only where somebody can be asked.

    Raises:
        CommandError: stdin is no terminal.
        Abort: the answer was no.
    """
    if not sys.stdin.isatty():
        raise CommandError(f"{what} changes what happens to mail: say --yes where nobody can be asked")
    for line in words:
        typer.echo(line, err=True)
    typer.confirm(question, abort=True, err=True)


def fail(message: str) -> None:
    """Print one line on stderr, whatever *message* holds."""
    print("patchgate: " + " ".join(message.split()), file=sys.stderr)  # noqa: T201 - the one line of an error


def counted(number: int, one: str) -> str:
    """`1 day`, `2 days`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


RequestT = TypeVar("RequestT", bound=AnyRequest)


def request_of(kind: type[RequestT], /, **fields: object) -> RequestT:
    """
    A request, its fields checked as its reader will check them.

    Raises:
        CommandError: one cannot be used, such as an empty --who.
    """
    if "@" in str(fields["who"]):
        raise CommandError("--who takes a login name and no address: it stands in the log for ever")
    try:
        return msgspec.convert({"type": kind.__struct_config__.tag, **fields}, kind)
    except msgspec.ValidationError as error:
        raise CommandError(f"the request cannot be made: {error}") from error


def is_terminal() -> bool:
    """Whether somebody watches stderr, so that progress is worth drawing."""
    return sys.stderr.isatty()


def read_text(path: str) -> str:
    """
    The text of a file that was named on the command line.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 - the name comes as text and goes no further
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {why}") from error
