"""The conformance suite on MPI ranks: the same conversations as inside one process."""

from __future__ import annotations

import threading

import pytest
from support import conversations

from parry_mpi.core.ids import Peer
from parry_mpi.errors import LocalProtocolError
from parry_mpi.transport.base import COORDINATOR

turn = threading.Event()  # never set: gives the other ranks the processor


def meet(comm) -> None:
    """Wait for the other ranks without keeping the processor busy."""
    meeting = comm.Ibarrier()
    while not meeting.Test():
        turn.wait(0.001)


@pytest.mark.parametrize("name", conversations.ALL)
def test_conversation(name, end, comm):
    """Protects: nothing is lost, repeated or out of order between ranks, whatever its size, and nobody waits for anybody."""
    conversation = conversations.ALL[name]
    for _ in (conversation.coordinator if end.rank == COORDINATOR else conversation.worker)(end):
        turn.wait(0.0005)
    meet(comm)
    assert end.receive() == []


def test_who_is_who(end, comm):
    """Protects: ranks know themselves, and where they are."""
    assert (comm.rank, comm.size) == (end.rank, end.size)
    assert end.host
    for stranger in (end.rank, end.size, -1):
        with pytest.raises(LocalProtocolError, match="sends to"):
            end.send(Peer(stranger), b"")


def test_a_peer_that_does_not_listen_is_forgotten(end, comm):
    """Protects: memory for frames that a dead rank will never take is not counted for ever, nor waited for at the end."""
    size_bytes = 32 * 2**20
    last = Peer(end.size - 1)
    if end.rank == COORDINATOR:
        end.send(last, bytes(size_bytes))
        end.send(last, b"small")
        end.progress()
        assert end.unsent_bytes in {0, 5, size_bytes + 5}
        end.forget(last)
        assert (end.unsent_bytes, end.progress()) == (0, False)
    meet(comm)
    if end.rank == last:  # here it is not dead, and takes them after all, so that MPI is rid of them
        got: list[bytes] = []
        while len(got) < 2:
            got += [frame for _, frame in end.receive()]
            turn.wait(0.0005)
        assert [size_bytes, 5] == [len(frame) for frame in got]
        end.send(COORDINATOR, b"taken")
    if end.rank == COORDINATOR:
        while not (frames := end.receive()):
            turn.wait(0.0005)
        assert frames == [(last, b"taken")]
    meet(comm)
