"""Sweep a range of starting points for the one whose 3x+1 sequence takes longest to fall below it.

The sequence goes from x to x / 2 if x is even, and to 3 x + 1 if it is odd; the glide of a start is how many steps it takes until
the sequence is first below the start. This is an example of a flat sweep: every root is a point, there are no children, and the
roots are made on demand, so that the sweep may be far larger than memory.

    parry-mpi run jobs/sweep.py points=10000000

Known answers (https://oeis.org/A060412 and A060413: the starts whose glide is longer than that of every smaller start, and these
glides): 27 has 96, 703 has 132, 10087 has 171, 35655 has 220, 270271 has 267, 362343 has 269, 381727 has 282, 626331 has 287,
1027431 has 298, 1126015 has 365, 8088063 has 401, 13421671 has 468.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from parry_mpi import Enumeration, IndexedRoots

FIRST_START = 2
"""The sequence of 1 never falls below 1."""


class Glide(msgspec.Struct):
    """The start with the longest glide, the smallest of them if there are several."""

    steps: int
    start: int


class Sweep(Enumeration[int, Glide]):
    """Longest glide among the starts 2, 3, ..., points + 1.

    Args:
        points: how many starts there are.
        source: whether the points are farmed out by index, which costs nothing for those not yet begun, or come out of a
            generator, as they have to when they are read from a file or drawn one after the other.
    """

    points: Annotated[int, Meta(ge=0, le=10**12)] = 100_000
    source: Literal["index", "generator"] = "index"

    def roots(self) -> Iterable[int]:
        if self.source == "generator":
            return (FIRST_START + index for index in range(self.points))
        return IndexedRoots(self.points, lambda index: FIRST_START + index)

    def value(self, node: int) -> Glide:
        x, steps = node, 0
        while x >= node:
            x = 3 * x + 1 if x % 2 else x // 2
            steps += 1
        return Glide(steps, node)

    def zero(self) -> Glide:
        return Glide(0, 0)

    def combine(self, left: Glide, right: Glide) -> Glide:
        return max(left, right, key=lambda glide: (glide.steps, -glide.start))
