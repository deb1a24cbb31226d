"""dask.distributed: one future a job, or a bag whose partitions are the tasks, as dask recommends for jobs that are short."""

from __future__ import annotations

import dask.bag
from distributed import Client, LocalCluster

from tests.benchmarks.peers.common import WARM, nothing, timed


def run(jobs: int, batch: int, repetitions: int) -> list[float] | None:
    """Start a cluster of two processes, and map."""
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None, "processes": True}
    with LocalCluster(worker_dashboard_address=None, **options) as cluster, Client(cluster) as client:
        client.gather(client.map(nothing, range(WARM), pure=False))
        if batch == 1:
            return timed(repetitions, jobs, lambda: sum(client.gather(client.map(nothing, range(jobs), pure=False))))
        return timed(
            repetitions, jobs, lambda: dask.bag.from_sequence(range(jobs), partition_size=batch).map(nothing).sum().compute()
        )
