"""Metrics that Prometheus reads."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.commands import ROOT
from support.watching import FACTS, status

from parry_mpi.dashboard.metrics import COUNTERS, GAUGES, metrics_text

ESTIMATE = {
    "nodes": 3e8,
    "nodes_low": 2e8,
    "nodes_high": 5e8,
    "seconds_left": 60.0,
    "seconds_left_low": None,
    "seconds_left_high": 90.0,
}
FULL = FACTS | status(estimate=ESTIMATE, walltime_left_s=100.0, margin_s=10.0, nodes=7, explored=0.5)


def families(told):
    return {family.name: family for family in text_string_to_metric_families(metrics_text(lambda: told).decode())}


def test_parsed():
    """Protects scrapers: the library's own parser reads all metrics, with their types, labels and values."""
    found = families(FULL)
    assert set(GAUGES) | set(COUNTERS) <= set(found)
    assert ("counter", 7.0, "parry_nodes_total") == (
        found["parry_nodes"].type,
        found["parry_nodes"].samples[0].value,
        found["parry_nodes"].samples[0].name,
    )
    assert ("gauge", 0.5) == (found["parry_explored_ratio"].type, found["parry_explored_ratio"].samples[0].value)
    assert {"exploring": 1.0, "stopping": 0.0, "settling": 0.0, "ended": 0.0} == {
        sample.labels["phase"]: sample.value for sample in found["parry_phase"].samples
    }
    assert {"low": 2e8, "middle": 3e8, "high": 5e8} == {
        sample.labels["bound"]: sample.value for sample in found["parry_estimated_nodes"].samples
    }
    assert {"middle": 60.0, "high": 90.0} == {
        sample.labels["bound"]: sample.value for sample in found["parry_estimated_seconds_left"].samples
    }
    assert "queens:Queens" == found["parry_run_info"].samples[0].labels["problem"]


def test_unknown():
    """Protects alerts: what is not known is left out, and not told as 0."""
    assert b"" == metrics_text(lambda: None)
    found = families(status())
    assert not {"parry_walltime_left_seconds", "parry_estimated_nodes", "parry_estimated_seconds_left"} & set(found)


def test_documented():
    """Protects other people's dashboards: docs/dashboard.md lists each metric, and no other."""
    listed = set(re.findall(r"^\| `(parry_\w+)", (ROOT / "docs" / "dashboard.md").read_text(), re.MULTILINE))
    told = {sample.name for family in families(FULL).values() for sample in family.samples}
    assert told == listed


def test_promtool():
    """Protects the names: Prometheus' own checker has nothing to say against them."""
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    finished = subprocess.run([promtool, "check", "metrics"], input=metrics_text(lambda: FULL), capture_output=True, check=False)
    assert (0, b"") == (finished.returncode, finished.stdout + finished.stderr)
