"""The scout: find out, before a compiled kernel is loaded, whether the tree is over sooner than that.

numba takes half a second to load, in which plain Python explores some hundred thousand nodes. So where the problem leaves the engine to
us (``engine=auto``), a child process walks the tree with children() and value() for a moment, for nothing. If it comes to the end, so
will everybody else, and no kernel is loaded. What it found counts for nothing: which engine is used cannot change an answer, only how
soon it is there. This module must not load a kernel.
"""

from __future__ import annotations

import os

from parry_mpi.errors import ParryError
from parry_mpi.job import WHOLE, Job
from parry_mpi.kernels import compiled_wanted
from parry_mpi.problem import overrides
from parry_mpi.runtime import clock, processes
from parry_mpi.search.base import ExplorationError
from parry_mpi.search.exploration import Exploration
from parry_mpi.task import Task, call

ENGINE = "engine"
"""The parameter, of type Engine, with which a problem leaves it to its user how it is explored."""

SCOUT_MS = 30
"""How much of a processor a scout may use: a twentieth of what numba takes to load."""

WAIT_S = 0.2
"""How long a scout is waited for: the machine may be busy, or the user's code asleep."""

NODES_AT_ONCE = 64

OVER, NOT_OVER = b"o", b"n"


def soon_over(task: Task) -> bool:
    """Whether the whole tree can be explored without a kernel in no time. Must not be called once there are threads, or MPI.

    The scout is a process of its own: whatever the user's code does in it, and however long it takes, is its own affair.
    """
    if not _free_to_choose(task) or task.roots_count is None:
        return False
    reading, writing = os.pipe()

    def scout() -> None:
        processes.show_as("parry-scout")
        os.close(reading)
        nothing = os.open(os.devnull, os.O_RDWR)
        for handle in (0, 1, 2):  # what the user's code prints is printed when it is really explored
            os.dup2(nothing, handle)
        os.write(writing, OVER if _over(task) else NOT_OVER)

    pid = processes.fork_child(scout, own_group=True)
    os.close(writing)
    clock.wait_readable([reading], WAIT_S)
    os.set_blocking(reading, False)
    try:
        answer = os.read(reading, 1)
    except BlockingIOError:
        answer = NOT_OVER
    os.close(reading)
    processes.kill_group(pid)
    os.waitpid(pid, 0)
    return answer == OVER


def _free_to_choose(task: Task) -> bool:
    """Whether there may be a kernel to load, the engine is left to us, and it cannot change the answer."""
    problem = task.problem
    free = getattr(problem, ENGINE, None) == "auto" and ENGINE in problem.incidental
    return free and overrides(type(problem), "kernel") and compiled_wanted("auto")


def _over(task: Task) -> bool:
    """Explore with children() and value() until the end of the tree or of the scout's time; say whether it was that of the tree."""
    jobs = [Job(weight=WHOLE, count=task.roots_count or 0)] if task.roots_count else []
    ends_at_us = clock.processor_us() + SCOUT_MS * 1000
    try:
        exploration = Exploration(task, jobs, None)
        enough = call(task.problem.enough)
        while not exploration.done and clock.processor_us() < ends_at_us:
            exploration.slice(NODES_AT_ONCE)
            exploration.take_found()
            if enough is not None and exploration.incumbent is not None and exploration.incumbent <= enough:
                return True
    except (ExplorationError, ParryError):
        return False
    return exploration.done
