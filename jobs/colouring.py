"""Can the vertices of a graph be coloured with so many colours that no edge joins two of one colour?

A node is a colouring of some vertices. Its children colour the one whose neighbours have the most colours already, with each colour
that is possible for it; of those not yet used only the first, for they are all alike.

    parry-mpi run jobs/colouring.py graph=myciel4 colours=4
    parry-mpi run jobs/colouring.py graph=queen8_8.col colours=9

Source: Brelaz, "New methods to color the vertices of a graph", Communications of the ACM 22, 1979 (which vertex comes next);
Mycielski, "Sur le coloriage des graphes", Colloquium Mathematicum 3, 1955; the second DIMACS challenge, 1993 (names and file format).
Known answers: myciel2, a pentagon, needs 3 colours, myciel3 4, myciel4 5, and so on, although none of them has a triangle.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from parry_mpi import Decision

Edges = tuple[tuple[int, int], ...]

Colours = tuple[int, ...]
"""The colour of every vertex, from 1; 0 for one that has none yet."""

GENERATED = re.compile(r"myciel([2-9])")


class Colouring(Decision[Colours, list[int]]):
    """Colour a graph.

    Args:
        graph: mycielK, or a DIMACS file (.col).
        colours: how many there are.
    """

    graph: str = "myciel3"
    colours: Annotated[int, Meta(ge=0)] = 4

    def __post_init__(self) -> None:
        self.edges_of_graph()  # what cannot be read is refused before anything is begun

    def inputs(self) -> list[str]:
        return [] if GENERATED.fullmatch(self.graph) else [self.graph]

    def roots(self) -> list[Colours]:
        return [(0,) * self.edges_of_graph()[0]]

    def children(self, node: Colours) -> Iterator[Colours]:
        colours_near = [{node[other] for other in near} - {0} for near in self.neighbours]
        blank = [vertex for vertex, colour in enumerate(node) if not colour]
        if not blank:
            return
        vertex = max(blank, key=lambda vertex: (len(colours_near[vertex]), len(self.neighbours[vertex])))
        for colour in range(1, min(self.colours, max(node) + 1) + 1):
            if colour not in colours_near[vertex]:
                yield (*node[:vertex], colour, *node[vertex + 1 :])

    def witness(self, node: Colours) -> list[int] | None:
        return list(node) if all(node) else None

    def verify(self, witness: list[int]) -> bool:
        count, edges = self.edges_of_graph()
        right = len(witness) == count and all(1 <= colour <= self.colours for colour in witness)
        return right and all(witness[one] != witness[other] for one, other in edges)

    @functools.cached_property
    def neighbours(self) -> list[set[int]]:
        """The neighbours of every vertex."""
        count, edges = self.edges_of_graph()
        neighbours: list[set[int]] = [set() for _ in range(count)]
        for one, other in edges:
            neighbours[one].add(other)
            neighbours[other].add(one)
        return neighbours

    def edges_of_graph(self) -> tuple[int, Edges]:
        """Return how many vertices the graph has, and its edges.

        Raises:
            ValueError: there is no such graph, or the file is none.
        """
        if generated := GENERATED.fullmatch(self.graph):
            graph: tuple[int, Edges] = 2, ((0, 1),)
            for _ in range(int(generated[1]) - 1):
                graph = mycielski(*graph)
            return graph
        try:
            return read_dimacs(Path(self.graph).read_text(), self.graph)
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"graph={self.graph} is neither myciel2 to myciel9 nor a file that can be read: {error}") from error


def mycielski(count: int, edges: Edges) -> tuple[int, Edges]:
    """Return the graph that needs one colour more: every vertex gets a twin with the same neighbours, the twins a common neighbour."""
    twins = tuple((one, count + other) for one, other in edges) + tuple((other, count + one) for one, other in edges)
    return 2 * count + 1, edges + twins + tuple((count + vertex, 2 * count) for vertex in range(count))


def read_dimacs(text: str, where: str) -> tuple[int, Edges]:
    """Return how many vertices a graph in the DIMACS format has, and its edges, with vertices from 0.

    Raises:
        ValueError: it is not in that format.
    """
    count, edges = -1, []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        try:
            if words[:1] == ["p"]:
                count = int(words[2])
            elif words[:1] == ["e"]:
                edges.append((int(words[1]) - 1, int(words[2]) - 1))
        except (ValueError, IndexError) as error:
            raise ValueError(f"{where}, line {number}, is not DIMACS .col: {line.strip()!r:.60}") from error
    if count < 0:
        raise ValueError(f"{where} is not DIMACS .col: it has no line that begins with p")
    for one, other in edges:
        if one == other or not (0 <= one < count and 0 <= other < count):
            raise ValueError(f"{where}: an edge from {one + 1} to {other + 1} cannot be in a graph of {count} vertices")
    return count, tuple(edges)
