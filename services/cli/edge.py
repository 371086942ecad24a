"""`patchgate edge` runs an edge; `patchgate recipe` prints what puts it in front of a Postfix, or its lines into the log, and back."""

from typing import Annotated

import typer

from services.cli import postconf
from services.cli.look.recipe import recipe_postfix_log
from services.cli.look.rspamd import RECIPE
from services.edge import __main__ as edge_process
from services.edge.recipe import recipe_postfix
from services.edge.settings import parse_endpoint
from shared.domain.errors import ConfigError

_SERVICE_PARAMETERS = ("smtpd_milters", "smtpd_proxy_filter", "receive_override_options")

recipe = typer.Typer(
    no_args_is_help=True, help="Lines for your MTA: an edge in front of it, a log that `look` can read."
)

Socket = Annotated[
    str,
    typer.Option(
        "--socket",
        envvar="PATCHGATE_MILTER_SOCKETS",
        help="Where the edge listens: unix:/path or inet:host:port; of several the first.",
    ),
]
ConfigDir = Annotated[str, typer.Option("--config-dir", help="Of a Postfix that is not the default one.")]


def register(app: typer.Typer) -> None:
    """Put both commands into *app*."""
    app.command("edge")(run)
    app.add_typer(recipe, name="recipe")


def run() -> None:
    """Run an edge in the foreground until Ctrl-C; its settings are the PATCHGATE_ variables."""
    raise typer.Exit(edge_process.main())


@recipe.command()
def postfix(
    socket: Socket = "inet:127.0.0.1:11332",
    config_dir: ConfigDir = "",
) -> None:
    """Print the lines and the undo lines for this machine's Postfix, and what to watch out for; changes nothing."""
    try:
        endpoint = parse_endpoint(socket.split(",", maxsplit=1)[0].strip())
        current = _read_postfix(config_dir)
    except ConfigError as error:
        typer.echo(f"patchgate: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(recipe_postfix(current, endpoint=endpoint), nl=False)


@recipe.command("postfix-log")
def postfix_log(config_dir: ConfigDir = "") -> None:
    """Print the lines and the undo lines that make this machine's Postfix log what `patchgate look` reads; changes nothing."""
    try:
        current = _read_postfix(config_dir)
    except ConfigError as error:
        typer.echo(f"patchgate: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(recipe_postfix_log(current), nl=False)


@recipe.command()
def rspamd() -> None:
    """Print the lines that make an rspamd remember what `patchgate look` reads from its history; changes nothing."""
    typer.echo(RECIPE, nl=False)


def _read_postfix(config_dir: str) -> dict[str, str]:
    """What `postconf` says; nothing, and a word about it, where there is no Postfix."""
    if not postconf.is_here():
        typer.echo(
            "patchgate: there is no postconf on this machine; these are the lines for a Postfix as it ships", err=True
        )
        return {}
    chosen = ["-c", config_dir] if config_dir else []
    services = [f"*/inet/{name}" for name in _SERVICE_PARAMETERS]
    of_services = postconf.ask([*chosen, "-P", *services], may_fail=True)
    chroot = postconf.ask([*chosen, "-F", "smtp/inet/chroot"], may_fail=True)
    return postconf.parameters(postconf.ask(chosen) + of_services + chroot)
