"""pybnb's own example, from its README: the width of an interval that is halved again and again, until the bound is near enough."""

from __future__ import annotations

import time

import pybnb


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


GAP = 1e-9
"""That of the README; it takes 65535 nodes."""

SMALLER_GAP = 1e-7
"""For a shorter try: 4095 nodes or twice as many."""


def run(jobs: int, _batch: int, repetitions: int) -> list[float] | None:
    """Solve it; the time is scaled to as many nodes as were asked for, so that nodes a second can be told."""
    solver = pybnb.Solver()
    seconds = []
    for _ in range(repetitions):
        began_at_s = time.perf_counter()
        nodes = solver.solve(Simple(), absolute_gap=GAP if jobs > 60_000 else SMALLER_GAP, log=None).nodes
        seconds.append((time.perf_counter() - began_at_s) * jobs / nodes)
    return seconds if solver.is_dispatcher else None
