"""What all problems have in common: the tree, how it is explored, and how what is found comes together.

This module must not know the search types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

Node = TypeVar("Node")
Value = TypeVar("Value")

PACKAGE = "parry_mpi.problem."
"""Where the library's own problem classes are."""


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


class Problem(msgspec.Struct, Generic[Node, Value], kw_only=True, forbid_unknown_fields=True, dict=True):
    """A search space. Subclass a search type, such as Enumeration, instead of this class.

    The annotated fields of a subclass are the problem's parameters, given on the command line as NAME=VALUE. Their types may be
    anything msgspec can validate: int, float, str, bool, Literal, optional values, lists, ...

    What is made from the parameters once, such as a table or the contents of a file, is best a functools.cached_property.

    Attributes:
        node_dtype: the numpy dtype of a node, or what numpy makes one of, when nodes are records; children() and value() are then
            given a tuple of its fields, and a kernel's frontier is one structured array, whose wire form is its bytes. A list of
            integer fields, ``[("row", "<i8"), ...]``, needs no numpy before a kernel does. It may be a functools.cached_property
            where it depends on the parameters.
        incidental: names of parameters that cannot change the answer (an engine, a cache size). Runs that differ only in
            these share a run directory.
    """

    node_dtype: ClassVar[Any] = None
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

    def html(self, result: Value) -> str:
        """Return a drawing of a result, which need not be complete yet, as HTML or SVG for the dashboard; "" for none.

        It is shown in a frame of its own, where neither scripts nor style attributes have an effect and nothing is loaded: use
        elements, and the attributes of SVG (``fill="teal"``).
        """
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
        return type_arguments(cls)[0]

    @classmethod
    def value_type(cls) -> Any:
        """The type of what a report carries; Any if it was not given."""
        return type_arguments(cls)[1]

    def kernel(self) -> Explore | None:
        """Return the function that explores a frontier, or None to walk the tree with ``children`` and ``value``.

        The default is ``explore`` if the class defines it. Override it to return a kernel that is compiled, ``stack_kernel(...)``, one that
        is a program, ``external(...)``, or one of your own making. It is called once, in the process from which those that explore
        are forked: what takes time, such as loading machine code, is best done here, by a first call that explores nothing.
        """
        return self.explore if overrides(type(self), "explore") else None


def overrides(problem_class: type[Problem[Any, Any]], name: str) -> bool:
    """Whether a problem class defines this method itself, rather than inheriting the library's."""
    library = next(base for base in problem_class.__mro__ if base.__module__.startswith(PACKAGE) and hasattr(base, name))
    return getattr(problem_class, name) is not getattr(library, name)


def type_arguments(problem_class: type) -> tuple[Any, Any]:
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
