"""parsl: its high-throughput executor, with two workers that fetch ahead."""

from __future__ import annotations

import tempfile

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from tests.benchmarks.peers.common import WARM, nothing, timed

PREFETCH = 64
"""How many jobs a node's manager has in hand; without any, each waits for a round trip."""


def run(jobs: int, _batch: int, repetitions: int) -> list[float] | None:
    """Call an app for each job; there are no batches."""
    with tempfile.TemporaryDirectory(prefix="parsl-") as folder:
        executor = HighThroughputExecutor(
            address="127.0.0.1",
            max_workers_per_node=2,
            prefetch_capacity=PREFETCH,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )
        config = Config(executors=[executor], strategy="none", run_dir=folder, initialize_logging=False)
        with parsl.load(config):
            app = parsl.python_app(nothing)
            assert sum(future.result() for future in [app(index) for index in range(WARM)]) == WARM
            return timed(repetitions, jobs, lambda: sum(future.result() for future in [app(index) for index in range(jobs)]))
