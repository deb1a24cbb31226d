"""ray: one remote call a job, or its pool with batches, as its list of anti-patterns recommends for tasks that are short."""

from __future__ import annotations

import os
import tempfile

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

import ray
from ray.util.multiprocessing import Pool

from tests.benchmarks.peers.common import WARM, nothing, timed

STORE_BYTES = 200_000_000
"""More than enough for small integers."""


def run(jobs: int, batch: int, repetitions: int) -> list[float] | None:
    """Start a ray of two processors on this machine, and map."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # its sockets need a short path
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            object_store_memory=STORE_BYTES,
        )
        try:
            return _mapped(jobs, batch, repetitions)
        finally:
            ray.shutdown()


def _mapped(jobs: int, batch: int, repetitions: int) -> list[float]:
    if batch == 1:
        remote = ray.remote(nothing)
        ray.get([remote.remote(index) for index in range(WARM)])
        return timed(repetitions, jobs, lambda: sum(ray.get([remote.remote(index) for index in range(jobs)])))
    with Pool(processes=2) as pool:
        pool.map(nothing, range(WARM))
        return timed(repetitions, jobs, lambda: sum(pool.map(nothing, range(jobs), chunksize=batch)))
