"""The only place that reads a clock or sleeps."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from datetime import datetime

SPINS = 20
"""How many times something is looked for without a pause: a reply that is on its way arrives within microseconds."""

PAUSE_S_MIN = 20e-6
PAUSE_S_MAX = 8e-3
"""The shortest pause, and the longest. A look costs 30 to 60 us of a core: every 8 ms that is half a percent."""

PAUSE_PART = 0.05
"""A pause is this part of the time that it has been quiet: what comes is seen at most so much later, in proportion."""


def now_ms() -> int:
    """Milliseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1_000_000


def now_us() -> int:
    """Microseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1000


def processor_us() -> int:
    """Microseconds that this process has kept a processor busy."""
    return time.process_time_ns() // 1000


def wall_s() -> float:
    """Seconds since 1970, by the clock on the wall: only to compare with what other programs say."""
    return time.time()


def wall_s_of(local_time: str) -> float:
    """Seconds since 1970 of a local time such as 2026-11-22T14:30:00.

    Raises:
        ValueError: it is no such time.
    """
    return datetime.fromisoformat(local_time).timestamp()


def local_time_of(stamp: str) -> str:
    """The local time of a time with its zone, to the millisecond, such as 2026-11-22 14:30:00.123.

    Raises:
        ValueError: it is no such time.
    """
    return datetime.fromisoformat(stamp).astimezone().replace(tzinfo=None).isoformat(" ", "milliseconds")


def local_time_in(seconds: float) -> str:
    """The local time in so many seconds, to the second, such as 2026-11-22T14:30:00."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + seconds))


class Backoff:
    """How long to pause between looks at something that cannot wake us: short at first, longer the longer it stays quiet."""

    def __init__(self) -> None:
        self._looks = 0
        self._active_at_s = time.monotonic()

    def active(self) -> None:
        """Something happened that somebody waits for, and more of it may come: look again at once."""
        self._looks = 0
        self._active_at_s = time.monotonic()

    def pause_s(self) -> float:
        """How long to pause before the next look, in seconds."""
        self._looks += 1
        if self._looks <= SPINS:
            return 0.0
        quiet_s = time.monotonic() - self._active_at_s
        return min(max(quiet_s * PAUSE_PART, PAUSE_S_MIN), PAUSE_S_MAX)


def sleep(seconds: float) -> None:
    """Give the processor away for so long."""
    time.sleep(seconds)


def wait_readable(handles: Iterable[int], seconds: float) -> bool:
    """Give the processor away for so long, or until one of these file descriptors has something to read; say whether one has."""
    return bool(select.select(list(handles), [], [], seconds)[0])
