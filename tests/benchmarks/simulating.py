"""A program that simulates very many workers: `python -m tests.benchmarks.simulating WORKERS SECONDS_EACH KIND BUNDLE_MS`.

KIND is tree, one root that is divided by sharing, or sweep, a run of roots of which the coordinator cuts bundles that last BUNDLE_MS;
a worker then reports as often. It prints one JSON object. All times but step_us are virtual: the load of the machine is not in them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import large

from parry_mpi.core import policy, worker


def main() -> None:
    """Be the program."""
    workers, seconds_each, kind, bundle_ms = sys.argv[1:]
    if kind == "sweep":
        policy.BUNDLE_MS = int(bundle_ms)
        worker.REPORT_MS = max(worker.REPORT_MS, int(bundle_ms))
    measured = large.measure(int(workers), int(seconds_each), sweep=kind == "sweep")
    busy = measured.messages_per_s * large.STEP_US / 1e6
    print(json.dumps({**dataclasses.asdict(measured), "coordinator": busy}))


if __name__ == "__main__":
    main()
