"""Benchmarks of growth: what more pending jobs, more ranks and more workers cost.

This module must not judge.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from functools import partial
from typing import Any

from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.running import run, run_to_its_end

COMMITTED_JOBS = 10**6
"""How many jobs are pending while commits are watched."""

HALF_A_CORE = "< 0.5"


def pending(setting: Setting) -> list[Row]:
    """Measure what a step, a job and a commit cost with ever more jobs pending; each size in a process of its own."""
    rows = []
    for count in setting.pick((10**3, 10**5, 10**7), (10**3, 10**5, 10**6), (10, 100)):
        told = _told(setting, "pending", count, setting.repetitions, 0)
        setting.say(f"  pending, {count}")
        name = f"pending.{_power(count)}"
        rows += [
            Row(f"{name}.step", "us", told["step_us"], against="a report, or a request and its bundle of ten jobs"),
            Row(f"{name}.add", "us", told["add_us"]),
            Row(f"{name}.take", "us", told["take_us"]),
            Row(f"{name}.memory", "bytes/job", [told["bytes_per_job"]], against=f"with nodes of 40 bytes, of {count:,} jobs"),
        ]
    return rows + _commits(setting)


def _commits(setting: Setting) -> list[Row]:
    """How long commits hold the coordinator's loop up."""
    count = setting.pick(COMMITTED_JOBS, COMMITTED_JOBS // 10, 1_000)
    told = _told(setting, "pending", count, setting.repetitions, setting.pick(5, 3, 1))
    windows, name = told["pauses"], f"commits.{_power(count)}"
    words = f"{count:,} jobs pending, the loop never idle"
    return [
        Row(f"{name}.first", "s", [told["first_commit_s"]], against=f"{count:,} jobs to disk, before the first worker is served"),
        Row(
            f"{name}.commit", "ms", [each["commit_ms"] for each in windows], against="net change of half a second, in its thread"
        ),
        Row(f"{name}.turn_99th", "ms", [each["turn_ms_99th"] for each in windows], against=words),
        Row(f"{name}.turn_longest", "ms", [each["turn_ms_max"] for each in windows], against=words),
        Row(f"{name}.turns", "/s", [each["turns_per_s"] for each in windows], against="two steps each"),
    ]


def ranks(setting: Setting) -> list[Row]:
    """Run one tree on ever more ranks of this machine, far more than it has cores."""
    case = ("jobs/queens.py", setting.pick("n=16", "n=14", "n=9"))
    run(setting, 2, *case)  # has everything compiled
    rows: list[Row] = []
    answers = set()
    for count in setting.pick((2, 4, 8, 16, 32, 64), (2, 8, 32), (2, 3)):
        # Dozens of ranks on a few cores take long to start, and always about as long.
        few = replace(setting.less(), repetitions=1) if count > 8 else setting.less()
        runs = interleaved(few, "ranks", {f"{count}": partial(run, setting, count, *case)})[f"{count}"]
        answers |= {each.result for each in runs}
        name = f"ranks.{count}"
        rows += [
            Row(f"{name}.working", "nodes/s", [each.nodes / each.working_s for each in runs]),
            Row(f"{name}.rest", "s", [each.wall_s - each.working_s for each in runs], against="start and end"),
            Row(f"{name}.took_part", "workers", [each.workers for each in runs], against="before it was over"),
        ]
    if len(answers) != 1:
        raise MeasurementError(f"answers differ: {answers}")
    return rows


Case = tuple[int, int, str]
"""Workers, seconds of work for each, and whether it is a tree or a sweep."""

SIMULATED: tuple[Case, ...] = ((100, 8, "sweep"), (1_000, 8, "sweep"), (100, 8, "tree"), (1_000, 8, "tree"))
LARGE: tuple[Case, ...] = (
    (10_000, 20, "sweep"),
    (10_000, 60, "sweep"),
    (10_000, 8, "tree"),
    (10_000, 40, "tree"),
    (100_000, 200, "sweep"),
)


def simulated(setting: Setting) -> list[Row]:
    """Simulate up to a thousand workers. Once: all but step_us is virtual, and the same each time."""
    return _simulated(setting, setting.pick(SIMULATED, SIMULATED[::2], ((3, 1, "sweep"),)))


def simulated_large(setting: Setting) -> list[Row]:
    """Simulate up to a hundred thousand; that takes long, however quiet the machine."""
    return _simulated(setting, LARGE)


def _simulated(setting: Setting, cases: tuple[Case, ...]) -> list[Row]:
    rows = []
    for workers, seconds, kind in cases:
        told = _told(setting, "simulating", workers, seconds, kind)
        if not told["exact"]:
            raise MeasurementError(f"{workers} simulated workers counted wrong")
        name = f"simulated.{kind}.{_power(workers)}.work_{seconds}s"
        setting.say(f"  {name}")
        rows += [
            Row(f"{name}.used", "%", [100 * told["utilisation"]], against=f"{seconds} s of work for each worker"),
            Row(f"{name}.messages", "/s", [told["messages_per_s"]]),
            Row(f"{name}.coordinator", "of a core", [told["coordinator"]], against="at 40 us a message", goal=HALF_A_CORE),
            Row(f"{name}.fed", "ms", [told["share_ms_median"]], against="from hungry to fed, median"),
            Row(f"{name}.fed_99th", "ms", [told["share_ms_99th"]]),
            Row(f"{name}.step", "us", [told["step_us"]], against="of processor time, measured here"),
        ]
    return rows


def _told(setting: Setting, program: str, *words: object) -> dict[str, Any]:
    """Run one of the benchmarks' own programs and return the JSON that it prints."""
    with tempfile.TemporaryDirectory(dir=setting.scratch) as folder:
        more = (folder,) if program == "pending" else ()
        command = (sys.executable, "-m", f"tests.benchmarks.{program}", *map(str, words), *more)
        finished, _ = run_to_its_end(setting, command)
    return dict(json.loads(finished.stdout.splitlines()[-1]))


def _power(count: int) -> str:
    """1000 as 1e3."""
    exponent = len(str(count)) - 1
    return f"1e{exponent}" if count == 10**exponent else str(count)
