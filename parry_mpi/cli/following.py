"""One life of a rank other than 0: load the same problem, explore, print nothing.

It is apart from session.py because it needs no store, no coordinator and no terminal, and so starts sooner. This module must not
coordinate.
"""

from __future__ import annotations

from typing import NoReturn

from parry_mpi.cli.explaining import explain
from parry_mpi.cli.preparing import Request, prepare
from parry_mpi.errors import ParryError
from parry_mpi.runtime import processes
from parry_mpi.runtime.working import work
from parry_mpi.task import Task
from parry_mpi.transport import launcher, mpi

ALIKE_S = 3.0
"""What keeps this rank from MPI most likely keeps rank 0 from it, too, which then says so and ends all ranks: so long it is given."""


def follow(request: Request) -> int:
    """Be one of the other ranks, and return its exit code."""

    def load() -> tuple[Task, str]:
        prepared = prepare(request)
        return prepared.task, prepared.identity.fingerprint()

    try:
        transport, code = work(load, mpi.MpiTransport, request.options)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 whatever it is
        _give_up(error)
    transport.close(orderly=True, code=code)
    return code


def _give_up(error: BaseException) -> NoReturn:
    """End this rank so that the launcher sees it, and all others with it, which would wait for this one in MPI_Init without end."""
    code = explain(error, quiet=True)
    if not (mpi.initialised() or isinstance(error, KeyboardInterrupt)):
        if isinstance(error, ParryError):
            launcher.pause(ALIKE_S)
            explain(ParryError(f"rank {launcher.launched_rank()} on {processes.host_name()}: {error}"))
        launcher.abort(code)
    # At the end of the interpreter MPI would wait for the others as well.
    processes.leave(code)
