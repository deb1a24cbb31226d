"""The transport inside one process: two ends, two queues.

This module must not know what a frame says.
"""

from __future__ import annotations

from collections import deque

from parry_mpi.core.ids import Peer
from parry_mpi.errors import LocalProtocolError
from parry_mpi.transport.base import COORDINATOR, FRAMES_AT_ONCE

WORKER = Peer(1)
"""The other end, for the coordinator."""


class InProcessTransport:
    """One of two ends; each may be used by a thread of its own.

    Args:
        other: who is at the other end.
        incoming: the queue from there.
        outgoing: the queue to there.
    """

    size = 2
    unsent_bytes = 0

    def __init__(self, other: Peer, incoming: deque[bytes], outgoing: deque[bytes]) -> None:
        self._other = other
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._forgotten = False

    def receive(self) -> list[tuple[Peer, bytes]]:
        count = min(len(self._incoming), FRAMES_AT_ONCE)
        return [(self._other, self._incoming.popleft()) for _ in range(count)]

    def send(self, peer: Peer, frame: bytes) -> None:
        if self._closed or peer != self._other:
            raise LocalProtocolError(f"a frame for peer {peer}, {'after the end' if self._closed else 'who does not exist'}")
        if not self._forgotten:
            self._outgoing.append(frame)

    def progress(self) -> bool:
        return False

    def forget(self, peer: Peer) -> None:
        self._forgotten = self._forgotten or peer == self._other

    def failed_peers(self) -> set[Peer]:
        return set()

    def arrived(self) -> bool:
        return bool(self._incoming)

    def filenos(self) -> tuple[int, ...]:
        return ()

    def close(self, *, orderly: bool, code: int) -> None:
        self._closed = True


def pair() -> tuple[InProcessTransport, InProcessTransport]:
    """Return the coordinator's and the worker's end."""
    up: deque[bytes] = deque()
    down: deque[bytes] = deque()
    return InProcessTransport(WORKER, up, down), InProcessTransport(COORDINATOR, down, up)
