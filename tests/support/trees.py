"""Trees whose nodes are counted one by one, so that a node counted twice or never cannot hide in a sum.

The value of node ``i`` is a digit of its own, ``1 << (DIGIT_BITS * i)``. What was explored, what is pending, leased, quarantined and
not yet pulled must at any moment add up to ``Tree.whole``: one comparison of integers says that each node is in exactly one place.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Sequence

import msgspec

from parry_mpi.job import Job
from parry_mpi.problem import Enumeration

DIGIT_BITS = 4
"""Room to see a node counted up to 15 times before it spills over into its neighbour."""


class Poisoned(BaseException):
    """What stands in for the death of the explorer's process; no Exception, so that nothing on the way survives it."""


class Tree:
    """An explicit tree, or several.

    Args:
        children: the children of every node; a child's number is greater than its parent's.
        roots: in order; every other node is below one of them.
    """

    def __init__(self, children: Sequence[Sequence[int]], roots: Sequence[int]) -> None:
        self.children = [tuple(own) for own in children]
        self.roots = tuple(roots)
        self.alone = [1 << (DIGIT_BITS * node) for node in range(len(children))]
        self.below = list(self.alone)
        for node in reversed(range(len(children))):
            self.below[node] += sum(self.below[child] for child in self.children[node])
        self.whole = self.of_roots(0)
        self._of_node: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.children)

    def of_roots(self, first: int, count: int | None = None) -> int:
        """What is at and below the roots from the first one on."""
        end = len(self.roots) if count is None else first + count
        return sum(self.below[root] for root in self.roots[first:end])

    def of_job(self, job: Job) -> int:
        """What a job still has to explore."""
        if job.count:
            return self.of_roots(job.first, job.count)
        if job.node not in self._of_node:
            self._of_node[job.node] = self.below[msgspec.msgpack.decode(job.node, type=int)]
        return self._of_node[job.node]

    def of_jobs(self, jobs: Iterable[Job]) -> int:
        """What several jobs still have to explore."""
        return sum(map(self.of_job, jobs))

    def of_nodes(self, nodes: Iterable[int]) -> int:
        """What these nodes alone are."""
        return sum(self.alone[node] for node in nodes)

    def nodes_of(self, digits: int) -> dict[int, int]:
        """How often each node is counted in a sum of values, for error messages."""
        counts = {node: digits >> (DIGIT_BITS * node) & (2**DIGIT_BITS - 1) for node in range(len(self))}
        return {node: count for node, count in counts.items() if count}


def encoded(node: int) -> bytes:
    """A node in its wire form."""
    return msgspec.msgpack.encode(node)


@functools.lru_cache(maxsize=64)
def random_tree(seed: int, nodes: int, roots: int) -> Tree:
    """Draw a tree: some bushy, some thin and deep."""
    draw = random.Random(seed)
    children: list[list[int]] = [[] for _ in range(nodes)]
    thin = draw.choice([0.1, 0.5, 0.9])
    for node in range(roots, nodes):
        lowest = max(0, node - 3) if draw.random() < thin else 0
        children[draw.randrange(lowest, node)].append(node)
    return Tree(children, range(min(roots, nodes)))


class Effort:
    """How long exploring has taken so far, in a time that does not pass: every node adds to it.

    Attributes:
        us: microseconds.
    """

    us = 0


class Digits(Enumeration[int, int]):
    """Enumerate a random tree; the answer names every node.

    Args:
        node_us: how long a node takes, in Effort.us.
        seed, nodes, roots_count: of random_tree.
        indexed: whether the roots are a sequence; otherwise they are pulled.
        poison: nodes that kill whoever explores them.
        raising: nodes whose exploration raises.
    """

    seed: int = 0
    nodes: int = 100
    roots_count: int = 1
    indexed: bool = True
    poison: frozenset[int] = frozenset()
    raising: frozenset[int] = frozenset()
    node_us: int = 1000

    @property
    def tree(self) -> Tree:
        return random_tree(self.seed, self.nodes, self.roots_count)

    def roots(self):
        return list(self.tree.roots) if self.indexed else iter(self.tree.roots)

    def children(self, node):
        return self.tree.children[node]

    def value(self, node):
        Effort.us += self.node_us
        if node in self.poison:
            raise Poisoned(node)
        if node in self.raising:
            raise ArithmeticError(f"node {node} cannot be explored")
        return self.tree.alone[node]
