"""The conformance suite on the transport inside one process and over the bridge; tests/mpi has it on ranks."""

from __future__ import annotations

import itertools

import pytest
from support import conversations
from support.bridges import Scene

from parry_mpi.core.ids import Peer
from parry_mpi.errors import LocalProtocolError
from parry_mpi.transport import inprocess
from parry_mpi.transport.base import COORDINATOR


@pytest.mark.parametrize("name", conversations.ALL)
def test_conversation(name):
    """Protects: without MPI the same frames arrive, in the same order, as with it."""
    conversation = conversations.ALL[name]
    hub, end = inprocess.pair()
    for _ in itertools.zip_longest(conversation.coordinator(hub), conversation.worker(end)):
        pass
    assert hub.receive() == end.receive() == []


OVER_THE_BRIDGE = [name for name in conversations.ALL if name != "huge"]
"""Over a network frames are smaller: a huge one would hold up heartbeats for longer than they are waited for."""


@pytest.mark.parametrize("name", OVER_THE_BRIDGE)
def test_conversation_over_the_bridge(name, tmp_path):
    """Protects: over the bridge the same frames arrive, in the same order, as between ranks."""
    conversation = conversations.ALL[name]
    with Scene(tmp_path) as here:
        worker, _ = here.joined()
        for _ in itertools.zip_longest(conversation.coordinator(here.bridge), conversation.worker(worker)):
            pass
        assert here.bridge.receive() == worker.receive() == []


def test_strangers():
    """Protects: a frame for somebody who does not exist is our bug and not silently lost."""
    hub, end = inprocess.pair()
    for transport, peer in ((hub, COORDINATOR), (hub, Peer(2)), (end, Peer(1)), (end, Peer(-1))):
        with pytest.raises(LocalProtocolError, match="does not exist"):
            transport.send(peer, b"")


def test_closed():
    """Protects: what is sent after the end is our bug and not silently lost."""
    hub, end = inprocess.pair()
    hub.close(orderly=True, code=0)
    hub.close(orderly=False, code=0)
    with pytest.raises(LocalProtocolError, match="after the end"):
        hub.send(inprocess.WORKER, b"")
    end.send(COORDINATOR, b"too late to matter")
