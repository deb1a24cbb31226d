"""pybnb: the shortest Golomb ruler, with the very children(), objective() and bound() that jobs/golomb.py has in plain Python."""

from __future__ import annotations

import time
from typing import Any

import pybnb
from pybnb.futures import NestedSolver

from jobs.golomb import Golomb

NESTED_S = 0.1
"""For how long a worker keeps a node and what is below it, in the way that pybnb has for nodes that cost little."""

WAYS: tuple[dict[str, Any], ...] = (
    {"queue_strategy": "bound"},
    {"queue_strategy": "depth"},
    {"queue_strategy": "bound", "nested": True},
)
"""By number: its default, the order of ours, and keeping nodes on workers."""


class Ruler(pybnb.Problem):
    """The adapter: a node's state is the node."""

    def __init__(self, marks: int) -> None:
        self.golomb = Golomb(n=marks, engine="python")
        self.node = self.golomb.roots()[0]

    def sense(self):
        return pybnb.minimize

    def objective(self):
        length = self.golomb.objective(self.node)
        return self.infeasible_objective() if length is None else length

    def bound(self):
        return self.golomb.bound(self.node)

    def save_state(self, node):
        node.state = self.node

    def load_state(self, node):
        self.node = node.state

    def branch(self):
        for each in self.golomb.children(self.node):
            child = pybnb.Node()
            child.state = each
            yield child


def run(marks: int, way: int, repetitions: int) -> dict[str, Any] | None:
    """Find a ruler with so many marks and prove it the shortest.

    Args:
        marks: of the ruler.
        way: which of WAYS.
        repetitions: how often.

    Returns:
        For each time the seconds and the nodes, and the lengths; None where the answer is not known.
    """
    settings = dict(WAYS[way])
    nested = settings.pop("nested", False)
    solver = pybnb.Solver()
    solver.solve(Ruler(3), log=None)  # then everybody is connected
    told: dict[str, Any] = {"seconds": [], "nodes": [], "lengths": []}
    for _ in range(repetitions):
        ruler = Ruler(marks)
        problem = NestedSolver(ruler, time_limit=NESTED_S) if nested else ruler
        began_at_s = time.perf_counter()
        results = solver.solve(problem, log=None, **settings)
        told["seconds"].append(time.perf_counter() - began_at_s)
        told["nodes"].append(results.nodes)
        told["lengths"].append(results.objective if results.solution_status == "optimal" else None)
    return told if solver.is_dispatcher else None
