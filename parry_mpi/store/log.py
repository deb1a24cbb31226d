"""The event log of a run: one JSON object a line, for people and their scripts.

This module must not stop a run: whatever goes wrong with the log is swallowed, and nothing reads it to decide anything.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

LOG_NAME = "log.jsonl"
ROTATED_NAME = "log.jsonl.1"
LOG_SIZE_BYTES_MAX = 64 * 2**20
"""At this size the log is put aside, in place of the one put aside before: a run of a year fills at most 128 MB."""
_TAIL_SIZE_BYTES = 2**16
"""How far back the last whole line is looked for; our lines are shorter."""


class EventLog:
    """Appends events to a file. Every method may be called from any thread, and none raises.

    Args:
        path: the file; created at the first event.
        size_bytes_max: where it is put aside.
        now: the time of day, seconds since 1970.
    """

    def __init__(self, path: Path, *, size_bytes_max: int = LOG_SIZE_BYTES_MAX, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._size_bytes_max = size_bytes_max
        self._now = now
        self._mutex = threading.Lock()
        self._descriptor: int | None = None

    def write(self, event: str, **fields: object) -> None:
        """Append one event; lost if the file system will not take it."""
        stamp = dt.datetime.fromtimestamp(self._now(), dt.timezone.utc).isoformat(timespec="milliseconds")
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError), self._mutex:
            line = json.dumps({"time": stamp, "event": event, **fields}, default=str).encode() + b"\n"
            self._append(line)

    def close(self) -> None:
        """Close the file; a later event opens it again."""
        with contextlib.suppress(OSError), self._mutex:
            self._close()

    def _append(self, line: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            _drop_torn_line(self._descriptor)
        try:
            written = os.write(self._descriptor, line)
            size_bytes = os.fstat(self._descriptor).st_size
        except OSError:
            self._close()
            raise
        if written < len(line):  # The disk is full. Opening it again drops the half line.
            self._close()
        elif size_bytes >= self._size_bytes_max:
            self._close()
            self._path.replace(self._path.with_name(ROTATED_NAME))

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _drop_torn_line(descriptor: int) -> None:
    """Cut off a last line that was not written to its end, so that every line of the file is whole."""
    size_bytes = os.fstat(descriptor).st_size
    start = max(0, size_bytes - _TAIL_SIZE_BYTES)
    tail = os.pread(descriptor, _TAIL_SIZE_BYTES, start)
    if tail and not tail.endswith(b"\n"):
        os.ftruncate(descriptor, start + tail.rfind(b"\n") + 1)
