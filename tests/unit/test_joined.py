"""Ranks and workers from outside as one transport: each frame finds its end, and the ranks come first."""

from __future__ import annotations

import os
from collections import deque

import pytest

from parry_mpi.core.ids import Peer
from parry_mpi.errors import LocalProtocolError
from parry_mpi.transport import inprocess
from parry_mpi.transport.base import COORDINATOR, OUTSIDE
from parry_mpi.transport.inprocess import InProcessTransport
from parry_mpi.transport.joined import JoinedTransport

GUEST = Peer(OUTSIDE)


class Bridge(InProcessTransport):
    """A bridge with one guest, at whose end we are, and a file descriptor to wait on."""

    def __init__(self) -> None:
        up: deque[bytes] = deque()
        down: deque[bytes] = deque()
        super().__init__(GUEST, up, down)
        self.guest = InProcessTransport(COORDINATOR, down, up)
        self.failed: set[Peer] = set()
        self.closed_with: list[tuple[bool, int]] = []
        self.handle, self._far = os.pipe()

    def failed_peers(self):
        return self.failed

    def filenos(self):
        return (self.handle,)

    def close(self, *, orderly, code):
        self.closed_with.append((orderly, code))
        super().close(orderly=orderly, code=code)
        os.close(self.handle)
        os.close(self._far)


@pytest.fixture
def bridge():
    made = Bridge()
    yield made
    if not made.closed_with:
        made.close(orderly=True, code=0)


def test_both(bridge):
    """Protects every frame: it reaches the one it is for, and says from whom it comes; ranks are heard first."""
    ranks, rank = inprocess.pair()
    hub = JoinedTransport(ranks, bridge)
    bridge.guest.send(COORDINATOR, b"from outside")
    rank.send(COORDINATOR, b"from a rank")
    assert [(inprocess.WORKER, b"from a rank"), (GUEST, b"from outside")] == hub.receive()
    hub.send(GUEST, b"outside")
    hub.send(inprocess.WORKER, b"to the rank")
    assert [(COORDINATOR, b"outside")] == bridge.guest.receive()
    assert [(COORDINATOR, b"to the rank")] == rank.receive()
    assert (2, 0, False) == (hub.size, hub.unsent_bytes, hub.progress())


def test_forgotten(bridge):
    """Protects the other end: only the peer that is gone is not sent to any more."""
    ranks, rank = inprocess.pair()
    hub = JoinedTransport(ranks, bridge)
    hub.forget(GUEST)
    hub.send(GUEST, b"lost")
    hub.send(inprocess.WORKER, b"found")
    assert ([], [(COORDINATOR, b"found")]) == (bridge.guest.receive(), rank.receive())


def test_without_ranks(bridge):
    """Protects a coordinator alone in its world: it has guests only, and a frame for a rank is our bug."""
    hub = JoinedTransport(None, bridge)
    bridge.guest.send(COORDINATOR, b"hello")
    bridge.failed = {GUEST}
    assert (1, [(GUEST, b"hello")], {GUEST}, [bridge.handle]) == (
        hub.size,
        hub.receive(),
        hub.failed_peers(),
        list(hub.filenos()),
    )
    with pytest.raises(LocalProtocolError, match="rank 1"):
        hub.send(Peer(1), b"")


def test_close(bridge):
    """Protects the end: both are closed, with the same code."""
    ranks, _ = inprocess.pair()
    JoinedTransport(ranks, bridge).close(orderly=False, code=75)
    assert [(False, 75)] == bridge.closed_with
    with pytest.raises(LocalProtocolError, match="after the end"):
        ranks.send(inprocess.WORKER, b"")
