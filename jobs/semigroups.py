"""Count the numerical semigroups of a given genus.

A numerical semigroup is a set of natural numbers that holds 0, is closed under addition and misses only finitely many numbers;
how many it misses is its genus. Removing one of its generators that is larger than every number it misses gives a semigroup of
the next genus, and each semigroup comes up once: they form a tree, with all natural numbers at the root.

    parry-mpi run jobs/semigroups.py genus=30

A semigroup S is kept as its decomposition numbers, d(x) = how many pairs y <= z in S have the sum x. Then x is in S if d(x) > 0,
and a generator if d(x) = 1; and removing x takes 1 from d(y) for every y with y - x in S, which a compiler turns into vector
instructions.

Source: Bras-Amoros, "Fibonacci-like behavior of the number of numerical semigroups of a given genus", Semigroup Forum 76, 2008;
Fromentin and Hivert, "Exploring the tree of numerical semigroups", Mathematics of Computation 85, 2016 (decomposition numbers).
Known answers (https://oeis.org/A007323), genus = 0, 1, ...: 1, 1, 2, 4, 7, 12, 23, 39, 67, 118, 204, 343, 592, 1001, 1693, 2857,
4806, 8045, 13467, 22464, 37396, 62194, 103246, 170963, 282828, 467224, 770832, 1270267, 2091030, 3437839, 5646773 (genus 30).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from parry_mpi import Engine, Enumeration, Explore, stack_kernel

GENUS_MAX = 100
"""Nobody has counted as far; a larger bound costs memory for every node."""

SIZE = 3 * GENUS_MAX
"""Decomposition numbers kept: generators are at most 3 g at genus g > 0, and those of genus GENUS_MAX are only counted."""

Semigroup = tuple[int, int, int, Any]
"""Genus, conductor (the first number from which on nothing is missed; 1 for all natural numbers), multiplicity (the first number
after 0), decomposition numbers."""


class Semigroups(Enumeration[Semigroup, int]):
    """Numerical semigroups by genus.

    Args:
        genus: how many numbers a semigroup misses.
        engine: whether to use the compiled kernel.
    """

    genus: Annotated[int, Meta(ge=0, le=GENUS_MAX)] = 20
    engine: Engine = "auto"

    node_dtype = np.dtype([("genus", "<i4"), ("conductor", "<i4"), ("multiplicity", "<i4"), ("decompositions", "u1", (SIZE,))])
    incidental = frozenset({"engine"})

    def roots(self) -> list[Semigroup]:
        return [(0, 1, 1, (np.arange(SIZE) // 2 + 1).astype(np.uint8))]

    def children(self, node: Semigroup) -> Iterator[Semigroup]:
        genus, conductor, multiplicity, decompositions = node
        if genus == self.genus:
            return
        for generator in range(conductor, conductor + multiplicity):
            if decompositions[generator] == 1:
                fewer = np.array(decompositions, np.uint8)
                fewer[generator:] -= fewer[:-generator] > 0
                yield genus + 1, generator + 1, multiplicity + (generator == multiplicity), fewer

    def value(self, node: Semigroup) -> int:
        return int(node[0] == self.genus)

    def kernel(self) -> Explore | None:
        return stack_kernel(self, remove_generators, self.genus, room=self.genus + 1)


def remove_generators(semigroups: Any, height: int, budget: int, last_genus: int) -> tuple[int, int, int, int]:
    """Explore from the top of a stack: the tree of children() and value(), compiled, its last two levels counted at once.

    Returns:
        Semigroups found, height of the stack, nodes explored, lowest height on the way.
    """
    found = nodes = 0
    lowest = height
    size = 3 * last_genus
    decompositions = np.empty(SIZE, np.uint8)
    while height > 0 and nodes < budget and height + last_genus < len(semigroups):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        genus, conductor, multiplicity = semigroups[height].genus, semigroups[height].conductor, semigroups[height].multiplicity
        for x in range(size):
            decompositions[x] = semigroups[height].decompositions[x]
        if last_genus - genus <= 2:
            found += count_descendants(conductor, multiplicity, decompositions, last_genus - genus)
            continue
        for generator in range(conductor, conductor + multiplicity):
            if decompositions[generator] == 1:
                child = semigroups[height]
                child.genus = genus + 1
                child.conductor = generator + 1
                child.multiplicity = multiplicity + (generator == multiplicity)
                fewer = child.decompositions
                for x in range(generator):
                    fewer[x] = decompositions[x]
                above, fewer_above = decompositions[generator:size], fewer[generator:size]
                for x in range(len(above)):
                    fewer_above[x] = above[x] - (decompositions[x] > 0)
                height += 1
    return found, height, nodes, lowest


def count_descendants(conductor: int, multiplicity: int, decompositions: Any, generations: int) -> int:
    """Return how many descendants a semigroup has after 0, 1 or 2 generations, without building any.

    A child keeps the generators above the one it loses, x, and the only new one can be x + multiplicity, namely if its only
    decompositions were 0 + (x + multiplicity) and x + multiplicity. (The child that loses its multiplicity m gains both
    2 m and 2 m + 1.)
    """
    if generations == 0:
        return 1
    generators = grandchildren = 0
    for x in range(conductor + multiplicity - 1, conductor - 1, -1):
        if decompositions[x] == 1:
            grandchildren += generators + (decompositions[x + multiplicity] == 2) + (x == multiplicity)
            generators += 1
    return generators if generations == 1 else grandchildren
