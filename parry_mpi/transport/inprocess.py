"""The transport inside one process: two ends, two queues.

This module must not know what a frame says.
"""

from __future__ import annotations

import itertools
from collections import deque

from parry_mpi.core.ids import Peer
from parry_mpi.transport.base import COORDINATOR, FRAMES_AT_ONCE

WORKER = Peer(1)


class InProcessTransport:
    """One of two ends.

    Args:
        other: who is at the other end.
        incoming, outgoing: the queues; the other end has them the other way round.
    """

    size = 2

    def __init__(self, other: Peer, incoming: deque[bytes], outgoing: deque[bytes]) -> None:
        self._other = other
        self._incoming = incoming
        self._outgoing = outgoing

    def receive(self) -> list[tuple[Peer, bytes]]:
        count = min(len(self._incoming), FRAMES_AT_ONCE)
        return [(self._other, self._incoming.popleft()) for _ in itertools.repeat(None, count)]

    def send(self, peer: Peer, frame: bytes) -> None:
        if peer == self._other:
            self._outgoing.append(frame)

    def progress(self) -> bool:
        return False

    def failed_peers(self) -> set[Peer]:
        return set()

    def close(self, *, orderly: bool, code: int) -> None:
        """There is nothing to end."""


def pair() -> tuple[InProcessTransport, InProcessTransport]:
    """Return the coordinator's and the worker's end."""
    up: deque[bytes] = deque()
    down: deque[bytes] = deque()
    return InProcessTransport(WORKER, up, down), InProcessTransport(COORDINATOR, down, up)
