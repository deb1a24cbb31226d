"""Which ones: what is found at the nodes, kept one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

from parry_mpi.problem.base import Node, Problem, type_arguments

Solution = TypeVar("Solution")


class Collection(Problem[Node, Any], Generic[Node, Solution]):
    """Keep every solution that is found, each exactly once, in the run directory: `parry-mpi solutions` gives them out.

    The result of the run is how many there are. A kernel's Slice has as its value a list of the solutions it found, one that
    it does not use again, or with ``solution_dtype`` an array of them, which it may use again.

    Attributes:
        solution_dtype: the numpy dtype of a solution, or what numpy makes one of, when solutions are records; solutions() then gives
            tuples of its fields.
    """

    solution_dtype: ClassVar[Any] = None

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
        return list[type_arguments(cls)[1]]  # type: ignore[misc]
