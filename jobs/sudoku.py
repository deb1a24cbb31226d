"""Solve a Sudoku, or count its solutions: exact cover with bit masks.

A placement puts a digit into a cell and meets four demands: that the cell has a digit, and that its row, its column and its box have
this digit. A solution meets every demand exactly once. A node is the placements made so far; its children make one that meets the
demand which the fewest can still meet, so a demand that none can meet ends the branch at once.

    parry-mpi run jobs/sudoku.py:Sudoku
    parry-mpi run jobs/sudoku.py:SudokuCount puzzle=................

Source: Knuth, "Dancing links", 2000 (exact cover, and the choice of the demand); McGuire, Tugemann and Civario, "There is no 16-clue
Sudoku", Experimental Mathematics 23, 2014.
Known answers: a proper puzzle has exactly 1 solution, such as the default one, which has 17 clues (from Royle's list of them); the empty
grid of 4 x 4 has 288 (https://oeis.org/A107739).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Annotated, NamedTuple

from msgspec import Meta

from parry_mpi import Counting, Decision

Puzzle = Annotated[str, Meta(pattern=r"^([0-4.]{16}|[0-9.]{81})$")]
"""A grid of 4 x 4 or 9 x 9, row after row; 0 or a point is an empty cell."""

CLUES_17 = "000000010400000000020000000000050407008000300001090000300400200050100000000806000"

Placements = tuple[int, ...]
"""Those made so far; a placement is cell * size + digit, with digits from 0."""


class Sudoku(Decision[Placements, str]):
    """Find a solution.

    Args:
        puzzle: the grid.
    """

    puzzle: Puzzle = CLUES_17

    def roots(self) -> list[Placements]:
        size, box = sizes(self.puzzle)
        clues = tuple(cell * size + int(digit) - 1 for cell, digit in enumerate(self.puzzle) if digit not in ".0")
        excluded_by = masks(size, box).excluded_by
        clash = any(excluded_by[one] >> other & 1 for i, one in enumerate(clues) for other in clues[:i])
        return [] if clash else [clues]

    def children(self, node: Placements) -> Iterator[Placements]:
        size, box = sizes(self.puzzle)
        met_by, excluded_by, demands_of = masks(size, box)
        possible = (1 << size**3) - 1
        open_demands = set(range(len(met_by)))
        for placement in node:
            possible &= ~excluded_by[placement]
            open_demands.difference_update(demands_of[placement])
        choices = min((met_by[demand] & possible for demand in sorted(open_demands)), key=int.bit_count, default=0)
        while choices:
            placement = (choices & -choices).bit_length() - 1
            choices &= choices - 1
            yield (*node, placement)

    def witness(self, node: Placements) -> str | None:
        size, _ = sizes(self.puzzle)
        return "".join(str(placement % size + 1) for placement in sorted(node)) if len(node) == size * size else None

    def verify(self, witness: str) -> bool:
        size, box = sizes(self.puzzle)
        if len(witness) != size * size:
            return False
        digits = {str(digit + 1) for digit in range(size)}
        lines = range(size)
        units = [[(line, i) for i in lines] for line in lines] + [[(i, line) for i in lines] for line in lines]
        units += [[(line // box * box + i // box, line % box * box + i % box) for i in lines] for line in lines]
        kept = all(clue in ".0" or clue == digit for clue, digit in zip(self.puzzle, witness, strict=True))
        return kept and all({witness[row * size + column] for row, column in unit} == digits for unit in units)


class SudokuCount(Counting, Sudoku):
    """Count the solutions."""


class Masks(NamedTuple):
    """The exact cover problem of an empty grid.

    Args:
        met_by: for every demand, the placements that meet it, as bits.
        excluded_by: for every placement, those that meet one of its demands, itself included.
        demands_of: for every placement, the demands it meets.
    """

    met_by: list[int]
    excluded_by: list[int]
    demands_of: list[list[int]]


@functools.cache
def masks(size: int, box: int) -> Masks:
    """Return the exact cover problem of an empty grid."""
    demands_of = []
    for cell in range(size * size):
        row, column = divmod(cell, size)
        unit = row // box * box + column // box
        for digit in range(size):
            wanted = (cell, row * size + digit, column * size + digit, unit * size + digit)
            demands_of.append([kind * size * size + demand for kind, demand in enumerate(wanted)])
    met_by = [0] * (4 * size * size)
    for placement, demands in enumerate(demands_of):
        for demand in demands:
            met_by[demand] |= 1 << placement
    excluded_by = [functools.reduce(int.__or__, (met_by[demand] for demand in demands)) for demands in demands_of]
    return Masks(met_by, excluded_by, demands_of)


def sizes(puzzle: str) -> tuple[int, int]:
    """Return the size of the grid and of its boxes."""
    return (9, 3) if len(puzzle) == 81 else (4, 2)
