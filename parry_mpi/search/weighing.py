"""Weigh the nodes of a kernel's frontier, whose children the library does not see being born.

A kernel explores many nodes in a call and says how low its stack was on the way. What stands above that came of one node, whose weight
is divided evenly, although what came of its first child is as heavy as all that came of it later. So heavy nodes are explored alone,
one a call, and what is light without them: then it is exact where it matters. This module must not know problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parry_mpi.job import WHOLE, Job

if TYPE_CHECKING:
    import numpy as np

    Weights = np.ndarray[Any, np.dtype[np.int64]]
    """What each node of a frontier weighs, shallowest first."""

HEAVY_BITS = 8
"""A node is heavy if it has 2^-8 of the weight that is left in its search: the explored share is then good to a percent."""

CALLS_FIRST = 16
CALLS_PER_SLICE = 0.25
CALLS_KEPT_MAX = 256
"""How many calls of a kernel, some fifty microseconds each, are spent on weighing: when a lease of one big job begins; for each slice,
where more of them make the share hardly better; and how many that were not needed are kept for later."""

BIG_BITS = 10
"""A job is big if it has 2^-10 of the weight of the whole tree. Of a smaller one it does not matter how its weight is divided, and the
crumbs at the end of a run are over sooner than they could be weighed."""


def calls_first(jobs: Sequence[Job]) -> int:
    """Return how many calls may be spent on weighing when a lease of these jobs begins."""
    return CALLS_FIRST if len(jobs) == 1 and jobs[0].units == 1 and jobs[0].weight >= WHOLE >> BIG_BITS else 0


GROUP_BITS = 1
GROUPS_MAX = 4
"""Nodes that weigh less than half of those before them are a job of their own, as long as there are no more than so many jobs."""


class Allowance:
    """How many calls may be spent on weighing.

    Args:
        calls: how many at the beginning.
    """

    def __init__(self, calls: int) -> None:
        self._calls: float = calls
        self._slice_budget = 1

    def choose(self, weights: Weights, budget: int) -> tuple[int, int]:
        """Choose from where on a frontier is handed over, and how many nodes of that may be explored; at most ``budget``."""
        self._slice_budget = max(self._slice_budget, budget)
        if self._calls < 1:
            return 0, budget
        heavy = weights >= max(1, int(weights.sum()) >> HEAVY_BITS)
        if not heavy.any():
            return 0, budget
        start = len(heavy) - int(heavy[::-1].argmax())  # behind the last heavy node
        if start == len(heavy):
            start, budget = start - 1, 1
        self._calls -= start > 0
        return start, budget

    def earn(self, nodes: int) -> None:
        """Note how many nodes were explored: a part of that time may be spent."""
        self._calls = min(CALLS_KEPT_MAX, self._calls + CALLS_PER_SLICE * nodes / self._slice_budget)


def reweighed(weights: Weights, untouched: int, count: int) -> Weights:
    """Return what a frontier weighs after a call.

    Args:
        weights: before it.
        untouched: how many nodes at its beginning keep their weight; fewer than there were.
        count: how many nodes there are now.
    """
    if count == untouched:
        return weights[:untouched].copy()
    # All that is new came of the node at height ``untouched``, the last one taken off at the lowest point. It counts as one part of
    # its own, now explored, beside the new ones.
    part, rest = divmod(int(weights[untouched]), count - untouched + 1)
    import numpy as np  # noqa: PLC0415 slow to load, and of no use before there are weights

    new = np.full(count, part, dtype=np.int64)
    new[:untouched] = weights[:untouched]
    new[untouched : untouched + rest] += 1
    return new


def group_ends(weights: Weights) -> list[int]:
    """Divide nodes that follow on each other into few groups of about the same weight each: a job does not tell what its nodes weigh.

    Returns:
        The end of each group; the last one is the number of nodes. Empty if there are no nodes.
    """
    ends: list[int] = []
    start, count = 0, len(weights)
    while start < count:
        lighter = weights[start:] < int(weights[start]) >> GROUP_BITS
        last = len(ends) == GROUPS_MAX - 1 or not lighter.any()
        start = count if last else start + int(lighter.argmax())
        ends.append(start)
    return ends
