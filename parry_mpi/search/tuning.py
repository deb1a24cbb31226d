"""How many nodes a slice should have. This module must not read a clock."""

from __future__ import annotations

BUDGET_MAX = 1 << 40
"""No kernel explores more in a slice; keeps the budget within a kernel's 64-bit integer."""

GROWTH_MAX = 4
"""How much longer the next slice may be planned than the last one was: the first nodes of a job say little about the others."""


class SliceTuner:
    """Choose how many nodes a slice has, so that it lasts about as long as wanted.

    Args:
        slice_ms: how long a slice shall last, in milliseconds.
    """

    def __init__(self, slice_ms: float) -> None:
        self._slice_ms = slice_ms
        self.budget = 1

    def note(self, nodes: int, budget: int, took_ms: float) -> None:
        """Learn from a slice: how many nodes it had, how many it might have had, and how long it took."""
        wanted = nodes * self._slice_ms / max(took_ms, 0.001)
        if took_ms > self._slice_ms:
            # One long slice is proof: come down at once. A short one may be luck: go up step by step.
            self.budget = max(1, int(wanted))
        elif nodes >= budget:
            self.budget = min(BUDGET_MAX, max(self.budget, int(min(wanted, nodes * GROWTH_MAX)) + 1))
