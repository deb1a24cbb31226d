"""The roles of those who explore: a rank of its own, or a worker inside the coordinator's process.

This module must not read the command line nor print.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from parry_mpi.core.ids import WorkerId
from parry_mpi.core.messages import Goodbye, Unable
from parry_mpi.errors import EXIT_COMPLETE, EXIT_STOPPED, ParryError, ProblemError
from parry_mpi.problem import Explore, Slice
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.explorers import Explorer, InlineExplorer, ProcessExplorer, explore_in_child
from parry_mpi.runtime.guardian import guarded, nursery_beside
from parry_mpi.runtime.options import Options
from parry_mpi.runtime.scouting import soon_over
from parry_mpi.runtime.waits import STARTING_S, flush
from parry_mpi.runtime.worker_loop import WorkerLoop
from parry_mpi.task import Task, call
from parry_mpi.transport import inprocess
from parry_mpi.transport.base import COORDINATOR, Transport
from parry_mpi.wire import codec


def work(
    load: Callable[[], tuple[Task, str]], open_transport: Callable[[], Transport], options: Options
) -> tuple[Transport, int]:
    """Be a worker on a rank of its own until the coordinator lets go.

    Args:
        load: returns the problem and its fingerprint; what it raises is told to the coordinator.
        open_transport: initialises MPI; called in the process that is the rank.
        options: what the user chose.

    Returns:
        The transport, to be closed, and the exit code. With isolation, only the child that became the rank gets here.
    """
    error: ParryError | None = None
    try:
        task, fingerprint = load()
    except ParryError as raised:
        error = raised
    if error is not None:
        processes.ignore_stop_signals()
        transport = open_transport()
        _say_unable(transport, error)
        return transport, EXIT_COMPLETE  # rank 0 ends with the code that tells; a launcher may mix the codes of two ranks
    explorer: Explorer
    if options.isolation == "process":
        nursery = guarded(_prepare(task))
        transport = open_transport()
        explorer = ProcessExplorer(nursery)
    else:
        processes.ignore_stop_signals()
        transport = open_transport()
        explorer = InlineExplorer(task, _kernel(task))
    # With the user's code in the same process, no heartbeat can be promised.
    loop = WorkerLoop(fingerprint, processes.host_name(), transport, explorer, beating=options.isolation == "process")
    backoff = clock.Backoff()
    parent = os.getppid()
    while not loop.left:
        if os.getppid() != parent:
            processes.leave(EXIT_STOPPED)  # the launcher is gone, and this rank cannot tell whether the others are
        if loop.turn() or loop.restless:
            backoff.active()
        else:
            loop.rest(backoff)
    explorer.close()
    flush(transport)
    return transport, EXIT_COMPLETE


class Embedded:
    """A worker in the coordinator's own process; its loop is turned along with the coordinator's."""

    def __init__(self, loop: WorkerLoop, explorer: Explorer) -> None:
        self.loop = loop
        self._explorer = explorer

    def close(self) -> None:
        """End its explorer."""
        self._explorer.close()


def embed(task: Task, fingerprint: str, options: Options) -> tuple[Transport, Embedded]:
    """Make a worker in this process, and the coordinator's end of the transport to it."""
    hub, end = inprocess.pair()
    explorer = explorer_beside(task, options.isolation)
    return hub, Embedded(WorkerLoop(fingerprint, processes.host_name(), end, explorer, beating=False), explorer)


def explorer_beside(task: Task, isolation: str) -> Explorer:
    """Make an explorer for a worker that lives in this very process, no rank of a launcher's.

    Args:
        task: the problem.
        isolation: as in Options.
    """
    if isolation == "process":
        return ProcessExplorer(nursery_beside(_prepare(task)))
    return InlineExplorer(task, _kernel(task))


def _say_unable(transport: Transport, error: ParryError) -> None:
    """Tell the coordinator why this rank cannot work, and wait to be let go."""
    details = error.details if isinstance(error, ProblemError) else ""
    transport.send(COORDINATOR, codec.encode([Unable(processes.host_name(), str(error), details)]))
    backoff = clock.Backoff()
    ends_at_ms = clock.now_ms() + int(STARTING_S * 1000)
    while clock.now_ms() < ends_at_ms:
        transport.progress()
        if transport.receive():
            break
        clock.sleep(backoff.pause_s())
    transport.send(COORDINATOR, codec.encode([Goodbye(WorkerId(0))]))
    flush(transport)


def _kernel(task: Task) -> Explore | None:
    kernel = call(task.problem.kernel)
    if kernel is not None:
        import parry_mpi.search.kernel  # noqa: F401, PLC0415 it loads numpy: here it does so once for all explorers
    return kernel


def _prepare(task: Task) -> Callable[[], Callable[[socket.socket], None]]:
    """Return what a nursery does first: make the kernel ready, if it is worth that, so that every explorer it forks has it."""

    def prepare() -> Callable[[socket.socket], None]:
        try:
            kernel = None if soon_over(task) else _kernel(task)
        except ParryError as error:
            kernel = _raising(error)
        return lambda connection: explore_in_child(task, kernel, connection)

    return prepare


def _raising(error: ParryError) -> Explore:
    """Return a kernel that raises this: what kept the kernel from being made is told like any other error of the user's code."""

    def explore(_frontier: Any, _budget: int) -> Slice:
        raise error

    return explore
