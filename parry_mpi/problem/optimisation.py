"""Which is the best: branch and bound."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Generic, Literal, Optional, cast

import msgspec

from parry_mpi.arrays import is_scalar
from parry_mpi.problem.base import Node, Number, Problem, Value, type_arguments

SCORE_MAX = 2**63 - 1
"""Objectives are sent as 64-bit numbers."""

ORDINARY = (int, float)
"""What most objectives and bounds are: a search asks for one at every node, so these are not asked whether they are numpy's."""

Gap = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)]
"""How much a solution may be better and yet not matter."""


class Best(msgspec.Struct, Generic[Value], frozen=True):
    """The best solution so far.

    Args:
        objective: how good it is.
        solution: what it is.
    """

    objective: Number
    solution: Value


class Optimisation(Problem[Node, Any], Generic[Node, Value], kw_only=True):
    """Find the solution with the best objective: branch and bound.

    The result is a Best, or None if there is no solution. Of several solutions that are equally good it is the one that came in
    first, which may be another in another run. The best solution known travels to every worker, and a node whose bound is not
    better is left out with all that is below it, and counts as explored. A kernel is called with the objective of the best
    solution known as its third argument, or None; its Slice has as its value a Best that is better, or None. It may go on with
    what it found itself until its budget is used up. To begin with a solution that is known, give it as a root of its own, last.

    Args:
        gap: how much better a solution has to be to matter: the optimum is missed by less than this. A parameter of every
            optimisation, given as gap=3 on the command line; a class has a default of its own with ``gap: int = 3``.

    Attributes:
        sense: whether the objective shall be small or large.
        best_first: whether the children of a node are explored in the order of their bounds, the best first, instead of the order
            in which children() gives them.
    """

    sense: ClassVar[Literal["min", "max"]] = "min"
    best_first: ClassVar[bool] = False
    gap: Gap = 0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "gap" in vars(cls):  # without a type it is no field, but hides the one that there is
            raise TypeError(f"gap is a parameter of {cls.__name__}: write its default with its type, gap: int = {cls.gap}")

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

    def bound_score(self, node: Node) -> Number | None:
        """Return the score that no solution at this node or below it can be better than; None if that is not known."""
        bound = self.bound(node)
        score = None if bound is None else self._signed(bound)
        return None if score == -math.inf else score

    def hopeless(self, bound: Number | None, incumbent: Number) -> bool:
        """Whether what has this bound can be left out, both being scores."""
        return bound is not None and (bound >= incumbent or bound > incumbent - self.gap)

    def prunes(self, node: Node, incumbent: Number) -> bool:
        return self.hopeless(self.bound_score(node), incumbent)

    def improvement(self, node: Node, incumbent: Number | None) -> Best[Value] | None:
        # solution() is only asked for what is better: where every node is a solution, few are
        objective = self.objective(node)
        if objective is None or (incumbent is not None and self._signed(objective) >= incumbent):
            return None
        return Best(plain_number(objective), self.solution(node))

    def limit(self, incumbent: Number | None) -> Number | None:
        """Return the objective to beat, for a kernel: it leaves out what cannot be better than this.

        Without a gap that is the best objective known. With one it is so much better, less the smallest step there is, which makes
        "better than this" the same as "better by the gap"; so a kernel need not know of gaps. It is an integer if the best
        objective known is one, for kernels that compute with integers.
        """
        if incumbent is None or not self.gap:
            return self.objective_of(incumbent)
        least = max(incumbent - self.gap, -SCORE_MAX)
        beaten = math.floor(least) + 1 if isinstance(incumbent, int) else math.nextafter(least, math.inf)
        return self.objective_of(min(beaten, incumbent))

    def objective_of(self, score: Number | None) -> Number | None:
        """Return the objective that has this score."""
        return None if score is None else self._signed(score)

    @classmethod
    def value_type(cls) -> Any:
        return Optional[Best[type_arguments(cls)[1]]]  # type: ignore[misc]  # noqa: UP045

    def _signed(self, objective: Number) -> Number:
        objective = plain_number(objective)
        return -objective if self.sense == "max" else objective


def plain_number(number: Any) -> Number:
    """Return a number of Python's own, that can be compared and sent.

    Raises:
        ValueError: it is none, or not a number ("nan"), or an integer that does not fit 64 bits.
    """
    plain = number.item() if type(number) not in ORDINARY and is_scalar(number) else number
    if isinstance(plain, int) and abs(plain) <= SCORE_MAX:
        return int(plain)
    if isinstance(plain, float) and not math.isnan(plain):
        return plain
    raise ValueError(f"an objective or a bound has to be a number of at most 64 bits, not {plain!r:.100}")
