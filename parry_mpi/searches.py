"""The searches of one job: each explores it in slices, gives part of it away, and says what remains.

They share one interface: TreeSearch walks with the problem's children() and value(), GuidedSearch does so too but looks for something
and leaves out what cannot be better, BoundedSearch keeps the bounds of what it has not looked at, and KernelSearch hands a frontier to
the problem's kernel. This module must not know bundles, nor read a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from parry_mpi.bounding import BoundingTime
from parry_mpi.errors import ProblemError
from parry_mpi.job import Job, shares, smallest_bound
from parry_mpi.problem import Explore, Number, Optimisation, overrides
from parry_mpi.task import Task, plain_nodes, problem_error
from parry_mpi.weighing import Allowance, group_ends, reweighed


class ExplorationError(Exception):
    """The user's code raised. sys.exit() counts: it would end the explorer, and without isolation the run, as if all were well.

    Args:
        error: what it raised.
        value, explored: what the same slice had found before, and how many nodes that was.
        node: the node, or the last of the frontier, that was being explored.
        intact: what remains is as it was before that node, which stands last. False for a kernel: it may have changed the frontier.
    """

    def __init__(self, error: BaseException, value: Any, explored: int, node: Any, *, intact: bool) -> None:
        super().__init__(str(error))
        self.intact = intact
        self.value = value
        self.explored = explored
        self._error = error
        self._node = node

    def to_problem_error(self) -> ProblemError:
        """Describe it to the user, with the user's own traceback."""
        return self._error if isinstance(self._error, ProblemError) else problem_error(self._error, self._node)


class Search(Protocol):
    """The search of one job."""

    def slice(self, budget: int, incumbent: Number | None) -> tuple[Any, int]:
        """Explore at most ``budget`` nodes and return what they are worth and how many there were; at least one.

        Args:
            budget: at least 1.
            incumbent: the best score known, if there is one.
        """

    def split(self) -> list[Job]:
        """Give away about half of what remains, shallowest first; nothing if it cannot be divided now."""

    def remaining(self, *, apart: bool) -> list[Job]:
        """Return what remains, the part explored next last. Empty when done.

        Args:
            apart: the node explored next is a job of its own.
        """

    @property
    def done(self) -> bool:
        """Whether nothing remains."""


class TreeSearch:
    """Walk with the problem's own children() and value(), depth first.

    The frontier is one stack; a child's share of its parent's weight travels along, so the explored share is exact.

    Args:
        task: whose problem it is.
        job: where its nodes come from: depth, killed and weight.
        nodes: the job's nodes, shallowest first.
        combine: adds two values.
    """

    def __init__(self, task: Task, job: Job, nodes: list[Any], combine: Callable[[Any, Any], Any]) -> None:
        self._task = task
        self._job = job
        self._combine = combine
        self._nodes = nodes
        self._weights = shares(job.weight, len(self._nodes))
        self._depths = [job.depth] * len(self._nodes)
        self._leaves_only = not overrides(type(task.problem), "children")

    def slice(self, budget: int, incumbent: Number | None) -> tuple[Any, int]:
        if self._leaves_only:
            return self._slice_of_leaves(budget)
        problem, combine = self._task.problem, self._combine
        value_of, children_of = problem.value, problem.children
        nodes = self._nodes
        total: Any = None
        explored = 0
        try:
            while explored < budget and nodes:
                node = nodes[-1]
                value = value_of(node)
                children = list(children_of(node))
                total = combine(total, value) if explored else value
                # Only now is the node taken off: whatever raised above, it is still among what remains.
                explored += 1
                self._replace_last(children)
        except (Exception, SystemExit) as error:
            raise ExplorationError(error, total, explored, node, intact=True) from error
        return total, explored

    def _slice_of_leaves(self, budget: int) -> tuple[Any, int]:
        """The same where no node has children: a point of a sweep may be worth less time than to ask it for them."""
        value_of, combine = self._task.problem.value, self._combine
        total: Any = None
        explored = 0
        try:
            for node in self._nodes[: -budget - 1 : -1]:
                value = value_of(node)
                total = combine(total, value) if explored else value
                explored += 1
        except (Exception, SystemExit) as error:
            raise ExplorationError(error, total, explored, node, intact=True) from error
        finally:
            rest_count = len(self._nodes) - explored
            del self._nodes[rest_count:], self._weights[rest_count:], self._depths[rest_count:]
        return total, explored

    def _replace_last(self, children: list[Any]) -> None:
        """Take the last node off and put its children there, the first one last."""
        self._nodes.pop()
        weight = self._weights.pop()
        depth = self._depths.pop() + 1
        if children:
            children.reverse()
            self._nodes += children
            self._weights += shares(weight, len(children))
            self._depths += [depth] * len(children)

    def split(self) -> list[Job]:
        half = sum(self._weights) // 2
        given, count = 0, 0
        while count < len(self._nodes) - 1 and (count == 0 or given + self._weights[count] <= half):
            given += self._weights[count]
            count += 1
        jobs = self._jobs(0, count)
        del self._nodes[:count], self._weights[:count], self._depths[:count]
        return jobs

    def remaining(self, *, apart: bool) -> list[Job]:
        return self._jobs(0, len(self._nodes))

    @property
    def done(self) -> bool:
        return not self._nodes

    def _jobs(self, start: int, end: int) -> list[Job]:
        encode, killed = self._task.nodes.encode, self._job.killed
        return [Job(encode(self._nodes[i]), self._depths[i], killed, self._weights[i]) for i in range(start, end)]


