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
    """Bounds and how many things have them. Adding, removing and looking cost O(log bounds), and next to nothing for unknown ones."""

    def __init__(self) -> None:
        self._counts: dict[Score, int] = {}
        self._unknown_count = 0
        self._heap: list[Score] = []

    def add(self, bound: Score | None) -> None:
        """Add the bound of something, None if that is not known."""
        if bound is None:
            self._unknown_count += 1
            return
        count = self._counts.get(bound, 0)
        self._counts[bound] = count + 1
        if count:
            return
        if len(self._heap) > 2 * len(self._counts) + SLACK:
            self._heap = sorted(self._counts)
        else:
            heapq.heappush(self._heap, bound)

    def remove(self, bound: Score | None) -> None:
        """Take out what was added once."""
        if bound is None:
            self._unknown_count -= 1
            return
        count = self._counts.pop(bound)
        if count > 1:
            self._counts[bound] = count - 1

    def smallest(self) -> Score | None:
        """Return the smallest bound, infinity if there is nothing; None if any of them is not known."""
        if self._unknown_count:
            return None
        # What is in the heap may have gone since, and have come back.
        while self._heap and self._heap[0] not in self._counts:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else math.inf

    def copy(self) -> Bounds:
        """Return an independent copy."""
        other = Bounds()
        other._counts = self._counts.copy()
        other._unknown_count = self._unknown_count
        other._heap = self._heap.copy()
        return other
