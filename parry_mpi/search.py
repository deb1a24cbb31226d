"""The depth-first engine: explore a bundle of jobs in slices, give part of it away, say what remains.

Three searches share one interface: TreeSearch walks with the problem's children() and value(), GuidedSearch does so too but looks
for something and leaves out what cannot be better, KernelSearch hands a frontier to the problem's kernel. An Exploration
strings the jobs of a bundle together. Everything here is exact: at any moment what was found, what was given away, what was left
out and what remains make up the whole bundle.

This module must not know leases or messages, nor read a clock: how many nodes a slice has is the caller's decision.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from parry_mpi.data import Gathered
from parry_mpi.errors import ProblemError
from parry_mpi.job import WHOLE, Job, cut, shares
from parry_mpi.problem import Collection, Enumeration, Explore, Number, Optimisation, overrides
from parry_mpi.task import Task, call, plain_nodes, problem_error
from parry_mpi.weighing import CALLS_FIRST, Allowance, group_ends, reweighed

ORACLE_SLICE = 1 << 16
"""Nodes between two looks at nothing: the oracle only needs a number that fits a kernel's budget."""

BUDGET_MAX = 1 << 40
"""No kernel explores more in a slice; keeps the budget within a kernel's 64-bit integer."""

GROWTH_MAX = 4
"""How much longer the next slice may be planned than the last one was: the first nodes of a job say little about the others."""

ROOTS_AT_ONCE = 256
"""How many roots of a run are taken up together. Enough to keep a kernel busy, few enough that the rest stays a run:
nine bytes on the wire and in the state, whatever its length."""


@dataclass(frozen=True)
class Found:
    """What was found since the last time.

    Args:
        value: of the explored nodes together, Gathered if the problem collects; None if nothing was explored.
        nodes: how many nodes were explored.
        solved: how many jobs were finished; a run of roots counts each root.
    """

    value: Any
    nodes: int
    solved: int


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

    def slice(self, budget: int, incumbent: Number | None) -> tuple[Any, int]:
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


class KernelSearch:
    """Hand a frontier to the problem's kernel, some nodes at a time.

    The kernel works on the end of the frontier. What it leaves untouched keeps its weight; the weight of the deepest node it
    took off is divided among what came of it, and the weight of the others it finished is explored. See weighing.

    Args:
        task: whose problem it is.
        job: where its nodes come from: depth, killed and weight.
        nodes: the frontier, an array of records or a list.
        explore: the kernel.
        calls: how many calls of it may be spent on weighing before anything is explored.
    """

    def __init__(self, task: Task, job: Job, nodes: Sequence[Any], explore: Explore, calls: int = 0) -> None:
        self._task = task
        self._job = job
        self._explore = explore
        self._frontier: Any = nodes
        self._weights = np.array(shares(job.weight, len(nodes)), dtype=np.int64)
        self._allowance = Allowance(calls)

    def slice(self, budget: int, incumbent: Number | None) -> tuple[Any, int]:
        start, budget = self._allowance.choose(self._weights, budget)
        below, part = self._frontier[:start], self._frontier[start:]
        if start:
            below = below.copy()  # the kernel may keep its frontier in this very memory
        before, last = len(part), part[-1:].copy()
        problem = self._task.problem
        more = (problem.objective_of(incumbent),) if isinstance(problem, Optimisation) else ()
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
        if not apart:
            return self._jobs(self._frontier, self._weights)
        return self._jobs(self._frontier[:-1], self._weights[:-1]) + self._jobs(self._frontier[-1:], self._weights[-1:])

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
                Job(nodes[start:end].tobytes(), depth, killed, int(weights[start:end].sum()))
                for start, end in zip([0, *ends], ends, strict=False)
            ]
        return [
            Job(self._task.nodes.encode(node), depth, killed, int(weight)) for node, weight in zip(nodes, weights, strict=True)
        ]


class Exploration:
    """Explore the jobs of one bundle, the last one first.

    Args:
        task: whose problem it is.
        jobs: the bundle.
        kernel: what Task.problem.kernel() returned, once for the process.
        incumbent: the best score known, if there is one.

    Attributes:
        incumbent: the best score known, own ones included; may be set to a better one at any time.
        improved: whether something better than all that was known was found since take_found().
    """

    def __init__(self, task: Task, jobs: Iterable[Job], kernel: Explore | None, incumbent: Number | None = None) -> None:
        self._task = task
        self._kernel = kernel
        self._waiting = list(jobs)
        self._calls = CALLS_FIRST if sum(job.units for job in self._waiting) == 1 else 0
        self._current: Search | None = None
        self._current_size = 0
        problem = task.problem
        plain = isinstance(problem, Enumeration) and not overrides(type(problem), "combine")
        # A list that a slice makes is its own to extend; adding would copy it at every node.
        self._combine = operator.add if plain else operator.iadd if task.solutions else problem.combine
        self._found = Found(None, 0, 0)
        self._gathered = task.solutions.gather() if task.solutions else None
        self._guided = not isinstance(problem, Enumeration | Collection)
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
        nodes = self._task.root_run(job.first, job.count) if job.count else self._task.nodes.decode(job.node)
        if self._kernel is None:
            kind = GuidedSearch if self._guided else TreeSearch
            self._current = kind(self._task, job, plain_nodes(nodes), self._combine)
        else:
            self._current = KernelSearch(self._task, job, nodes, self._kernel, self._calls)
        self._current_size = job.count or 1
        return self._current

    def _end(self) -> None:
        self._current = None
        self._found = replace(self._found, solved=self._found.solved + self._current_size)

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


class SliceTuner:
    """Choose how many nodes a slice has, so that it lasts about as long as wanted.

    Args:
        slice_ms: how long a slice shall last, in milliseconds.
    """

    def __init__(self, slice_ms: float) -> None:
        self._slice_ms = slice_ms
        self.budget = 1

    def note(self, nodes: int, budget: int, took_ms: float) -> None:
        """Learn from a slice: how many nodes it had, how many it might have had, and how long it took."""
        wanted = nodes * self._slice_ms / max(took_ms, 0.001)
        if took_ms > self._slice_ms:
            # One long slice is proof: come down at once. A short one may be luck: go up step by step.
            self.budget = max(1, int(wanted))
        elif nodes >= budget:
            self.budget = min(BUDGET_MAX, max(self.budget, int(min(wanted, nodes * GROWTH_MAX)) + 1))
