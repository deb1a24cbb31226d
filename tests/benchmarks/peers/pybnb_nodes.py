"""pybnb: a tree of two levels whose nodes cost nothing and are all explored, as no bound ever says that one need not be."""

from __future__ import annotations

import math

import pybnb

from tests.benchmarks.peers.common import timed


class Nothing(pybnb.Problem):
    """A root, its children, and theirs."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.level = 0

    def sense(self):
        return pybnb.minimize

    def objective(self):
        return self.infeasible_objective()

    def bound(self):
        return 0

    def save_state(self, node):
        node.state = self.level

    def load_state(self, node):
        self.level = node.state

    def branch(self):
        for _ in range(self.width if self.level < 2 else 0):
            child = pybnb.Node()
            child.state = self.level + 1
            yield child


def run(jobs: int, _batch: int, repetitions: int) -> list[float] | None:
    """Explore about so many nodes, in the order that costs the dispatcher least."""
    width = max(1, math.isqrt(jobs))
    solver = pybnb.Solver()
    solver.solve(Nothing(2), log=None, queue_strategy="fifo")
    nodes = 1 + width + width * width
    seconds = timed(repetitions, nodes, lambda: solver.solve(Nothing(width), log=None, queue_strategy="fifo").nodes)
    return [each * jobs / nodes for each in seconds] if solver.is_dispatcher else None
