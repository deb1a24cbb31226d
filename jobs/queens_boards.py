"""List the ways to place n queens on an n x n board so that no two attack each other, each as the columns of its rows.

The tree is that of queens.py; a node knows its queens as well.

    parry-mpi run jobs/queens_boards.py n=8 --run-dir boards
    parry-mpi solutions boards --limit 3

Source and known answers, how many boards there are: see queens.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from parry_mpi import Collection, Engine, Explore, stack_kernel

SIZE_MAX = 20
"""More boards than anybody can keep: 39029188884."""

Node = tuple[int, int, int, list[int]]
"""As in queens.py, which squares of the next row are attacked along columns, left and right diagonals; then the column of each
queen, followed by zeros."""

Board = list[int]
"""The column of the queen in each row, from 0."""


class QueensBoards(Collection[Node, Board]):
    """All boards of the n queens problem.

    Args:
        n: size of the board.
        engine: whether to use the compiled kernel.
    """

    n: Annotated[int, Meta(ge=1, le=SIZE_MAX)] = 8
    engine: Engine = "auto"

    node_dtype = np.dtype([("columns", "<i4"), ("left", "<i4"), ("right", "<i4"), ("queens", "i1", (SIZE_MAX,))])
    incidental = frozenset({"engine"})

    def roots(self) -> list[Node]:
        return [(0, 0, 0, [0] * SIZE_MAX)]

    def children(self, node: Node) -> Iterator[Node]:
        columns, left, right, queens = node
        row, full_row = columns.bit_count(), (1 << self.n) - 1
        for column in range(self.n):
            queen = 1 << column
            if not queen & (columns | left | right):
                placed = [*queens[:row], column, *queens[row + 1 :]]
                yield columns | queen, (left | queen) << 1 & full_row, (right | queen) >> 1, placed

    def solutions(self, node: Node) -> Iterable[Board]:
        return [node[3][: self.n]] if node[0] == (1 << self.n) - 1 else []

    def kernel(self) -> Explore | None:
        boards = np.empty((BOARDS_AT_ONCE, self.n), np.int8)
        return stack_kernel(self, place_queens, boards, room=self.n, value=lambda found: boards[:found].tolist())


BOARDS_AT_ONCE = 1 << 12
"""How many boards a call of the kernel may find; it ends when it has found so many."""


def place_queens(nodes: Any, height: int, budget: int, boards: Any) -> tuple[int, int, int, int]:
    """Explore from the top of a stack: the same tree as children() describes, compiled.

    Returns:
        Boards found, height of the stack, nodes explored, lowest height on the way.
    """
    found = explored = 0
    boards_max, n = boards.shape
    full_row = (1 << n) - 1
    lowest = height
    while height > 0 and explored < budget and height + n <= len(nodes) and found < boards_max:
        height -= 1
        lowest = min(lowest, height)
        explored += 1
        node = nodes[height]
        columns, left, right = node.columns, node.left, node.right
        queens = node.queens.copy()
        if columns == full_row:
            boards[found] = queens[:n]
            found += 1
        row, rest = 0, columns
        while rest:
            rest &= rest - 1
            row += 1
        for column in range(n):
            queen = 1 << column
            if not queen & (columns | left | right):
                child = nodes[height]
                child.columns = columns | queen
                child.left = (left | queen) << 1 & full_row
                child.right = (right | queen) >> 1
                child.queens[:] = queens
                child.queens[row] = column
                height += 1
    return found, height, explored, lowest
