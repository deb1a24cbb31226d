"""How long the two sides of a run wait for each other at its beginning and its end.

This module must not decide what happens when they have waited in vain.
"""

from __future__ import annotations

from collections.abc import Iterable

from parry_mpi.runtime import clock
from parry_mpi.transport.base import Transport

STARTING_S = 60.0
"""How long the end of a run waits for ranks that were never heard of: a rank that starts on a busy file system takes its time."""

DEPARTING_S = 5.0
"""How long it waits for ranks that were heard of and do not say goodbye: they are dead, or deep in the user's code."""

GUESTS_S = 2.0
"""How long it waits for workers from outside."""


WATCH_MS = 50
"""How long a loop rests at most before it looks at everything again: at signals, at its launcher, at what it owes."""


def rest(transport: Transport, handles: Iterable[int], backoff: clock.Backoff, until_ms: int) -> None:
    """Wait until something has come in, or it is time.

    A look that finds nothing costs a tenth of what a whole turn of a loop does, so it can be taken the more often.

    Args:
        transport: from which something may come.
        handles: other file descriptors on which something may come.
        backoff: how long to pause between two looks.
        until_ms: when to return at the latest.
    """
    watched = [*handles, *transport.filenos()]
    left_ms = max(1, until_ms - clock.now_ms())  # whoever is late has had its turn, and does not need another one without a pause
    while left_ms > 0 and not clock.wait_readable(watched, min(backoff.pause_s(), left_ms / 1000)) and not transport.arrived():
        left_ms = until_ms - clock.now_ms()


def flush(transport: Transport) -> None:
    """Push out what was sent, for a bounded time: the other side may be dead."""
    ends_at_ms = clock.now_ms() + int(DEPARTING_S * 1000)
    backoff = clock.Backoff()
    while transport.progress() and clock.now_ms() < ends_at_ms:
        clock.sleep(backoff.pause_s())
