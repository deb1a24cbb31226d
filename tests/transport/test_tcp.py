"""The worker's end of the bridge on its own: when it tries again, and what it makes of a coordinator that does not behave."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator

import pytest
from support.bridges import ALICE, COORDINATOR_KEY
from support.commands import wait_until

from parry_mpi.core.ids import Peer
from parry_mpi.errors import LocalProtocolError
from parry_mpi.transport.base import COORDINATOR
from parry_mpi.transport.tcp import Address, TcpTransport
from parry_mpi.wire.session import RefusalCode, ServerSession, refusal


class Highest:
    """Draws the highest number there is, and keeps it."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        self.drawn.append(b)
        return b


class Stage:
    """A worker's end with a clock that stands still, and a listener that does what the test says.

    Attributes:
        now_ms: what the clock shows.
        jitter: what was drawn.
        asked_count: how often the worker's end asked where the coordinator is.
    """

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.others: list[socket.socket] = []
        self.jitter = Highest()
        self.asked_count = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.address: Address | None = Address(*self.listener.getsockname(), COORDINATOR_KEY.public)
        self.end = TcpTransport(self.find, ALICE, b"n" * 16, lambda: self.now_ms, self.jitter)
        self.server = ServerSession(COORDINATOR_KEY, random.randbytes(32), lambda key: "")

    def find(self) -> Address | None:
        self.asked_count += 1
        return self.address

    def accept(self) -> socket.socket:
        """Take up the connection that the worker's end makes."""
        self.end.receive()
        other, _ = self.listener.accept()
        other.settimeout(20)
        self.others.append(other)
        return other

    def established(self) -> socket.socket:
        """Let both sides come to terms."""
        other = self.accept()
        other.setblocking(False)

        def step() -> bool:
            self.end.receive()
            try:
                self.server.receive(other.recv(1 << 16))
            except BlockingIOError:
                return False
            other.sendall(self.server.take_outgoing())
            return self.server.established

        wait_until(step, "the server was satisfied")
        wait_until(lambda: self.end.receive() or self.end.connected, "the worker was satisfied")
        other.settimeout(20)
        return other

    def fails(self, why: str) -> None:
        """Wait until an attempt has failed."""
        count = len(self.jitter.drawn)
        wait_until(lambda: self.end.receive() or len(self.jitter.drawn) > count, "the attempt failed")
        assert why in self.end.last_trouble

    def pass_pause(self) -> None:
        """Let the time pass until the next attempt, and not a millisecond less."""
        self.now_ms += round(self.jitter.drawn[-1]) - 1
        self.end.receive()
        assert self.end._socket is None
        self.now_ms += 1


@pytest.fixture
def stage() -> Iterator[Stage]:
    new = Stage()
    yield new
    new.end.close(orderly=True, code=0)
    for one in (new.listener, *new.others):
        one.close()


def test_pauses_grow(stage):
    """Protects the coordinator from hundreds of workers that come back at once: pauses double, up to ten seconds, and are drawn."""
    stage.address = None
    for _ in range(9):
        stage.fails("nobody knows where the coordinator is")
        stage.pass_pause()
    assert [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] == stage.jitter.drawn
    assert 9 == stage.asked_count
    assert 1_000_000 == stage.end.disconnected_since_ms


def test_nobody_listens(stage):
    """Protects users: that nobody listens at the address is said, with the address, and tried again."""
    stage.listener.close()
    stage.fails("Connection refused")
    assert f"127.0.0.1:{stage.address.port}" in stage.end.last_trouble


def test_name_that_does_not_exist(stage):
    """Protects users: a name that cannot be looked up is said to be that."""
    stage.address = Address("two..dots", 1, COORDINATOR_KEY.public)
    stage.fails("two..dots:1: the name cannot be looked up")


def test_no_answer(stage):
    """Protects workers from something that accepts connections and says nothing: they do not wait for ever."""
    stage.accept()
    wait_until(lambda: stage.end.receive() or stage.end.filenos(), "the connection was there")
    stage.now_ms += 9_999
    stage.end.receive()
    assert stage.end.filenos()
    stage.now_ms += 1
    stage.fails("no proper answer within 10 s")
    assert () == stage.end.filenos()


def test_no_room(stage):
    """Protects workers that come to a full house: they try again later."""
    stage.accept().sendall(refusal(RefusalCode.BUSY))
    stage.fails("there may be room later")


def test_pauses_begin_anew(stage):
    """Protects the speed of a comeback: after a good connection the first attempt is soon, after a short one it is not late."""
    for lasts_ms in (0, 0, 0, 0, 0, 5_000, 0):
        stage.server = ServerSession(COORDINATOR_KEY, random.randbytes(32), lambda key: "")
        other = stage.established()
        stage.now_ms += lasts_ms
        other.close()
        stage.fails("ended the connection")
        stage.pass_pause()
    assert [100, 200, 400, 800, 800, 100, 200] == stage.jitter.drawn


def test_damaged_length(stage):
    """Protects workers from a damaged length: what never comes is not waited for, and a slow line is not taken for that."""
    other = stage.established()
    other.sendall(struct.pack(">IQ", 2**26, 1) + bytes(640_000))
    wait_until(lambda: stage.end.receive() or stage.end._session.buffered_bytes == 640_012, "it was there")
    stage.now_ms += 10_000 + 640_012 * 1_000 // 65_536
    assert [] == stage.end.receive()
    assert stage.end.connected
    stage.now_ms += 1
    stage.fails("a frame does not arrive: 640012 bytes of it are here")
    assert stage.now_ms == stage.end.disconnected_since_ms


def test_damaged_frame(stage):
    """Protects workers from whoever changes bytes on the way: that ends a connection and not a worker."""
    for attempt in range(5):
        stage.server = ServerSession(COORDINATOR_KEY, random.randbytes(32), lambda key: "")
        other = stage.established()
        frame = bytearray(stage.server.seal(b"true"))
        frame[-1] ^= 1
        other.sendall(frame)
        stage.fails("somebody changes what is sent")
        assert attempt + 1 == stage.end.connections_count
        stage.pass_pause()


def test_what_is_not_connected_drops(stage):
    """Protects memory: what is said while nobody can hear it is not kept, and what was under way when it broke is not counted."""
    stage.end.send(COORDINATOR, b"into the wind")
    assert (0, False) == (stage.end.unsent_bytes, stage.end.progress())
    other = stage.established()
    stage.end.send(COORDINATOR, bytes(2**25))
    assert stage.end.progress()
    assert 2**25 == stage.end.unsent_bytes
    other.close()
    wait_until(lambda: not stage.end.progress(), "it was dropped")
    assert 0 == stage.end.unsent_bytes
    stage.fails("")


def test_wrong_use(stage):
    """Protects us from our own bugs: frames for nobody or after the end are refused."""
    with pytest.raises(LocalProtocolError, match="does not exist"):
        stage.end.send(Peer(1), b"")
    stage.established()
    stage.end.forget(COORDINATOR)
    stage.now_ms += 100_000
    assert [] == stage.end.receive()
    assert (1, ()) == (stage.asked_count, stage.end.filenos())
    stage.end.close(orderly=False, code=0)
    with pytest.raises(LocalProtocolError, match="after the end"):
        stage.end.send(COORDINATOR, b"")


def test_close_looks_for_nobody(stage):
    """Protects a worker that comes when the run is over: it hears so once, and ends in good order."""
    stage.address = None
    stage.end.receive()
    asked_count = stage.asked_count
    stage.now_ms += 3_600_000
    stage.end.close(orderly=True, code=0)
    assert asked_count == stage.asked_count
