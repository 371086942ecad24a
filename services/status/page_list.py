"""The page that lists servers."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from services.status.html import Html, badge, esc, instant, join, list_link, page, seconds, server_link, tag, void
from services.status.listing import STATES, Query, ServerList, ServerRow, SortKey
from services.status.readiness import Readiness

_COLUMNS: tuple[tuple[SortKey, str], ...] = (
    ("state", "State"),
    ("server", "Server"),
    ("product", "Product and build"),
    ("connector", "Connector"),
    ("last_seen", "Last news"),
    ("next_at", "Next step"),
)


def list_page(found: ServerList, query: Query, ready: Readiness) -> Html:
    """The list, with its filter, and what to know before relying on it."""
    return page(
        "Servers",
        banner(ready),
        tag("h1", "Mail servers"),
        _chips(found, query),
        _filter(found, query),
        _table(found.servers, query) if found.servers else tag("p", "No server fits.", class_="empty"),
        _pages(found, query),
    )


def banner(ready: Readiness) -> Html:
    """What to know before relying on a page: holds, freeze, observe mode, age, and how far H is."""
    facts = [
        tag("span", f"policy {ready.policy_version}, mode {ready.policy_mode or 'unknown'}"),
        tag("span", f"mail is counted up to {seconds(ready.h_age_s)} ago (H)"),
        tag("span", f"log seq {ready.seq}"),
    ]
    lines = [tag("p", text, class_=f"banner {kind}") for kind, text in _banners(ready)]
    return join([*lines, tag("p", *facts, class_="facts")])


def _banners(ready: Readiness) -> Iterator[tuple[str, str]]:
    for reason in ready.reasons:
        yield "bad", f"Not up to date: {reason}."
    if ready.standing_still == "freeze":
        yield "warn", "Frozen by an operator: nothing is slowed or refused, no case ages."
    if ready.standing_still == "blind":
        yield "warn", "The law stands still: for too long nobody could have seen a cure, so no case ages."
    if ready.policy_mode == "observe":
        yield "info", "Observe mode: nobody is warned, slowed or refused."
    for warning in ready.warnings:
        yield "warn", f"{warning[0].upper()}{warning[1:]}."
    if ready.scaled_clock:
        yield "info", "A scaled clock is in use: the dates are not real."


def _link(query: Query, **changes: Any) -> str:  # noqa: ANN401  (values of Query's fields)
    """The list as it is now, but for *changes*; defaults are left out of the address."""
    changed = msgspec.structs.asdict(msgspec.structs.replace(query, **changes))
    usual = msgspec.structs.asdict(Query())
    return list_link(**{key: value for key, value in changed.items() if value != usual[key]})


def _chips(found: ServerList, query: Query) -> Html:
    """How many servers are in each state; each leads to them."""
    every = tag(
        "a",
        "all ",
        tag("b", sum(found.counts.values())),
        href=_link(query, state="", page=1),
        class_=_chip(here=not query.state),
    )
    chips = [
        tag(
            "a",
            badge(state),
            " ",
            tag("b", found.counts[state]),
            href=_link(query, state=state, page=1),
            class_=_chip(here=query.state == state),
        )
        for state in reversed(STATES)
        if found.counts[state] or query.state == state
    ]
    return tag("p", every, *chips, class_="chips")


def _chip(*, here: bool) -> str:
    return "chip here" if here else "chip"


def _filter(found: ServerList, query: Query) -> Html:
    return tag(
        "form",
        tag("label", "Name or address ", void("input", type="search", name="q", value=query.q, maxlength=200)),
        _select("Product", "product", found.products, query.product),
        _select("Connector", "connector", found.connectors, query.connector),
        void("input", type="hidden", name="state", value=query.state),
        void("input", type="hidden", name="sort", value=query.sort),
        void("input", type="hidden", name="order", value=query.order),
        void("input", type="hidden", name="limit", value=query.limit),
        tag("button", "Show", type="submit"),
        tag("a", "reset", href="/"),
        method="get",
        action="/",
        role="search",
    )


def _select(label: str, name: str, values: Iterable[str], chosen: str) -> Html:
    options = [tag("option", "all", value="")]
    known = sorted({*values, chosen} - {""})
    options += [tag("option", value, value=value, selected=value == chosen and "selected") for value in known]
    return tag("label", f"{label} ", tag("select", *options, name=name))


def _table(servers: Iterable[ServerRow], query: Query) -> Html:
    head = tag("thead", tag("tr", *(_heading(key, words, query) for key, words in _COLUMNS)))
    return tag("table", head, tag("tbody", *(_row(server) for server in servers)), class_="servers")


def _heading(key: SortKey, words: str, query: Query) -> Html:
    here = query.sort == key
    order = "asc" if here and query.order == "desc" else "desc"
    arrow = {"asc": " ▲", "desc": " ▼"}[query.order] if here else ""
    sorted_by = {"asc": "ascending", "desc": "descending"}[query.order] if here else None
    link = tag("a", words + arrow, href=_link(query, sort=key, order=order, page=1))
    return tag("th", link, scope="col", aria_sort=sorted_by)


def _row(row: ServerRow) -> Html:
    stage = tag("small", f"stage {row.stage}: {_minutes(row)}") if row.stage else Html()
    return tag(
        "tr",
        _cell("State", badge(row.state), " ", stage),
        _cell("Server", tag("a", row.server, href=server_link(row.server), class_="id")),
        _cell("Product", row.product, " ", tag("small", row.shown or "no build shown")),
        _cell("Connector", row.connector or "—", " ", tag("small", f"by {row.tie}")),
        _cell("Last news", instant(row.last_seen)),
        _cell("Next step", instant(row.next_at, "nothing by itself")),
    )


def _minutes(row: ServerRow) -> str:
    parts = []
    if row.throttle_minutes_per_hour:
        parts.append(f"{row.throttle_minutes_per_hour} min/h deferred")
    if row.block_minutes_per_hour:
        parts.append(f"{row.block_minutes_per_hour} min/h refused")
    return ", ".join(parts) or "passes"


def _cell(label: str, *content: object) -> Html:
    return tag("td", tag("div", *content), data_label=label)


def _pages(found: ServerList, query: Query) -> Html:
    before = tag("a", "← before", href=_link(query, page=query.page - 1)) if query.page > 1 else Html()
    after = tag("a", "after →", href=_link(query, page=query.page + 1)) if query.page < found.pages else Html()
    where = tag("span", esc(f"{found.total} server{'s' * (found.total != 1)}, page {query.page} of {found.pages}"))
    return tag("p", before, where, after, class_="pages")
