"""What a transport is: frames to and from peers, in order for each pair of them, and nothing that waits.

This module must not know what a frame says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from parry_mpi.core.ids import Peer

COORDINATOR = Peer(0)
"""Whom a worker talks to."""

OUTSIDE = 1 << 24
"""Peers that came in over the bridge are numbered from here; no MPI world has so many ranks."""

FRAMES_AT_ONCE = 256
"""Most frames that one call of receive() returns, so that a loop gets around to its other duties."""


class Transport(Protocol):
    """One end of the connections between a coordinator and its workers.

    Attributes:
        size: how many ends there are from the start, the coordinator's included.
        unsent_bytes: how much was handed to send() and is still held here. To keep it bounded is the caller's part.
    """

    @property
    def size(self) -> int: ...

    @property
    def unsent_bytes(self) -> int: ...

    def receive(self) -> list[tuple[Peer, bytes]]:
        """Return frames that have arrived, at most FRAMES_AT_ONCE, in order for each peer. Never waits."""

    def send(self, peer: Peer, frame: bytes) -> None:
        """Send a frame, after those sent to this peer before. Never waits; a peer that is gone does not get it.

        Raises:
            LocalProtocolError: there is no such peer, or the transport was closed.
        """

    def progress(self) -> bool:
        """Move on what was sent; say whether some of it is still on its way. Never waits."""

    def forget(self, peer: Peer) -> None:
        """Neither send to this peer any more nor count what it has not taken: it is known from elsewhere to be gone."""

    def failed_peers(self) -> set[Peer]:
        """Return the peers that became known to be gone since the last call; empty where nothing tells."""

    def arrived(self) -> bool:
        """Whether receive() may find something of which no file descriptor tells. Costs next to nothing, so it may be asked often."""

    def filenos(self) -> Iterable[int]:
        """Return file descriptors on which something arrives, to be waited on; none where only looking helps."""

    def close(self, *, orderly: bool, code: int) -> None:
        """End it. To close again does nothing.

        Args:
            orderly: everybody has said goodbye and closes too. If not, nobody may be waited for, and this may end the process.
            code: the exit code with which this process is about to end; rank 0's is the one that the launcher shall return.
        """


class Gate(Protocol):
    """Where workers come in that nobody started along with the coordinator, and what is known about them."""

    def notes(self) -> list[tuple[str, dict[str, str | int]]]:
        """Return what happened at the gate since the last call: events for the log, with their facts."""

    def describe(self, peer: Peer) -> str:
        """Say who a peer is, for a person."""
