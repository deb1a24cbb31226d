"""How long the two sides of a run wait for each other at its beginning and its end.

This module must not decide what happens when they have waited in vain.
"""

from __future__ import annotations

from parry_mpi.runtime import clock
from parry_mpi.transport.base import Transport

STARTING_S = 60.0
"""How long the end of a run waits for ranks that were never heard of: a rank that starts on a busy file system takes its time."""

DEPARTING_S = 5.0
"""How long it waits for ranks that were heard of and do not say goodbye: they are dead, or deep in the user's code."""

GUESTS_S = 2.0
"""How long it waits for workers from outside."""


def flush(transport: Transport) -> None:
    """Push out what was sent, for a bounded time: the other side may be dead."""
    ends_at_ms = clock.now_ms() + int(DEPARTING_S * 1000)
    backoff = clock.Backoff()
    while transport.progress() and clock.now_ms() < ends_at_ms:
        clock.sleep(backoff.pause_s())
