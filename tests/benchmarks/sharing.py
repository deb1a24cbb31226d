"""Benchmark of sharing: how long a worker that asks for a job waits while another one holds the only lease.

The run is a real one, on ranks; tests.benchmarks.observed notes when each rank asks and when it gets its bundle. This module must
not judge.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.problems import relay_nodes
from tests.benchmarks.running import PROBLEMS, run_to_its_end

RANKS = 3

GOAL = "< 100 ms, later median 5 and p99 25"


def share(setting: Setting) -> list[Row]:
    """Measure the time from asking to getting, for explorers in a process of their own and in the rank's."""
    batons = setting.pick(250, 100, 8)
    measured = interleaved(
        setting, "share", {isolation: partial(_waits_ms, setting, batons, isolation) for isolation in ("process", "none")}
    )
    rows = []
    for isolation, samples in measured.items():
        rows.append(Row(f"share.{isolation}.median", "ms", [statistics.median(waits) for waits in samples], goal=GOAL))
        rows.append(Row(f"share.{isolation}.p99", "ms", [_percentile(waits, 99) for waits in samples], goal=GOAL))
        rows.append(Row(f"share.{isolation}.shares", "a run", [len(waits) for waits in samples]))
    return rows


def _waits_ms(setting: Setting, batons: int, isolation: str) -> list[float]:
    """Run a Relay and return how long each rank waited for each bundle but its first."""
    with tempfile.TemporaryDirectory(dir=setting.scratch) as folder:
        words = (PROBLEMS + ":Relay", f"batons={batons}", "--isolation", isolation, "--json", "--run-dir", f"{folder}/run")
        command = setting.mpi.python_ranks(RANKS, "-m", "tests.benchmarks.observed", folder, "run", *words)
        finished, _ = run_to_its_end(setting, command)
        if finished.answer["result"] != relay_nodes(batons):
            raise MeasurementError(f"{relay_nodes(batons)} nodes were counted as {finished.answer['result']}")
        waits: list[float] = []
        for path in sorted(Path(folder).glob("waits-*.json")):
            pairs = [json.loads(line) for line in path.read_text().splitlines()]
            waits += [(got_ns - asked_ns) / 1e6 for asked_ns, got_ns in pairs[1:]]
    if not waits:
        raise MeasurementError("nothing was shared")
    return waits


def _percentile(numbers: list[float], percent: int) -> float:
    return sorted(numbers)[min(len(numbers) - 1, len(numbers) * percent // 100)]
