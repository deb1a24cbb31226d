"""The searches of one job that walk with the problem's own methods: each explores in slices, gives part away, says what remains.

TreeSearch walks with children() and value(), GuidedSearch does so too but looks for something and leaves out what cannot be better,
BoundedSearch keeps the bounds of what it has not looked at. This module must not know bundles, nor read a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from parry_mpi.job import Job, shares
from parry_mpi.problem import Number, Optimisation, overrides
from parry_mpi.search.base import ExplorationError, stronger
from parry_mpi.task import Task


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
