"""Is there a set of at most so many tile types that assembles itself to a given pattern of two colours?

A tile has a colour and a glue on each of its four sides, and is never turned. Assembly starts from a seed along the south and the west
side of a rectangle; a tile is put where the glues on its south and west sides are those of its neighbours. So that only one can be, no two
tile types have the same two. This is PATS, pattern self-assembly tile set synthesis. That it is NP-hard with two colours was proved with
the program for which Parry was written, a search through tile sets like this one that took a CPU-year.

    parry-mpi run jobs/pats.py:Pats pattern=sierpinski4 tiles=4
    parry-mpi run jobs/pats.py:PatsCount pattern=01/10 tiles=3

A node says which tile type is on each of the first cells, row after row from the south-west corner. Types are numbered as they first
appear, so a set is found once and not in every order. Glues are equal only where two tiles touch: it is enough to look at these most
general glues, for a set with more equal ones is no better.

Source: Kari, Kopecki, Meunier, Patitz and Seki, "Binary pattern tile set synthesis is NP-hard", Algorithmica 78, 2017; Goos, Lempiainen,
Czeizler and Orponen, "Search methods for tile sets in patterned DNA self-assembly", Journal of Computer and System Sciences 80, 2014.
Known answers: 4 tile types assemble the Sierpinski triangle of any size, by adding two bits without carry (Winfree, "Algorithmic
self-assembly of DNA", 1998). This search adds: 3 do so for size 3, but not for size 4, and so for none above, which has it as its corner.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from parry_mpi import Counting, Decision

Pattern = Annotated[str, Meta(pattern=r"^([01]+(/[01]+)*|sierpinski[1-9][0-9]?)$")]
"""Rows of 0 and 1, the northernmost first, or sierpinskiN: N rows of N binomial coefficients modulo 2."""

Tiles = tuple[int, ...]
"""The tile type of each of the first cells, numbered as they first appear."""

Rows = list[list[int]]
"""The colours of the cells, row after row from the south."""

NORTH, EAST, SOUTH, WEST = range(4)

Glues = list[int]
"""Of one tile type: north, east, south, west."""


class TileSystem(msgspec.Struct):
    """What assembles a pattern.

    Args:
        glues: of every tile type.
        colours: of every tile type.
        south: the glues of the seed below the first row, from the west.
        west: those beside the first column, from the south.
    """

    glues: list[Glues]
    colours: list[int]
    south: list[int]
    west: list[int]


class Pats(Decision[Tiles, TileSystem]):
    """Find a tile system.

    Args:
        pattern: what shall assemble itself.
        tiles: how many tile types there may be; those of the seed are not counted.
    """

    pattern: Pattern = "sierpinski4"
    tiles: Annotated[int, Meta(ge=1)] = 4

    def __post_init__(self) -> None:
        rows_of(self.pattern)  # what is no rectangle is refused before anything is begun

    def roots(self) -> list[Tiles]:
        return [()]

    def children(self, node: Tiles) -> Iterator[Tiles]:
        width = len(self.rows[0])
        if len(node) == width * len(self.rows):
            return
        types = len(set(node))
        for tile in range(min(types + 1, self.tiles)):
            if tile < types and colour_of(self.rows, node.index(tile)) != colour_of(self.rows, len(node)):
                continue
            more = (*node, tile)
            inputs = {(glues[SOUTH], glues[WEST]) for glues in most_general_glues(more, width)}
            if len(inputs) == len(set(more)):
                yield more

    def witness(self, node: Tiles) -> TileSystem | None:
        width = len(self.rows[0])
        if len(node) < width * len(self.rows):
            return None
        glues = most_general_glues(node, width)
        colours = [colour_of(self.rows, node.index(tile)) for tile in range(len(glues))]
        south, west = [glues[tile][SOUTH] for tile in node[:width]], [glues[tile][WEST] for tile in node[::width]]
        return TileSystem(glues, colours, south, west)

    def verify(self, witness: TileSystem) -> bool:
        few = len(witness.glues) == len(witness.colours) <= self.tiles
        return few and assembled(witness) == self.rows

    @functools.cached_property
    def rows(self) -> Rows:
        """The colours of the cells."""
        return rows_of(self.pattern)


class PatsCount(Counting, Pats):
    """Count the ways to assemble a pattern, up to the names of tile types and glues."""


def rows_of(pattern: str) -> Rows:
    """Return the colours of the cells, row after row from the south.

    Raises:
        ValueError: its rows differ in length.
    """
    if named := re.fullmatch(r"sierpinski(\d+)", pattern):
        size = range(int(named[1]))
        return [[int(row & column == 0) for column in size] for row in size]  # Lucas: whether (row + column) over row is odd
    rows = [[int(cell) for cell in row] for row in reversed(pattern.split("/"))]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"pattern={pattern}: its rows differ in length")
    return rows


def colour_of(rows: Rows, cell: int) -> int:
    """Return the colour of a cell, counted row after row."""
    row, column = divmod(cell, len(rows[0]))
    return rows[row][column]


def most_general_glues(node: Tiles, width: int) -> list[Glues]:
    """Return the glues of every tile type, equal only as far as tiles that touch make them so."""
    same = list(range(4 * len(set(node))))  # glue -> one that is equal; it leads to the one that stands for all

    def found(tile: int, side: int) -> int:
        glue = 4 * tile + side
        while same[glue] != glue:
            glue = same[glue]
        return glue

    for cell, tile in enumerate(node):
        if cell >= width:
            same[found(tile, SOUTH)] = found(node[cell - width], NORTH)
        if cell % width:
            same[found(tile, WEST)] = found(node[cell - 1], EAST)
    return [[found(tile, side) for side in (NORTH, EAST, SOUTH, WEST)] for tile in range(len(same) // 4)]


def assembled(system: TileSystem) -> Rows | None:
    """Let a tile system assemble itself; None if it does not fill its rectangle, or not in one way only."""
    fitting = {(glues[SOUTH], glues[WEST]): tile for tile, glues in enumerate(system.glues)}
    if len(fitting) < len(system.glues):
        return None
    rows, below = [], system.south
    for beside in system.west:
        row = []
        for south in below:
            tile = fitting.get((south, beside))
            if tile is None:
                return None
            row.append(tile)
            beside = system.glues[tile][EAST]  # noqa: PLW2901 what the next tile has on its west side
        below = [system.glues[tile][NORTH] for tile in row]
        rows.append([system.colours[tile] for tile in row])
    return rows
