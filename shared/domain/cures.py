"""
What a patched reading clears, and what comes late then. Pure.

Of each server and product the instant is kept up to which what was seen accuses it of nothing (`Server.cured`): that of the newest
patched reading on record, or of the first one below the floor after it, for a patched one that says nothing new is on no record.
So in whatever order two messages arrive, the older accuses nobody of what the newer answered.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from shared.domain import events as e
from shared.domain.evidence import Facts
from shared.domain.floors import Floor, Standing
from shared.domain.state import Server
from shared.domain.view import View

NEVER = datetime.min.replace(tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)


def cured_before(
    view: View, known: Server | None, name: str, facts: Facts, floor: Floor | None, product: str
) -> datetime:
    """
    Up to when what was seen of the server accuses it of nothing, as far as that is on record: it was seen patched then, or later.

    Of an id that is new (name), a better one that was seen with it tells it.
    """
    if known is not None:
        cured = known.cured_at(product)
        if cured is not None:
            return cured
        # What was stored before rules 3 tells it by the newest reading alone.
        patched = floor is not None and floor.standing(known.reading) is Standing.AT_OR_ABOVE
        return known.last_seen - _MOMENT if patched else NEVER
    better = [facts.name, *(f"{facts.name}@{connector.name}" for connector in view.policy.connectors)]
    found = [view.servers.get(one) for one in better if one != name]
    cures = [server.cured_at(product) for server in found if server is not None and name in server.matches]
    return max((cured for cured in cures if cured is not None), default=NEVER)


def cured_at(
    known: Server | None, facts: Facts, product: str, before: datetime, *, lifted: bool, below: bool
) -> datetime | None:
    """
    Up to when what was seen of the product accuses the server of nothing from here on; None: as far as is on record.

    A patched reading says it, and one that lifts a case; and the first below the floor after one. before: as `cured_before` says.
    """
    if lifted:
        return facts.seen_at if may_cure(known, facts, product) else None
    if known is None:
        return before if before > NEVER else None
    cured, newest = known.cured_at(product), known.below_of(product)
    is_first_below = below and cured is not None and (newest is None or newest.seen_at < cured)
    return facts.seen_at if is_first_below else None


def drops(matched: Iterable[Server], facts: Facts, product: str) -> list[e.AccusationDropped]:
    """Of which ids hours count that a patched reading clears."""
    return [
        e.AccusationDropped(server=server.server, product=product, seen_at=facts.seen_at)
        for server in matched
        if any(hour.product == product for hour in server.hours) and may_cure(server, facts, product)
    ]


def clears(
    matched: Iterable[Server],
    facts: Facts,
    product: str,
    releases: Sequence[e.CaseReleased | e.NoticeDue],
    *,
    met: bool,
) -> list[e.AccusationDropped]:
    """Of which ids nothing counts, and it must be kept all the same that what comes late accuses them of nothing."""
    released = {one.server for one in releases}
    return [
        e.AccusationDropped(server=server.server, product=product, seen_at=facts.seen_at)
        for server in matched
        if not any(hour.product == product for hour in server.hours)
        and (server.server in released or (met and _is_first(server, facts, product)))
        and may_cure(server, facts, product)
    ]


def _is_first(server: Server, facts: Facts, product: str) -> bool:
    """Whether a patched reading is the first on record, or comes late and is newer than that: then it must be kept."""
    before = server.cured_at(product)
    return before is None or before < facts.seen_at < server.last_seen


def may_cure(server: Server | None, facts: Facts, product: str) -> bool:
    """Imported evidence tells how a server was: it lifts nothing that was seen after it. What an edge sees always may."""
    below = server.below_of(product) if server else None
    return not facts.imported or below is None or facts.seen_at > below.seen_at
