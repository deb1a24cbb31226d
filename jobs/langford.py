"""Count the Langford pairings of order n: two copies each of 1, 2, ..., n in a row, k numbers between the two copies of k.

For n = 3 there is 2 3 1 2 1 3, and the same read backwards. A pairing and its reverse are counted as one, as in the literature:
the numbers are placed from n down, and n goes to the left half only. If n is even it may stand exactly in the middle, and then n - 1,
which cannot, goes to the left half.

    parry-mpi run jobs/langford.py n=12

Source: Langford, "Problem", Mathematical Gazette 42, 1958; Knuth, The Art of Computer Programming 4A, section 7.
Known answers (https://oeis.org/A014552), n = 1, 2, ...: 0, 0, 1, 1, 0, 0, 26, 150, 0, 0, 17792, 108144, 0, 0, 39809640, 326721800
(n = 16). There are none unless n or n + 1 is a multiple of 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from parry_mpi import Engine, Enumeration, Explore, stack_kernel

Row = tuple[int, int]
"""The places that are taken, bit i for place i, and the largest number that is not yet placed; 0 when all are."""


class Langford(Enumeration[Row, int]):
    """Langford pairings, up to reversal.

    Args:
        n: the largest number; 31 is what fits the mask of places.
        engine: whether to use the compiled kernel.
    """

    n: Annotated[int, Meta(ge=1, le=31)] = 8
    engine: Engine = "auto"

    node_dtype = [("taken", "<i8"), ("number", "<i8")]
    incidental = frozenset({"engine"})

    def roots(self) -> list[Row]:
        return [(0, self.n)]

    def children(self, node: Row) -> Iterator[Row]:
        taken, number = node
        if number == 0:
            return
        starts = 2 * self.n - number - 1
        if number == self.n or (number == self.n - 1 and taken == self.middle):
            starts = (starts + 1) // 2
        for start in range(starts):
            pair = 1 << start | 1 << start + number + 1
            if not taken & pair:
                yield taken | pair, number - 1

    def value(self, node: Row) -> int:
        return int(node[1] == 0)

    @property
    def middle(self) -> int:
        """The places that n takes when it stands in the middle, which is its own mirror image; 0 if it cannot, n being odd."""
        return 0 if self.n % 2 else 1 << self.n // 2 - 1 | 1 << self.n // 2 + self.n

    def kernel(self) -> Explore | None:
        return stack_kernel(self, place_pairs, self.n, self.middle, room=2 * self.n)


def place_pairs(rows: Any, height: int, budget: int, n: int, middle: int) -> tuple[int, int, int, int]:
    """Explore from the top of a stack: the same tree as children() and value() describe, compiled.

    Returns:
        Pairings found, height of the stack, nodes explored, lowest height on the way.
    """
    found = nodes = 0
    lowest = height
    while height > 0 and nodes < budget and height + 2 * n <= len(rows):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        taken, number = rows[height].taken, rows[height].number
        if number == 0:
            found += 1
            continue
        in_left_half = number == n or (number == n - 1 and taken == middle)
        starts = 2 * n - number - 1
        if in_left_half:
            starts = (starts + 1) // 2
        pair = 1 | 1 << (number + 1)
        for _ in range(starts):
            if not taken & pair:
                rows[height].taken = taken | pair
                rows[height].number = number - 1
                height += 1
            pair <<= 1
    return found, height, nodes, lowest
