"""Roots that need no list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from parry_mpi.problem.base import Node


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
