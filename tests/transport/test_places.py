"""Who gets one of the places at the door of the bridge: its decisions alone, with connections that lead nowhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from support.bridges import COORDINATOR_KEY

from parry_mpi.transport.bridge.outsider import Outsider
from parry_mpi.transport.bridge.pair import Configuration, Limits, Note, Records, decoded
from parry_mpi.transport.bridge.process import Bridge
from parry_mpi.wire.session import RefusalCode, refusal


class Clock(asyncio.SelectorEventLoop):
    """An event loop that never runs, with a clock that stands still."""

    now_s = 1000.0

    def time(self) -> float:
        return self.now_s


class Nowhere(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket()
        super().__init__({"peername": (address, 5), "socket": self.socket})
        self.written = b""
        self.ended = False

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class Door:
    """The bridge without its process."""

    def __init__(self) -> None:
        self.loop = Clock()
        limits = Limits(strangers_max=8, strangers_per_address_max=2, connections_max=12)
        key = COORDINATOR_KEY.to_openssh()
        self.bridge = Bridge(Configuration("127.0.0.1", 0, key, "/nowhere/authorized_keys", limits), self.loop)
        self.to_rank_0 = Nowhere("")
        self.bridge.rank_0._transport = self.to_rank_0
        self.arrived: list[Nowhere] = []

    def arrives(self, address: str) -> Nowhere:
        self.arrived.append(Nowhere(address))
        Outsider(self.bridge, self.loop).connection_made(self.arrived[-1])
        return self.arrived[-1]

    def inside(self) -> list[Nowhere]:
        return [one for one in self.arrived if not one.ended]

    def refusals(self) -> list[dict[str, str | int]]:
        records = Records().take(self.to_rank_0.written)
        return [decoded(content, Note).facts for _, _, content in records]


@pytest.fixture
def door() -> Iterator[Door]:
    new = Door()
    yield new
    for one in (*new.arrived, new.to_rank_0):
        one.socket.close()
    new.loop.close()


def test_one_address(door):
    """Protects the places at the door from one machine: beyond its share newcomers are refused, and others still get in."""
    first, second, third = (door.arrives("192.0.2.1") for _ in range(3))
    other = door.arrives("192.0.2.2")
    assert [first, second, other] == door.inside()
    assert refusal(RefusalCode.BUSY) == third.written
    assert [("192.0.2.1:5", "")] == [(facts["address"], facts["key"]) for facts in door.refusals()]
    assert "from this address" in door.refusals()[0]["why"]


def test_place_of_the_oldest(door):
    """Protects workers from a crowd that says nothing: after a second the oldest of them loses its place to a newcomer."""
    first, second = (door.arrives("192.0.2.1") for _ in range(2))
    door.loop.now_s += 1.1
    newcomer = door.arrives("192.0.2.1")
    assert [second, newcomer] == door.inside()
    assert refusal(RefusalCode.BUSY) == first.written


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_tunnels(door, address):
    """Protects workers that come through ssh tunnels, all from this machine: they share the places of everybody, not of one."""
    arrived = [door.arrives(address) for _ in range(9)]
    assert arrived[:8] == door.inside()
    door.loop.now_s += 1.1
    newcomer = door.arrives("192.0.2.1")
    assert [*arrived[1:8], newcomer] == door.inside()


def test_handshake_time(door):
    """Protects the places at the door: whoever does not show who it is loses its own, in any case, after ten seconds."""
    late = door.arrives("192.0.2.1")
    door.loop.now_s += 6
    later = door.arrives("192.0.2.1")
    door.loop.now_s += 4
    door.bridge.look()
    assert [late, later] == door.inside()
    door.loop.now_s += 0.1
    door.bridge.look()
    assert [later] == door.inside()


def test_log_is_not_flooded(door):
    """Protects the disk from whoever can connect: refusals are noted up to a rate, and those beyond it are counted."""
    for _ in range(1_000):
        door.arrives("192.0.2.1")
    assert 200 == len(door.refusals())
    door.loop.now_s += 1
    door.arrives("192.0.2.1")
    assert (201, 798) == (len(door.refusals()), door.refusals()[-1]["withheld_count"])
    door.arrives("192.0.2.1")
    assert "withheld_count" not in door.refusals()[-1]
