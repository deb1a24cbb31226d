"""schwimmbad's MPIPool: one job at a time, or batches made by its batch_tasks, over which the user's function loops itself."""

from __future__ import annotations

from schwimmbad import MPIPool
from schwimmbad.utils import batch_tasks

from tests.benchmarks.peers.common import WARM, nothing, nothings, timed


def run(jobs: int, batch: int, repetitions: int) -> list[float] | None:
    """Map; ranks other than 0 never come back from the pool's constructor."""
    with MPIPool() as pool:
        pool.map(nothing, range(WARM))
        if batch == 1:
            return timed(repetitions, jobs, lambda: sum(pool.map(nothing, range(jobs))))
        count = max(1, jobs // batch)
        return timed(repetitions, jobs, lambda: sum(pool.map(nothings, batch_tasks(count, n_tasks=jobs))))
