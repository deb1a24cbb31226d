"""The status as metrics in the text format of Prometheus. docs/dashboard.md lists them.

This module must not change what a name means: dashboards of other people are built on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

PHASES = ("exploring", "stopping", "settling", "ended")

GAUGES = {
    "parry_explored_ratio": ("explored", "Explored share of the tree, 0 to 1."),
    "parry_jobs_pending": ("pending", "Jobs that wait for a worker."),
    "parry_jobs_leased": ("leased", "Jobs that workers hold."),
    "parry_jobs_quarantined": ("quarantined", "Jobs that were put aside and are missing from the result."),
    "parry_workers": ("workers", "Workers that are connected."),
    "parry_workers_busy": ("busy", "Workers that hold a lease."),
    "parry_complete": ("complete", "1 once the answer is known."),
    "parry_uptime_seconds": ("seconds", "How long this coordinator has run."),
    "parry_status_timestamp_seconds": ("time", "When the coordinator said all this, seconds since 1970."),
    "parry_commit_duration_seconds_max": ("commit_s", "The slowest commit of this coordinator."),
    "parry_walltime_left_seconds": ("walltime_left_s", "How long the batch system leaves to this job."),
    "parry_stop_margin_seconds": ("margin_s", "How long before that the run begins to stop."),
}
"""Metrics that go up and down: where they are in the status. What is not in it, or null, is left out."""

COUNTERS = {
    "parry_nodes": ("nodes", "Nodes explored and counted, restarts included."),
    "parry_jobs_solved": ("solved", "Jobs finished, restarts included."),
    "parry_jobs_shared": ("shared", "Jobs given away by workers, restarts included."),
    "parry_reports": ("reports", "Reports accepted, restarts included."),
    "parry_killings": ("killings", "Leases killed, restarts included."),
    "parry_restarts": ("restarts", "How often a coordinator took over."),
    "parry_workers_joined": ("workers_seen", "Workers that joined this coordinator."),
}
"""Metrics that only grow; their samples have _total added."""

BOUNDS = {"low": "_low", "middle": "", "high": "_high"}
"""The values of the label ``bound`` of an estimate."""


class StatusCollector(Collector):
    """Turns the latest status into metrics, whenever they are asked for.

    Args:
        status: returns it, or None while there is none.
    """

    def __init__(self, status: Callable[[], dict[str, Any] | None]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        if status is None:
            return
        run: dict[str, str] = {name: str(status[name]) for name in ("problem", "run_dir", "host", "title") if name in status}
        yield InfoMetricFamily("parry_run", "What is run, and where.", run)
        for name, (key, text) in GAUGES.items():
            if isinstance(value := status.get(key), int | float):
                yield GaugeMetricFamily(name, text, float(value))
        for name, (key, text) in COUNTERS.items():
            if isinstance(value := status.get(key), int | float):
                yield CounterMetricFamily(name, text, float(value))
        phases = GaugeMetricFamily("parry_phase", "1 for what the run is doing, 0 for the other phases.", labels=["phase"])
        for phase in PHASES:
            phases.add_metric([phase], float(status["phase"] == phase))
        yield phases
        yield from _estimates(status.get("estimate") or {})


def metrics_text(status: Callable[[], dict[str, Any] | None]) -> bytes:
    """Return all metrics as a scraper reads them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatusCollector(status))
    return generate_latest(registry)


def _estimates(estimate: dict[str, Any]) -> Iterator[Metric]:
    for name, key, text in (
        ("parry_estimated_nodes", "nodes", "How many nodes the tree has, by the estimate and its interval."),
        ("parry_estimated_seconds_left", "seconds_left", "How long the rest takes, by the estimate and its interval."),
    ):
        family = GaugeMetricFamily(name, text, labels=["bound"])
        for bound, suffix in BOUNDS.items():
            if isinstance(value := estimate.get(key + suffix), int | float):
                family.add_metric([bound], float(value))
        if family.samples:
            yield family
