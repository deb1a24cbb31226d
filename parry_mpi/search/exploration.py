"""The depth-first engine: explore a bundle of jobs in slices, give part of it away, say what remains.

An Exploration strings the jobs of a bundle together, each with the search that suits the problem. Everything here is exact: at any
moment what was found, what was given away, what was left out and what remains make up the whole bundle.

This module must not know leases or messages, nor read a clock: how many nodes a slice has is the caller's decision.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import msgspec

from parry_mpi.data import Gathered
from parry_mpi.job import WHOLE, Job, cut
from parry_mpi.problem import Collection, Enumeration, Explore, Number, overrides
from parry_mpi.search.base import ExplorationError, Search
from parry_mpi.search.bounding import BoundingTime
from parry_mpi.search.walking import BoundedSearch, GuidedSearch, TreeSearch
from parry_mpi.search.weighing import calls_first
from parry_mpi.task import Task, call

ORACLE_SLICE = 1 << 16
"""Nodes between two looks at nothing: the oracle only needs a number that fits a kernel's budget."""

ROOTS_AT_ONCE = 256
"""How many roots of a run are taken up together. Enough to keep a kernel busy, few enough that the rest stays a run:
nine bytes on the wire and in the state, whatever its length."""


class Found(msgspec.Struct, frozen=True):
    """What was found since the last time.

    Args:
        value: of the explored nodes together, Gathered if the problem collects; None if nothing was explored.
        nodes: how many nodes were explored.
        solved: how many jobs were finished; a run of roots counts each root.
    """

    value: Any
    nodes: int
    solved: int


