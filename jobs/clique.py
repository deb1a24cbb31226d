"""Find a maximum clique of a graph: as many vertices as possible that are all neighbours of each other.

A node is a clique, with the candidates by which it can be extended: the common neighbours that come before it. Colouring the candidates
greedily bounds what a candidate can lead to: a clique has no two vertices of one colour. The candidates are tried from the last
colour on, each one together with those that were coloured before it.

    parry-mpi run jobs/clique.py n=200 density=0.7 seed=1
    parry-mpi run jobs/clique.py file=brock200_4.clq

Source: Tomita and Seki, "An efficient branch-and-bound algorithm for finding a maximum clique", DMTCS 2003 (the bound, and the
order of the vertices); San Segundo, Rodriguez-Losada and Jimenez, "An exact bit-parallel algorithm for the maximum clique problem",
Computers & Operations Research 38, 2011 (bit sets). Files: the second DIMACS implementation challenge, 1993, in ASCII.
Known answers (of the challenge's graphs): hamming6-2 32, hamming6-4 4, hamming8-4 16, johnson8-2-4 4, johnson8-4-4 14, johnson16-2-4
8, MANN_a9 16, keller4 11, brock200_4 17, p_hat300-1 8.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from parry_mpi import Best, Engine, Explore, Optimisation, stack_kernel

WORD = 64
"""Bits in a word of a set."""

HEADER = 2
"""Words of a node before its sets."""

N_MAX = 4096
"""Most vertices of a graph; more would make nodes of more than a kilobyte."""

Node = tuple[int, int, Any, Any]
"""Size of the clique, what no clique below can exceed, and two sets of vertices: the clique and its candidates."""


class Clique(Optimisation[Node, list[int]]):
    """Maximum clique. The answer numbers the vertices from 1, as the files do.

    Args:
        file: a graph in DIMACS' ASCII format (.clq, .col); without one, a random graph is made of the other parameters.
        n: number of vertices.
        density: probability of each edge.
        seed: of the random numbers.
        engine: whether to use the compiled kernel.
    """

    file: str = ""
    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 100
    density: Annotated[float, Meta(ge=0, le=1)] = 0.5
    seed: Annotated[int, Meta(ge=0)] = 0
    engine: Engine = "auto"

    sense = "max"
    incidental = frozenset({"engine"})

    def __post_init__(self) -> None:
        if self.file:
            _ = self.graph  # what is wrong with a file is said before anything begins

    @cached_property
    def graph(self) -> Any:
        """The adjacency matrix."""
        return read_dimacs(self.file) if self.file else random_graph(self.n, self.density, self.seed)

    @cached_property
    def order(self) -> Any:
        """The vertex of each bit: the last has the fewest neighbours, the one before it the fewest among the others, and so on."""
        degrees, order = self.graph.sum(axis=1), []
        for _ in range(len(degrees)):
            vertex = int(degrees.argmin())
            order.append(vertex)
            degrees -= self.graph[vertex]
            degrees[vertex] = N_MAX * N_MAX
        return np.array(order[::-1])

    @cached_property
    def neighbours(self) -> Any:
        """The neighbours of each vertex, as sets of bits."""
        return packed(self.graph[self.order][:, self.order])

    @cached_property
    def node_dtype(self) -> np.dtype[Any]:
        words = (self.neighbours.shape[1],)
        header = [(name, "<u8") for name in ("size", "bound")]
        return np.dtype([*header, ("clique", "<u8", words), ("candidates", "<u8", words)])

    def inputs(self) -> list[str]:
        return [self.file] if self.file else []

    def roots(self) -> list[Node]:
        count = len(self.graph)
        everything = packed(np.ones((1, count), bool))[0]
        return [(0, count, np.zeros_like(everything), everything)]

    def children(self, node: Node) -> Iterator[Node]:
        size, _, clique, candidates = node
        coloured = self.colour(integer(candidates))
        for index in reversed(range(len(coloured))):
            vertex, colour = coloured[index]
            before = sum(1 << other for other, _ in coloured[:index])
            larger, rest = integer(clique) | 1 << vertex, before & integer(self.neighbours[vertex])
            yield size + 1, size + colour, bits(larger, len(clique)), bits(rest, len(clique))

    def colour(self, candidates: int) -> list[tuple[int, int]]:
        """Return the candidates with their colours 1, 2, ..., class by class: no two neighbours have the same."""
        coloured = []
        colour = 0
        while candidates:
            colour += 1
            free = candidates
            while free:
                vertex = (free & -free).bit_length() - 1
                coloured.append((vertex, colour))
                candidates ^= 1 << vertex
                free &= ~(1 << vertex | integer(self.neighbours[vertex]))
        return coloured

    def objective(self, node: Node) -> int:
        return node[0]

    def solution(self, node: Node) -> list[int]:
        return self.vertices(node[2])

    def vertices(self, clique: Any) -> list[int]:
        """Return a set of bits as the graph's own numbers."""
        members = np.unpackbits(clique.view(np.uint8), bitorder="little").nonzero()[0]
        return sorted(int(vertex) + 1 for vertex in self.order[members])

    def bound(self, node: Node) -> int:
        return node[1]

    def verify(self, objective: float, solution: list[int]) -> bool:
        pairs = itertools.combinations(solution, 2)
        return len(set(solution)) == objective and all(self.graph[one - 1, other - 1] for one, other in pairs)

    def kernel(self) -> Explore | None:
        best = np.zeros(self.neighbours.shape[1], np.uint64)
        return stack_kernel(
            self,
            extend_cliques,
            self.neighbours,
            best,
            room=len(self.graph),
            value=lambda size: Best(size, self.vertices(best)),
            worst=-1,
            words=True,
        )


