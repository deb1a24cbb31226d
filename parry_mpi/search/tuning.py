"""How many nodes a slice has. This module must not read a clock."""

from __future__ import annotations

BUDGET_MAX = 1 << 40
"""No kernel explores more in a slice; keeps the budget within a kernel's 64-bit integer."""

GROWTH_MAX = 4
"""How much longer the next slice may be planned than the last one was: the first nodes of a job say little about the others."""

SLICE_PART = 0.02
SLICE_MS_MIN = 2.0
SLICE_MS_MAX = 20.0
"""A slice lasts this part of the time for which nothing was to be given away, within these limits. Around a call of a kernel there are
some 50 us, so long slices are cheap; but whoever is hungry waits for the end of one. So a worker waits at most for a fiftieth of the
time for which no other one had to, and where work is scarce, at the beginning and at the end of a run, nobody waits for long."""


def slice_ms(calm_ms: float, longest_ms: float = SLICE_MS_MAX) -> float:
    """Return how long the next slice should last, in milliseconds.

    Args:
        calm_ms: how long ago something was to be given away.
        longest_ms: what it may be at most.
    """
    return min(max(calm_ms * SLICE_PART, SLICE_MS_MIN), longest_ms)


class SliceTuner:
    """Choose how many nodes a slice has, so that it lasts about as long as wanted."""

    def __init__(self) -> None:
        self._nodes_per_ms = 0.0
        self._wanted_ms = SLICE_MS_MIN

    def budget(self, wanted_ms: float) -> int:
        """Return how many nodes a slice should have that is to last so long, at least 1."""
        self._wanted_ms = wanted_ms
        return max(1, min(BUDGET_MAX, round(self._nodes_per_ms * wanted_ms)))

    def note(self, nodes: int, budget: int, took_ms: float) -> None:
        """Learn from a slice: how many nodes it had, how many it might have had, and how long it took."""
        seen = nodes / max(took_ms, 0.001)
        if took_ms > self._wanted_ms:
            # One long slice is proof: come down at once. A short one may be luck: go up step by step.
            self._nodes_per_ms = seen
        elif nodes >= budget:
            self._nodes_per_ms = max(self._nodes_per_ms, min(seen, (GROWTH_MAX * nodes + 1) / self._wanted_ms))
