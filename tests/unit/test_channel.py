"""Channels between the processes of a worker: whole messages, and nobody who waits for the other."""

from __future__ import annotations

import socket
import threading

import pytest
from support.commands import wait_until

from parry_mpi.core.worker import Abandon, Ask, Begin, Go, Want
from parry_mpi.job import Job
from parry_mpi.runtime.channel import Channel

KINDS = Begin | Ask | Go | Abandon
LARGE = Begin(1, (Job(bytes(1 << 22)),))
"""More than a socket takes at once."""


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    channels = Channel(here, KINDS), Channel(there, KINDS)
    yield channels
    for channel in channels:
        channel.close()


def received(channel: Channel) -> list:
    found: list = []
    wait_until(lambda: found.extend(channel.receive()) or found, "something came")
    return found


def test_messages_stay_whole_and_in_order(ends):
    """Protects orders from being mixed up: each arrives whole, in the order in which they were given."""
    here, there = ends
    orders = [Begin(1, (Job(b"a"), Job(b"b")), careful=True), Ask(1, Want.SPLIT), Go(1, 4), Abandon(1)]
    for order in orders:
        here.send(order)
    assert orders == there.receive()
    assert there.receive() == []


def test_post_never_waits(ends):
    """Protects the heartbeat of a supervisor whose explorer takes nothing in, as when it is stopped."""
    here, there = ends
    here.post(LARGE)
    assert here.flush()
    here.post(Abandon(2))
    found: list = []
    while here.flush():
        found += there.receive()
    assert [LARGE, Abandon(2)] == found + there.receive()


def test_two_that_send_at_once(ends):
    """Protects from a deadlock of two processes, each sending more than the other has room for."""
    found: dict[Channel, list] = {}

    def converse(end: Channel) -> None:
        end.send(LARGE)
        found[end] = received(end)

    threads = [threading.Thread(target=converse, args=(end,)) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [[LARGE], [LARGE]] == [found.get(end) for end in ends]


def test_what_was_said_before_the_end_is_heard(ends):
    """Protects the last report of an explorer that ends right after it, even if something was said to it meanwhile."""
    here, there = ends
    there.send(Go(1, 2))
    there.close()
    here.post(Abandon(1))
    assert [Go(1, 2)] == here.receive()
    assert here.receive() == []
    assert here.closed


@pytest.mark.parametrize(
    "scribble",
    [b"this is not for you, and it is rather long", b"\0" * 7 + b"\x01\xff", b"\0" * 7 + b"\x03abc"],
    ids=["length", "kind", "text"],
)
def test_scribble(ends, scribble):
    """Protects a supervisor from user code that writes into its explorer's connection: it is closed."""
    here, there = ends
    there.send(Go(1, 2))
    there._socket.send(scribble)
    assert [Go(1, 2)] == here.receive()
    assert here.closed


def test_half_a_message(ends):
    """Protects from taking the first part of a message for the message."""
    here, there = ends
    there._socket.send((100).to_bytes(8, "big") + b"abc")
    assert here.receive() == []
    assert not here.closed
