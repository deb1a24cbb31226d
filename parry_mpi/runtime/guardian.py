"""The guardian: on an MPI rank other than 0, the process that the launcher started.

It never touches MPI. Before MPI is initialised it forks the process that becomes the rank, and serves it as a nursery. If the rank is
killed, the guardian stays: the launcher keeps its connection, notices nothing, and the other ranks go on. But a rank that dies while
MPI is being initialised is waited for by all others, without end: then the guardian goes, and the launcher ends them all. If the
launcher is killed, the guardian goes, and the rank with it. This module must not know what the rank does.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import NoReturn

from parry_mpi.errors import EXIT_STOPPED
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.nursery import Nursery, NurseryClient, pair
from parry_mpi.transport import launcher

WATCH_S = 0.5
"""How often a guardian whose rank was killed looks whether its launcher is still there."""


def guarded(prepare: Callable[[], Callable[[socket.socket], None]]) -> NurseryClient:
    """Split this process into a guardian, which never returns from here, and its child, which does and becomes the rank.

    Args:
        prepare: called once in the guardian; returns what an explorer does with its connection to the rank.

    Returns:
        In the child: the connection to the nursery.
    """
    processes.ignore_stop_signals()
    launcher_pid = os.getppid()
    ours, theirs = pair()
    guardian = os.getpid()
    rank = processes.fork()
    if rank:
        ours.close()
        _guard(rank, theirs, prepare, launcher_pid)
    theirs.close()
    processes.die_with_parent(guardian)
    processes.show_as("parry-worker")
    return NurseryClient(ours)


def _guard(
    rank: int, theirs: socket.socket, prepare: Callable[[], Callable[[socket.socket], None]], launcher_pid: int
) -> NoReturn:
    """Be the guardian: serve the rank, then end as it ended, or stay if it was killed after it had been ready."""
    processes.show_as("parry-guardian")
    nursery = Nursery(theirs, prepare(), launcher_pid)
    nursery.serve()
    backoff = clock.Backoff()
    status = None
    while os.getppid() == launcher_pid:
        if status is None:
            ended, status_if_ended = os.waitpid(rank, os.WNOHANG)
            status = status_if_ended if ended else None
        if status is not None and os.WIFEXITED(status):
            processes.leave(os.WEXITSTATUS(status))
        if status is not None and not nursery.asked:
            launcher.abort(EXIT_STOPPED)
            processes.leave(EXIT_STOPPED)
        clock.sleep(backoff.pause_s() if status is None else WATCH_S)
    processes.leave(EXIT_STOPPED)  # and the rank with us


def nursery_beside(prepare: Callable[[], Callable[[socket.socket], None]]) -> NurseryClient:
    """Fork a nursery as a child of this process; it ends when the connection is closed or this process dies.

    Args:
        prepare: called once in the nursery; returns what an explorer does with its connection to this process.
    """
    ours, theirs = pair()
    parent = os.getpid()

    def serve() -> None:
        processes.show_as("parry-nursery")
        processes.ignore_stop_signals()
        ours.close()
        Nursery(theirs, prepare(), parent).serve()

    processes.fork_child(serve)
    theirs.close()
    return NurseryClient(ours)
