"""The page of one server: what holds now, the schedule drawn, why, and what happened."""

from collections.abc import Iterator

from services.status.chart import chart_of, legend
from services.status.html import Html, badge, instant, join, page, tag
from services.status.page_list import banner
from services.status.readiness import Readiness
from services.status.report import ServerReport
from services.status.timeline import TimelineEvent
from shared.domain.explain_plain import minutes_of
from shared.domain.explanation import CaseShown, Explanation, RowShown

_NOW_WORDS = {"accept": "accepted", "defer": "deferred", "reject": "refused"}


def server_page(report: ServerReport, ready: Readiness) -> Html:
    """All of one server."""
    x = report.explanation
    return page(
        x.server,
        banner(ready),
        tag("h1", tag("span", x.server, class_="id"), " ", badge(x.state)),
        _now(x),
        *(part for case in x.cases for part in _case(case, report)),
        tag("section", tag("h2", "In plain words"), *_plain(report.plain)),
        _timeline(report.timeline),
    )


def not_found_page(server: str, ready: Readiness) -> Html:
    """What to do where no such server is known."""
    return page(
        "Not known",
        banner(ready),
        tag("h1", "No such server"),
        tag("p", tag("span", server, class_="id"), " was never seen, or its name is written differently here."),
        tag(
            "p",
            "Ids look like name@address, name@connector, or a bare name that DNS confirmed. ",
            tag("a", "Search the list", href="/"),
            ".",
        ),
    )


def _now(x: Explanation) -> Html:
    verdict = x.verdict
    facts = [tag("div", tag("dt", name), tag("dd", value)) for name, value in _facts(x)]
    return tag(
        "section",
        tag("p", "A message like its newest one is now ", tag("b", _NOW_WORDS[verdict.action]), f": {verdict.why}."),
        tag("pre", verdict.reply) if verdict.reply else Html(),
        tag("dl", *facts, class_="both"),
        class_=f"verdict {verdict.action}",
    )


def _facts(x: Explanation) -> Iterator[tuple[str, Html | str]]:
    reading = x.reading
    yield "Product", reading.product
    yield "Build shown", join([reading.shown or "none", " ", tag("small", reading.update)])
    if reading.low != reading.high:
        yield "Installed is", f"{reading.low} to {reading.high}"
    yield "Tie", join([x.tie, " ", tag("small", x.connector and f"connector {x.connector}")])
    yield "First seen", instant(x.first_seen)
    yield "Last news", instant(x.last_seen)
    for one in x.exempt:
        yield (
            "Exempt",
            join(
                [
                    "until ",
                    instant(one.until),
                    " ",
                    tag("small", f"{one.kind} {one.target}, {one.owner} answers for that"),
                ]
            ),
        )
    if x.next_step is not None:
        yield "Next", join([instant(x.next_step.at), " ", tag("small", x.next_step.what)])


def _case(case: CaseShown, report: ServerReport) -> Iterator[Html]:
    window = tag("p", f"In this hour: {minutes_of(case.window)} (UTC).") if case.window else Html()
    waits = tag("p", f"Blocking waits for {case.blocking_waits_for}.") if case.blocking_waits_for else Html()
    drawn = tag(
        "div",
        chart_of(case, report.timeline, report.explanation.at),
        class_="scroll",
        tabindex=0,
        role="group",
        aria_label="Schedule, scrolls sideways",
    )
    yield tag(
        "section",
        tag("h2", f"Case {case.opened_seq} about {case.product} ", badge(case.state)),
        tag("p", f"{case.accuses[0].upper()}{case.accuses[1:]}."),
        window,
        waits,
        drawn,
        legend(),
        tag("details", tag("summary", "The schedule as a table"), _schedule(case.rows)),
    )


def _schedule(rows: tuple[RowShown, ...]) -> Html:
    head = tag("tr", *(tag("th", words, scope="col") for words in ("Stage", "From", "Deferred", "Refused", "")))
    body = (
        tag(
            "tr",
            tag("td", row.stage),
            tag("td", "" if row.granted else "not before ", "" if row.exact else "about ", instant(row.since)),
            tag("td", f"{row.throttle_minutes_per_hour} min/h"),
            tag("td", f"{row.block_minutes_per_hour} min/h"),
            tag("td", "in force" if row.in_force else "past" if row.begun else "to come" if row.granted else "waits"),
            class_="here" if row.in_force else None,
        )
        for row in rows
    )
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="scroll")


def _plain(lines: tuple[str, ...]) -> Iterator[Html]:
    for line in lines:
        yield tag("pre", line.strip()) if line.startswith("    ") else tag("p", line)


def _timeline(events: tuple[TimelineEvent, ...]) -> Html:
    rows = (
        tag("tr", tag("td", instant(event.happened)), tag("td", event.what), tag("td", event.seq), class_=event.scope)
        for event in reversed(events)
    )
    head = tag("tr", *(tag("th", words, scope="col") for words in ("When", "What", "Log seq")))
    shown = (
        tag("table", tag("thead", head), tag("tbody", *rows), class_="events")
        if events
        else tag("p", "Nothing in the part of the log that is kept here.")
    )
    return tag("section", tag("h2", "What happened"), tag("div", shown, class_="scroll"))
