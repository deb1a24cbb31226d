"""HyperQueue, from Python: a job of many tasks, each a program that does nothing; its Python functions would start Python as well."""

from __future__ import annotations

import shutil
import tempfile

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

from tests.benchmarks.peers.common import timed


def run(jobs: int, _batch: int, repetitions: int) -> list[float] | None:
    """Start a server and two workers in this process, and submit."""
    true = shutil.which("true")
    assert true is not None
    with tempfile.TemporaryDirectory(prefix="hyperqueue-") as folder, LocalCluster(folder) as cluster:
        for _ in range(2):
            cluster.start_worker(WorkerConfig(cores=1))
        client = cluster.client()

        def submitted(count: int) -> int:
            job = Job(default_workdir=folder)
            for _ in range(count):
                job.program([true], stdout=None, stderr=None)
            return count if client.wait_for_jobs([client.submit(job)]) else 0

        submitted(2)
        return timed(repetitions, jobs, lambda: submitted(jobs))
