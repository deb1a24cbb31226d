"""What the user can choose about how a run goes.

This module must not know what comes of it.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Options(msgspec.Struct, frozen=True):
    """What the user can choose about how a run goes; nothing here changes its answer.

    Args:
        isolation: "process": the user's code runs in a process of its own, which may crash; "none": in the worker's.
        on_error: "stop" or "quarantine": what to do when the user's code raises.
        max_kills: how many kills a job is blamed for before it is quarantined.
        heartbeat_timeout_s: a worker that is silent for so long is lost.
        patience_s: how long a lease may be silent while others starve; doubles with every kill; 0 for ever.
        grace_s: how long a stop waits for what remains.
        stop_after_s: stop after so long, or None.
        order: "depth" or "bound": which jobs are handed out first, the shallowest or those with the best bounds.
    """

    isolation: str = "process"
    on_error: str = "stop"
    max_kills: int = 5
    heartbeat_timeout_s: float = 30.0
    patience_s: float = 60.0
    grace_s: float = 10.0
    stop_after_s: float | None = None
    order: Literal["depth", "bound"] = "depth"
