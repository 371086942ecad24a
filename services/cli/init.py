"""`patchgate init`: a first policy in observe mode and the settings of an edge, out of what a Postfix says of itself."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from services.cli import common, postconf
from services.cli.init_found import Found, found_in
from services.cli.init_text import first_policy
from services.cli.outputs import keep_apart
from shared.domain.errors import ConfigError

File = Annotated[Path, typer.Argument(metavar="[FILE]", help="The policy to write.")]
Saved = Annotated[
    str,
    typer.Option(
        "--postconf", metavar="FILE", help="What `postconf` printed on your MX, - for stdin; else it is asked."
    ),
]
ConfigDir = Annotated[str, typer.Option("--config-dir", help="Of a Postfix that is not the default one.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What was written, and what else to do."""

    file: str
    receiver: str
    settings: dict[str, str]
    notes: tuple[str, ...]


def register(app: typer.Typer) -> None:
    """Put the command into *app*."""
    app.command("init")(init)


def init(
    file: File = Path("policy.toml"),
    saved: Saved = "",
    config_dir: ConfigDir = "",
    force: Force = False,
    as_json: common.AsJson = False,
) -> None:
    """Write a first policy in observe mode, out of the settings of your Postfix; nothing else is changed."""
    if saved and config_dir:
        raise typer.BadParameter("--postconf reads what was printed, --config-dir asks: name one")
    keep_apart([file, _fresh_of(file)], [saved, *_configs(config_dir)])
    if os.path.lexists(file) and not force:
        raise common.CommandError(f"{file} is there already and stays as it is: name another file, or say --force")
    found, source = _saved(saved) if saved else _asked(config_dir)
    _write(file, first_policy(found, source=source))
    if as_json:
        settings = found.settings
        common.echo_json(Begun(file=str(file), receiver=found.receiver, settings=settings, notes=found.notes))
        return
    typer.echo("\n".join(_told(file, found, source)))


def _saved(path: str) -> tuple[Found, str]:
    source = "standard input" if path == "-" else path
    try:
        text = sys.stdin.read() if path == "-" else common.read_text(path)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source} cannot be read: {error}") from error
    said = postconf.parameters(text)
    if "myhostname" not in said and "mynetworks" not in said and "queue_directory" not in said:
        raise ConfigError(
            f"{source} does not hold what `postconf` prints, such as a line with myhostname = mx.example.org"
        )
    return found_in(said, own_machine=False), source


def _asked(config_dir: str) -> tuple[Found, str]:
    if not postconf.is_here():
        raise ConfigError(
            "there is no postconf on this machine: save what `postconf` prints on your MX, and name that file with --postconf"
        )
    chosen = ["-c", config_dir] if config_dir else []
    said = postconf.parameters(postconf.ask([*chosen, "-x"]))
    written = postconf.parameters(postconf.ask([*chosen, "-n"]))
    source = f"postconf -c {config_dir}" if config_dir else "postconf on this machine"
    return found_in(said, own_machine=True, made=frozenset(said.keys() - written.keys())), source


def _configs(config_dir: str) -> list[Path]:
    """What postconf reads there."""
    return [Path(config_dir) / name for name in ("main.cf", "master.cf")] if config_dir else []


def _fresh_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.new")


def _write(file: Path, text: str) -> None:
    fresh = _fresh_of(file)
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(file)  # a whole file or none
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError(f"{file} cannot be written: {error}") from error


def _told(file: Path, found: Found, source: str) -> Iterator[str]:
    name = shlex.quote(str(file))
    yield f'Wrote {file} from {source}: mode observe, receiver "{found.receiver}"; its comments say where each value came from.'
    yield ""
    yield "# Settings, for `patchgate up` and for each edge:"
    for setting, value in found.settings.items():
        yield f"export {setting}={shlex.quote(value)}"
    if found.receiver_from:
        yield "# Before you enforce, so that notices are sent (a real mailbox that somebody reads):"
        yield f"# export PATCHGATE_NOTICE_FROM=postmaster@{found.receiver}"
    yield ""
    yield "# Next:"
    yield f"patchgate policy check {name}"
    yield "patchgate up                # in a terminal of its own"
    yield f'patchgate policy adopt {name} --who you --why "first policy"'
    yield "patchgate recipe postfix    # prints the lines that put the edge in front of Postfix, and those that undo them"
    for note in found.notes:
        yield f"# Mind: {note}"
