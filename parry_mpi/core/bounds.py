"""The smallest of many bounds that come and go, some of which may not be known.

This module must not know what is bounded.
"""

from __future__ import annotations

import heapq
import math

Score = int | float
"""How good something is; the smallest is the best."""

SLACK = 64
"""Entries that are out of date and tolerated before the heap is made anew."""


class Bounds:
    """The bounds of things that have numbers. Adding, removing and looking cost O(log bounds), and next to nothing for unknown ones."""

    def __init__(self) -> None:
        self._known: dict[int, Score] = {}
        self._unknown_count = 0
        self._heap: list[tuple[Score, int]] = []

    def add(self, number: int, bound: Score | None) -> None:
        """Add something with its bound, None if that is not known."""
        if bound is None:
            self._unknown_count += 1
            return
        self._known[number] = bound
        if len(self._heap) > 2 * len(self._known) + SLACK:
            self._heap = sorted((each, key) for key, each in self._known.items())
        else:
            heapq.heappush(self._heap, (bound, number))

    def remove(self, number: int) -> None:
        """Take something out that is in."""
        if self._known.pop(number, None) is None:
            self._unknown_count -= 1

    def smallest(self) -> Score | None:
        """Return the smallest bound, infinity if there is nothing; None if any of them is not known."""
        if self._unknown_count:
            return None
        # A number may come back with another bound: only the entry that says what is known now counts.
        while self._heap and self._known.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def copy(self) -> Bounds:
        """Return an independent copy."""
        other = Bounds()
        other._known = self._known.copy()
        other._unknown_count = self._unknown_count
        other._heap = self._heap.copy()
        return other
