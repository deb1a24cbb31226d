"""pybnb's own example, from its README: the width of an interval that is halved again and again, until the bound is near enough."""

from __future__ import annotations

import pybnb

from tests.benchmarks.peers.common import timed


class Simple(pybnb.Problem):
    """As there."""

    def __init__(self) -> None:
        self.bounds = [0.0, 1.0]

    def sense(self):
        return pybnb.minimize

    def objective(self):
        return round(self.bounds[1] - self.bounds[0], 3)

    def bound(self):
        return -((self.bounds[1] - self.bounds[0]) ** 2)

    def save_state(self, node):
        node.state = self.bounds

    def load_state(self, node):
        self.bounds = node.state

    def branch(self):
        low, high = self.bounds
        middle = 0.5 * (low + high)
        for half in [(low, middle), (middle, high)]:
            child = pybnb.Node()
            child.state = half
            yield child


def run(_jobs: int, _batch: int, repetitions: int) -> list[float] | None:
    """Solve it to the gap of the README; the time is for as many nodes as were asked for, so that nodes a second can be told."""
    solver = pybnb.Solver()
    if not solver.is_dispatcher:
        for _ in range(repetitions):
            solver.solve(Simple(), absolute_gap=GAP, log=None)
        return None
    return timed(repetitions, NODES, lambda: NODES if solver.solve(Simple(), absolute_gap=GAP, log=None).nodes >= NODES else 0)


GAP = 1e-9
NODES = 65_537
"""How many nodes that takes, as its README says."""
