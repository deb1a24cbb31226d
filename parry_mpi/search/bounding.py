"""How much of a kernel's time may go into asking for the bounds of what it leaves.

A kernel does not tell bounds: they are asked for in Python when its frontier becomes jobs. This module must not know problems, nor
read a clock.
"""

from __future__ import annotations

BOUNDED_NODES_MAX = 1_000
"""A kernel's frontier of more nodes is not asked for its bounds: the whole job has one bound, and the worst node decides."""

BOUNDING_SHARE = 0.01
"""How much of the time of a kernel may be spent asking for bounds, with Python's speed, when its frontier becomes jobs."""

BOUNDING_US_MAX = 100_000
"""The longest that may take at once: somebody waits for the jobs."""

BOUNDING_FIRST_US = 5_000
"""What may be spent before anything was explored, so that the first bound is told early."""

BOUND_US = 5.0
"""How long a call of bound() takes, until that was measured."""


class BoundingTime:
    """How much time may still be spent asking for bounds of what a kernel left. Clocks are the caller's: it is told of every time.

    Attributes:
        asked: how many bounds were asked for since the last call of spend().
    """

    def __init__(self) -> None:
        self.asked = 0
        self._left_us: float = BOUNDING_FIRST_US
        self._node_us = BOUND_US

    def allows(self, nodes: int) -> bool:
        """Whether so many nodes may be asked for now."""
        return nodes <= BOUNDED_NODES_MAX and nodes * self._node_us <= min(self._left_us, BOUNDING_US_MAX)

    def earn(self, explored_us: int) -> None:
        """Note how long was explored."""
        self._left_us += explored_us * BOUNDING_SHARE

    def spend(self, took_us: int) -> None:
        """Note how long it took to make jobs, with all that was asked for."""
        if self.asked:
            self._left_us -= took_us
            self._node_us = took_us / self.asked
            self.asked = 0
