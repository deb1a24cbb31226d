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
cannot be better.

This module must not know about jobs, leases or messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Optional, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

Node = TypeVar("Node")
Value = TypeVar("Value")
Solution = TypeVar("Solution")


class Slice(NamedTuple):
    """What one call of a kernel did.

    Args:
        value: what the explored nodes are worth together.
        frontier: what is left, shallowest first: an array of records, or a list of nodes. It need not stay as it is beyond
            the next call, so that a kernel can keep it in a buffer of its own.
        nodes: how many nodes were explored; at least 1 when the frontier was not empty.
        untouched: how many leading nodes of the frontier that was handed in were never taken off it. Optional: it makes
            the explored share exact. A kernel that keeps the frontier as a stack has it for free, as the lowest height
            the stack ever had.
    """

    value: Any
    frontier: Any
    nodes: int
    untouched: int = 0


Explore = Callable[..., Slice]
"""A kernel: ``explore(frontier, budget)`` explores at most ``budget`` nodes from the end of ``frontier``. That of an Optimisation
has a third argument, the objective of the best solution known, or None."""

Number = int | float

SCORE_MAX = 2**63 - 1
"""Objectives are sent as 64-bit numbers."""


class Problem(msgspec.Struct, Generic[Node, Value], kw_only=True, forbid_unknown_fields=True, dict=True):
    """A search space. Subclass a search type, such as Enumeration, instead of this class.

    The annotated fields of a subclass are the problem's parameters, given on the command line as NAME=VALUE. Their types may be
    anything msgspec can validate: int, float, str, bool, Literal, optional values, lists, ...

    What is made from the parameters once, such as a table or the contents of a file, is best a functools.cached_property.

    Attributes:
        node_dtype: the numpy dtype of a node, when nodes are records; children() and value() are then given a tuple of its
            fields, and a kernel's frontier is one structured array, whose wire form is its bytes. It may be a
            functools.cached_property where it depends on the parameters.
        incidental: names of parameters that cannot change the answer (an engine, a cache size). Runs that differ only in
            these share a run directory.
    """

    node_dtype: ClassVar[np.dtype[Any] | None] = None
    incidental: ClassVar[frozenset[str]] = frozenset()

    def roots(self) -> Iterable[Node]:
        """Return the nodes at which the search starts, the same ones in the same order every time.

        A sequence (a list, a range, a numpy array, anything with ``len`` and ``[i]``) is farmed out by index: nothing is sent
        and nothing is held in memory for the roots not yet begun. Anything else that can be iterated over is pulled by the coordinator as
        needed and may be far larger than memory. After a restart the roots already taken are skipped, so a
        generator must give the same roots again: sort what comes from a folder or a set.
        """
        raise NotImplementedError(f"{type(self).__name__} must define roots()")

    def inputs(self) -> Iterable[Any]:
        """Return the paths of the files that the answer depends on, beside the source.

        A run does not go on, and no worker joins it, with files of another content.
        """
        return ()

    def children(self, node: Node) -> Iterable[Node]:
        """Return the children of a node, none for a leaf. The default is a search whose roots are all leaves."""
        return ()

    def value(self, node: Node) -> Value:
        """Return what this node alone is worth."""
        raise NotImplementedError(f"{type(self).__name__} must define value(node), or explore(frontier, budget)")

    def kill(self, node: Node, killed: int) -> Node:
        """Return the node to explore in place of one whose exploration was killed. The default is the node itself.

        Called by the coordinator when a worker was lost, crashed or stayed silent, once for every kill; a problem may lower
        its demands here, such as a precision or a time limit that the node carries. It must stand for the same part of the tree.
        How often a job was killed is kept by the library and never decreases, whatever this returns.

        Args:
            node: a node that was not explored, or not to its end.
            killed: how often this befell it or the node it came from, this time included; at least 1.
        """
        return node

    def explore(self, frontier: Any, budget: int) -> Slice:
        """Explore at most ``budget`` nodes, from the end of ``frontier``, and say what was found and what is left.

        Define it when the walk itself should be fast; it replaces ``children`` and ``value``.

        Args:
            frontier: an array of ``node_dtype`` records, or a list of nodes if the problem has no ``node_dtype``; never empty.
                It may be changed and returned.
            budget: at least 1. The library chooses it so that a call lasts a few milliseconds.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no explore(frontier, budget)")

    def zero(self) -> Value:
        """Return the value of an empty tree."""
        raise NotImplementedError(f"{type(self).__name__} must define zero()")

    def combine(self, left: Value, right: Value) -> Value:
        """Return the value of two parts of the tree together."""
        raise NotImplementedError(f"{type(self).__name__} must define combine(left, right)")

    def add_result(self, result: Value, value: Value, host: str) -> Value:
        """Add a reported value to the result of the run; called by the coordinator only, once for every accepted report.

        Args:
            result: what the run found so far.
            value: what a worker found since its last report.
            host: the machine that found it.
        """
        return self.combine(result, value)

    def score(self, value: Value) -> Number | None:
        """Return how good a value is, as a number of which the smallest is the best; None if there is nothing to compare."""
        return None

    def enough(self) -> Number | None:
        """Return the score at which the search is over, None to search everything."""
        return None

    def describe(self, result: Value) -> str:
        """Return what a complete result means, in a few words for a person; "" if it speaks for itself."""
        return ""

    def prunes(self, node: Node, incumbent: Number) -> bool:
        """Whether nothing at this node or below it can have a better score than this one."""
        return False

    def improvement(self, node: Node, incumbent: Number | None) -> Value | None:
        """Return what this node alone is worth if its score is better than this one, else None."""
        value = self.value(node)
        score = self.score(value)
        return None if score is None or (incumbent is not None and score >= incumbent) else value

    @classmethod
    def node_type(cls) -> Any:
        """The type of a node, from ``Enumeration[Node, Value]`` or the like; Any if it was not given."""
        return _type_arguments(cls)[0]

    @classmethod
    def value_type(cls) -> Any:
        """The type of what a report carries; Any if it was not given."""
        return _type_arguments(cls)[1]

    def kernel(self) -> Explore | None:
        """Return the function that explores a frontier, or None to walk the tree with ``children`` and ``value``.

        The default is ``explore`` if the class defines it. Override it to choose between engines, or to compile one.
        It is called once, in the process from which those that explore are forked: what takes time, such as loading machine
        code, is best done here, by a first call that explores nothing.
        """
        return self.explore if overrides(type(self), "explore") else None


class Enumeration(Problem[Node, Value]):
    """Combine the values of all nodes of a tree.

    Values form a monoid: ``combine`` must be associative and commutative, with ``zero`` as its neutral element,
    because parts of the tree are explored in any order and combined as they come in.
    """

    def zero(self) -> Value:
        """Return the value of an empty tree. The default suits int, float, str and list values."""
        value_type = get_origin(self.value_type()) or self.value_type()
        if value_type in {int, float, str, list}:
            return cast(Value, value_type())
        raise NotImplementedError(f"{type(self).__name__} must define zero(): its values are {value_type!r}")

    def combine(self, left: Value, right: Value) -> Value:
        """Return the value of two parts of the tree together. The default is ``left + right``."""
        return cast(Value, left + right)  # type: ignore[operator]


class Collection(Problem[Node, Any], Generic[Node, Solution]):
    """Keep every solution that is found, each exactly once, in the run directory: `parry-mpi solutions` gives them out.

    The result of the run is how many there are. A kernel's Slice has as its value a list of the solutions it found, one that
    it does not use again, or with ``solution_dtype`` an array of them, which it may use again.

    Attributes:
        solution_dtype: the numpy dtype of a solution, when solutions are records; solutions() then gives tuples of its fields.
    """

    solution_dtype: ClassVar[np.dtype[Any] | None] = None

    def solutions(self, node: Node) -> Iterable[Solution]:
        """Return the solutions at this node alone, none for most."""
        raise NotImplementedError(f"{type(self).__name__} must define solutions(node), or explore(frontier, budget)")

    def value(self, node: Node) -> list[Solution]:
        return list(self.solutions(node))

    def zero(self) -> int:
        return 0

    def combine(self, left: int, right: int) -> int:
        return left + right

    @classmethod
    def value_type(cls) -> Any:
        return list[_type_arguments(cls)[1]]  # type: ignore[misc]


class Decision(Problem[Node, Any], Generic[Node, Value]):
    """Ask whether there is a node that proves something. The first witness ends the search everywhere.

    The result is the witness, or None if there is none: that is only said when the whole tree was explored. A kernel's
    Slice has the witness as its value, or None; it should return as soon as it has found one.
    """

    def witness(self, node: Node) -> Value | None:
        """Return what proves it at this node, None if this node does not."""
        raise NotImplementedError(f"{type(self).__name__} must define witness(node), or explore(frontier, budget)")

    def verify(self, witness: Value) -> bool:
        """Whether a witness is one, checked from scratch; called by the coordinator before it believes a worker."""
        return True

    def value(self, node: Node) -> Value | None:
        return self.witness(node)

    def zero(self) -> Value | None:
        return None

    def combine(self, left: Value | None, right: Value | None) -> Value | None:
        return right if left is None else left

    def add_result(self, result: Value | None, value: Value | None, host: str) -> Value | None:
        if value is not None and not self.verify(value):
            raise ValueError(f"verify() rejects the witness {value!r:.500} that was found on {host}")
        return self.combine(result, value)

    def describe(self, result: Value | None) -> str:
        return "there is none" if result is None else "there is one"

    def score(self, value: Value | None) -> Number | None:
        return None if value is None else 0

    def enough(self) -> Number | None:
        return 0

    @classmethod
    def value_type(cls) -> Any:
        return Optional[_type_arguments(cls)[1]]  # noqa: UP045 a type that is computed


class Best(msgspec.Struct, Generic[Value], frozen=True):
    """The best solution so far.

    Args:
        objective: how good it is.
        solution: what it is.
    """

    objective: Number
    solution: Value


class Optimisation(Problem[Node, Any], Generic[Node, Value]):
    """Find the solution with the best objective: branch and bound.

    The result is a Best, or None if there is no solution. Of several solutions that are equally good it is the one that came in
    first, which may be another in another run. The best solution known travels to every worker, and a node whose bound is not
    better is left out with all that is below it, and counts as explored. A kernel is called with the objective of the best
    solution known as its third argument, or None; its Slice has as its value a Best that is better, or None. It may go on with
    what it found itself until its budget is used up. To begin with a solution that is known, give it as a root of its own, last.

    Attributes:
        sense: whether the objective shall be small or large.
        gap: how much better a solution has to be to matter: the optimum is missed by less than this.
    """

    sense: ClassVar[Literal["min", "max"]] = "min"
    gap: ClassVar[Number] = 0

    def objective(self, node: Node) -> Number | None:
        """Return how good the solution at this node is, None if this node is no solution."""
        raise NotImplementedError(f"{type(self).__name__} must define objective(node), or explore(frontier, budget, incumbent)")

    def solution(self, node: Node) -> Value:
        """Return the solution at this node. The default is the node itself."""
        return cast(Value, node)

    def bound(self, node: Node) -> Number | None:
        """Return what no solution at this node or below it can be better than; None if that is not known."""
        return None

    def target(self) -> Number | None:
        """Return an objective that is known to be the best there can be: the search ends once it is reached."""
        return None

    def verify(self, objective: Number, solution: Value) -> bool:
        """Whether a solution is one and is that good, checked from scratch; called by the coordinator."""
        return True

    def value(self, node: Node) -> Best[Value] | None:
        return self.improvement(node, None)

    def zero(self) -> Best[Value] | None:
        return None

    def combine(self, left: Best[Value] | None, right: Best[Value] | None) -> Best[Value] | None:
        if left is None or right is None:
            return right if left is None else left
        return right if self._signed(right.objective) < self._signed(left.objective) else left

    def add_result(self, result: Best[Value] | None, value: Best[Value] | None, host: str) -> Best[Value] | None:
        better = self.combine(result, value)
        if better is not None and better is not result and not self.verify(better.objective, better.solution):
            raise ValueError(f"verify() rejects the solution {better!r:.500} that was found on {host}")
        return better

    def describe(self, result: Best[Value] | None) -> str:
        if result is None:
            return "there is no solution"
        return f"the best is {result.objective}" + (f", or better by less than {self.gap}" if self.gap else "")

    def score(self, value: Best[Value] | None) -> Number | None:
        return None if value is None else self._signed(value.objective)

    def enough(self) -> Number | None:
        target = self.target()
        return None if target is None else self._signed(target)

    def prunes(self, node: Node, incumbent: Number) -> bool:
        bound = self.bound(node)
        if bound is None:
            return False
        signed = self._signed(bound)
        return signed >= incumbent or signed > incumbent - self.gap

    def improvement(self, node: Node, incumbent: Number | None) -> Best[Value] | None:
        # solution() is only asked for what is better: where every node is a solution, few are
        objective = self.objective(node)
        if objective is None or (incumbent is not None and self._signed(objective) >= incumbent):
            return None
        return Best(plain_number(objective), self.solution(node))

    def objective_of(self, score: Number | None) -> Number | None:
        """Return the objective that has this score."""
        return None if score is None else self._signed(score)

    @classmethod
    def value_type(cls) -> Any:
        return Optional[Best[_type_arguments(cls)[1]]]  # type: ignore[misc]  # noqa: UP045

    def _signed(self, objective: Number) -> Number:
        objective = plain_number(objective)
        return -objective if self.sense == "max" else objective


def plain_number(number: Any) -> Number:
    """Return a number of Python's own, that can be compared and sent.

    Raises:
        ValueError: it is none, or not a number ("nan"), or an integer that does not fit 64 bits.
    """
    plain = number.item() if isinstance(number, np.generic) else number
    if isinstance(plain, int) and abs(plain) <= SCORE_MAX:
        return int(plain)
    if isinstance(plain, float) and not math.isnan(plain):
        return plain
    raise ValueError(f"an objective or a bound has to be a number of at most 64 bits, not {plain!r:.100}")


SEARCH_TYPES: tuple[type[Problem[Any, Any]], ...] = (Enumeration, Collection, Decision, Optimisation)
"""What a problem is a subclass of."""


class IndexedRoots(Sequence[Node]):
    """Roots computed from their index, for sweeps that are too large for a list.

    Args:
        count: how many roots there are.
        root: returns the root of a given index, 0 <= index < count.
    """

    def __init__(self, count: int, root: Callable[[int], Node]) -> None:
        self._count = count
        self._root = root

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._root(i) for i in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._root(index)


def overrides(problem_class: type[Problem[Any, Any]], name: str) -> bool:
    """Whether a problem class defines this method itself, rather than inheriting the library's."""
    library = next(base for base in problem_class.__mro__ if base.__module__ == __name__ and hasattr(base, name))
    return getattr(problem_class, name) is not getattr(library, name)


def _type_arguments(problem_class: type) -> tuple[Any, Any]:
    """The (Node, Value) that a class or one of its bases gave to its search type."""
    for base in problem_class.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            origin = get_origin(generic)
            if isinstance(origin, type) and issubclass(origin, Problem):
                arguments = get_args(generic)
                if len(arguments) == 2 and not any(isinstance(argument, TypeVar) for argument in arguments):
                    return _resolved(base, arguments[0]), _resolved(base, arguments[1])
    return Any, Any


def _resolved(owner: type, annotation: Any) -> Any:
    """Evaluate an annotation that was written as a string, in the module of the class that gave it."""
    holder = type("holder", (), {"__annotations__": {"it": annotation}, "__module__": owner.__module__})
    return get_type_hints(holder, include_extras=True)["it"]
