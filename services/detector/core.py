"""From what a message showed to what the catalogue says of it. Pure: the same facts always give the same sighting."""

from datetime import UTC, date
from functools import lru_cache

from shared.domain import records as r
from shared.domain.build import Build
from shared.domain.catalogue import Assessment, BuildCatalogue
from shared.domain.evidence import Facts
from shared.domain.received import read_own_run

_ASSESSMENTS_KEPT = 4096
"""(product, range, day) remembered; at the bound the least used is assessed anew. A busy hour has some hundred."""


class Reader:
    """Reads facts by one catalogue, on the UTC day on which they were seen."""

    def __init__(self, catalogue: BuildCatalogue) -> None:
        self._catalogue = catalogue
        self._assess = lru_cache(_ASSESSMENTS_KEPT)(self._assessed)

    def sighting_of(self, facts: Facts, origin: r.Origin) -> r.Sighting:
        """The reading of the own lines, what the catalogue says of it, and which of the three sightings that makes."""
        reading = read_own_run(facts.own_lines, self._catalogue).reading
        if reading is None:
            return r.ServerSeen(facts=facts, origin=origin)
        on = facts.seen_at.astimezone(UTC).date()
        assessment = self._assess(reading.product, reading.low, reading.high, on)
        kind = kind_of(assessment, on)
        return kind(facts=facts, reading=reading, assessment=assessment, origin=origin)

    def _assessed(self, product: str, low: Build | None, high: Build | None, on: date) -> Assessment:
        return self._catalogue.assess(product, low, high, on=on)


def kind_of(
    assessment: Assessment, on: date
) -> type[r.UnpatchedServerSeen] | type[r.PatchedServerSeen] | type[r.ServerSeen]:
    """
    Which sighting *assessment* makes on the day *on*.

    Unpatched: the product gets no more updates, or a security update is missing over the whole range. Patched: none is
    missing even at the lower end. Else it cannot be told, as for builds that the catalogue does not know.
    """
    if _has_ended(assessment, on):
        return r.UnpatchedServerSeen
    if assessment.update is None or assessment.newer_than_data:
        return r.ServerSeen
    if assessment.missing_security:
        return r.UnpatchedServerSeen
    return r.ServerSeen if assessment.missing_security_at_most else r.PatchedServerSeen


def _has_ended(assessment: Assessment, on: date) -> bool:
    """No more updates for anybody, the paid programme included."""
    if assessment.support_ended is None:
        return False
    return assessment.esu_end is None or assessment.esu_end < on
