"""The numbers of a run over time, as the charts have them: first from the run's history, then from each status that comes.

This module must not write anything, nor read a clock: each status says when it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = ("time", "life", "explored", "nodes_per_s", "pending", "leased", "workers", "busy")
"""What a chart needs of a sample. ``life`` counts the coordinators before."""

SAMPLES_MAX = 1_000
"""More than a chart has pixels. When there are more every second one goes, and those to come are twice as far apart."""

DISTANCE_S = 0.5
"""How far apart samples are at first: what comes every second comes now a little sooner, now a little later."""

SPEED_S = 5.0
"""The speed is that of the last so many seconds: steady enough to read, quick enough to show a change."""

Sample = dict[str, Any]


class Samples:
    """Keeps what charts show, bounded.

    Args:
        history: samples from earlier, oldest first, as store.history reads them.
    """

    def __init__(self, history: Iterable[Mapping[str, Any]] = ()) -> None:
        self._samples: list[Sample] = [{name: each[name] for name in COLUMNS} for each in history]
        self._distance_s = DISTANCE_S
        self._latest: deque[tuple[int, float, int]] = deque()
        while len(self._samples) > SAMPLES_MAX:
            self._thin_out()

    def add(self, status: Mapping[str, Any]) -> float | None:
        """Take a status in.

        Returns:
            Nodes per second just now; None at the first moment of a coordinator's life.
        """
        speed = self._speed(status["restarts"], status["seconds"], status["nodes"])
        sample = {
            "time": status["time"],
            "life": status["restarts"],
            "explored": status["explored"],
            "nodes_per_s": speed,
            "pending": status["pending"],
            "leased": status["leased"],
            "workers": status["workers"],
            "busy": status["busy"],
        }
        last = self._samples[-1] if self._samples else None
        # A clock that was set back is no reason to wait until the old time comes again.
        if last is None or last["life"] != sample["life"] or abs(sample["time"] - last["time"]) >= self._distance_s:
            self._samples.append(sample)
            if len(self._samples) > SAMPLES_MAX:
                self._thin_out()
        return speed

    def table(self) -> dict[str, Any]:
        """Return all of them as columns and rows, oldest first."""
        return {"columns": COLUMNS, "rows": [[sample[name] for name in COLUMNS] for sample in self._samples]}

    def _thin_out(self) -> None:
        span_s = max(0.0, self._samples[-1]["time"] - self._samples[0]["time"])
        self._samples = self._samples[::2]
        self._distance_s = max(0.9 * span_s / len(self._samples), DISTANCE_S)

    def _speed(self, life: int, seconds: float, nodes: int) -> float | None:
        if self._latest and self._latest[-1][0] != life:
            self._latest.clear()
        self._latest.append((life, seconds, nodes))
        while len(self._latest) > 2 and self._latest[1][1] <= seconds - SPEED_S:
            self._latest.popleft()
        (_, first_s, first), (_, last_s, last) = self._latest[0], self._latest[-1]
        return max(0, last - first) / (last_s - first_s) if last_s > first_s else None
