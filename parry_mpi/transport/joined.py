"""Ranks and workers from outside as one transport, so that one loop serves both.

This module must not know what a frame says.
"""

from __future__ import annotations

from collections.abc import Iterable

from parry_mpi.core.ids import Peer
from parry_mpi.errors import LocalProtocolError
from parry_mpi.transport.base import OUTSIDE, Transport


class JoinedTransport:
    """Two transports, told apart by the numbers of their peers.

    Args:
        ranks: to the ranks that were started along with this one; None if there are none.
        bridge: to whoever comes in; its peers are numbered from OUTSIDE.
    """

    def __init__(self, ranks: Transport | None, bridge: Transport) -> None:
        self._ranks = ranks
        self._bridge = bridge
        self._ends = [bridge] if ranks is None else [ranks, bridge]
        self.size = 1 if ranks is None else ranks.size

    @property
    def unsent_bytes(self) -> int:
        """How much was handed to send() and is still held here."""
        return sum(end.unsent_bytes for end in self._ends)

    def receive(self) -> list[tuple[Peer, bytes]]:
        """Return frames of the ranks first: whatever happens outside, they are heard in every turn."""
        return [frame for end in self._ends for frame in end.receive()]

    def send(self, peer: Peer, frame: bytes) -> None:
        self._to(peer).send(peer, frame)

    def progress(self) -> bool:
        moving = [end.progress() for end in self._ends]  # each of them, not only up to the first that is not done
        return any(moving)

    def forget(self, peer: Peer) -> None:
        self._to(peer).forget(peer)

    def failed_peers(self) -> set[Peer]:
        return set().union(*(end.failed_peers() for end in self._ends))

    def arrived(self) -> bool:
        return any(end.arrived() for end in self._ends)

    def filenos(self) -> Iterable[int]:
        return [handle for end in self._ends for handle in end.filenos()]

    def close(self, *, orderly: bool, code: int) -> None:
        """Close the bridge first: what closes the ranks may end this process."""
        self._bridge.close(orderly=orderly, code=code)
        if self._ranks is not None:
            self._ranks.close(orderly=orderly, code=code)

    def _to(self, peer: Peer) -> Transport:
        if peer >= OUTSIDE:
            return self._bridge
        if self._ranks is None:
            raise LocalProtocolError(f"a frame for rank {peer}, and there are no ranks")
        return self._ranks
