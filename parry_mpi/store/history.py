"""The history of a run: samples of its numbers over time, one JSON object a line, for charts.

It is bounded: when it is full every second sample goes, and from then on samples are twice as far apart. This module must not stop
a run: whatever goes wrong with the file is swallowed, and nothing reads it to decide anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

HISTORY_NAME = "history.jsonl"
SAMPLES_MAX = 4096
"""More than a chart has pixels. The file then has some megabytes, and is rewritten each time a run has become twice as old."""
DISTANCE_S = 1.0
"""How far apart samples are at first; a run publishes its numbers as often."""
LATE_S = 0.5
"""A sample may come so much early: what is published every second comes now a little sooner, now a little later."""
DEPTHS_MAX = 32
"""How many rows of jobs by depth a sample has; where there are more, depths that follow on each other share a row."""
ENDED = "ended"
"""The phase in which a run says its last numbers; they are always kept."""

COPIED = ("explored", "nodes", "pending", "leased", "workers", "busy", "killings")
"""What a sample takes from the status as it is."""


class History:
    """Adds samples to a file. It may be called from any thread, and never raises.

    Args:
        path: the file; created at the first sample, continued if it is there.
        samples_max: when every second one is dropped; at least 2.
        now: the time of day, seconds since 1970.
    """

    def __init__(self, path: Path, *, samples_max: int = SAMPLES_MAX, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._samples_max = samples_max
        self._now = now
        self._mutex = threading.Lock()
        self._last: dict[str, Any] | None = None
        self._count: int | None = None
        self._distance_s = DISTANCE_S

    def add(self, status: Mapping[str, Any]) -> None:
        """Take a sample of what a coordinator says about itself, if it is time to; lost if the file system will not take it."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError), self._mutex:
            if self._count is None:
                self._take_up()
            if self._due(status):
                self._append(self._sample(status))

    def _take_up(self) -> None:
        """Go on from what is there. A last line that was written only in part goes, for the next one would be added to it."""
        samples = _read(self._path)
        if self._path.exists() and not self._path.read_bytes().endswith(b"\n"):
            _replace(self._path, samples)
        self._count = len(samples)
        self._last = samples[-1] if samples else None
        if not samples:
            return
        from statistics import median  # noqa: PLC0415 it takes longer to load than a short run takes to begin

        gaps_s = [later["time"] - earlier["time"] for earlier, later in pairwise(samples) if earlier["life"] == later["life"]]
        while gaps_s and self._distance_s * 1.5 < median(gaps_s):
            self._distance_s *= 2

    def _due(self, status: Mapping[str, Any]) -> bool:
        last = self._last
        if last is None or last["life"] != status["restarts"] or status["phase"] == ENDED:
            return True
        # A clock that was set back is no reason to wait until the old time comes again.
        return bool(abs(self._now() - last["time"]) >= self._distance_s - LATE_S)

    def _sample(self, status: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "time": round(self._now(), 3),
            "life": status["restarts"],
            "seconds": round(status["seconds"], 3),
            **{name: status[name] for name in COPIED},
            "nodes_per_s": self._nodes_per_s(status),
            "estimate": status.get("estimate"),
            "by_depth": grouped(status.get("by_depth") or (), DEPTHS_MAX),
        }

    def _nodes_per_s(self, status: Mapping[str, Any]) -> float:
        """The speed since the last sample. In the first sample of a life, since it began."""
        last = self._last or {"life": None, "nodes": 0}
        since_s = status["seconds"] - (last["seconds"] if last["life"] == status["restarts"] else 0.0)
        return float(round(max(0, status["nodes"] - last["nodes"]) / since_s, 1)) if since_s > 0 else 0.0

    def _append(self, sample: dict[str, Any]) -> None:
        assert self._count is not None
        if self._count >= self._samples_max:
            kept = _read(self._path)[::2]
            _replace(self._path, kept)
            self._count = len(kept)
            self._distance_s *= 2
        line = _line(sample)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(descriptor, line)
            if written < len(line):  # the disk is full: a half line would spoil the next one
                os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
                return
        finally:
            os.close(descriptor)
        self._count += 1
        self._last = sample


def read_history(run_dir: Path | str) -> list[dict[str, Any]]:
    """Read the samples of a run, oldest first, also while it goes on. Lines that are no samples are left out.

    Returns:
        Dicts with ``time`` (seconds since 1970), ``life`` (restarts before), ``seconds`` (since this life began), ``explored`` (0 to
        1), ``nodes``, ``pending``, ``leased``, ``workers``, ``busy``, ``killings``, ``nodes_per_s`` (since the sample before),
        ``estimate`` (None, or as in the status), ``by_depth`` (rows of depth, pending, leased). Empty if there are none.
    """
    try:
        return _read(Path(run_dir) / HISTORY_NAME)
    except OSError:
        return []


def grouped(rows: Sequence[Sequence[int]], rows_max: int) -> list[list[int]]:
    """Put depths that follow on each other together until there are no more than ``rows_max`` rows, named for the first depth."""
    size = -(-len(rows) // rows_max)
    groups = (rows[start : start + size] for start in range(0, len(rows), size or 1))
    return [[group[0][0], sum(row[1] for row in group), sum(row[2] for row in group)] for group in groups]


def _read(path: Path) -> list[dict[str, Any]]:
    """Read what can be read of a file; nothing if there is none."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    return [sample for line in text.split(b"\n") if (sample := _decoded(line)) is not None]


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        sample = json.loads(line)
    except (ValueError, RecursionError):
        return None
    needed = ("time", "life", "seconds", "nodes_per_s", "estimate", "by_depth", *COPIED)
    return sample if isinstance(sample, dict) and all(name in sample for name in needed) else None


def _replace(path: Path, samples: list[dict[str, Any]]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(b"".join(_line(sample) for sample in samples))
    temporary.replace(path)


def _line(sample: dict[str, Any]) -> bytes:
    return json.dumps(sample, separators=(",", ":")).encode() + b"\n"
