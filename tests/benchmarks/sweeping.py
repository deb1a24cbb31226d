"""Benchmark of a long sweep: what a great number of small jobs costs rank 0 in memory.

This module must not judge.
"""

from __future__ import annotations

from functools import partial

from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.running import DEADLINE_S, going, peak_bytes, pids_by_rank
from tests.support.commands import wait_until

SOURCES = ("index", "generator")

RANKS = 3

MEGABYTE = 1e6


def memory(setting: Setting) -> list[Row]:
    """Measure the most memory that rank 0 ever has in a long sweep, and compare it with a short one."""
    points = setting.pick(2_000_000, 500_000, 10_000)
    ways = {"short": partial(_peak_mb, setting, "points=1000")}
    ways |= {source: partial(_peak_mb, setting, f"points={points}", f"source={source}") for source in SOURCES}
    measured = interleaved(setting.less(), "memory", ways)
    against = "a sweep of 1000 points"
    return [
        Row("memory.short", "MB", measured["short"]),
        *(Row(f"memory.{source}", "MB", measured[source], measured["short"], against, "< 300 MB") for source in SOURCES),
    ]


def _peak_mb(setting: Setting, *words: str) -> float:
    """Run a sweep and return rank 0's largest resident size, as last seen before its end: it never shrinks."""
    peak = 0

    with going(setting, RANKS, "jobs/sweep.py", *words) as (process, _):

        def ended() -> bool:
            nonlocal peak
            if peak == 0:
                rank0.extend(pids_by_rank(process.pid).get(0, []))
            peak = max([peak, *(peak_bytes(pid) for pid in rank0)])
            return not process.running

        rank0: list[int] = []
        wait_until(ended, "the sweep was done", DEADLINE_S)
        finished = process.wait()
    if finished.code or not peak:
        raise MeasurementError(str(finished))
    return peak / MEGABYTE
