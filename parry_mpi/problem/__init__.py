"""What a search problem provides: the only thing a user of parry_mpi writes.

A problem is a class whose fields are its parameters and whose methods describe a tree:

>>> from parry_mpi import Enumeration
>>> class Subsets(Enumeration[tuple[int, ...], int]):
...     n: int = 3
...     def roots(self):
...         return [()]
...     def children(self, node):
...         return [(*node, item) for item in range(node[-1] + 1 if node else 0, self.n)]
...     def value(self, node):
...         return 1

There are three ways to describe how a node is explored, from easy to fast: ``children`` and ``value`` (the library walks
the tree); ``explore`` (a kernel walks a bounded number of nodes at a time); ``value`` alone (every root is one call).

There are four types of search: Enumeration combines the values of all nodes; Collection keeps what is found at them, one by one;
Decision asks whether there is a node of a kind, and stops at the first; Optimisation looks for the best, and leaves out what
cannot be better. Counting makes a Decision an Enumeration of its witnesses.

This package must not know about jobs, leases or messages.
"""

from __future__ import annotations

from typing import Any

from parry_mpi.problem.base import Explore, Number, Problem, Slice, overrides
from parry_mpi.problem.collection import Collection
from parry_mpi.problem.counting import Counting
from parry_mpi.problem.decision import Decision
from parry_mpi.problem.enumeration import Enumeration
from parry_mpi.problem.optimisation import SCORE_MAX, Best, Optimisation, plain_number
from parry_mpi.problem.roots import IndexedRoots

__all__ = [
    "SCORE_MAX",
    "SEARCH_TYPES",
    "Best",
    "Collection",
    "Counting",
    "Decision",
    "Enumeration",
    "Explore",
    "IndexedRoots",
    "Number",
    "Optimisation",
    "Problem",
    "Slice",
    "overrides",
    "plain_number",
]

SEARCH_TYPES: tuple[type[Problem[Any, Any]], ...] = (Enumeration, Collection, Decision, Optimisation, Counting)
"""What a problem is a subclass of."""
