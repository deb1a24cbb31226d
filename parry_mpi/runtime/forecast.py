"""How large the tree seems to be, and how long the rest will take at the speed of late. This module must not decide anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from parry_mpi.core.estimate import Estimate, Estimator
from parry_mpi.core.state import AnyRecord, State

PACE_MS = 30_000
"""The speed that counts is that of so long: steady enough for a time left that does not jump, and soon right when workers come or go."""

NOTE_MS = 500
"""How far apart the numbers are from which the speed is found: workers report as often."""


class Forecast:
    """Watches a run.

    Args:
        state: where it stands.
    """

    def __init__(self, state: State) -> None:
        self._counters = state.counters
        self._estimator = Estimator(state)
        self._noted: deque[tuple[int, int]] = deque()

    def take(self, records: Iterable[AnyRecord]) -> None:
        """Take in what happened, after it was applied to the state."""
        for record in records:
            self._estimator.take(record)

    def estimate(self, now_ms: int) -> Estimate | None:
        """Return what is thought now; None while that is not known. Ask now and then: that is how the speed is found."""
        noted, nodes = self._noted, self._counters.nodes
        if not noted or now_ms >= noted[-1][0] + NOTE_MS:
            noted.append((now_ms, nodes))
        while len(noted) > 2 and noted[1][0] <= now_ms - PACE_MS:
            noted.popleft()
        found = self._estimator.estimate()
        since_ms, before = noted[0]
        return found and found.at(nodes, (nodes - before) * 1000 / max(now_ms - since_ms, 1))
