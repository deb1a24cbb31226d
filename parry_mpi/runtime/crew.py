"""Several processes that do the same: started together, told to stop together, waited for.

This module must not know what they do.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from parry_mpi.errors import EXIT_COMPLETE, EXIT_STOPPED
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.signals import StopSignals

LOOK_S = 0.05


def work_in_processes(count: int, one: Callable[[int], int]) -> int:
    """Have so many processes do one thing each; stop signals are passed on to all of them.

    Args:
        count: how many.
        one: called with an index in each process; returns its exit code.

    Returns:
        The first exit code of a process that did not end well, else 0. One that was killed counts as stopped.
    """
    if count == 1:
        return one(0)
    with StopSignals() as stop:
        crew = {processes.fork_child(_member(one, index), own_group=True): index for index in range(count)}
        codes: dict[int, int] = {}
        passed_on = 0
        while len(codes) < len(crew):
            for pid in crew.keys() - codes.keys():
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    codes[pid] = os.WEXITSTATUS(status) if os.WIFEXITED(status) else EXIT_STOPPED
            if stop.name and passed_on < 1 + stop.impatient:
                stop.seen = True
                passed_on += 1
                # Each leads a group of its own, so that a Ctrl-C on the terminal comes here only, and once to each.
                for pid in crew.keys() - codes.keys():
                    os.kill(pid, signal.Signals[stop.name])
            clock.sleep(LOOK_S)
    return next((codes[pid] for pid in crew if codes[pid]), EXIT_COMPLETE)


def _member(one: Callable[[int], int], index: int) -> Callable[[], None]:
    def be() -> None:
        processes.leave(one(index))

    return be
