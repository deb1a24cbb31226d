"""Count the ways to place n queens on an n x n board so that no two attack each other.

A node is a board whose first rows are filled. Three bit masks tell which squares of the next row are attacked: along columns,
and along the two diagonals, which shift by one square from row to row.

    parry-mpi run jobs/queens.py n=12

Source: Richards, "Backtracking algorithms in MCPL using bit patterns and recursion", 1997.
Known answers (https://oeis.org/A000170), n = 1, 2, ...: 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184,
14772512, 95815104, 666090624, 4968057848, 39029188884, 314666222712, 2691008701644, 24233937684440, 227514171973736,
2207893435808352, 22317699616364044, 234907967154122528 (n = 27).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from parry_mpi import Engine, Enumeration, Explore, stack_kernel

Board = tuple[int, int, int]
"""The squares of the next row that are attacked along columns, along left and along right diagonals; bit i is column i."""


class Queens(Enumeration[Board, int]):
    """The n queens problem.

    Args:
        n: size of the board; 32 is what fits the masks.
        engine: whether to use the compiled kernel.
    """

    n: Annotated[int, Meta(ge=1, le=32)] = 8
    engine: Engine = "auto"

    node_dtype = [("columns", "<i8"), ("left", "<i8"), ("right", "<i8")]
    incidental = frozenset({"engine"})

    def roots(self) -> list[Board]:
        return [(0, 0, 0)]

    def children(self, node: Board) -> Iterator[Board]:
        columns, left, right = node
        free = ~(columns | left | right) & self.full_row
        while free:
            queen = free & -free
            free ^= queen
            yield columns | queen, (left | queen) << 1 & self.full_row, (right | queen) >> 1

    def value(self, node: Board) -> int:
        return int(node[0] == self.full_row)

    @property
    def full_row(self) -> int:
        """The mask of a row with a queen in every column."""
        return (1 << self.n) - 1

    def kernel(self) -> Explore | None:
        return stack_kernel(self, place_queens, self.n, self.full_row, room=self.n)


def place_queens(boards: Any, height: int, budget: int, n: int, full_row: int) -> tuple[int, int, int, int]:
    """Explore from the top of a stack: the same tree as children() and value() describe, compiled.

    Returns:
        Solutions found, height of the stack, nodes explored, lowest height on the way.
    """
    solutions = nodes = 0
    lowest = height
    while height > 0 and nodes < budget and height + n <= len(boards):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        columns, left, right = boards[height].columns, boards[height].left, boards[height].right
        if columns == full_row:
            solutions += 1
        free = ~(columns | left | right) & full_row
        while free:
            queen = free & -free
            free ^= queen
            boards[height].columns = columns | queen
            boards[height].left = (left | queen) << 1 & full_row
            boards[height].right = (right | queen) >> 1
            height += 1
    return solutions, height, nodes, lowest
