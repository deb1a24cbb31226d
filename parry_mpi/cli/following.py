"""One life of a rank other than 0: load the same problem, explore, print nothing.

It is apart from session.py because it needs no store, no coordinator and no terminal, and so starts sooner. This module must not
coordinate.
"""

from __future__ import annotations

from parry_mpi.cli.explaining import explain
from parry_mpi.cli.preparing import Request, prepare
from parry_mpi.runtime import processes
from parry_mpi.runtime.working import work
from parry_mpi.task import Task
from parry_mpi.transport import mpi


def follow(request: Request) -> int:
    """Be one of the other ranks, and return its exit code."""

    def load() -> tuple[Task, str]:
        prepared = prepare(request)
        return prepared.task, prepared.identity.fingerprint()

    try:
        transport, code = work(load, mpi.MpiTransport, request.options)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 whatever it is
        # At the end of the interpreter MPI would wait for the other ranks, and they for this one: leave so that the launcher sees it.
        processes.leave(explain(error, quiet=True))
    transport.close(orderly=True, code=code)
    return code