def extend_cliques(cliques: Any, height: int, budget: int, known: int, neighbours: Any, best: Any) -> tuple[int, int, int, int]:
    """Explore from the top of a stack: the tree of children(), compiled. A child that is left out at birth does not count as a node.

    Args:
        cliques: the stack, each node as the 64-bit words it consists of: whatever the size of the graph, one compilation serves.
        height: of the stack.
        budget: how many nodes may be explored.
        known: size of the largest clique known.
        neighbours: of each vertex, as sets of bits.
        best: is filled with a larger clique if one is found.

    Returns:
        Size of the largest clique known now, height of the stack, nodes explored, lowest height on the way.
    """
    nodes = 0
    lowest = height
    count, words = neighbours.shape
    vertices, colours = np.empty(count, np.int64), np.empty(count, np.int64)
    sets = np.empty((4, words), np.uint64)
    clique, candidates, before, free = sets[0], sets[1], sets[2], sets[3]
    while height > 0 and nodes < budget and height + count <= len(cliques):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        size, bound = int(np.int64(cliques[height, 0])), int(np.int64(cliques[height, 1]))
        if bound <= known:
            continue
        for word in range(words):
            clique[word] = cliques[height, HEADER + word]
            candidates[word] = cliques[height, HEADER + words + word]
            before[word] = 0
        if size > known:
            known = size
            for word in range(words):
                best[word] = clique[word]
        coloured = colour_vertices(candidates, neighbours, vertices, colours, free)
        for index in range(coloured):
            vertex = vertices[index]
            place, bit = vertex // WORD, np.uint64(1) << np.uint64(vertex % WORD)
            if size + colours[index] > known:
                child = cliques[height]
                child[0], child[1] = size + 1, size + colours[index]
                for word in range(words):
                    child[HEADER + word] = clique[word]
                    child[HEADER + words + word] = before[word] & neighbours[vertex, word]
                child[HEADER + place] |= bit
                height += 1
            before[place] |= bit
    return known, height, nodes, lowest


def colour_vertices(candidates: Any, neighbours: Any, vertices: Any, colours: Any, free: Any) -> int:
    """Colour as colour() does, into two arrays, and return how many there are; ``candidates`` and ``free`` are used up."""
    coloured = colour = first = 0
    words = len(candidates)
    one = np.uint64(1)
    while first < words:
        if not candidates[first]:
            first += 1
            continue
        colour += 1
        for word in range(first, words):
            free[word] = candidates[word]
        for word in range(first, words):
            while free[word]:
                vertex, low = word * WORD, free[word]
                while not low & np.uint64(0xFF):
                    low >>= np.uint64(8)
                    vertex += 8
                while not low & one:
                    low >>= one
                    vertex += 1
                vertices[coloured], colours[coloured] = vertex, colour
                coloured += 1
                candidates[word] ^= one << np.uint64(vertex % WORD)
                free[word] ^= one << np.uint64(vertex % WORD)
                for later in range(word, words):
                    free[later] &= ~neighbours[vertex, later]
    return coloured


def packed(matrix: Any) -> Any:
    """Return the rows of a matrix of booleans as sets of bits."""
    padded = np.zeros((len(matrix), -(-matrix.shape[1] // WORD) * WORD), bool)
    padded[:, : matrix.shape[1]] = matrix
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def integer(words: Any) -> int:
    """Return a set of bits as one integer."""
    return int.from_bytes(np.asarray(words).tobytes(), "little")


def bits(members: int, words: int) -> Any:
    """Return an integer as a set of bits."""
    return np.frombuffer(members.to_bytes(words * WORD // 8, "little"), np.uint64)


def random_graph(n: int, density: float, seed: int) -> Any:
    """Return the adjacency matrix of a random graph, of Gilbert's model G(n, p)."""
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < density, 1)
    return upper | upper.T


def read_dimacs(file: str) -> Any:
    """Return the adjacency matrix of a file: "p edge VERTICES EDGES", then "e VERTEX VERTEX" for each edge; comments begin with c.

    Raises:
        ValueError: the file cannot be read, or is something else.
    """
    graph = None
    try:
        for number, line in enumerate(Path(file).read_text("ascii").splitlines(), 1):
            match line.split():
                case ["p", "edge" | "col" | "clq", vertices, _] if graph is None and 1 <= int(vertices) <= N_MAX:
                    graph = np.zeros((int(vertices), int(vertices)), bool)
                case ["e", one, other] if graph is not None and 0 < int(one) <= len(graph) and 0 < int(other) <= len(graph):
                    graph[int(one) - 1, int(other) - 1] = graph[int(other) - 1, int(one) - 1] = one != other
                case [] | ["c", *_] | ["n" | "d" | "v" | "x", *_]:
                    pass
                case _:
                    raise ValueError(f"line {number} is not DIMACS' format for graphs of 1 to {N_MAX} vertices: {line:.80}")  # noqa: TRY301 said with the file
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if graph is None:
        raise ValueError(f"{file}: no line 'p edge VERTICES EDGES'")
    return graph
