"""The report on a screen: what was seen, each server worst first, what the policy would do, and what a header cannot show."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.cli.look import words
from services.cli.look.fleet import Fleet, Server
from services.cli.look.outlook import DayAhead
from services.cli.look.report import Report
from services.cli.look.words import counted

SERVERS_SHOWN = 50
"""Rows on the screen unless all are asked for; the rest is counted."""

TABLE_WIDTH = 140
"""Columns of a screen that has room for the table; on a narrower one each server has three lines."""

TROUBLES_SHOWN = 10
GATEWAYS_SHOWN = 10
OTHERS_SHOWN = 10


def show(report: Report, console: Console, *, everything: bool) -> None:
    """Print *report*."""
    _seen(report, console)
    shown = report.fleet.servers if everything else report.fleet.servers[:SERVERS_SHOWN]
    if shown and console.width >= TABLE_WIDTH:
        console.print(_servers(shown))
    elif shown:
        _list(shown, console)
    if len(shown) < len(report.fleet.servers):
        console.print(
            f"… and {len(report.fleet.servers) - len(shown)} more: --all shows them, --csv and --json hold them."
        )
    _remarks(shown, console)
    _gateways(report.fleet, console)
    _others(report, console)
    _outlook(report, console)
    console.print("\n[bold]What a header cannot show[/]")
    for line in words.CANNOT_SHOW:
        console.print(f"  {line}")
    _troubles(report, console)


def _seen(report: Report, console: Console) -> None:
    fleet, read = report.fleet, report.read
    console.print(
        f"\n[bold]{counted(read.mails, 'mail')}[/] of {_span(fleet)}; {fleet.mails_from_outside:,} came from outside, "
        f"from {'at least ' if read.peers_capped else ''}{counted(read.peers, 'peer')}."
    )
    console.print(
        f"Own servers{' (inferred; --own NAME corrects)' if read.own_inferred else ''}: "
        f"{escape(', '.join(read.own) or 'none')}."
    )
    console.print(
        f"Exchange that is judged: {_share(fleet.mails_judged, fleet)}; tied to its sender {_share(fleet.mails_tied, fleet)}, "
        f"not tied {_share(fleet.mails_not_tied, fleet)}; all else {_share(fleet.mails_unknown, fleet)}."
    )
    if read.no_lines:
        console.print(words.NO_LINES.format(mails=counted(read.no_lines, "mail")))
    if read.undated:
        console.print(words.UNDATED.format(mails=counted(read.undated, "mail")))
    products = sorted(read.products.items(), key=lambda one: -one[1])
    named = [f"{escape(product)} {mails:,}" for product, mails in products if product]
    if named:
        console.print(f"Products by mails: {', '.join(named[:12])}.")
    aged = (report.on - report.data_of).days
    console.print(f"Builds and holes as known on {report.data_of} ({counted(aged, 'day')} ago).\n")


def _span(fleet: Fleet) -> str:
    if fleet.oldest is None:
        return "days that no header tells"
    return f"{fleet.oldest}" if fleet.oldest == fleet.newest else f"{fleet.oldest} to {fleet.newest}"


def _share(mails: int, fleet: Fleet) -> str:
    return f"{mails:,} ({100 * mails / max(1, fleet.mails_from_outside):.1f} %)"


def _servers(servers: Iterable[Server]) -> Table:
    table = Table(title="Servers, worst first", title_justify="left", pad_edge=False, header_style="bold")
    for name in ("server", "product", "build", "standing"):
        table.add_column(name, overflow="fold")
    for name in ("months behind", "exploited holes", "mails a day"):
        table.add_column(name, justify="right")
    for name in ("support ended", "tied", "seen"):
        table.add_column(name, overflow="fold")
    for server in servers:
        table.add_row(*map(escape, _cells(server)), style="red" if server.standing == "below" else "")
    return table


def _list(servers: Iterable[Server], console: Console) -> None:
    console.print("[bold]Servers, worst first[/]")
    for number, server in enumerate(servers, start=1):
        _, product, build, standing, _, _, mails, ended, tied, seen = map(escape, _cells(server))
        colour = "red" if server.standing == "below" else "green" if server.standing == "at or above" else "yellow"
        console.print(f"{number:>3}. [bold]{escape(server.server)}[/]: {product}, {build}: [{colour}]{standing}[/]")
        support = f", support ended {ended}" if ended else ""
        console.print(
            f"     {counted(server.months_behind, 'month')} behind, {counted(server.assessment.cves_exploited, 'hole')} known to be exploited{support}"
        )
        console.print(f"     {mails} mails a day, seen {seen}; tied: {tied}")


def _cells(server: Server) -> tuple[str, ...]:
    reading, ended = server.reading, server.assessment.support_ended
    return (
        server.server,
        reading.product.removeprefix("Microsoft "),
        _build(server),
        words.standing_of(server),
        f"{server.months_behind:g}",
        str(server.assessment.cves_exploited),
        f"{server.mails_a_day:g}",
        str(ended) if ended else "",
        words.TIES[server.tie].partition(":")[0],
        f"{server.first_seen or '?'} to {server.last_seen or '?'}",
    )


def _build(server: Server) -> str:
    reading = server.reading
    if reading.shown is None:
        return "none shown"
    if reading.low == reading.high:
        return str(reading.shown)
    return f"{reading.low} to {reading.high}"


def _remarks(servers: Iterable[Server], console: Console) -> None:
    for server in servers:
        for code in server.contradictions:
            console.print(f"  {escape(server.server)}: {words.CONTRADICTIONS[code]}.")
        if server.hides:
            console.print(f"  {escape(server.server)} passes on mail of other servers: {_hidden(server.hides)}.")


def _hidden(hides: dict[str, int]) -> str:
    return escape(", ".join(f"{product} ({counted(mails, 'mail')})" for product, mails in hides.items()))


def _gateways(fleet: Fleet, console: Console) -> None:
    if not fleet.gateways:
        return
    console.print("\n[bold]Gateways that hide others[/] (hints only; nobody is judged by them)")
    for name, hides in list(fleet.gateways.items())[:GATEWAYS_SHOWN]:
        console.print(f"  {escape(name)}: {_hidden(hides)}")
    if len(fleet.gateways) > GATEWAYS_SHOWN:
        console.print(f"  … and {len(fleet.gateways) - GATEWAYS_SHOWN} more")


def _others(report: Report, console: Console) -> None:
    """Versions of other products of which something bad is known; shown, never judged."""
    told = [one for one in report.read.others if words.known_of(one)]
    if not told:
        return
    console.print("\n[bold]Other products, shown and never judged[/]")
    for one in told[:OTHERS_SHOWN]:
        console.print(
            f"  {escape(one.product)} {escape(one.version)}, {counted(one.mails, 'mail')}: {words.known_of(one)}."
        )
    if len(told) > OTHERS_SHOWN:
        console.print(f"  … and {len(told) - OTHERS_SHOWN} more; --json holds them.")


def _outlook(report: Report, console: Console) -> None:
    console.print(f"\n[bold]If “{escape(report.policy_title)}” were enforced for all of them from today on[/]")
    table = Table(pad_edge=False, header_style="bold")
    table.add_column("day")
    for name in ("servers", "what happens", "their mails a day", "deferred at first", "refused"):
        table.add_column(name, justify="left" if name == "what happens" else "right")
    for day in report.outlook:
        table.add_row(
            str(day.day), str(day.servers), _happens(day), f"{day.mails:g}", f"{day.deferred:g}", f"{day.refused:g}"
        )
    console.print(table)
    kept = [server for server in report.fleet.servers if server.standing == "below" and not server.opens]
    for server in kept[:TROUBLES_SHOWN]:
        console.print(f"  {escape(server.server)} would get no case: {words.why_no_case(server)}.")
    if len(kept) > TROUBLES_SHOWN:
        console.print(f"  … and {len(kept) - TROUBLES_SHOWN} more are out of date and would get no case.")


def _happens(day: DayAhead) -> str:
    if day.throttle_minutes_per_hour == day.block_minutes_per_hour == 0:
        return f"stage {day.stage}: warned, all mail passes"
    parts = []
    if day.throttle_minutes_per_hour:
        parts.append(f"{day.throttle_minutes_per_hour} min/h deferred")
    if day.block_minutes_per_hour:
        parts.append(f"{day.block_minutes_per_hour} min/h refused")
    return f"stage {day.stage}: {', '.join(parts)}"


def _troubles(report: Report, console: Console) -> None:
    read = report.read
    if not read.troubles_all:
        return
    console.print(f"\n[bold]Not read: {read.troubles_all:,}[/]")
    for trouble in read.troubles[:TROUBLES_SHOWN]:
        console.print(f"  {escape(trouble.place)}: {escape(trouble.why)}")
    if read.troubles_all > TROUBLES_SHOWN:
        console.print(f"  … and {read.troubles_all - TROUBLES_SHOWN:,} more; --json holds them.")
