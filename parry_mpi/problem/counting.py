"""How many are there: the witnesses of a Decision, counted."""

from __future__ import annotations

from typing import Any

from parry_mpi.problem.base import Explore, overrides
from parry_mpi.problem.decision import Decision
from parry_mpi.problem.enumeration import Enumeration


class Counting(Enumeration[Any, Any]):
    """Count the witnesses of a Decision: ``class SudokuCount(Counting, Sudoku)``, with nothing in it but a docstring.

    Parameters, tree and ``witness`` are those of the Decision; the result is at how many nodes there is a witness. The Decision's
    kernel, if it has one, is left out, for it ends at the first witness: to count with a kernel define ``explore`` once more.
    """

    def value(self, node: Any) -> Any:
        return int(self.witness(node) is not None)  # type: ignore[attr-defined]

    def kernel(self) -> Explore | None:
        classes = type(self).__mro__
        if any("explore" in vars(each) for each in classes[: classes.index(Counting)]):
            return self.explore
        if not (isinstance(self, Decision) and overrides(type(self), "witness")):
            raise NotImplementedError(f"{type(self).__name__} must be a Counting and a Decision that defines witness(node)")
        return None

    def add_result(self, result: Any, value: Any, host: str) -> Any:
        return result + value

    def score(self, value: Any) -> Any:
        return None

    def enough(self) -> Any:
        return None

    def describe(self, result: Any) -> str:
        return ""

    def html(self, result: Any) -> str:
        return ""

    @classmethod
    def node_type(cls) -> Any:
        # Our own type arguments say nothing: what a node is stands with the Decision.
        decisions = (each for each in cls.__mro__ if issubclass(each, Decision) and not issubclass(each, Counting))
        return next(decisions, Decision).node_type()

    @classmethod
    def value_type(cls) -> Any:
        return int
