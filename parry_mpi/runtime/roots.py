"""Read the roots of a problem for the coordinator, by index or one after the other, and divide the whole weight among them.

This module must not decide when to read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from parry_mpi.core.events import RootsRead
from parry_mpi.core.state import Counters
from parry_mpi.job import WHOLE, Job, shares
from parry_mpi.task import Task

PULL_SHARE = 256
"""Roots of unknown number: every pull gets this part of the weight that is left, so that there is always some left for the rest.
The explored share is then a guess until the last root is read, but it grows, and ends at 1."""


BOUNDED_ROOTS_MAX = 100
"""A run of no more roots is given its bound from the start; asking more of them would keep the coordinator from its work."""


class RootSource:
    """The roots of one run.

    Args:
        task: whose roots.
        counters: how far the run has come.
    """

    def __init__(self, task: Task, counters: Counters) -> None:
        self._task = task
        self._pulled = counters.roots_pulled
        self._unpulled_weight = counters.unpulled_weight
        self._roots: Iterator[bytes] | None = None

    def read(self, count: int) -> RootsRead:
        """Read up to ``count`` more roots; roots with an index are read all at once, as one run.

        Raises:
            ProblemError: roots() raised.
            UsageError: a root cannot be encoded.
        """
        total = self._task.roots_count
        if total is not None:
            few = self._task.bounded and total <= BOUNDED_ROOTS_MAX
            bound = self._task.bound_of(self._task.plain_root_run(0, total)) if few else None
            run = (Job(weight=WHOLE, count=total, bound=bound),) if total else ()
            return RootsRead(run, total, exhausted=True, unpulled_weight=0)
        if self._roots is None:
            self._roots = self._task.pulled_roots(self._pulled)
        nodes = list(itertools.islice(self._roots, count))
        self._pulled += len(nodes)
        exhausted = len(nodes) < count
        weight = self._unpulled_weight if exhausted else self._unpulled_weight // PULL_SHARE
        # Without a last root to give it to, what was kept for it counts as explored: there was nothing.
        self._unpulled_weight -= weight
        jobs = tuple(Job(node, weight=part) for node, part in zip(nodes, shares(weight, len(nodes) or 1), strict=False))
        return RootsRead(jobs, self._pulled, exhausted, self._unpulled_weight)
