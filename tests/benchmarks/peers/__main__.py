"""The program `python -m tests.benchmarks.peers NAME JOBS BATCH REPETITIONS`: let one peer do so many jobs, and say how long it took.

It prints one JSON object, on the one process that knows the answer; beside the times a peer may tell more. This module
must not know what is compared with what.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys

from tests.benchmarks.peers import common


def main() -> None:
    """Be the program."""
    name, *numbers = sys.argv[1:]
    jobs, batch, repetitions = map(int, numbers)
    logging.disable(logging.WARNING)
    common.raise_loopback()
    told = importlib.import_module(f"tests.benchmarks.peers.{name}").run(jobs, batch, repetitions)
    if told is not None:
        print(json.dumps({"jobs": jobs, **(told if isinstance(told, dict) else {"seconds": told})}), flush=True)


if __name__ == "__main__":
    main()
