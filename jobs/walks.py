"""Count the self-avoiding walks of n steps on the square lattice.

A node is the beginning of a walk. The eight symmetries of the lattice are used: only walks are made whose first step goes east and
whose first turn goes north. Each stands for eight, except the straight one, which stands for four.

    parry-mpi run jobs/walks.py n=20

Source: Madras and Slade, "The Self-Avoiding Walk", Birkhaeuser, 1993.
Known answers (https://oeis.org/A001411), n = 0, 1, ...: 1, 4, 12, 36, 100, 284, 780, 2172, 5916, 16268, 44100, 120292, 324932, 881500,
2374444, 6416596, 17245332, 46466676, 124658732, 335116620, 897697164, 2408806028, 6444560484, 17266613812, 46146397316 (n = 24).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from parry_mpi import Engine, Enumeration, Explore, stack_kernel

STEPS_MAX = 60
"""Counting one by one ends long before; a larger bound costs memory for every node."""

COUNTED_STEPS_MAX = 8
"""The last steps of a walk are counted within its node: some thousand ways, so that building the node costs nothing beside them,
and still a few microseconds, so that the library can divide the work."""

MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""East, north, west, south."""

Walk = tuple[int, Any]
"""How many steps it has, and these as indices into MOVES."""


class Walks(Enumeration[Walk, int]):
    """Self-avoiding walks.

    Args:
        n: how many steps they have.
        engine: whether to use the compiled kernel.
    """

    n: Annotated[int, Meta(ge=0, le=STEPS_MAX)] = 10
    engine: Engine = "auto"

    node_dtype = np.dtype([("length", "u1"), ("steps", "u1", (STEPS_MAX,))])
    incidental = frozenset({"engine"})

    def roots(self) -> list[Walk]:
        return [(0, np.zeros(STEPS_MAX, np.uint8))]

    def children(self, node: Walk) -> Iterator[Walk]:
        length, steps = node[0], [int(step) for step in node[1]]
        if length == self.n:
            return
        visited = [(0, 0)]
        for step in steps[:length]:
            visited.append(moved(visited[-1], step))
        straight = not any(steps[:length])
        for step in range(min(length, 1) + 1 if straight else len(MOVES)):
            if moved(visited[-1], step) not in visited:
                steps[length] = step
                yield length + 1, np.array(steps, np.uint8)

    def value(self, node: Walk) -> int:
        length, steps = node
        if length < self.n:
            return 0
        if length == 0:
            return 1
        return 8 if any(steps[:length]) else 4

    def kernel(self) -> Explore | None:
        counted = min(COUNTED_STEPS_MAX, self.n // 3)  # a small tree has to be divided too
        visited = np.zeros((2 * self.n + 3) ** 2, np.uint8)
        return stack_kernel(self, extend_walks, self.n, counted, visited, room=len(MOVES))


def moved(place: tuple[int, int], step: int) -> tuple[int, int]:
    """Return the place that one step leads to."""
    return place[0] + MOVES[step][0], place[1] + MOVES[step][1]


def extend_walks(walks: Any, height: int, budget: int, n: int, counted: int, visited: Any) -> tuple[int, int, int, int]:
    """Explore from the top of a stack: the tree of children() and value(), compiled, its last levels counted at once.

    Args:
        walks: the stack.
        height: how many nodes are on it.
        budget: how many nodes to explore at most.
        n: how many steps a walk has.
        counted: how many of the last steps are counted at once.
        visited: a grid of 2 n + 3 by 2 n + 3 zeros; it comes back so.

    Returns:
        Walks found, height of the stack, nodes explored, lowest height on the way.
    """
    found = nodes = 0
    lowest = height
    moves = np.array([1, 2 * n + 3, -1, -2 * n - 3])
    steps = np.empty(STEPS_MAX, np.int64)
    while height > 0 and nodes < budget and height + 4 <= len(walks):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        length, place, turns = int(walks[height].length), len(visited) // 2, 0
        visited[place] = 1
        for i in range(length):
            steps[i] = walks[height].steps[i]
            turns |= steps[i]
            place += moves[steps[i]]
            visited[place] = 1
        if turns and n - length <= counted:
            found += 8 * count_ways(visited, place, n - length, moves)
        elif length == n:
            found += 4 if length else 1
        else:
            for step in range(4 if turns else min(length, 1) + 1):
                if not visited[place + moves[step]]:
                    walks[height].length = length + 1
                    for i in range(STEPS_MAX):
                        walks[height].steps[i] = steps[i] if i < length else 0
                    walks[height].steps[length] = step
                    height += 1
        visited[place] = 0
        for i in range(length):
            place -= moves[steps[length - 1 - i]]
            visited[place] = 0
    return found, height, nodes, lowest


def count_ways(visited: Any, place: int, steps: int, moves: Any) -> int:
    """Return in how many ways a walk that ends at a place can take so many more steps, without any stack of nodes."""
    if steps == 0:
        return 1
    places, tried = np.empty(COUNTED_STEPS_MAX, np.int64), np.zeros(COUNTED_STEPS_MAX, np.int64)
    places[0] = place
    ways = depth = 0
    while depth >= 0:
        if depth == steps - 1:
            for move in moves:
                ways += 1 - visited[places[depth] + move]
            tried[depth] = 4
        if tried[depth] == 4:
            visited[places[depth]] = depth == 0
            depth -= 1
            continue
        onward = places[depth] + moves[tried[depth]]
        tried[depth] += 1
        if not visited[onward]:
            visited[onward] = 1
            depth += 1
            places[depth] = onward
            tried[depth] = 0
    return ways
