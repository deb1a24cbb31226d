"""What the coordinator knows and a restart forgets: who is connected, what was asked of whom, how far the run is.

This module must not decide anything.
"""

from __future__ import annotations

from collections import deque

import msgspec

from parry_mpi.core.events import Failure, Phase
from parry_mpi.core.ids import LeaseId, Peer, WorkerId
from parry_mpi.core.messages import Bundle, Hello
from parry_mpi.core.policy import BundlePolicy
from parry_mpi.core.sharing import ShareRequests


class Worker(msgspec.Struct):
    """What the coordinator knows about a connected worker; gone with a restart.

    Args:
        worker: its id.
        peer: where it is.
        hello: how it introduced itself.
        joined_at_ms: when it joined.
        heard_at_ms: when it was last heard of.
        lease: the lease it holds, or None.
        hungry: whether it waits for a bundle.
        nodes, explored_us, solved: what it reported.
        killed: how many of its leases were killed.
    """

    worker: WorkerId
    peer: Peer
    hello: Hello
    joined_at_ms: int
    heard_at_ms: int
    lease: LeaseId | None = None
    hungry: bool = False
    nodes: int = 0
    explored_us: int = 0
    solved: int = 0
    killed: int = 0


class Watch(msgspec.Struct):
    """What the coordinator remembers about a live lease beside its durable part; gone with a restart.

    Args:
        granted_at_ms: when it was granted.
        bundle: what was sent, for repeating it.
        progressed: whether anything was explored under it.
    """

    granted_at_ms: int
    bundle: Bundle
    progressed: bool = False


class Volatile(msgspec.Struct):
    """All that a restart forgets."""

    requests: ShareRequests
    phase: Phase = Phase.EXPLORING
    workers: dict[WorkerId, Worker] = msgspec.field(default_factory=dict)
    by_peer: dict[Peer, WorkerId] = msgspec.field(default_factory=dict)
    hungry: deque[WorkerId] = msgspec.field(default_factory=deque)
    watches: dict[LeaseId, Watch] = msgspec.field(default_factory=dict)
    policy: BundlePolicy = msgspec.field(default_factory=BundlePolicy)
    pulling: bool = False
    failure: Failure | None = None
    stop_reason: str = ""
    grace_ends_at_ms: int | None = None
    said_stop_at_ms: int = 0
    expiry_at_ms: int | None = None
    press_at_ms: int | None = None
    workers_seen: int = 0
    incumbent: int | float | None = None
    proven: int | float | None = None
