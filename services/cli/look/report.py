"""The whole report as one value, for JSON, CSV, screen and page."""

import csv
import io
from collections import Counter
from datetime import date

import msgspec

from services.cli.look.fleet import Fleet, Server, fleet_of
from services.cli.look.outlook import DRAWN_DAYS, DayAhead, day_ahead, outlook_of
from services.cli.look.scan import Scanned
from services.cli.look.sources import Trouble
from services.cli.look.tally import PEERS_MAX, Tally
from shared.domain.catalogue import BuildCatalogue
from shared.domain.other_products import OtherAssessment
from shared.domain.policy import Policy


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a product that is shown and never judged, and what is known of it."""

    product: str
    version: str
    mails: int
    known: OtherAssessment


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was read. no_lines: mails of logs that hold no line of theirs. peers_capped: there were more than could be told apart. own: the reader's own hosts.

    products: product that the sender's newest line names, "" for none -> mails. others: of products that are not judged,
    by version, most mails first. troubles: the first of them.
    """

    mails: int
    no_received: int
    no_lines: int
    own_only: int
    undated: int
    cut: int
    peers: int
    peers_capped: bool
    own: tuple[str, ...]
    own_inferred: bool
    products: dict[str, int]
    others: tuple[Other, ...]
    troubles: tuple[Trouble, ...]
    troubles_all: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """on: the day of the report, UTC. data_of: newest fact of the catalogue. days: the outlook day by day, for the picture."""

    on: date
    data_of: date
    policy_title: str
    read: Read
    fleet: Fleet
    outlook: tuple[DayAhead, ...]
    days: tuple[DayAhead, ...]


def report_of(scanned: Scanned, policy: Policy, catalogue: BuildCatalogue, *, on: date) -> Report:
    """The report on all that was scanned, as of the UTC day *on*."""
    tally = scanned.tally
    fleet = fleet_of(tally, policy, catalogue, on=on)
    read = Read(
        mails=tally.mails,
        no_received=tally.no_received,
        no_lines=tally.no_lines,
        own_only=tally.own_only,
        undated=tally.undated,
        cut=tally.cut,
        peers=len(tally.peers),
        peers_capped=len(tally.peers) >= PEERS_MAX,
        own=tuple(sorted(scanned.own.names)),
        own_inferred=scanned.own.inferred,
        products=_products(tally),
        others=_others(tally, catalogue, on),
        troubles=tuple(tally.troubles),
        troubles_all=tally.troubles_all,
    )
    return Report(
        on=on,
        data_of=catalogue.newest_fact,
        policy_title=policy.title,
        read=read,
        fleet=fleet,
        outlook=outlook_of(fleet, policy),
        days=tuple(day_ahead(fleet, policy, day) for day in DRAWN_DAYS),
    )


def _products(tally: Tally) -> dict[str, int]:
    mails: Counter[str] = Counter()
    for named, count in tally.products.items():
        mails[named.product] += count
    return dict(sorted(mails.items(), key=lambda one: (-one[1], one[0])))


def _others(tally: Tally, catalogue: BuildCatalogue, on: date) -> tuple[Other, ...]:
    known = catalogue.others
    found = [(mails, named) for named, mails in tally.products.items() if named.version]
    return tuple(
        Other(
            product=named.product,
            version=named.version,
            mails=mails,
            known=known.assess(named.product, named.version, on=on),
        )
        for mails, named in sorted(found, key=lambda one: (-one[0], one[1]))
    )


_COLUMNS = (
    "server", "name", "peers", "tie", "product", "build_shown", "build_low", "build_high", "reason", "standing",
    "months_behind", "security_updates_missing", "holes_open", "holes_exploited", "support_ended", "mails",
    "mails_a_day", "first_seen", "last_seen", "case_would_open", "why_not", "contradictions", "hides",
)  # fmt: skip


def as_csv(report: Report) -> str:
    """The servers as CSV with a header line, worst first."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for server in report.fleet.servers:
        writer.writerow([_harmless(cell) for cell in _row(server)])
    return out.getvalue()


def _row(server: Server) -> tuple[object, ...]:
    reading, known = server.reading, server.assessment
    return (
        server.server, server.name, " ".join(server.peers), server.tie, reading.product, reading.shown or "",
        reading.low or "", reading.high or "", reading.reason, server.standing or "", server.months_behind,
        known.missing_security, known.cves_open, known.cves_exploited, known.support_ended or "", server.mails,
        server.mails_a_day, server.first_seen or "", server.last_seen or "", server.opens, server.why_not,
        " ".join(server.contradictions), "; ".join(server.hides),
    )  # fmt: skip


def _harmless(cell: object) -> str:
    """As text; names come from strangers, and a spreadsheet would take some first characters for a formula."""
    text = str(cell)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
