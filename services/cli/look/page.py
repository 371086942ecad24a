"""The report as one page that needs nothing else: no script, no network, both languages, and it prints."""

from collections.abc import Iterable, Iterator
from importlib import resources

from services.cli.look import pictures
from services.cli.look.ages import AGES
from services.cli.look.fleet import Server
from services.cli.look.outlook import DayAhead
from services.cli.look.page_words import LANGUAGES, Words
from services.cli.look.pictures import counted, number
from services.cli.look.report import Report
from shared.domain.catalogue import BuildCatalogue
from shared.runtime.markup import Html, esc, join, tag, void

SERVERS_SHOWN = 500
"""Rows of the table; a page of more would be slow in a browser. The rest is counted, and JSON and CSV hold it."""

GATEWAYS_SHOWN = 50
TROUBLES_SHOWN = 50
_MARKS = {"below": "below", "unknown": "unknown", "at or above": "fine", None: "none"}


def page_of(report: Report, catalogue: BuildCatalogue, *, first: str = "en") -> str:
    """The whole page. first: code of the language that it opens in."""
    style = resources.files("services.cli.look").joinpath("assets", "look.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'"  # the page's own style alone; nothing is fetched
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=policy),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        tag("title", f"patchgate look, {report.on}"),
        tag("style", Html(style)),
    )
    choices = [
        void("input", type="radio", name="language", id=words.language, class_="language", aria_label=words.name, checked="checked" if words.language == first else None)
        for words in LANGUAGES
    ]  # fmt: skip
    labels = tag(
        "div",
        *(tag("label", words.name, for_=words.language, lang=words.language) for words in LANGUAGES),
        class_="languages",
    )
    articles = [_article(report, catalogue, words) for words in LANGUAGES]
    return f"<!doctype html>\n{tag('html', head, tag('body', *choices, labels, *articles), lang=first)}\n"


def _article(report: Report, catalogue: BuildCatalogue, words: Words) -> Html:
    return tag(
        "article",
        tag("h1", words.title),
        *_lead(report, words),
        _tiles(report, words),
        *_pictures(report, catalogue, words),
        *_outlook(report, words),
        *_servers(report, words),
        *_gateways(report, words),
        tag("h2", words.cannot_title),
        tag("ul", *(tag("li", line) for line in words.cannot), class_="plain"),
        *_troubles(report, words),
        lang=words.language,
    )


def _lead(report: Report, words: Words) -> Iterator[Html]:
    fleet, read = report.fleet, report.read
    yield tag(
        "p",
        words.lead.format(
            mails=counted(read.mails, words.mails, words),
            first=fleet.oldest or "?",
            last=fleet.newest or "?",
            on=report.on,
            outside=number(fleet.mails_from_outside, words),
        ),
    )
    if read.no_lines:
        yield tag("p", words.no_lines.format(mails=number(read.no_lines, words)))
    if read.undated:
        yield tag("p", words.undated.format(mails=counted(read.undated, words.mails, words)))
    own = ", ".join(read.own) or "-"
    yield tag("p", words.own.format(own=own + (f" ({words.inferred})" if read.own_inferred else "")), class_="soft")
    yield tag("p", words.data.format(data=report.data_of, on=report.on), class_="soft")


def _tiles(report: Report, words: Words) -> Html:
    fleet = report.fleet
    share = 100 * fleet.mails_judged / max(1, fleet.mails_from_outside)
    values = (
        number(len(fleet.servers), words),
        number(sum(server.standing == "below" for server in fleet.servers), words),
        f"{number(round(share, 1), words)} %",
        number(max((server.assessment.cves_exploited for server in fleet.servers), default=0), words),
        ("≥ " if report.read.peers_capped else "") + number(report.read.peers, words),
    )
    return tag(
        "ul",
        *(tag("li", tag("strong", value), what) for value, what in zip(values, words.tiles, strict=True)),
        class_="tiles",
    )


def _pictures(report: Report, catalogue: BuildCatalogue, words: Words) -> Iterator[Html]:
    spans = report.fleet.ages
    if spans:
        caption = words.ages_caption.format(unit=words.week if spans[0].weeks == 1 else words.quarter)
        yield from _figure(
            words.ages_title, pictures.ages(spans, words), caption, [(age, words.ages[age]) for age in AGES]
        )
    drawn = pictures.updates(report.fleet.servers, catalogue, report.on, words)
    if drawn is not None:
        keys = [(kind, words.standings[standing or ""]) for standing, kind in pictures.CIRCLES.items()]
        yield from _figure(words.updates_title, drawn, words.updates_caption, keys)
    if any(day.mails for day in report.days):
        yield from _figure(
            words.risk_title, pictures.risk(report.days, words), words.risk_caption, list(words.risk.items())
        )


def _figure(title: str, drawn: Html, caption: str, keys: list[tuple[str, str]]) -> Iterator[Html]:
    yield tag("h2", title)
    legend = tag("ul", *(tag("li", tag("span", class_=f"key {kind}"), name) for kind, name in keys), class_="legend")
    yield tag("figure", tag("div", drawn, class_="drawn", tabindex="0"), legend, tag("figcaption", caption))


