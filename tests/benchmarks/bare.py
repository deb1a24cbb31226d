"""A kernel alone: a program that loops over a problem's kernel with a budget without end, in one process.

    python -m tests.benchmarks.bare jobs/queens.py n=12

It says that it is ready, waits for a line, explores the whole tree and prints what that took as one JSON object. This module must not
use anything of the library that a run would spend time in.
"""

from __future__ import annotations

import json
import sys
import time

from parry_mpi.cli.preparing import Request, prepare
from parry_mpi.cli.telling import data_of
from parry_mpi.runtime.options import Options

BUDGET = 1 << 40
"""More than there are nodes. The kernel comes back earlier only to have its stack made longer."""


def main() -> None:
    """Be the program."""
    where, *words = sys.argv[1:]
    task = prepare(Request(where, words, None, as_json=True, options=Options())).task
    problem = task.problem
    explore = problem.kernel()
    if explore is None or task.roots_count is None:
        raise SystemExit(f"{where} has no kernel here, or its roots have no index")
    began_at_s = time.perf_counter()
    explore(task.root_run(0, task.roots_count), 1)
    load_s = time.perf_counter() - began_at_s
    print("ready", flush=True)
    sys.stdin.readline()
    frontier = task.root_run(0, task.roots_count)
    total, explored = problem.zero(), 0
    began_at_s = time.perf_counter()
    while len(frontier):
        value, frontier, nodes, *_ = explore(frontier, BUDGET)
        total = problem.combine(total, value)
        explored += nodes
    seconds = time.perf_counter() - began_at_s
    print(json.dumps({"result": data_of(total), "nodes": explored, "seconds": seconds, "load_s": load_s}), flush=True)


if __name__ == "__main__":
    main()
