"""How many, how much: the values of all nodes of a tree, combined."""

from __future__ import annotations

from typing import cast, get_origin

from parry_mpi.problem.base import Node, Problem, Value


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
