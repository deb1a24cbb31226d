"""Start what is measured, real runs and bare kernels, and read off what they and the system say about them.

This module must not know what is compared with what.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from parry_mpi.store.readers import read_result
from tests.benchmarks.harness import MeasurementError, Setting
from tests.support.commands import ROOT, Finished, Started, descendants, parry_mpi, started

PROBLEMS = "tests/benchmarks/problems.py"
"""Problems that are only good for measuring."""

DEADLINE_S = 1800.0
"""No single command takes so long, on a machine that is in its right mind."""

BEGIN_S = 120.0
"""How long processes may take to be ready; the first time they compile."""

RANK_VARIABLES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
"""Where launchers write a process's rank."""

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """A finished run of the command.

    Args:
        result: as in its JSON.
        nodes: how many it explored.
        workers: how many took part.
        seconds: what it says it took, from when rank 0 is ready to start until all ranks were dismissed.
        working_s: from when the first worker had joined until nothing was left: ``seconds`` less start-up and dismissal.
        present_s: from each worker's joining until nothing was left, summed over workers.
        explored_s: time spent in slices, summed over workers.
        wall_s: from the start of the command to its end.
    """

    result: Any
    nodes: int
    workers: int
    seconds: float
    working_s: float
    present_s: float
    explored_s: float
    wall_s: float


@dataclass(frozen=True)
class Bare:
    """What a kernel did alone in a process.

    Args:
        result: as JSON has it.
        nodes: how many it explored.
        seconds: how long that took.
        load_s: how long its first call took, which loads the machine code.
    """

    result: Any
    nodes: int
    seconds: float
    load_s: float


def command_line(setting: Setting, ranks: int, *words: str) -> tuple[str, ...]:
    """The command ``parry-mpi run WORDS``: on ranks, or with ``ranks`` 1 alone, without a launcher."""
    return setting.mpi.ranks(ranks, "run", *words) if ranks > 1 else parry_mpi("run", *words)


def run(setting: Setting, ranks: int, *words: str) -> Run:
    """Run ``parry-mpi run WORDS`` in a new run directory, to its end.

    Raises:
        MeasurementError: it failed.
    """
    with tempfile.TemporaryDirectory(dir=setting.scratch) as folder:
        directory = Path(folder, "run")
        command = command_line(setting, ranks, *words, "--run-dir", str(directory), "--json")
        finished, wall_s = run_to_its_end(setting, command)
        return read_run(finished, directory, wall_s)


def read_run(finished: Finished, directory: Path, wall_s: float) -> Run:
    """Return what a run that has ended says about itself.

    Raises:
        MeasurementError: it failed.
    """
    if finished.code:
        raise MeasurementError(str(finished))
    answer = finished.answer
    counters = read_result(directory).counters
    events = log_events(directory)
    joined_at_s = [at_s for at_s, event in events if event["event"] == "joined"]
    settled_at_s = max((at_s for at_s, event in events if event["event"] == "settling"), default=0.0)
    return Run(
        result=answer["result"],
        nodes=answer["nodes"],
        workers=answer["workers"],
        seconds=answer["seconds"],
        working_s=settled_at_s - min(joined_at_s, default=0.0),
        present_s=sum(settled_at_s - at_s for at_s in joined_at_s),
        explored_s=counters.explored_us / 1e6,
        wall_s=wall_s,
    )


def wall_time(setting: Setting, command: Sequence[str]) -> float:
    """Run any command and return how long it took.

    Raises:
        MeasurementError: it failed.
    """
    return run_to_its_end(setting, command)[1]


@contextlib.contextmanager
def going(setting: Setting, ranks: int, *words: str) -> Iterator[tuple[Started, Path]]:
    """Start ``parry-mpi run WORDS`` in a new run directory, and end it in the end whether or not it is done."""
    with tempfile.TemporaryDirectory(dir=setting.scratch) as folder:
        directory = Path(folder, "run")
        command = command_line(setting, ranks, *words, "--run-dir", str(directory), "--json")
        with started(command, environment=setting.mpi.environment) as process:
            yield process, directory


def bare(count: int, *words: str) -> list[Bare]:
    """Run a problem's kernel in ``count`` processes side by side, each the whole tree, all beginning at the same time.

    Args:
        count: how many.
        words: the problem and its parameters, as on the command line.

    Raises:
        MeasurementError: one of them failed.
    """
    command = [sys.executable, "-m", "tests.benchmarks.bare", *words]
    with contextlib.ExitStack() as stack:
        processes = []
        for _ in range(count):
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            _line(process, BEGIN_S)  # ready
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [Bare(**json.loads(_line(process, DEADLINE_S))) for process in processes]


def log_events(directory: Path) -> list[tuple[float, dict[str, Any]]]:
    """Return what a run noted, each with its time in seconds since 1970; nothing if it has not begun."""
    path = directory / "log.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(datetime.fromisoformat(event["time"]).timestamp(), event) for event in events]


def status(directory: Path) -> dict[str, Any]:
    """Return what a run published last; nothing if it has not."""
    path = directory / "status.json"
    view = json.loads(path.read_text()) if path.exists() else {}
    return dict(view.get("status", view))


def pids_by_rank(launcher_pid: int) -> dict[int, list[int]]:
    """The processes of each rank below a launcher: on ranks with isolation guardian, supervisor and explorer."""
    found: dict[int, list[int]] = {}
    for pid in descendants(launcher_pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
            variables = dict(word.partition("=")[::2] for word in words)
            rank = next((int(variables[name]) for name in RANK_VARIABLES if name in variables), None)
            if rank is not None:
                found.setdefault(rank, []).append(pid)
    return found


def cpu_s(pid: int) -> float:
    """The processor time that a process has used so far, in seconds; proc(5), /proc/PID/stat."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * TICK_S


def cpu_shares(pids: Sequence[int], seconds: float) -> dict[int, float]:
    """Watch processes for so long and return what share of a core each of them used."""
    began_at_s = time.monotonic()
    before = {pid: cpu_s(pid) for pid in pids}
    time.sleep(seconds)
    after = {pid: cpu_s(pid) for pid in pids}
    took_s = time.monotonic() - began_at_s
    return {pid: (after[pid] - before[pid]) / took_s for pid in pids}


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever had resident, 0 if it is gone; proc(5), VmHWM."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def run_to_its_end(setting: Setting, command: Sequence[str]) -> tuple[Finished, float]:
    """Run a command; return what it said and how long it took.

    Its end is noticed to the millisecond, which Popen.wait does not do when it has a deadline.
    """
    began_at_s = time.monotonic()
    with started(command, environment=setting.mpi.environment) as process:
        handle = os.pidfd_open(process.pid)
        try:
            if not select.select([handle], [], [], DEADLINE_S)[0]:
                raise MeasurementError(f"still running after {DEADLINE_S:g} s: {' '.join(command)}")
        finally:
            os.close(handle)
        wall_s = time.monotonic() - began_at_s
        finished = process.wait()
    if finished.code:
        raise MeasurementError(str(finished))
    return finished, wall_s


def _line(process: subprocess.Popen[str], deadline_s: float) -> str:
    """Return the next line of a process."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], deadline_s)[0]:
        raise MeasurementError(f"a bare kernel said nothing for {deadline_s:g} s")
    line = process.stdout.readline()
    if not line:
        raise MeasurementError(f"a bare kernel failed: {process.args!r}")
    return line
