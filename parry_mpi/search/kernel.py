"""The search of one job that hands a frontier to the problem's kernel. This module must not know bundles, nor read a clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parry_mpi.job import Job, shares, smallest_bound
from parry_mpi.problem import Explore, Number, Optimisation
from parry_mpi.search.base import ExplorationError, stronger
from parry_mpi.search.bounding import BoundingTime
from parry_mpi.search.weighing import Allowance, group_ends, reweighed
from parry_mpi.task import Task, plain_nodes


class KernelSearch:
    """Hand a frontier to the problem's kernel, some nodes at a time.

    The kernel works on the end of the frontier. What it leaves untouched keeps its weight; the weight of the deepest node it
    took off is divided among what came of it, and the weight of the others it finished is explored. See weighing.

    Args:
        task: whose problem it is.
        job: where its nodes come from: depth, killed and weight.
        nodes: the frontier, an array of records or a list.
        explore: the kernel.
        bounding: what may be spent asking for bounds.
        calls: how many calls of it may be spent on weighing before anything is explored.
    """

    def __init__(
        self, task: Task, job: Job, nodes: Sequence[Any], explore: Explore, bounding: BoundingTime, calls: int = 0
    ) -> None:
        self._task = task
        self._job = job
        self._explore = explore
        self._frontier: Any = nodes
        self._weights = np.array(shares(job.weight, len(nodes)), dtype=np.int64)
        self._allowance = Allowance(calls)
        self._bounding = bounding
        self._floor = job.bound

    def slice(self, budget: int, incumbent: Number | None) -> tuple[Any, int]:
        start, budget = self._allowance.choose(self._weights, budget)
        below, part = self._frontier[:start], self._frontier[start:]
        if start:
            below = below.copy()  # the kernel may keep its frontier in this very memory
        before, last = len(part), part[-1:].copy()
        problem = self._task.problem
        more = (problem.limit(incumbent),) if isinstance(problem, Optimisation) else ()
        try:
            done = self._explore(part, budget, *more)
            value, part, nodes, untouched = done
            self._check(part, before, nodes, untouched, budget)
        except (Exception, SystemExit) as error:
            raise ExplorationError(error, None, 0, last, intact=False) from error
        if start:
            part = np.concatenate((below, part)) if self._task.nodes.are_records else [*below, *part]
        self._frontier = part
        self._weights = reweighed(self._weights, min(start + min(int(untouched), before - 1), len(part)), len(part))
        self._allowance.earn(int(nodes))
        return value, int(nodes)

    def split(self) -> list[Job]:
        if len(self._frontier) < 2:
            return []
        # Every second node, from the shallowest on: both halves then hold work of every depth. A kernel's frontier does not
        # tell depths, and its first half by count would be nearly all of the work.
        given, weights = self._frontier[0::2], self._weights[0::2]
        kept, self._weights = self._frontier[1::2], self._weights[1::2].copy()
        self._frontier = kept.copy() if isinstance(kept, np.ndarray) else kept
        return self._jobs(given, weights)

    def remaining(self, *, apart: bool) -> list[Job]:
        if apart:
            jobs = self._jobs(self._frontier[:-1], self._weights[:-1]) + self._jobs(self._frontier[-1:], self._weights[-1:])
        else:
            jobs = self._jobs(self._frontier, self._weights)
        # All that will come of the frontier is below one of its nodes. So what holds for these holds for that, whatever bound() says.
        if self._task.bounded and jobs:
            self._floor = smallest_bound(jobs)
        return jobs

    @property
    def done(self) -> bool:
        return len(self._frontier) == 0

    def _check(self, frontier: Any, before: int, nodes: Any, untouched: Any, budget: int) -> None:
        """Refuse what would explore for ever, or could not be handed over."""
        name = f"{type(self._task.problem).__name__}.explore()"
        if nodes < 1:
            raise ValueError(f"{name} explored {nodes} nodes of a frontier of {before}; it must explore at least one")
        if nodes > budget:
            raise ValueError(f"{name} says that it explored {nodes} nodes, with a budget of {budget}")
        if untouched < 0:
            raise ValueError(f"{name} says that it left {untouched} nodes untouched")
        dtype = self._task.nodes.dtype
        if dtype is None and not isinstance(frontier, list | np.ndarray):
            raise TypeError(f"{name} left a frontier of {type(frontier)}, not a list")
        if dtype is not None and getattr(frontier, "dtype", None) != dtype:
            raise TypeError(f"{name} left a frontier of {getattr(frontier, 'dtype', type(frontier))}, not of node_dtype {dtype}")

    def _jobs(self, nodes: Any, weights: Any) -> list[Job]:
        depth, killed = self._job.depth + 1, self._job.killed
        if self._task.nodes.are_records:
            ends = group_ends(weights)
            return [
                Job(
                    nodes[start:end].tobytes(),
                    depth,
                    killed,
                    int(weights[start:end].sum()),
                    bound=self._bound(nodes[start:end], len(nodes)),
                )
                for start, end in zip([0, *ends], ends, strict=False)
            ]
        return [
            Job(self._task.nodes.encode(node), depth, killed, int(weight), bound=self._bound([node], len(nodes)))
            for node, weight in zip(nodes, weights, strict=True)
        ]

    def _bound(self, nodes: Any, count: int) -> Number | None:
        """Return the bound of some nodes that become a job; ``count`` is how many nodes become jobs now."""
        if not (self._task.bounded and self._bounding.allows(count)):
            return self._floor
        self._bounding.asked += len(nodes)
        return stronger(self._task.bound_of(plain_nodes(nodes)), self._floor)