class GuidedSearch(TreeSearch):
    """Walk in search of something: stop at what is better than all that is known, and leave out what cannot be.

    A node that is left out counts as explored: it was looked at, and so was all below it, by its bound.
    """

    def slice(self, budget: int, incumbent: Number | None) -> tuple[Any, int]:
        problem, nodes = self._task.problem, self._nodes
        explored = 0
        try:
            while explored < budget and nodes:
                node = nodes[-1]
                if incumbent is not None and problem.prunes(node, incumbent):
                    explored += 1
                    self._replace_last([])
                    continue
                better = problem.improvement(node, incumbent)
                children = list(problem.children(node))
                explored += 1
                self._replace_last(children)
                if better is not None:
                    return better, explored
        except (Exception, SystemExit) as error:
            raise ExplorationError(error, None, explored, node, intact=True) from error
        return None, explored


class BoundedSearch(GuidedSearch):
    """Keep the bound of every node on the stack: asked for once, when the node is looked at or given away, whatever comes first.

    A bound that is better than its parent's is none: what is above a node bounds it too.
    """

    def __init__(self, task: Task, job: Job, nodes: list[Any], combine: Callable[[Any, Any], Any]) -> None:
        super().__init__(task, job, nodes, combine)
        assert isinstance(task.problem, Optimisation)
        self._problem = task.problem
        own = len(nodes) == 1 and job.bound is not None and not job.count
        self._bounds: list[Number | None] = [job.bound] * len(nodes)
        self._asked = [own] * len(nodes)

    def slice(self, budget: int, incumbent: Number | None) -> tuple[Any, int]:
        problem, nodes = self._problem, self._nodes
        best_first = problem.best_first
        explored = 0
        try:
            while explored < budget and nodes:
                node = nodes[-1]
                if incumbent is not None and problem.hopeless(self._bound_at(-1), incumbent):
                    explored += 1
                    self._replace_last([])
                    continue
                better = problem.improvement(node, incumbent)
                children = list(problem.children(node))
                bounds = [self._bound_of(child, self._bounds[-1]) for child in children] if best_first else None
                explored += 1
                if bounds is None:
                    self._replace_last(children)
                else:
                    self._replace_last_by_best(children, bounds)
                if better is not None:
                    return better, explored
        except (Exception, SystemExit) as error:
            raise ExplorationError(error, None, explored, node, intact=True) from error
        return None, explored

    def split(self) -> list[Job]:
        jobs = super().split()
        del self._bounds[: len(jobs)], self._asked[: len(jobs)]
        return jobs

    def _replace_last(self, children: list[Any]) -> None:
        super()._replace_last(children)
        self._asked.pop()
        self._bounds += [self._bounds.pop()] * len(children)
        self._asked += [False] * len(children)

    def _replace_last_by_best(self, children: list[Any], bounds: list[Number | None]) -> None:
        """Take the last node off and put its children there, the one with the best bound last, of equals the first."""
        ranks = [-math.inf if bound is None else bound for bound in bounds]
        order = sorted(range(len(children)), key=ranks.__getitem__)
        self._replace_last([children[place] for place in order])
        for height, place in enumerate(reversed(order), len(self._nodes) - len(order)):
            self._bounds[height], self._asked[height] = bounds[place], True

    def _bound_of(self, node: Any, above: Number | None) -> Number | None:
        return stronger(self._problem.bound_score(node), above)

    def _bound_at(self, place: int) -> Number | None:
        """Return the bound of a node on the stack."""
        if not self._asked[place]:
            self._bounds[place] = self._bound_of(self._nodes[place], self._bounds[place])
            self._asked[place] = True
        return self._bounds[place]

    def _jobs(self, start: int, end: int) -> list[Job]:
        jobs = enumerate(super()._jobs(start, end), start)
        return [msgspec.structs.replace(job, bound=self._told_bound(place)) for place, job in jobs]

    def _told_bound(self, place: int) -> Number | None:
        try:
            return self._bound_at(place)
        except (Exception, SystemExit):  # noqa: BLE001 the user's code: it raises again when the node is explored, and is told then
            return None


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
            part = np.concatenate((below, part)) if self._task.nodes.dtype is not None else [*below, *part]
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
        if self._task.nodes.dtype is not None:
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


def stronger(bound: Number | None, other: Number | None) -> Number | None:
    """Return the bound that says more, of two that both hold."""
    if bound is None or other is None:
        return other if bound is None else bound
    return max(bound, other)
