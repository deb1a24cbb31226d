"""Random trees with random objectives and bounds of every quality: what the best is, is known beforehand."""

from __future__ import annotations

import functools
import math
import random

from parry_mpi.problem import Optimisation, Slice
from support.trees import Effort, Tree, random_tree

NO_SOLUTION = math.inf
"""Worse than every score."""


@functools.lru_cache(maxsize=64)
def drawn(seed: int, nodes: int, roots: int) -> tuple[list[int | None], list[int], list[int | None]]:
    """The score of each node, None for those that are no solution; the best at and below each; and the score of its bound.

    Some bounds are not known, some are sharp, and some are worse than their parents'.
    """
    draw = random.Random(seed)
    scores = [draw.randrange(-40, 40) if draw.random() < 0.5 else None for _ in range(nodes)]
    best = [NO_SOLUTION if score is None else score for score in scores]
    for node in reversed(range(nodes)):
        best[node] = min([best[node], *(best[child] for child in random_tree(seed, nodes, roots).children[node])])
    vague = draw.choice([0.0, 0.1, 0.5])
    slack = draw.choice([0, 3, 30])
    bounds = [None if draw.random() < vague else each - draw.randint(0, slack) for each in best]
    return scores, best, bounds


class Optima(Optimisation[int, int]):
    """The smallest objective of a random tree.

    Args:
        seed, nodes, roots_count: of random_tree.
        indexed: whether the roots are a sequence; otherwise they are pulled.
        node_us: how long a node takes, in Effort.us.
    """

    seed: int = 0
    nodes: int = 60
    roots_count: int = 1
    indexed: bool = True
    node_us: int = 100_000

    def __post_init__(self):
        self.asked: list[int] = []
        self.explored: list[int] = []

    @property
    def tree(self) -> Tree:
        return random_tree(self.seed, self.nodes, self.roots_count)

    @property
    def drawn(self):
        return drawn(self.seed, self.nodes, self.roots_count)

    @property
    def optimum(self) -> int:
        """The best score there is."""
        return min(self.drawn[1][root] for root in self.tree.roots)

    def signed(self, score: int | None) -> int | None:
        return -score if self.sense == "max" and score is not None else score

    def roots(self):
        return list(self.tree.roots) if self.indexed else iter(self.tree.roots)

    def children(self, node):
        self.explored.append(node)
        return self.tree.children[node]

    def objective(self, node):
        Effort.us += self.node_us
        return self.signed(self.drawn[0][node])

    def bound(self, node):
        self.asked.append(node)
        return self.signed(self.drawn[2][node])


class Largest(Optima):
    """The largest one."""

    sense = "max"


class BestFirst(Optima):
    """Children in the order of their bounds."""

    best_first = True


class DepthFirst:
    """The kernel of a problem whose trees are random ones: depth first, going on with what it found itself."""

    def explore(self, frontier, budget, incumbent):
        known, best, nodes = (None if incumbent is None else self.signed(incumbent)), None, 0
        while frontier and nodes < budget:
            nodes += 1
            node = frontier.pop()
            if known is not None and self.outdone(node, known):
                continue
            better = self.improvement(node, known)
            if better is not None:
                best, known = better, self.score(better)
            frontier += reversed(self.children(node))
        return Slice(best, frontier, nodes)


class ByKernel(DepthFirst, Optima):
    """The same tree, walked by a kernel that knows nothing of gaps."""

    def outdone(self, node, known):
        bound = self.drawn[2][node]
        return bound is not None and bound >= known


class ByKernelLargest(ByKernel):
    """The largest one."""

    sense = "max"


FORMS = {form.__name__: form for form in (Optima, Largest, BestFirst, ByKernel, ByKernelLargest)}
