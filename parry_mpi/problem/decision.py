"""Is there one: the first witness ends the search."""

from __future__ import annotations

from typing import Any, Generic, Optional

from parry_mpi.problem.base import Node, Number, Problem, Value, type_arguments


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
        return Optional[type_arguments(cls)[1]]  # noqa: UP045 a type that is computed
