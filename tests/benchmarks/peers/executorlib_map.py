"""executorlib: two workers that stay (block allocation), which is its fast way for many calls of one kind."""

from __future__ import annotations

import os
import tempfile

from executorlib import SingleNodeExecutor

from tests.benchmarks.peers.common import WARM, nothing, timed


def run(jobs: int, _batch: int, repetitions: int) -> list[float] | None:
    """Submit each job; there are no batches."""
    with tempfile.TemporaryDirectory(prefix="executorlib-") as folder:
        os.chdir(folder)
        with SingleNodeExecutor(max_workers=2, block_allocation=True, hostname_localhost=True) as pool:
            assert sum(pool.map(nothing, range(WARM))) == WARM
            return timed(repetitions, jobs, lambda: sum(pool.map(nothing, range(jobs))))
