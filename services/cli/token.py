"""`patchgate token new`: a token for asking over HTTP, shown once, and the entry that lets it in."""

import re
import secrets
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
import typer

from services.cli import common

app = typer.Typer(no_args_is_help=True)

_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")
_OWNER_MAX = 80


@app.callback()
def _group() -> None:
    """Tokens with which people ask over HTTP."""


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """token: shown this once, for nobody keeps it. entry: TOML for the file that PATCHGATE_STATUS_TOKENS names."""

    token: str
    entry: str


@app.command()
def new(
    name: Annotated[str, typer.Option("--name", help="Whose it is; stands as `who` in the log: A-Z a-z 0-9 . _ -")],
    role: Annotated[Literal["viewer", "operator", "owner"], typer.Option("--role", help="What it may do.")],
    owner: Annotated[str, typer.Option("--owner", metavar="NAME", help="For the role owner: of the connectors.")] = "",
    as_json: common.AsJson = False,
) -> None:
    """Make a token; nothing is stored. viewer: reads. operator: asks for all. owner: asks for his own, and reads that only."""
    made = new_token(name, role, owner)
    if as_json:
        common.echo_json(made)
        return
    typer.echo(
        f"The token, shown this once:\n\n{made.token}\n\nAdd this to the file that PATCHGATE_STATUS_TOKENS names:\n"
    )
    typer.echo(made.entry, nl=False)


def new_token(name: str, role: str, owner: str) -> NewToken:
    """
    A token of 256 random bits, and its entry.

    Raises:
        BadParameter: the name does not fit, or an owner is missing or one too many.
    """
    if not _NAME.fullmatch(name):
        raise typer.BadParameter(
            "--name takes A-Z a-z 0-9 . _ - and at most 80 of them; it stands in the log, so no address"
        )
    if bool(owner) != (role == "owner"):
        raise typer.BadParameter("--owner NAME belongs to the role owner, and only to that one")
    if len(owner) > _OWNER_MAX:
        raise typer.BadParameter(f"--owner takes at most {_OWNER_MAX} characters")
    token = f"pg_{secrets.token_urlsafe(_BYTES)}"
    lines = ["[[tokens]]", f"name = {_toml(name)}", f"role = {_toml(role)}"]
    lines += [f"owner = {_toml(owner)}"] if owner else []
    lines += [f"sha256 = {_toml(sha256(token.encode()).hexdigest())}"]
    return NewToken(token=token, entry="\n".join(lines) + "\n")


def _toml(text: str) -> str:
    """A basic string; JSON's escapes are TOML's, but for DEL, which TOML wants escaped."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
