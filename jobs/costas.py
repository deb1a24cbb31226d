"""Count the Costas arrays of order n: n dots on an n x n grid, one in every row and column, all of whose displacements differ.

A node is an array whose first columns have their dots. Displacements can only be equal between dots that are equally many columns
apart, so for every such distance the differences of rows have to be distinct.

    parry-mpi run jobs/costas.py n=11

Source: Drakakis, "A review of Costas arrays", Journal of Applied Mathematics 2006, 26385; Drakakis et al., "Results of the
enumeration of Costas arrays of order 29", Advances in Mathematics of Communications 5, 2011. All arrays count, no symmetry is used.
Known answers (https://oeis.org/A008404), n = 1, 2, ...: 1, 2, 4, 12, 40, 116, 200, 444, 760, 2160, 4368, 7852, 12828, 17252, 19612,
21104, 18276, 15096, 10240, 6464, 3536, 2052, 872, 200, 88, 56, 204, 712, 164 (n = 29).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from parry_mpi import Engine, Enumeration, Explore, stack_kernel

ORDER_MAX = 31
"""The differences between rows fit a mask of 64 bits; two orders more than anybody has counted."""

Dots = tuple[int, Any]
"""How many columns have their dot, and the row of each."""


class Costas(Enumeration[Dots, int]):
    """Costas arrays.

    Args:
        n: order of the arrays.
        engine: whether to use the compiled kernel.
    """

    n: Annotated[int, Meta(ge=1, le=ORDER_MAX)] = 8
    engine: Engine = "auto"

    node_dtype = np.dtype([("columns", "u1"), ("rows", "u1", (ORDER_MAX,))])
    incidental = frozenset({"engine"})

    def roots(self) -> list[Dots]:
        return [(0, np.zeros(ORDER_MAX, np.uint8))]

    def children(self, node: Dots) -> Iterator[Dots]:
        columns, rows = node[0], [int(row) for row in node[1]]
        if columns == self.n:
            return
        for row in range(self.n):
            rows[columns] = row
            if row not in rows[:columns] and all(differ(rows[: columns + 1], distance) for distance in range(1, columns)):
                yield columns + 1, np.array(rows, np.uint8)

    def value(self, node: Dots) -> int:
        return int(node[0] == self.n)

    def kernel(self) -> Explore | None:
        return stack_kernel(self, place_dots, self.n, room=self.n)


def differ(rows: list[int], distance: int) -> bool:
    """Whether all dots that are so many columns apart have different displacements."""
    differences = [rows[column] - rows[column - distance] for column in range(distance, len(rows))]
    return len(set(differences)) == len(differences)


def place_dots(arrays: Any, height: int, budget: int, n: int) -> tuple[int, int, int, int]:
    """Explore from the top of a stack: the same tree as children() and value() describe, compiled.

    Returns:
        Arrays found, height of the stack, nodes explored, lowest height on the way.
    """
    found = nodes = 0
    lowest = height
    rows = np.empty(ORDER_MAX + 1, np.int64)
    differences = np.empty(ORDER_MAX + 1, np.int64)  # a mask for every distance: bit n + d for the difference d
    while height > 0 and nodes < budget and height + n <= len(arrays):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        columns = int(arrays[height].columns)
        if columns == n:
            found += 1
            continue
        used = 0
        for column in range(columns):
            differences[column] = 0
            rows[column] = arrays[height].rows[column]
            used |= 1 << rows[column]
            for distance in range(1, column + 1):
                differences[distance] |= 1 << (n + rows[column] - rows[column - distance])
        for row in range(n):
            fits = not used >> row & 1
            distance = 1
            while fits and distance < columns:
                fits = not differences[distance] >> (n + row - rows[columns - distance]) & 1
                distance += 1
            if fits:
                arrays[height].columns = columns + 1
                for column in range(columns):
                    arrays[height].rows[column] = rows[column]
                arrays[height].rows[columns] = row
                for column in range(columns + 1, ORDER_MAX):
                    arrays[height].rows[column] = 0
                height += 1
    return found, height, nodes, lowest