def _outlook(report: Report, words: Words) -> Iterator[Html]:
    yield tag("h2", words.outlook_title)
    yield tag("p", words.outlook_lead.format(policy=report.policy_title))
    head = tag("tr", *(tag("th", name, scope="col") for name in words.outlook_columns))
    rows = [tag("tr", *_outlook_cells(day, words)) for day in report.outlook]
    yield tag("div", tag("table", tag("thead", head), tag("tbody", *rows), class_="cards"), class_="wide")


def _outlook_cells(day: DayAhead, words: Words) -> Iterator[Html]:
    happens = words.warned
    if day.throttle_minutes_per_hour or day.block_minutes_per_hour:
        parts = (
            (words.deferred, day.throttle_minutes_per_hour),
            (words.refused, day.block_minutes_per_hour),
        )
        happens = ", ".join(text.format(minutes=minutes) for text, minutes in parts if minutes)
    columns = words.outlook_columns
    yield tag("th", day.day, scope="row", data_name=columns[0])
    yield tag("td", number(day.servers, words), data_name=columns[1])
    yield tag("td", f"{words.stage.format(number=day.stage)}: {happens}", data_name=columns[2])
    for name, amount in zip(words.outlook_columns[3:], (day.mails, day.deferred, day.refused), strict=True):
        yield tag("td", number(amount, words), data_name=name)


def _servers(report: Report, words: Words) -> Iterator[Html]:
    servers = report.fleet.servers
    yield tag("h2", words.servers_title)
    if not servers:
        yield tag("p", words.none_title)
        return
    head = tag("tr", *(tag("th", name, scope="col") for name in words.columns))
    rows = [_server(server, words) for server in servers[:SERVERS_SHOWN]]
    yield tag("div", tag("table", tag("thead", head), tag("tbody", *rows), class_="cards"), class_="wide")
    if len(servers) > SERVERS_SHOWN:
        yield tag("p", words.more.format(count=number(len(servers) - SERVERS_SHOWN, words)))


def _server(server: Server, words: Words) -> Html:
    known = server.assessment
    cells: tuple[object, ...] = (
        _product(server, words),
        tag("span", words.standings[server.standing or ""], class_=f"mark {_MARKS[server.standing]}"),
        number(server.months_behind, words),
        join((known.cves_exploited, tag("small", *_kept_whole(known.exploited_ids)) if known.exploited_ids else "")),
        join(_kept_whole([known.support_ended or "-"])),
        words.ties[server.tie],
        number(server.mails_a_day, words),
        join(_kept_whole([f"{server.first_seen or '?'} -", server.last_seen or "?"])),
    )
    notes = [tag("small", note) for note in _notes(server, words)]
    first = tag("td", join(_breakable(server.server)), *notes, class_="server")
    return tag(
        "tr", first, *(tag("td", cell, data_name=name) for cell, name in zip(cells, words.columns[1:], strict=True))
    )


def _kept_whole(words: Iterable[object]) -> Iterator[Html | str]:
    """Each on one line, for days and numbers of holes hold hyphens at which a browser would break them."""
    for word in words:
        yield tag("span", word, class_="whole")
        yield " "


def _breakable(name: str) -> Iterator[Html | str]:
    """A server's name, which may go on in the next line behind a dot."""
    for index, part in enumerate(name.split(".")):
        if index:
            yield "."
            yield void("wbr")
        yield part


def _product(server: Server, words: Words) -> Html:
    reading = server.reading
    if reading.shown is None:
        build = words.no_build
    elif reading.low == reading.high:
        build = str(reading.shown)
    else:
        build = words.build_range.format(low=reading.low, high=reading.high)
    return join((reading.product.removeprefix("Microsoft "), tag("small", build)))


def _notes(server: Server, words: Words) -> Iterator[str]:
    for code in server.contradictions:
        yield words.contradictions[code]
    if server.standing == "below" and server.why_not:
        yield words.not_opened.format(
            why=words.why_not[server.why_not].format(hours=counted(server.hours_below, words.hours, words))
        )
    if server.hides:
        yield words.hides.format(hidden=_hidden(server.hides, words))


def _hidden(hides: dict[str, int], words: Words) -> str:
    return ", ".join(f"{product} ({counted(mails, words.mails, words)})" for product, mails in hides.items())


def _gateways(report: Report, words: Words) -> Iterator[Html]:
    gateways = list(report.fleet.gateways.items())
    if gateways:
        yield tag("h2", words.gateways_title)
        yield tag("p", words.gateways_lead)
        yield tag(
            "ul",
            *(tag("li", f"{name}: {_hidden(hides, words)}") for name, hides in gateways[:GATEWAYS_SHOWN]),
            class_="plain",
        )
        if len(gateways) > GATEWAYS_SHOWN:
            yield tag("p", words.more.format(count=number(len(gateways) - GATEWAYS_SHOWN, words)))


def _troubles(report: Report, words: Words) -> Iterator[Html]:
    read = report.read
    if read.troubles_all:
        yield tag("h2", words.troubles_title.format(count=number(read.troubles_all, words)))
        yield tag(
            "ul", *(tag("li", esc(f"{one.place}: {one.why}")) for one in read.troubles[:TROUBLES_SHOWN]), class_="plain"
        )
