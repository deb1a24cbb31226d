"""mpi4py.futures: rank 0 is the pool's master, the other ranks are its workers."""

from __future__ import annotations

from mpi4py import MPI
from mpi4py.futures import MPICommExecutor

from tests.benchmarks.peers.common import WARM, nothing, timed


def run(jobs: int, batch: int, repetitions: int) -> list[float] | None:
    """Map, in batches, the results in any order."""
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        if executor is None:
            return None
        list(executor.map(nothing, range(WARM)))
        return timed(repetitions, jobs, lambda: sum(executor.map(nothing, range(jobs), chunksize=batch, unordered=True)))
