"""What `patchgate catalogue` tells people."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import TYPE_CHECKING

from services.cli.common import counted
from shared.domain.other_products import OtherAssessment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.cli.catalogue import Assessed
    from shared.domain.catalogue_rows import CatalogueRows

_OLD_AFTER_DAYS = 45  # a patch day a month, and some days to hear of it
_NAMED_MAX = 12  # ids and updates in one sentence

_ADVICE = {
    "replace": "Replace it: for what is found from now on no patch exists any more.",
    "patch": "Patch it.",
    "none": "Nothing is missing.",
    "unknown": "It cannot be told whether something is missing.",
}


def shown_text(rows: CatalogueRows, on: date) -> str:
    """The whole catalogue in brief."""
    return "\n".join(_shown(rows, on))


def assessed_text(assessed: Assessed | OtherAssessment) -> str:
    """What is known of one build, in sentences."""
    return "\n".join(_other(assessed) if isinstance(assessed, OtherAssessment) else _exchange(assessed))


def _shown(rows: CatalogueRows, on: date) -> Iterator[str]:
    for product, builds in Counter(row.product for row in rows.builds).items():
        end = next((row.extended_end for row in rows.lifecycles if row.product == product), None)
        newest = max((row for row in rows.builds if row.product == product), key=lambda row: row.build)
        support = "no fixed end of support" if end is None else f"support {'ended' if end < on else 'ends'} {end}"
        yield f"{product}: {builds} builds, newest {newest.build} ({newest.name}, {newest.released}), {support}"
    others = Counter(row.product for row in rows.others)
    yield f"Others, shown and never judged: {', '.join(f'{name} {number}' for name, number in others.items())}"
    exploited = {row.cve for row in rows.cves if row.exploited_since is not None}
    yield f"{len({row.cve for row in rows.cves})} holes, {len(exploited)} of them known to be exploited"
    for fact in rows.facts:
        old = ": old, look for a newer file" if (on - fact.last_fact).days > _OLD_AFTER_DAYS else ""
        yield f"{fact.subject}: until {fact.last_fact}, {_ago(fact.last_fact, on)}{old}; not covered: {fact.not_covered}"


def _exchange(x: Assessed) -> Iterator[str]:
    name = f" ({x.update}{'' if x.listed else ' or later'})" if x.update else ""
    yield f"{x.product} {x.build}{name}, as known on {x.on}. {_ADVICE[x.advice]}"
    if x.newer_than_data:
        yield f"It is newer than the data, which ends {x.data_until}."
    if x.support_ended:
        paid = f"; the paid programme ends {x.paid_programme_ends}" if x.paid_programme_ends else ""
        yield f"Support ended {x.support_ended}{paid}."
    if x.updates_missing:
        kind = "update rollups" if x.update_rollups else "for security"
        since = f", {x.security_updates_missing} of them {kind}, since {x.missing_since}" if x.missing_since else ""
        missing = counted(len(x.updates_missing), "update")
        yield f"Missing {missing}{since}: {_some([one.name for one in x.updates_missing])}."
    if x.cves_open:
        yield f"Open holes: {len(x.cves_open)}. Known to be exploited: {_some(list(x.cves_exploited)) or 'none'}."
    if x.newest_public:
        yield f"Newest update for everybody: {x.newest_public.build} ({x.newest_public.name}, {x.newest_public.released})."
    yield f"The list of builds reaches until {x.data_until}, {_beside(x.data_until, x.on)}."


def _other(x: OtherAssessment) -> Iterator[str]:
    released = f", released {x.released}" if x.released else ""
    yield f"{x.product} {x.version}{released}{'' if x.listed else ': not listed'}. Shown, never judged."
    if x.ended:
        yield f"Its line ended {x.ended}."
    if x.newest:
        yield f"Newest that is listed: {x.newest}."
    if x.exploited_fixed_later:
        yield f"Known exploited holes that a later version ended: {_some(list(x.exploited_fixed_later))}."
    if x.fixed_later:
        yield f"Other holes that a later version ended: {_some(list(x.fixed_later))}."
    if x.backported:
        yield "Distributions mend such holes without changing the number, so it proves no missing fix."


def _ago(day: date, today: date) -> str:
    days = (today - day).days
    if days == 0:
        return "today"
    return f"{counted(days, 'day')} ago" if days > 0 else f"in {counted(-days, 'day')}"


def _beside(day: date, asked: date) -> str:
    """Where *day* lies, seen from the day that was asked about."""
    days = (asked - day).days
    if days == 0:
        return "the same day"
    return f"{counted(days, 'day')} before" if days > 0 else f"{counted(-days, 'day')} later"


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
