"""Find the shortest Golomb ruler with n marks: no two pairs of its marks are the same distance apart.

A node is a ruler whose first marks are placed, with the offset from the last of them at which the next one is tried; its children
place it there, or try the next offset. Three masks of 128 bits, bit d - 1 for the distance d, tell where the marks are before the
last one, which distances are used, and which offsets cannot be had; placing a mark shifts them.

    parry-mpi run jobs/golomb.py n=10

What follows the next mark is at least as long as the shortest ruler of so many marks, and as the sum of the smallest distances
not yet used. Of a ruler and its mirror image one is enough: the one whose mark in the middle (the first of two) is in the first half.

Source: Shearer, "Some new optimum Golomb rulers", IEEE Transactions on Information Theory 36, 1990 (branch and bound, the mark in
the middle); Dollas, Rankin and McCracken, "A new algorithm for Golomb ruler derivation and proof of the 19 mark ruler", IEEE
Transactions on Information Theory 44, 1998 (bit masks).
Known answers (https://oeis.org/A003022), n = 2, 3, ...: 1, 3, 6, 11, 17, 25, 34, 44, 55, 72, 85, 106, 127 (n = 14).
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from parry_mpi import Best, Engine, Explore, Optimisation, stack_kernel

SHORTEST = (0, 0, 1, 3, 6, 11, 17, 25, 34, 44, 55, 72, 85, 106, 127)
"""The length of the shortest ruler by its number of marks; used for rulers with fewer marks than are looked for."""

N_MAX = len(SHORTEST) - 1

BITS = 128
LENGTH_MAX = BITS - 1
"""Longest ruler that is looked for: the masks hold its distances, and there is one with N_MAX marks."""

Ruler = tuple[int, int, int, int, int, int, int, int, int, int]
"""How many marks are placed; where the last one is; the offset from there at which the next one is tried; what has at least to come
after it; and the masks of marks, used distances and taken offsets, each as its low and its high word."""


class Golomb(Optimisation[Ruler, list[int]]):
    """Golomb rulers.

    Args:
        n: number of marks.
        engine: whether to use the compiled kernel.
    """

    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 8
    engine: Engine = "auto"

    node_dtype = np.dtype(
        [("count", "<i8"), ("last", "<i8"), ("offset", "<i8"), ("rest", "<i8")]
        + [(f"{mask}_{word}", "<u8") for mask in ("marks", "used", "taken") for word in ("low", "high")]
    )
    incidental = frozenset({"engine"})

    def roots(self) -> list[Ruler]:
        return [self.node(1, 0, 0, 0, 0)]

    def node(self, count: int, last: int, marks: int, used: int, taken: int) -> Ruler:
        """Return the node of a ruler that has just got its last mark; the masks are given as one integer each."""
        free = [distance for distance in range(1, BITS + 1) if not used >> (distance - 1) & 1]
        to_come = max(0, self.n - count - 1)
        rest = max(SHORTEST[to_come + 1], sum(free[:to_come]))
        return count, last, next_free(taken, 1), rest, *words(marks), *words(used), *words(taken)

    def children(self, node: Ruler) -> list[Ruler]:
        count, last, offset, rest = node[:4]
        if count == self.n or last + offset + rest > LENGTH_MAX:
            return []
        marks, used, taken = (low | high << 64 for low, high in zip(node[4::2], node[5::2], strict=True))
        shifted = marks << offset | 1 << (offset - 1)
        placed = self.node(count + 1, last + offset, shifted, used | shifted, taken >> offset | used | shifted)
        if count == self.n - 1:
            return [placed]  # with the last mark further on, the ruler is only longer
        return [placed, (count, last, next_free(taken, offset + 1), *node[3:])]

    def objective(self, node: Ruler) -> int | None:
        return node[1] if node[0] == self.n else None

    def solution(self, node: Ruler) -> list[int]:
        return positions(node[1], node[4] | node[5] << 64)

    def bound(self, node: Ruler) -> int:
        count, last, offset, rest = node[:4]
        if count == self.n:
            return last
        if count > self.middle:
            return last + offset + rest
        return max(last + offset + rest, 2 * (last + offset + SHORTEST[self.middle - count + 1]) + 1)

    def verify(self, objective: float, solution: list[int]) -> bool:
        distances = {right - left for left, right in itertools.combinations(solution, 2)}
        return (
            len(solution) == self.n
            and len(distances) == self.n * (self.n - 1) // 2
            and (min(solution), max(solution)) == (0, objective)
        )

    @property
    def middle(self) -> int:
        """Index of the mark that has to be in the first half, the first of two."""
        return (self.n - 1) // 2

    def kernel(self) -> Explore | None:
        shortest = np.array(SHORTEST)
        return stack_kernel(self, place_marks, self.n, shortest, room=2, value=ruler_found, worst=LENGTH_MAX + 1)


def next_free(taken: int, offset: int) -> int:
    """Return the first offset from this one on that can be had, BITS + 1 if there is none."""
    while offset <= BITS and taken >> (offset - 1) & 1:
        offset += 1
    return offset


def words(mask: int) -> tuple[int, int]:
    """Return the low and the high word of a mask."""
    return mask & 2**64 - 1, mask >> 64 & 2**64 - 1


def positions(last: int, marks: int) -> list[int]:
    """Return where the marks are."""
    return [last - distance for distance in range(last, 0, -1) if marks >> (distance - 1) & 1] + [last]


def ruler_found(found: tuple[int, int, int]) -> Best[list[int]]:
    """Return a ruler of which place_marks() gives the length and the marks."""
    length, low, high = found
    return Best(length, positions(length, low | high << 64))


def place_marks(rulers: Any, height: int, budget: int, limit: int, n: int, shortest: Any) -> tuple[Any, int, int, int]:
    """Explore from the top of a stack: the same tree as children() and bound() describe, compiled.

    Returns:
        Length and two words of the marks of the shortest ruler that was found below the limit (the limit if there was none); height of
        the stack, nodes explored, lowest height on the way.
    """
    nodes = 0
    lowest = height
    best_low = best_high = np.uint64(0)
    while height > 0 and nodes < budget and height + 2 <= len(rulers):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        ruler = rulers[height]
        count, last, offset, rest = ruler.count, ruler.last, ruler.offset, ruler.rest
        if lower_bound(count, last, offset, rest, n, shortest) >= limit:
            continue
        if count == n:
            limit, best_low, best_high = last, ruler.marks_low, ruler.marks_high
            continue
        if last + offset + rest > LENGTH_MAX:
            continue
        if count < n - 1:
            ruler.offset = free_from(ruler.taken_low, ruler.taken_high, offset + 1)
            height += 1
        used_low, used_high = ruler.used_low, ruler.used_high
        marks_low, marks_high = shifted_up(ruler.marks_low, ruler.marks_high, offset)
        taken_low, taken_high = shifted_down(ruler.taken_low, ruler.taken_high, offset)
        placed = rulers[height]
        placed.count, placed.last = count + 1, last + offset
        placed.marks_low, placed.marks_high = marks_low, marks_high
        placed.used_low, placed.used_high = used_low | marks_low, used_high | marks_high
        placed.taken_low, placed.taken_high = taken_low | placed.used_low, taken_high | placed.used_high
        placed.offset = free_from(placed.taken_low, placed.taken_high, 1)
        to_come = max(0, n - count - 2)
        placed.rest = max(shortest[to_come + 1], sum_of_free(placed.used_low, placed.used_high, to_come))
        height += 1
    return (limit, best_low, best_high), height, nodes, lowest


def shifted_up(low: Any, high: Any, offset: int) -> tuple[Any, Any]:
    """Return the mask of the marks seen from one that is placed at this offset: they are further away, and the last one is too."""
    one, zero = np.uint64(1), np.uint64(0)
    if offset > 64:
        return zero, low << np.uint64(offset - 64) | one << np.uint64(offset - 65)
    if offset == 64:
        return one << np.uint64(63), low
    by = np.uint64(offset)
    return low << by | one << np.uint64(offset - 1), high << by | low >> np.uint64(64 - offset)


def shifted_down(low: Any, high: Any, offset: int) -> tuple[Any, Any]:
    """Return the mask of taken offsets seen from a mark that is placed at this offset."""
    zero = np.uint64(0)
    if offset > 64:
        return high >> np.uint64(offset - 64), zero
    if offset == 64:
        return high, zero
    by = np.uint64(offset)
    return low >> by | high << np.uint64(64 - offset), high >> by


def lower_bound(count: int, last: int, offset: int, rest: int, n: int, shortest: Any) -> int:
    """Return what bound() returns."""
    if count == n:
        return last
    length = last + offset + rest
    middle = (n - 1) // 2
    if count <= middle:
        length = max(length, 2 * (last + offset + shortest[middle - count + 1]) + 1)
    return length


def free_from(low: Any, high: Any, offset: int) -> int:
    """Return the first offset from this one on whose bit is not set, BITS + 1 if there is none."""
    one = np.uint64(1)
    while offset <= 64 and low >> np.uint64(offset - 1) & one:
        offset += 1
    while 64 < offset <= BITS and high >> np.uint64(offset - 65) & one:
        offset += 1
    return offset


def sum_of_free(low: Any, high: Any, count: int) -> int:
    """Return the sum of the smallest distances whose bits are not set."""
    total = distance = 0
    for _ in range(count):
        distance = free_from(low, high, distance + 1)
        total += distance
    return total
