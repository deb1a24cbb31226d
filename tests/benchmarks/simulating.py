"""A program that simulates very many workers: `python -m tests.benchmarks.simulating WORKERS SECONDS_EACH KIND`.

KIND is tree, one root that is divided by sharing, or sweep, a run of roots of which the coordinator cuts bundles. It prints one JSON
object. All times but step_us are virtual: the load of the machine is not in them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import large

from parry_mpi.core.policy import MESSAGE_US


def main() -> None:
    """Be the program."""
    workers, seconds_each, kind = sys.argv[1:]
    measured = large.measure(int(workers), int(seconds_each), sweep=kind == "sweep")
    busy = measured.messages_per_s * MESSAGE_US / 1e6
    print(json.dumps({**dataclasses.asdict(measured), "coordinator": busy}))


if __name__ == "__main__":
    main()
