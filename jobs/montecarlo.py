"""Estimate pi from random points: how many of those in a square are in the quarter of a circle?

This is an example of a sweep with numpy: a root is a block of points and one call. The points are consecutive numbers of one stream
that depends on the seed alone, and hits are counted in integers. So the answer is exact for a seed: the same for every number of ranks,
every size of the blocks and every version of numpy.

    parry-mpi run jobs/montecarlo.py points=1e9

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox, a stream that can be entered
anywhere).
Known answers: 4 hits / points tends to pi; the standard error is 1.64 / sqrt(points). With seed=0, points=1000000: 784690 hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from parry_mpi import Enumeration, IndexedRoots

NUMBERS_PER_STEP = 4
"""Philox makes so many random numbers in a step, and its stream is entered between steps."""

SIDE_BITS = 31
"""A coordinate is an integer below 2**31: a random number holds two, and the sum of their squares fits it."""


class Tally(msgspec.Struct):
    """How many points there were, and how many of them were in the circle."""

    points: int
    hits: int


class MonteCarlo(Enumeration[tuple[int, int], Tally]):
    """Hits among random points.

    Args:
        points: how many there are.
        seed: which points.
        block: how many points there are in a call.
    """

    points: Annotated[int, Meta(ge=0, le=10**15)] = 10**6
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    block: Annotated[int, Meta(ge=NUMBERS_PER_STEP, le=2**24, multiple_of=NUMBERS_PER_STEP)] = 2**16

    def roots(self) -> Sequence[tuple[int, int]]:
        """Return the blocks: the first point of each, and how many there are."""
        blocks = -(-self.points // self.block)
        return IndexedRoots(blocks, lambda i: (i * self.block, min(self.block, self.points - i * self.block)))

    def value(self, node: tuple[int, int]) -> Tally:
        first, count = node
        numbers = np.random.Philox(key=self.seed, counter=first // NUMBERS_PER_STEP).random_raw(count)
        x, y = numbers >> np.uint64(64 - SIDE_BITS), numbers & np.uint64(2**SIDE_BITS - 1)
        return Tally(count, int(np.count_nonzero(x * x + y * y < np.uint64(4**SIDE_BITS))))

    def zero(self) -> Tally:
        return Tally(0, 0)

    def combine(self, left: Tally, right: Tally) -> Tally:
        return Tally(left.points + right.points, left.hits + right.hits)
