"""Metrics for Prometheus: made from the state when asked, so nothing has to be counted twice."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.status.listing import count_states
from services.status.readiness import Readiness, readiness
from services.status.settings import StatusSettings
from services.status.view import Board
from shared.domain.explain import server_state
from shared.runtime.clock import Clock


def registry_of(board: Board, settings: StatusSettings, clock: Clock) -> CollectorRegistry:
    """A registry of our own, with nothing of the process in it."""
    registry = CollectorRegistry()
    registry.register(_FromState(board, settings, clock))
    return registry


class _FromState(Collector):
    def __init__(self, board: Board, settings: StatusSettings, clock: Clock) -> None:
        self._board, self._settings, self._clock = board, settings, clock

    def describe(self) -> list[Metric]:
        """Nothing in advance: registering must not need a state."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics, from one look at the state."""
        ready = readiness(self._board, self._settings, self._clock)
        yield from _of_the_law(ready)
        yield from self._of_the_servers()
        yield from _by_label("patchgate_reader_lag_records", "Records not read yet.", "topic", ready.lag)
        yield from _of_the_edges(ready)

    def _of_the_servers(self) -> Iterator[Metric]:
        view = self._board.view
        if view is None or view.position is None:
            return
        law = view.position.law
        counts = count_states(server_state(server, law) for server in view.servers.values())
        yield from _by_label("patchgate_servers", "Servers by state.", "state", counts)
        counted = view.position.counts
        yield from _by_label("patchgate_enforcer_inputs", "Inputs of the enforcer by what they were.", "kind", counted)


def _of_the_law(ready: Readiness) -> Iterator[Metric]:
    values: dict[str, tuple[str, float | None]] = {
        "patchgate_ready": ("1 when /readyz answers 200.", float(ready.ready)),
        "patchgate_h_age_seconds": ("Real age of H.", ready.h_age_s),
        "patchgate_held_seconds": ("How long the law has stood still.", ready.held_s),
        "patchgate_standing_still": ("1 while the law stands still.", float(bool(ready.standing_still))),
        "patchgate_log_seq": ("Newest record of the log that the state holds.", float(ready.seq)),
        "patchgate_heartbeat_age_seconds": ("Real age of the last heartbeat.", ready.heartbeat_age_s),
        "patchgate_shown_age_seconds": ("How old what the pages show is at most.", ready.shown_age_s),
        "patchgate_decisions": ("Servers in the table of decisions.", float(ready.table_count)),
        "patchgate_policy_version": ("Policy in force.", float(ready.policy_version)),
        "patchgate_unreadable_records": ("Records that could not be read.", float(ready.unreadable_records)),
        "patchgate_table_agrees": ("1 when the table's digest is the heartbeat's.", _flag(agrees=ready.table_agrees)),
    }
    for name, (text, value) in values.items():
        if value is not None:
            yield GaugeMetricFamily(name, text, value=value)


def _of_the_edges(ready: Readiness) -> Iterator[Metric]:
    ages = GaugeMetricFamily("patchgate_edge_report_age_seconds", "Real age of the last report.", labels=["edge"])
    observing = GaugeMetricFamily("patchgate_edge_observing", "1 while the edge only observes.", labels=["edge"])
    counts = GaugeMetricFamily(
        "patchgate_edge_count", "The edge's own counts since its start.", labels=["edge", "name"]
    )
    for edge in ready.edges:
        ages.add_metric([edge.edge], edge.report_age_s)
        observing.add_metric([edge.edge], float(bool(edge.observing)))
        for name, count in sorted(edge.counts.items()):
            counts.add_metric([edge.edge, name], count)
    yield from (ages, observing, counts)


def _by_label(name: str, text: str, label: str, values: dict[str, int]) -> Iterator[Metric]:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    yield family


def _flag(*, agrees: bool | None) -> float | None:
    return None if agrees is None else float(agrees)
