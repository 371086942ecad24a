"""`patchgate catalogue`: what is known of builds, how old that is, and what it says of one build."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Annotated

import msgspec
import typer

from services.cli import common
from services.cli.catalogue_text import assessed_text, shown_text
from shared.domain.build import Build, parse_build
from shared.domain.catalogue import BuildCatalogue, KnownUpdate, advice_of, branch_of
from shared.domain.catalogue_checks import problems_of
from shared.domain.catalogue_rows import CatalogueRows, rows_of
from shared.domain.errors import BuildSyntaxError
from shared.runtime.catalogue_files import kind_of, load_catalogue_of, put_in_place, texts_of

app = typer.Typer(no_args_is_help=True)

_EXCHANGE = "Microsoft Exchange"

On = Annotated[str, typer.Option("--on", metavar="DATE", help="As known on that day, such as 2026-11-24; else today.")]


class Assessed(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the catalogue says of one build of an Exchange on one day.

    update: the listed one that it is or follows. branch: of its cumulative update or service pack. advice: patch, replace,
    none, or unknown. no_patch_any_more: no update comes for anybody. cves_exploited: with the day since which it is known.
    update_rollups: whether its updates are rollups, of which not each brings security fixes; all are counted as if they did.
    """

    product: str
    build: str
    branch: str
    on: date
    update: str
    listed: bool
    newer_than_data: bool
    advice: str
    no_patch_any_more: bool
    updates_missing: tuple[KnownUpdate, ...]
    security_updates_missing: int
    update_rollups: bool
    missing_since: date | None
    cves_open: tuple[str, ...]
    cves_exploited: dict[str, date]
    support_ended: date | None
    paid_programme_ends: date | None
    newest: KnownUpdate | None
    newest_public: KnownUpdate | None
    data_until: date


@app.command()
def show(as_json: common.AsJson = False) -> None:
    """Tell what the catalogue knows, where that ends, and how old it is."""
    rows = _rows()
    on = _today()
    if as_json:
        common.echo_json({"on": on, "builds": len(rows.builds), "cves": len(rows.cves), "facts": rows.facts})
        return
    typer.echo(shown_text(rows, on))


@app.command()
def check(as_json: common.AsJson = False) -> None:
    """Test what must hold of the catalogue in force; exit code 1 where something does not."""
    rows = _rows()
    problems = problems_of(rows)
    if as_json:
        common.echo_json({"problems": problems})
    for problem in problems if not as_json else ():
        typer.echo(problem)
    if problems:
        raise common.CommandError(f"{len(problems)} things are wrong with the catalogue; import a corrected file")
    if not as_json:
        typer.echo(f"{len(rows.builds)} builds and {len(rows.cves)} fixes: everything holds that must.")


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A CSV with the header line of one of the catalogue's files.")],
    fewer: Annotated[
        bool, typer.Option("--fewer", help="Take it although rows are gone that stand there now.")
    ] = False,
) -> None:
    """Check FILE and put it in force; services read it at their next start."""
    state_dir = common.settings().state_dir
    text = common.read_text(file)
    name = kind_of(text)
    if name is None:
        raise common.CommandError(f"{file} has the header line of no file that can be imported: see `catalogue show`")
    before = texts_of(state_dir)
    problems = problems_of(rows_of({**before, name: text}))
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise common.CommandError(f"{file} is not taken: {problems[0]}{more}")
    added, gone = _differing(before[name], text)
    if gone and not fewer:
        raise common.CommandError(
            f"{file} is not taken: {gone} rows of {name} are gone or changed in it; say --fewer if that is meant"
        )
    path = put_in_place(state_dir, name, text)
    typer.echo(f"{path} is in force from the next start of each service on: {added} rows are new, {gone} are gone.")


@app.command()
def assess(
    build: Annotated[str, typer.Argument(help="Such as 15.1.2507.44, padded or not; of another product its version.")],
    product: Annotated[str, typer.Option("--product", help="Of another product, such as Exim: its name.")] = "",
    on: On = "",
    as_json: common.AsJson = False,
) -> None:
    """Tell what BUILD lacks: updates, holes, support."""
    day = _day(on)
    catalogue = load_catalogue_of(common.settings().state_dir)
    assessed = (
        catalogue.others.assess(_name_of(product, catalogue), build, on=day)
        if product and not product.lower().startswith(_EXCHANGE.lower())
        else assessed_of(catalogue, build, product, day)
    )
    if as_json:
        common.echo_json(assessed)
        return
    typer.echo(assessed_text(assessed))


def assessed_of(catalogue: BuildCatalogue, text: str, product: str, on: date) -> Assessed:
    """
    What *catalogue* says of a build of an Exchange.

    Raises:
        CommandError: it is no build, none of an Exchange that somebody can install, or one of another product than named.
    """
    try:
        build = parse_build(text)
    except BuildSyntaxError as error:
        raise common.CommandError(f"{error}; name the product of any other version with --product") from error
    found = catalogue.product_listed(build)
    if found is None:
        raise common.CommandError(
            f"{build} is no build of an Exchange that the catalogue knows; 15.20 and above is Exchange Online, nobody's own"
        )
    if product and product.lower() != found.lower():
        raise common.CommandError(f"{build} is a build of {found}, not of {product}")
    return _assessed(catalogue, found, build, on)


def _assessed(catalogue: BuildCatalogue, product: str, build: Build, on: date) -> Assessed:
    known = catalogue.assess(product, build, build, on=on)
    cves = catalogue.open_cves(product, build, on)
    advice = advice_of(known, on)
    return Assessed(
        product=product,
        build=str(build),
        branch=".".join(map(str, branch_of(build))),
        on=on,
        update=known.update.name if known.update else "",
        listed=known.listed,
        newer_than_data=known.newer_than_data,
        advice=advice,
        no_patch_any_more=advice == "replace",
        updates_missing=catalogue.missing(product, build, on),
        security_updates_missing=known.missing_security,
        update_rollups=catalogue.has_rollups(product),
        missing_since=known.missing_since,
        cves_open=tuple(cves),
        cves_exploited={cve: since for cve, since in cves.items() if since is not None},
        support_ended=known.support_ended,
        paid_programme_ends=known.esu_end,
        newest=known.newest,
        newest_public=known.newest_public,
        data_until=catalogue.newest_fact,
    )


def _name_of(product: str, catalogue: BuildCatalogue) -> str:
    known = catalogue.others.products
    for name in known:
        if name.lower() == product.lower():
            return name
    raise common.CommandError(f"nothing is known of {product}; of these something is: {', '.join(known)}")


def _differing(before: str, after: str) -> tuple[int, int]:
    old, new = set(_lines(before)), set(_lines(after))
    return len(new - old), len(old - new)


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines()[1:] if line.strip())


def _rows() -> CatalogueRows:
    return rows_of(texts_of(common.settings().state_dir))


def _today() -> date:
    return datetime.now(UTC).date()


def _day(text: str) -> date:
    if not text:
        return _today()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise common.CommandError(f"--on {text} is no day: write it as in 2026-11-24") from error
