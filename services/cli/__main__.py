"""
`patchgate`: the one command. Only the module of the command that was called is imported, so that help comes at once.

Every error is one line on stderr; exit code 1, or 2 where the command line itself is wrong.
"""

import errno
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Annotated

import typer

from services.cli.common import fail
from shared.domain.errors import PatchgateError

# Each command: its module, and what help says of it. A module has `register(app)`, or `app` for a command with subcommands.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("services.cli.up", "Run broker and all services, until Ctrl-C."),
    "down": ("services.cli.up", "End what `patchgate up` runs."),
    "demo": ("services.cli.demo", "Watch the main job in two minutes."),
    "init": ("services.cli.init", "Write a first policy from your Postfix."),
    "look": ("services.cli.look.command", "Who sends to me, how old, how sure."),
    "import": ("services.cli.look.importer", "Send mail that is there as evidence."),
    "read": ("services.cli.read", "Read the Received lines of one mail."),
    "catalogue": ("services.cli.catalogue", "Show, check, renew and ask what is known of builds."),
    "explain": ("services.cli.explain", "Tell why a server is where it is."),
    "cases": ("services.cli.cases", "List every case and what comes next."),
    "due": ("services.cli.cases", "Tell what will happen in the next days."),
    "freeze": ("services.cli.freeze", "Slow and refuse nothing, age no case."),
    "unfreeze": ("services.cli.freeze", "Lift the freeze."),
    "pause": ("services.cli.acts", "Hold an account's cases, its mail passes."),
    "resume": ("services.cli.acts", "End a pause; unused days come back."),
    "account": ("services.cli.account", "Tell the days of a pause account."),
    "exempt": ("services.cli.acts", "Refuse nothing of a server, for a time."),
    "mode": ("services.cli.acts", "Only watch, or enforce."),
    "dispute": ("services.cli.act_cases", "Say that a case is wrong."),
    "resolve": ("services.cli.act_cases", "Decide a dispute, or a mixed case."),
    "sign": ("services.cli.act_cases", "Let a blocking stage begin."),
    "acknowledge": ("services.cli.act_cases", "Say that the admin has the notice."),
    "correct": ("services.cli.act_cases", "End a case that should never have been."),
    "request": ("services.cli.request", "Tell what became of a request."),
    "policy": ("services.cli.policy", "Show, check, compare, adopt the policy."),
    "simulate": ("services.cli.simulate", "Try a policy on a made-up population."),
    "contact": ("services.cli.contact", "Say who is told of which server."),
    "token": ("services.cli.token", "Make tokens for asking over HTTP."),
    "audit": ("services.cli.audit", "Prove the log right, show its past."),
    "edge": ("services.cli.edge", "Run one edge beside an MTA."),
    "recipe": ("services.cli.edge", "Print the lines for your MTA."),
    "broker": ("services.cli.broker", "Start, stop and see the embedded Kafka."),
    "topics": ("services.cli.topics", "Create and check the topics."),
    "contract": ("services.cli.contract", "Write the schemas of the topics."),
}
_USAGE_CODE = 2
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_INTERRUPTED_CODE = 130  # 128 + SIGINT, as shells have it
# The root of all complaints about a command line; Typer has no public name for it.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"patchgate {metadata.version('patchgate')}")
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option("--version", is_eager=True, callback=lambda asked: _version(asked=asked), help="Tell the version."),
]


def build(called: str | None) -> typer.Typer:
    """The app, with the real command only for *called*; the others have their names and one line of help."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
    app.callback(
        help="Finds out-of-date mail servers by the mail they send, and slows, then blocks it until they are patched."
    )(_globals)
    for name, (_, text) in COMMANDS.items():
        if name != called:
            app.command(name, help=text)(_not_called)
    if called in COMMANDS:
        _mount(app, called, *COMMANDS[called])
    return app


def _mount(app: typer.Typer, called: str, module: str, text: str) -> None:
    commands = import_module(module)
    if not hasattr(commands, "register"):
        app.add_typer(commands.app, name=called, help=text)
        return
    for name in [name for name, (owner, _) in COMMANDS.items() if owner == module and name != called]:
        app.registered_commands = [one for one in app.registered_commands if one.name != name]
    commands.register(app)


def _not_called() -> None:
    """Stand in for a command that was not called."""


def _globals(*, version: _Version = False) -> None:
    """Take what stands before the command."""
    del version  # its callback has done everything


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    called = next(iter(arguments), None)
    try:
        result = build(called)(list(arguments) or ["--help"], prog_name="patchgate", standalone_mode=False)
    except PatchgateError as error:
        fail(str(error) or type(error).__name__)
        return 1
    except _UsageError as error:
        return _wrong_usage(error)
    except typer.Abort:
        fail("ended by you; nothing was changed")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED_CODE
    return result if isinstance(result, int) else 0


def _wrong_usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "patchgate"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help
        message = "name a command"
    fail(f"{message.rstrip('.')}: `{path} --help` tells what there is")
    return _USAGE_CODE


def main() -> None:
    """Run the command line of this process."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `patchgate ... | head`: the reader has enough
        sys.stderr.close()
        code = 1
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        fail(f"the output could not be written whole: {error.strerror}; make room and run it again")
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
