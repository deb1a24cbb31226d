"""Benchmarks of what a run costs beside exploring: processors while it waits, time to start.

This module must not judge.
"""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.running import BEGIN_S, PROBLEMS, cpu_shares, going, pids_by_rank, run, status, wall_time
from tests.support.commands import Started, wait_until

WATCH_S = 5.0
SETTLE_S = 2.0
"""Ranks sleep longest after a second of quiet; that is the state that lasts."""

IDLE_RANKS = 4
BUSY_RANKS = 3


def idle(setting: Setting) -> list[Row]:
    """Measure what ranks use while they have nothing to do, and while two workers are busy."""
    sleeping = (PROBLEMS + ":Sleeper", "seconds=3600")
    busy = ("jobs/queens.py", "n=19")  # for hours: it is killed when it was watched
    measured = interleaved(
        setting.less(),
        "idle",
        {
            "waiting": partial(_shares, setting, IDLE_RANKS, 1, *sleeping),
            "busy": partial(_shares, setting, BUSY_RANKS, BUSY_RANKS - 1, *busy),
        },
    )
    waiting, working = measured["waiting"], measured["busy"]
    goal = "< 5 %, later 2 %"
    return [
        Row("idle.rank", "% of a core", [share for each in waiting for share in each["idle"]], goal=goal),
        Row("idle.holder", "% of a core", [share for each in waiting for share in each["holding"]], goal=goal),
        Row("idle.rank0", "% of a core", [share for each in waiting for share in each["coordinator"]], goal=goal),
        Row("busy.rank0", "% of a core", [share for each in working for share in each["coordinator"]], goal="< 5 %"),
        Row("busy.supervisor", "% of a core", [share for each in working for share in each["supervisor"]], goal="< 5 %"),
        Row("busy.explorer", "% of a core", [share for each in working for share in each["explorer"]]),
    ]


def start(setting: Setting) -> list[Row]:
    """Compare the smallest run on four ranks with the smallest MPI program, and with plain Python instead of a kernel."""
    queens = ("jobs/queens.py", "n=8")
    hello = setting.mpi.python_ranks(4, "-m", "mpi4py.bench", "helloworld")
    run(setting, 4, *queens)  # has everything compiled
    measured = interleaved(
        setting,
        "start",
        {
            "helloworld": partial(wall_time, setting, hello),
            "python": partial(_run_wall_s, setting, 4, *queens, "engine=python"),
            "compiled": partial(_run_wall_s, setting, 4, *queens),
            "alone": partial(_run_wall_s, setting, 1, *queens, "engine=python"),
            "import": partial(wall_time, setting, (sys.executable, "-c", "import numpy")),
        },
    )
    base, against = measured["helloworld"], "mpi4py.bench helloworld"
    return [
        Row("start.helloworld", "s", base),
        Row("start.queens.compiled", "s", measured["compiled"], base, against, "<= 2.5"),
        Row("start.queens.python", "s", measured["python"], base, against, "<= 2.5"),
        Row("start.queens.alone", "s", measured["alone"], measured["import"], "python -c 'import numpy'"),
    ]


def _run_wall_s(setting: Setting, ranks: int, *words: str) -> float:
    return run(setting, ranks, *words).wall_s


def _shares(setting: Setting, ranks: int, leases: int, *words: str) -> dict[str, list[float]]:
    """Start a run that does not end, watch all of its processes for a while, and say what each kind used, in percent of a core.

    Args:
        setting: for how long.
        ranks: how many.
        leases: how many workers hold one once it is under way.
        words: the problem.
    """
    with going(setting, ranks, *words) as (process, directory):
        wait_until(lambda: _under_way(process, directory, ranks - 1, leases), f"{leases} leases were held", BEGIN_S)
        time.sleep(setting.pick(SETTLE_S, SETTLE_S, 0.5))
        workers = status(directory)["workers_list"]
        by_rank = pids_by_rank(process.pid)
        shares = cpu_shares([pid for pids in by_rank.values() for pid in pids], setting.pick(WATCH_S, WATCH_S, 0.5))
        if not process.running:
            raise MeasurementError(f"the run ended while it was watched: {process.stderr}")
    percent = {pid: 100 * share for pid, share in shares.items()}
    coordinator = by_rank.pop(0)
    supervisors = {worker["pid"] for worker in workers}
    holding = {worker["pid"] for worker in workers if worker["lease"] is not None}
    return {
        "coordinator": [sum(percent[pid] for pid in coordinator)],
        "idle": [sum(percent[pid] for pid in pids) for pids in by_rank.values() if not holding & set(pids)],
        "holding": [sum(percent[pid] for pid in pids) for pids in by_rank.values() if holding & set(pids)],
        "supervisor": [percent[pid] for pid in supervisors & set(percent)],
        "explorer": [max((percent[pid] for pid in pids if pid not in supervisors), default=0.0) for pids in by_rank.values()],
    }


def _under_way(process: Started, directory: Path, workers: int, leases: int) -> bool:
    """Whether all workers have joined, and so many of them hold a lease."""
    if not process.running:
        raise MeasurementError(f"the run ended at once: {process.stderr}")
    with contextlib.suppress(ValueError):  # a status that is just being replaced
        view = status(directory)
        return view.get("workers") == workers and view.get("busy") == leases
    return False