class Exploration:
    """Explore the jobs of one bundle, the last one first.

    Args:
        task: whose problem it is.
        jobs: the bundle.
        kernel: what Task.problem.kernel() returned, once for the process.
        incumbent: the best score known, if there is one.
        bounding: what may be spent asking for the bounds of what a kernel leaves.

    Attributes:
        incumbent: the best score known, own ones included; may be set to a better one at any time.
        improved: whether something better than all that was known was found since take_found().
    """

    def __init__(
        self,
        task: Task,
        jobs: Iterable[Job],
        kernel: Explore | None,
        incumbent: Number | None = None,
        bounding: BoundingTime | None = None,
    ) -> None:
        self._task = task
        self._kernel = kernel
        self._bounding = bounding or BoundingTime()
        self._waiting = list(jobs)
        self._calls = calls_first(self._waiting)
        self._current: Search | None = None
        self._current_size = 0
        problem = task.problem
        plain = isinstance(problem, Enumeration) and not overrides(type(problem), "combine")
        # A list that a slice makes is its own to extend; adding would copy it at every node.
        self._combine = operator.add if plain else operator.iadd if task.solutions else problem.combine
        self._found = Found(None, 0, 0)
        self._gathered = task.solutions.gather() if task.solutions else None
        self._guided = not isinstance(problem, Enumeration | Collection)
        # A problem may prune by a rule of its own; then its bounds are not all that it goes by.
        bounded = task.bounded and not overrides(type(problem), "prunes")
        self._kind = BoundedSearch if bounded else GuidedSearch if self._guided else TreeSearch
        self.incumbent = incumbent
        self.improved = False

    @property
    def done(self) -> bool:
        """Whether nothing remains."""
        return self._current is None and not self._waiting

    @property
    def full(self) -> bool:
        """Whether so much was collected that it has to be handed over before anything more is explored."""
        return self._gathered is not None and self._gathered.full

    def slice(self, budget: int) -> int:
        """Explore at most ``budget`` nodes and return how many there were; 0 only when done.

        It returns early with something that is better than all that was known, or when it is full.

        Raises:
            ExplorationError: the user's code raised.
            UsageError: what was found cannot be sent.
            ProblemError: combine() raised; neither what was found nor what remains can be relied on.
        """
        explored = 0
        while explored < budget and not self.done:
            search = self._current or self._begin()
            try:
                value, nodes = search.slice(budget - explored, self.incumbent)
            except ExplorationError as error:
                self._add(error.value, error.explored)
                raise
            self._add(value, nodes)
            explored += nodes
            if search.done:
                self._end()
            if self.full or (self._guided and self._is_better(value)):
                break
        return explored

    def _is_better(self, value: Any) -> bool:
        """Whether this is better than all that was known; from now on it is what is known."""
        score = call(self._task.problem.score, value)
        if score is None or (self.incumbent is not None and score >= self.incumbent):
            return False
        self.incumbent = score
        self.improved = True
        return True

    def split(self) -> tuple[Job, ...]:
        """Give away about half of what remains, shallowest first; nothing if it cannot be divided now."""
        if not self._waiting:
            return tuple(self._current.split()) if self._current else ()
        if len(self._waiting) == 1:
            if self._waiting[0].count > 1:
                given, kept = cut(self._waiting[0], self._waiting[0].count // 2)
                self._waiting = [kept]
                return (given,)
            if self._current is None:
                return ()
        count = (len(self._waiting) + 1) // 2
        given_jobs = tuple(self._waiting[-count:])  # a bundle has its shallowest jobs last
        del self._waiting[-count:]
        return given_jobs

    def remaining(self, *, apart: bool = False) -> tuple[Job, ...]:
        """Return what remains, the part explored next last.

        Args:
            apart: the node explored next is a job of its own, so that it alone can be blamed for what happens next.
        """
        if apart and self._current is None and self._waiting:
            self._begin()
        return (*self._waiting, *(self._current.remaining(apart=apart) if self._current else ()))

    def take_found(self) -> Found:
        """Return what was found since the last call."""
        found, self._found = self._found, Found(None, 0, 0)
        self.improved = False
        if self._gathered is not None and self._task.solutions is not None:
            self._gathered = self._task.solutions.gather()
        return found

    def _begin(self) -> Search:
        job = self._waiting.pop()
        if job.count:
            rest_count = max(0, job.count - ROOTS_AT_ONCE)
            if rest_count:
                rest, job = cut(job, rest_count)
                self._waiting.append(rest)
        self._current = self._search(job) if self._kernel is None else self._kernel_search(job, self._kernel)
        self._current_size = job.count or 1
        return self._current

    def _search(self, job: Job) -> Search:
        task = self._task
        nodes = task.plain_root_run(job.first, job.count) if job.count else task.nodes.plain(job.node)
        return self._kind(task, job, nodes, self._combine)

    def _kernel_search(self, job: Job, kernel: Explore) -> Search:
        from parry_mpi.search.kernel import KernelSearch  # noqa: PLC0415 loads numpy, which a search without a kernel has no use for

        task = self._task
        nodes = task.root_run(job.first, job.count) if job.count else task.nodes.decode(job.node)
        return KernelSearch(task, job, nodes, kernel, self._bounding, self._calls)

    def _end(self) -> None:
        self._current = None
        self._found = msgspec.structs.replace(self._found, solved=self._found.solved + self._current_size)

    def _add(self, value: Any, nodes: int) -> None:
        if not nodes:
            return
        found = self._found
        if self._gathered is not None:
            self._gathered.add(value)
            total: Any = self._gathered
        else:
            total = call(self._combine, found.value, value) if found.nodes else value
        self._found = Found(total, found.nodes + nodes, found.solved)


def explore_all(task: Task) -> tuple[Any, int]:
    """Explore the whole tree here and now: the oracle whose answer every run must equal.

    Returns:
        The result, and how many nodes there are.
    """
    count = task.roots_count
    if count is None:
        jobs = [Job(node) for node in task.pulled_roots(0)]
    else:
        jobs = [Job(weight=WHOLE, count=count)] if count else []
    exploration = Exploration(task, jobs, call(task.problem.kernel))
    enough = call(task.problem.enough)
    try:
        while exploration.slice(ORACLE_SLICE):
            if enough is not None and exploration.incumbent is not None and exploration.incumbent <= enough:
                break
    except ExplorationError as error:
        raise error.to_problem_error() from error
    found = exploration.take_found()
    zero = call(task.problem.zero)
    value = found.value.count if isinstance(found.value, Gathered) else found.value
    return (call(task.problem.add_result, zero, value, "") if found.nodes else zero), found.nodes
